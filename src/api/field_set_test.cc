// SPDX-License-Identifier: Apache-2.0
#include "api/field_set.h"

#include <gtest/gtest.h>

#include "api/json.h"
#include "api/managed_fields.h"

namespace gantry::api {
namespace {

FieldSet set_of(std::string_view text) {
  Result<FieldSet> set = FieldSet::from_value(*parse_json(text));
  EXPECT_TRUE(set) << (set ? "" : set.error().message());
  return set ? std::move(*set) : FieldSet();
}

std::string text(const FieldSet& set) { return write_json(set.to_value()); }

std::string members(const FieldSet& set) {
  std::string out;
  set.for_each([&](const FieldPath& path) { out += to_string(path) + " "; });
  return out;
}

TEST(FieldSet, IsReadAndWrittenAsFieldsV1) {
  const std::string all = R"({"f:metadata":{"f:finalizers":{".":{},"v:\"a\"":{}}},"f:spec":{"f:ports":)"
                          R"({"k:{\"containerPort\":9,\"protocol\":\"TCP\"}":{".":{},"f:name":{}},)"
                          R"("k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{}},"f:x":{"i:0":{}}}})";
  const FieldSet set = set_of(all);
  EXPECT_EQ(text(set), all);
  EXPECT_EQ(members(set),
            ".metadata.finalizers .metadata.finalizers[=\"a\"] "
            ".spec.ports[containerPort=9,protocol=\"TCP\"] .spec.ports[containerPort=80,protocol=\"TCP\"] "
            ".spec.ports[containerPort=9,protocol=\"TCP\"].name .spec.x[0] ");
  EXPECT_EQ(text(set_of(R"({"f:a":{"x:b":{}},"q:c":{},"f:b":{}})")), R"({"f:a":{},"f:b":{}})");
  EXPECT_EQ(text(set_of("{}")), "{}");
  EXPECT_EQ(text(set_of("null")), "{}");
  for (const char* bad : {R"({"a":{}})", R"({"k:{":{}})", R"({"k:1":{}})", R"({"i:x":{}})", R"({"f:a":1})", "[]"}) {
    EXPECT_FALSE(FieldSet::from_value(*parse_json(bad))) << bad;
  }
}

TEST(FieldSet, IsASet) {
  const FieldSet a = set_of(R"({"f:a":{".":{},"f:b":{},"f:c":{}},"f:d":{}})");
  const FieldSet b = set_of(R"({"f:a":{"f:b":{}},"f:e":{}})");
  EXPECT_EQ(text(a.plus(b)), R"({"f:a":{".":{},"f:b":{},"f:c":{}},"f:d":{},"f:e":{}})");
  EXPECT_EQ(text(a.minus(b)), R"({"f:a":{".":{},"f:c":{}},"f:d":{}})");
  EXPECT_EQ(text(a.common(b)), R"({"f:a":{"f:b":{}}})");
  EXPECT_EQ(text(a.minus_whole(FieldSet::of({{"a"}}))), R"({"f:d":{}})");
  EXPECT_EQ(text(a.minus(FieldSet::of({{"a"}}))), R"({"f:a":{"f:b":{},"f:c":{}},"f:d":{}})");
  EXPECT_TRUE(a.minus(a).empty());
  EXPECT_TRUE(a.has({PathElement::field("a"), PathElement::field("b")}));
  EXPECT_FALSE(b.has(PathElement::field("a")));
  EXPECT_EQ(a, a.plus(a));
}

TEST(ManagedFields, AreReadWrittenAndCapped) {
  const char* list = R"([{"manager":"a","operation":"Apply","apiVersion":"v1","time":"2026-01-02T03:04:05Z",)"
                     R"("fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}},)"
                     R"({"manager":"b","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1",)"
                     R"("fieldsV1":{},"subresource":"status"}])";
  Result<ManagedFields> managed = decode_managed_fields(*parse_json(list));
  ASSERT_TRUE(managed);
  EXPECT_EQ(write_json(encode_managed_fields(*managed)), list);
  EXPECT_EQ(managed->rbegin()->second.to_string(), "\"b\" with subresource \"status\" using v1");
  for (const char* bad : {R"([{"operation":"Read","apiVersion":"v1","fieldsType":"FieldsV1"}])",
                          R"([{"operation":"Apply","fieldsType":"FieldsV1"}])",
                          R"([{"operation":"Apply","apiVersion":"v1"}])", R"([1])", "{}"}) {
    EXPECT_FALSE(decode_managed_fields(*parse_json(bad))) << bad;
  }

  ManagedFields many;
  for (int i = 0; i < 14; ++i) {
    ManagedEntry entry{"m" + std::to_string(i), false, "v1", {}, i, FieldSet::of({{"f" + std::to_string(i)}})};
    many.emplace(entry.id(), entry);
  }
  cap_update_entries(&many);
  EXPECT_EQ(many.size(), kMaxUpdateEntries);
  const ManagedEntry ancient{"ancient-changes", false, "v1", {}, {}, {}};
  ASSERT_TRUE(many.contains(ancient.id()));
  EXPECT_EQ(members(many.at(ancient.id()).fields), ".f0 .f1 .f2 .f3 .f4 ");
  EXPECT_EQ(many.at(ancient.id()).time, 4);
}

}  // namespace
}  // namespace gantry::api
