// SPDX-License-Identifier: Apache-2.0
#include "cri/filters.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

TEST(Filters, EmptyTakesAll) {
  EXPECT_TRUE(matches(v1::PodSandboxFilter(), v1::PodSandboxStatus()));
  EXPECT_TRUE(matches(v1::ContainerFilter(), "s1", v1::ContainerStatus()));
  EXPECT_TRUE(matches(v1::ContainerStatsFilter(), "s1", v1::ContainerStatus()));
}

TEST(Filters, Sandboxes) {
  v1::PodSandboxStatus status;
  status.set_id("abcd");
  status.set_state(v1::SANDBOX_NOTREADY);
  (*status.mutable_labels())["app"] = "web";
  (*status.mutable_labels())["tier"] = "";
  v1::PodSandboxFilter filter;
  filter.set_id("ab");
  EXPECT_TRUE(matches(filter, status));
  filter.mutable_state()->set_state(v1::SANDBOX_NOTREADY);
  (*filter.mutable_label_selector())["app"] = "web";
  (*filter.mutable_label_selector())["tier"] = "";
  EXPECT_TRUE(matches(filter, status));
  // SANDBOX_READY is the zero value: that the state is asked for is what counts.
  filter.mutable_state()->set_state(v1::SANDBOX_READY);
  EXPECT_FALSE(matches(filter, status));
  filter.clear_state();
  (*filter.mutable_label_selector())["other"] = "";
  EXPECT_FALSE(matches(filter, status));
  filter.clear_label_selector();
  filter.set_id("abcde");
  EXPECT_FALSE(matches(filter, status));
}

TEST(Filters, Containers) {
  v1::ContainerStatus status;
  status.set_id("c1");
  status.set_state(v1::CONTAINER_RUNNING);
  (*status.mutable_labels())["app"] = "web";
  v1::ContainerFilter filter;
  filter.set_pod_sandbox_id("s1");
  filter.mutable_state()->set_state(v1::CONTAINER_RUNNING);
  EXPECT_TRUE(matches(filter, "s12", status));
  EXPECT_FALSE(matches(filter, "s2", status));
  filter.mutable_state()->set_state(v1::CONTAINER_CREATED);
  EXPECT_FALSE(matches(filter, "s1", status));
  v1::ContainerStatsFilter stats;
  (*stats.mutable_label_selector())["app"] = "db";
  EXPECT_FALSE(matches(stats, "s1", status));
}

TEST(Filters, StatisticsOfPods) {
  v1::PodSandboxStatus status;
  status.set_id("s12");
  (*status.mutable_labels())["app"] = "web";
  v1::PodSandboxStatsFilter filter;
  EXPECT_TRUE(matches(filter, status));
  filter.set_id("s1");
  (*filter.mutable_label_selector())["app"] = "web";
  EXPECT_TRUE(matches(filter, status));
  (*filter.mutable_label_selector())["app"] = "db";
  EXPECT_FALSE(matches(filter, status));
}

}  // namespace
}  // namespace gantry::cri
