// SPDX-License-Identifier: Apache-2.0
#include "agent/container_ends.h"

#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

core::ContainerStatus waiting(const char* name) {
  core::ContainerStatus made;
  made.set_name(name);
  made.mutable_state()->mutable_waiting()->set_reason("ContainerCreating");
  return made;
}
core::ContainerStatus ended(const char* name, int code, const std::string& message = "") {
  core::ContainerStatus made;
  made.set_name(name);
  made.set_ready(code == 0);
  made.mutable_state()->mutable_terminated()->set_exit_code(code);
  made.mutable_state()->mutable_terminated()->set_message(message);
  return made;
}
std::string reason(const core::ContainerStatus& status) {
  return status.state().has_terminated() ? status.state().terminated().reason() : "waiting";
}

TEST(ContainerEnds, WhatNoTextIsIsReplaced) {
  EXPECT_EQ(as_text("gr\xc3\xbc\xc3\x9f\n"), "gr\xc3\xbc\xc3\x9f\n");
  EXPECT_EQ(as_text("a\xff"
                    "b\xc3"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd");
  EXPECT_EQ(as_text(""), "");
}

TEST(ContainerEnds, MessagesShareTwelveKibibytes) {
  core::PodStatus status;
  for (int i = 0; i < 3; ++i) *status.add_container_statuses() = ended("web", 0, std::string(4096, 'x'));
  limit_messages(status);
  EXPECT_EQ(status.container_statuses(2).state().terminated().message().size(), 4096u);
  *status.add_init_container_statuses() = ended("init", 0, "\xc3\xbc");
  std::string odd = "x";
  while (odd.size() < 4096) odd += "\xc3\xbc";
  status.mutable_container_statuses(0)->mutable_last_state()->mutable_terminated()->set_message(odd);
  limit_messages(status);
  EXPECT_EQ(status.container_statuses(2).state().terminated().message().size(), 3072u);
  EXPECT_EQ(status.container_statuses(0).last_state().terminated().message().size(), 3071u) << "between characters";
}

TEST(ContainerEnds, OneOfWhichNothingIsKnownHasEnded) {
  core::PodStatus status;
  *status.add_container_statuses() = waiting("web");
  *status.add_container_statuses() = ended("done", 0);
  mark_unknown_ends(status);
  EXPECT_EQ(reason(status.container_statuses(0)), "ContainerStatusUnknown");
  EXPECT_EQ(status.container_statuses(0).state().terminated().exit_code(), 137);
  EXPECT_EQ(reason(status.container_statuses(1)), "");
}

TEST(ContainerEnds, OneWhoseTurnHadNotComeWaits) {
  core::PodStatus status;
  *status.add_init_container_statuses() = waiting("lost");
  *status.add_init_container_statuses() = ended("failed", 1);
  *status.add_init_container_statuses() = waiting("next");
  *status.add_container_statuses() = waiting("web");
  mark_unknown_ends(status);
  EXPECT_EQ(reason(status.init_container_statuses(0)), "ContainerStatusUnknown");
  EXPECT_EQ(reason(status.init_container_statuses(2)), "waiting");
  EXPECT_EQ(reason(status.container_statuses(0)), "waiting");
}

}  // namespace
}  // namespace gantry::agent
