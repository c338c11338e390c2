// SPDX-License-Identifier: Apache-2.0
#include "agent/cgroup_driver.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "agent/fake_runtime.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;
using cgroups::DriverKind;

class Asked : public FakeRuntime {
 public:
  using FakeRuntime::FakeRuntime;
  Task<Result<v1::RuntimeConfigResponse>> runtime_config(v1::RuntimeConfigRequest) override { co_return answer; }

  Result<v1::RuntimeConfigResponse> answer;
};

std::optional<DriverKind> driver(Result<v1::RuntimeConfigResponse> answer, DriverKind otherwise) {
  Loop loop;
  Asked runtime(loop);
  runtime.answer = std::move(answer);
  std::optional<DriverKind> said;
  loop.spawn([](Loop& loop, Asked& runtime, DriverKind otherwise, std::optional<DriverKind>* said) -> Task<> {
    if (auto found = co_await cgroup_driver_of(runtime, otherwise)) *said = *found;
    loop.stop();
  }(loop, runtime, otherwise, &said));
  loop.run();
  return said;
}

TEST(CgroupDriverTest, TheRuntimesWordCounts) {
  v1::RuntimeConfigResponse told;
  told.mutable_linux()->set_cgroup_driver(v1::SYSTEMD);
  EXPECT_EQ(driver(told, DriverKind::kCgroupfs), DriverKind::kSystemd);
  told.mutable_linux()->set_cgroup_driver(v1::CGROUPFS);
  EXPECT_EQ(driver(told, DriverKind::kSystemd), DriverKind::kCgroupfs);
}

TEST(CgroupDriverTest, OneThatCantTellIsAsConfigured) {
  EXPECT_EQ(driver(fail(Code::kUnimplemented, "unknown method"), DriverKind::kSystemd), DriverKind::kSystemd);
  EXPECT_EQ(driver(v1::RuntimeConfigResponse(), DriverKind::kSystemd), DriverKind::kSystemd);
}

TEST(CgroupDriverTest, OneThatDoesNotAnswerIsAnError) {
  EXPECT_EQ(driver(fail(Code::kUnavailable, "gone"), DriverKind::kSystemd), std::nullopt);
}

}  // namespace
}  // namespace gantry::agent
