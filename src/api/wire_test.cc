// SPDX-License-Identifier: Apache-2.0
#include "api/wire.h"

#include <gtest/gtest.h>

#include "api/codec.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;

core::Pod pod_named(std::string name) {
  core::Pod pod;
  pod.mutable_metadata()->set_name(std::move(name));
  (*pod.mutable_metadata()->mutable_labels())["a"] = "b";
  (*pod.mutable_metadata()->mutable_annotations())["k"] = std::string(300, 'v');
  EXPECT_TRUE(normalize(&pod));
  return pod;
}

TEST(Wire, PutsTheVersionWhereItBelongs) {
  core::Pod pod = pod_named("one");
  const std::string stored = *encode_protobuf(&pod);
  const std::optional<std::string> bytes = with_version(*unwrap(stored), 1234567);
  ASSERT_TRUE(bytes);
  pod.mutable_metadata()->set_resource_version("1234567");
  EXPECT_EQ(wrap("v1", "Pod", *bytes), *encode_protobuf(&pod)) << "to the byte what a message makes";
  EXPECT_EQ(with_version(*bytes, 1234567), bytes) << "instead of one that was there";
  // An object that has no field for it.
  core::Pod bare;
  bare.mutable_metadata()->set_name("bare");
  ASSERT_TRUE(bare.ParseFromString(*with_version(bare.SerializeAsString(), 7)));
  EXPECT_EQ(bare.metadata().resource_version(), "7");
}

TEST(Wire, RefusesWhatIsNoObject) {
  core::Pod pod = pod_named("one");
  const std::string stored = *encode_protobuf(&pod);
  for (size_t size = 0; size < stored.size(); ++size) {
    const std::optional<std::string_view> bytes = unwrap(std::string_view(stored).substr(0, size));
    if (bytes) EXPECT_EQ(*bytes, *unwrap(stored)) << "only what follows it was cut off";
  }
  EXPECT_FALSE(unwrap("{}"));
  EXPECT_FALSE(with_version("", 1));
  EXPECT_FALSE(with_version("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1));
  EXPECT_FALSE(with_version("\x12\x00", 1));
  EXPECT_FALSE(with_version("\x0b", 1));
  EXPECT_FALSE(with_version("\x0a\x06\x32\x01\x31\x32\x01\x32", 1)) << "it has two";
}

TEST(Wire, MakesLists) {
  core::PodList expected;
  expected.mutable_metadata()->set_resource_version("99");
  expected.mutable_metadata()->set_continue_("next");
  expected.mutable_metadata()->set_remaining_item_count(300);
  for (const char* name : {"a", "b"}) *expected.add_items() = pod_named(name);
  expected.mutable_items(1)->mutable_metadata()->set_resource_version("98");
  for (const std::size_t size : {std::size_t{0}, expected.ByteSizeLong(), std::size_t{1} << 20}) {
    WireList list("v1", "PodList", {.version = 99, .continue_token = "next", .remaining = 300}, size);
    list.add(pod_named("a").SerializeAsString());
    EXPECT_FALSE(list.add("no object", 98));
    EXPECT_TRUE(list.add(pod_named("b").SerializeAsString(), 98));
    EXPECT_EQ(list.take(), *encode_protobuf(&expected)) << "to the byte, " << size << " expected";
  }
}

}  // namespace
}  // namespace gantry::api
