// SPDX-License-Identifier: Apache-2.0
#include "shim/protocol.h"

#include <gtest/gtest.h>

namespace gantry::shim {
namespace {

TEST(ProtocolTest, WhatIsWrittenIsRead) {
  StateAnswer state;
  state.sandbox_id = "pod";
  state.pod_pid = true;
  state.containers.push_back({"a", 12, false, {"a", 0, 0, 5, 0}});
  state.containers.push_back({"b", 0, true, {"b", 137, 9, 6, 7}});
  auto read = decode<StateAnswer>(encode(state));
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(read->pod_pid);
  ASSERT_EQ(read->containers.size(), 2U);
  EXPECT_EQ(read->containers[1].exit.code, 137);
  EXPECT_EQ(read->containers[1].exit.finished_at, 7);
  ConfigureRequest configure{"host", {{"net/ipv4/ip_forward", "1"}}, true};
  auto configured = decode<ConfigureRequest>(encode(configure));
  ASSERT_TRUE(configured.has_value());
  EXPECT_EQ(configured->sysctls, configure.sysctls);
  UserNamespaceRequest users{{{{0, 100000, 65536}}, {{0, 200000, 65536}, {70000, 5, 1}}}};
  auto mapped = decode<UserNamespaceRequest>(encode(users));
  ASSERT_TRUE(mapped.has_value());
  EXPECT_EQ(mapped->ids, users.ids);
  std::string packet = encode_packet(Kind::kStart, 77, encode(StartRequest{"id", true, false, true, "other"}));
  auto message = decode_packet(packet);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->header.request, 77U);
  EXPECT_EQ(decode<StartRequest>(message->body)->target_container, "other");
}

TEST(ProtocolTest, HooksAreReadAsTheyWereWritten) {
  ContainerHooks hooks{
      "/bundle/rootfs", "{\"pid\":", "}", {{"/bin/a", {"a", "b"}, {"X=1"}, 5}, {"/bin/b", {}, {}, {}}}};
  std::string body = encode(hooks);
  auto read = decode<ContainerHooks>(body);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->root, hooks.root);
  EXPECT_EQ(read->state_behind, "}");
  ASSERT_EQ(read->create_container.size(), 2U);
  EXPECT_EQ(read->create_container[0].args, hooks.create_container[0].args);
  EXPECT_EQ(read->create_container[0].env, hooks.create_container[0].env);
  EXPECT_EQ(read->create_container[0].timeout, 5);
  EXPECT_EQ(read->create_container[1].path, "/bin/b");
  EXPECT_FALSE(read->create_container[1].timeout.has_value());
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(decode<ContainerHooks>(std::string_view(body).substr(0, size)).has_value()) << size;
  }
}

TEST(ProtocolTest, CallsOfRuntimesAreReadAsTheyWereWritten) {
  RuntimeCall call{.program = "/bin/crun",
                   .env = {"A=1"},
                   .make = {"crun", "create", "id"},
                   .start = {"crun", "start", "id"},
                   .folder = "/run/b",
                   .pid_file = "pid",
                   .mount_point = "/run",
                   .store = 3,
                   .overlay = "lowerdir=l/a",
                   .shm_place = "shm",
                   .mounts = {{"mount-0", true, 4, "", ""}, {"mount-1", false, -1, "lowerdir=l/b:/empty", "sub"}}};
  const std::string first = encode(call);
  call.cover = "/run";
  std::string body = encode(call);
  auto read = decode<RuntimeCall>(body);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->make, call.make);
  EXPECT_EQ(read->start, call.start);
  EXPECT_EQ(read->mount_point, "/run");
  ASSERT_EQ(read->mounts.size(), 2U);
  EXPECT_EQ(read->mounts[0].source, 4);
  EXPECT_TRUE(read->mounts[0].is_file);
  EXPECT_EQ(read->mounts[1].sub_path, "sub");
  EXPECT_EQ(encode(*read), body);
  // As gantryds wrote it that had no cover yet.
  const std::size_t old = first.size() - sizeof(std::uint32_t);
  for (std::size_t size = 0; size < body.size(); ++size) {
    auto cut = decode<RuntimeCall>(std::string_view(body).substr(0, size));
    EXPECT_EQ(cut.has_value(), size == old) << size;
    if (cut) EXPECT_EQ(cut->cover, "");
  }
}

TEST(ProtocolTest, ShortBodiesAreRefusedAndLongerOnesUnderstood) {
  std::string body = encode(StartRequest{"id", true, false, true, "other"});
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(decode<StartRequest>(std::string_view(body).substr(0, size)).has_value()) << size;
  }
  // A later version's fields lie behind those of this one.
  EXPECT_TRUE(decode<StartRequest>(body + "more to come").has_value());
  std::string packet = encode_packet(Kind::kState, 1, "");
  for (std::size_t size = 0; size < packet.size(); ++size) {
    EXPECT_FALSE(decode_packet(std::string_view(packet).substr(0, size)).has_value()) << size;
  }
  packet[0] ^= 1;
  EXPECT_FALSE(decode_packet(packet).has_value());
  // A list that is shorter than its count, between two values or within one.
  body = encode(ConfigureRequest{"host", {{"a", "1"}, {"b", "2"}}, true});
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(decode<ConfigureRequest>(std::string_view(body).substr(0, size)).has_value()) << size;
  }
  StateAnswer state;
  state.containers.resize(2);
  body = encode(state);
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(decode<StateAnswer>(std::string_view(body).substr(0, size)).has_value()) << size;
  }
  // A count that lies allocates nothing.
  EXPECT_FALSE(decode<StateAnswer>(std::string("\0\0\0\0\0\xff\xff\xff\xff\1", 10)).has_value());
}

}  // namespace
}  // namespace gantry::shim
