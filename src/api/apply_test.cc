// SPDX-License-Identifier: Apache-2.0
// What people rely on, in few words; patch_vectors_test.cc has the breadth.
#include "api/apply.h"

#include <gtest/gtest.h>

#include "api/json.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {
namespace {

const Schema& schema() { return schema_of(*k8s::io::api::core::v1::Pod::descriptor()); }

FieldManager by(std::string manager, int64_t now = 1000) {
  return {std::move(manager), {}, now, FieldSet::of({{"status"}}), {}};
}

Value pod(std::string_view spec, std::string_view metadata = "") {
  return *parse_json(cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"n","uid":"u")",
                         metadata.empty() ? "" : ",", metadata, R"(},"spec":)", spec, "}"));
}

// What is applied says no uid.
Value config(std::string_view spec, std::string_view metadata = "") {
  Value object = pod(spec, metadata);
  std::erase_if(*object.find("metadata")->as_object(), [](const Value::Member& m) { return m.key == "uid"; });
  return object;
}

std::string spec_of(const Result<Value>& result) {
  return result ? write_json(*result->find("spec")) : result.error().message();
}

struct Applied {
  Result<Value> result = Value();
  std::vector<ApplyConflict> conflicts;
};

Applied apply(const Value* live, const Value& wanted, const FieldManager& manager, bool force = false) {
  Applied out;
  out.result = apply_patch(schema(), live, wanted, manager, force, &out.conflicts);
  return out;
}

TEST(Apply, MergesAndRemovesWhatWasGivenUp) {
  const Applied first =
      apply(nullptr, config(R"({"containers":[{"name":"a","image":"i"}],"nodeName":"x"})"), by("ctl"));
  ASSERT_TRUE(first.result);
  Value live = *first.result;
  live["metadata"]["uid"] = "u";
  const Applied second = apply(&live, config(R"({"containers":[{"name":"a","image":"j"},{"name":"b"}]})"), by("ctl"));
  EXPECT_EQ(spec_of(second.result), R"({"containers":[{"name":"a","image":"j"},{"name":"b"}]})");
}

TEST(Apply, ConflictsWithWhoOwnsTheField) {
  const Value live = track_update(schema(), nullptr, pod(R"({"nodeName":"x","restartPolicy":"Never"})"), by("edit"));
  const Value wanted = config(R"({"nodeName":"y","restartPolicy":"Never"})");
  const Applied refused = apply(&live, wanted, by("ctl"));
  ASSERT_FALSE(refused.result);
  EXPECT_EQ(refused.result.error().code(), Code::kAborted);
  EXPECT_EQ(refused.result.error().message(),
            "Apply failed with 1 conflict: conflict with \"edit\" using v1: .spec.nodeName");
  ASSERT_EQ(refused.conflicts.size(), 1u);
  EXPECT_EQ(refused.conflicts[0].message, "conflict with \"edit\" using v1");
  EXPECT_EQ(refused.conflicts[0].field, ".spec.nodeName");

  const Applied forced = apply(&live, wanted, by("ctl", 2000), true);
  ASSERT_TRUE(forced.result);
  EXPECT_EQ(
      write_json(*forced.result->find("metadata")->find("managedFields")),
      R"([{"manager":"ctl","operation":"Apply","apiVersion":"v1","time":"1970-01-01T00:33:20Z","fieldsType":"FieldsV1",)"
      R"("fieldsV1":{"f:spec":{"f:nodeName":{},"f:restartPolicy":{}}}},)"
      R"({"manager":"edit","operation":"Update","apiVersion":"v1","time":"1970-01-01T00:16:40Z","fieldsType":"FieldsV1",)"
      R"("fieldsV1":{"f:spec":{"f:restartPolicy":{}}}}])");
}

TEST(Apply, ThatChangesNothingChangesNothing) {
  const Value wanted = config(R"({"nodeName":"x"})");
  Value live = *apply(nullptr, wanted, by("ctl")).result;
  live["metadata"]["uid"] = "u";
  const Applied again = apply(&live, wanted, by("ctl", 5000));
  ASSERT_TRUE(again.result);
  EXPECT_EQ(write_json(*again.result->find("metadata")->find("managedFields")),
            write_json(*live.find("metadata")->find("managedFields")));
  EXPECT_TRUE(differ_only_in_managed_times(live, *again.result));
}

TEST(Apply, TakesOverWhatKubectlHadAppliedOnTheClientsSide) {
  const char* annotation = R"("annotations":{"kubectl.kubernetes.io/last-applied-configuration":)"
                           R"("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"nodeName\":\"x\"}}"})";
  const Value live =
      track_update(schema(), nullptr, pod(R"({"nodeName":"x"})", annotation), by("kubectl-client-side-apply"));
  const Value wanted = config(R"({"nodeName":"y"})");
  EXPECT_FALSE(apply(&live, wanted, by("ctl")).result);
  const Applied taken = apply(&live, wanted, by("kubectl"));
  ASSERT_TRUE(taken.result) << taken.result.error().message();
  EXPECT_EQ(*taken.result->find("metadata")->find("annotations")->as_object()->front().value.as_string(),
            R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"n"},"spec":{"nodeName":"y"}})"
            "\n");
}

TEST(Apply, RefusesWhatIsNoPodToApply) {
  const auto error = [](const Value& wanted) { return apply(nullptr, wanted, by("ctl")).result.error().message(); };
  EXPECT_EQ(error(config(R"({"nodeNam":"x"})")),
            "failed to create typed patch object (/n; /v1, Kind=Pod): .spec.nodeNam: field not declared in schema");
  EXPECT_EQ(
      error(config(R"({"containers":[{"image":"i"}]})")),
      "failed to create typed patch object (/n; /v1, Kind=Pod): .spec.containers: element 0: associative list with "
      "keys has an element that omits all key fields [\"name\"] (and doesn't have default values for any key fields)");
  EXPECT_EQ(error(config("{}", R"("managedFields":[{"manager":"x"}])")), "metadata.managedFields must be nil");
  EXPECT_EQ(error(*parse_json(R"({"apiVersion":"apps/v1","kind":"Pod"})")), "invalid object type: apps/v1, Kind=Pod");
  EXPECT_FALSE(apply(nullptr, Value(1), by("ctl")).result);
}

TEST(TrackUpdate, EndsTheTrackingOnRequest) {
  const Value live = track_update(schema(), nullptr, pod(R"({"nodeName":"x"})"), by("a"));
  ASSERT_NE(live.find("metadata")->find("managedFields"), nullptr);
  Value reset = pod(R"({"nodeName":"y"})", R"("managedFields":[{}])");
  EXPECT_EQ(track_update(schema(), &live, reset, by("b")).find("metadata")->find("managedFields"), nullptr);
  // Who does not know of managedFields does not lose them.
  const Value kept = track_update(schema(), &live, pod(R"({"nodeName":"x"})"), by("b"));
  EXPECT_EQ(*kept.find("metadata")->find("managedFields"), *live.find("metadata")->find("managedFields"));
}

}  // namespace
}  // namespace gantry::api
