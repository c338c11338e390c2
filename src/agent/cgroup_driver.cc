// SPDX-License-Identifier: Apache-2.0
#include "agent/cgroup_driver.h"

#include <utility>

#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::agent {

namespace v1 = ::runtime::v1;

Task<Result<cgroups::DriverKind>> cgroup_driver_of(cri::RuntimeService& runtime, cgroups::DriverKind otherwise) {
  auto answer = co_await runtime.runtime_config(v1::RuntimeConfigRequest());
  if (!answer && answer.error().code() != Code::kUnimplemented) {
    co_return fail_with(std::move(answer.error()), "the runtime's cgroup driver");
  }
  if (!answer || !answer->has_linux()) {
    log::info("the runtime does not tell its cgroup driver; it is taken for the configured one",
              {{"driver", otherwise == cgroups::DriverKind::kSystemd ? "systemd" : "cgroupfs"}});
    co_return otherwise;
  }
  co_return answer->linux().cgroup_driver() == v1::SYSTEMD ? cgroups::DriverKind::kSystemd
                                                           : cgroups::DriverKind::kCgroupfs;
}

}  // namespace gantry::agent
