// SPDX-License-Identifier: Apache-2.0
#include "agent/counted_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/fake_runtime.h"

namespace gantry::agent {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(CountedRuntimeTest, WhatIsAskedIsAnsweredAndCounted) {
  Loop loop;
  FakeRuntime runtime(loop);
  CountedRuntime counted(runtime, runtime);
  EXPECT_THAT(counted.text(), Not(HasSubstr("operation_type=")));
  loop.spawn([](Loop& loop, FakeRuntime& runtime, CountedRuntime& counted) -> Task<> {
    v1::RunPodSandboxRequest request;
    request.mutable_config()->mutable_metadata()->set_name("web");
    auto made = co_await counted.run_pod_sandbox(request);
    EXPECT_TRUE(made && runtime.sandboxes.contains(made->pod_sandbox_id()));
    EXPECT_FALSE(co_await counted.run_pod_sandbox(request)) << "it is there";
    v1::ImageStatusRequest question;
    question.mutable_image()->set_image("my-app:1.0");
    auto image = co_await counted.image_status(std::move(question));
    EXPECT_TRUE(image && image->has_image());
    loop.stop();
  }(loop, runtime, counted));
  loop.run();
  const std::string text = counted.text();
  EXPECT_THAT(text, HasSubstr("\nkubelet_runtime_operations_total{operation_type=\"run_podsandbox\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("\nkubelet_runtime_operations_total{operation_type=\"image_status\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nkubelet_runtime_operations_errors_total{operation_type=\"run_podsandbox\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("errors_total{operation_type=\"image_status\"}")));
  EXPECT_THAT(text,
              HasSubstr("kubelet_runtime_operations_duration_seconds_count{operation_type=\"image_status\"} 1\n"));
}

}  // namespace
}  // namespace gantry::agent
