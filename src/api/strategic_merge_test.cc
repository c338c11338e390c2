// SPDX-License-Identifier: Apache-2.0
#include "api/strategic_merge.h"

#include <gtest/gtest.h>

#include "api/json.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {
namespace {

std::string patched(std::string_view document, std::string_view patch) {
  const Schema& schema = schema_of(*k8s::io::api::core::v1::Pod::descriptor());
  Result<Value> result = apply_strategic_merge_patch(schema, *parse_json(document), *parse_json(patch));
  return result ? write_json(*result) : result.error().message();
}

TEST(StrategicMerge, MergesListsByKey) {
  EXPECT_EQ(patched(R"({"spec":{"containers":[{"name":"a","image":"i"},{"name":"b","image":"j"}]}})",
                    R"({"spec":{"containers":[{"name":"b","image":"k"},{"name":"c"}]}})"),
            R"({"spec":{"containers":[{"name":"a","image":"i"},{"name":"b","image":"k"},{"name":"c"}]}})");
  EXPECT_EQ(patched(R"({"spec":{"tolerations":[{"key":"a"}]}})", R"({"spec":{"tolerations":[{"key":"b"}]}})"),
            R"({"spec":{"tolerations":[{"key":"b"}]}})");
  EXPECT_EQ(patched(R"({"metadata":{"finalizers":["a","b"]}})", R"({"metadata":{"finalizers":["b","c"]}})"),
            R"({"metadata":{"finalizers":["a","b","c"]}})");
  EXPECT_EQ(patched(R"({"metadata":{"labels":{"a":"1","b":"2"}}})", R"({"metadata":{"labels":{"a":null,"c":"3"}}})"),
            R"({"metadata":{"labels":{"b":"2","c":"3"}}})");
}

TEST(StrategicMerge, FollowsDirectives) {
  EXPECT_EQ(patched(R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
                    R"({"spec":{"containers":[{"name":"a","$patch":"delete"}]}})"),
            R"({"spec":{"containers":[{"name":"b"}]}})");
  EXPECT_EQ(patched(R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
                    R"({"spec":{"containers":[{"name":"c"},{"$patch":"replace"}]}})"),
            R"({"spec":{"containers":[{"name":"c"}]}})");
  EXPECT_EQ(patched(R"({"metadata":{"labels":{"a":"1"}}})", R"({"metadata":{"labels":{"$patch":"replace","b":"2"}}})"),
            R"({"metadata":{"labels":{"b":"2"}}})");
  EXPECT_EQ(patched(R"({"metadata":{"finalizers":["a","b"]}})",
                    R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}})"),
            R"({"metadata":{"finalizers":["b"]}})");
  EXPECT_EQ(patched(R"({"spec":{"containers":[{"name":"a"},{"name":"b"},{"name":"x"}]}})",
                    R"({"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}})"),
            R"({"spec":{"containers":[{"name":"b"},{"name":"a"},{"name":"x"}]}})");
  EXPECT_EQ(
      patched(R"({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}})",
              R"({"spec":{"volumes":[{"name":"v","$retainKeys":["name","configMap"],"configMap":{"name":"c"}}]}})"),
      R"({"spec":{"volumes":[{"name":"v","configMap":{"name":"c"}}]}})");
}

TEST(StrategicMerge, RefusesWhatUpstreamRefuses) {
  EXPECT_EQ(patched(R"({"spec":{"containers":[{"name":"a"}]}})", R"({"spec":{"containers":[{"image":"i"}]}})"),
            "map: an element of the list does not contain declared merge key: name");
  EXPECT_EQ(patched("{}", R"({"$patch":"merge"})"), R"(unknown patch type: string "merge")");
  EXPECT_EQ(patched(R"({"spec":{"volumes":[{"name":"v"}]}})",
                    R"({"spec":{"volumes":[{"name":"v","$retainKeys":["name"],"emptyDir":{}}]}})"),
            "invalid patch format of retainKeys");
  EXPECT_EQ(patched("[]", "{}"), "invalid JSON document");
}

}  // namespace
}  // namespace gantry::api
