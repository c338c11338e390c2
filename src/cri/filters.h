// SPDX-License-Identifier: Apache-2.0
// The filters of the CRI's lists. An empty field asks for nothing; all that is given must hold. Pure.
#pragma once

#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

// Ids match by their start, as people give them.
bool matches(const v1::PodSandboxFilter& filter, const v1::PodSandboxStatus& sandbox);
bool matches(const v1::ContainerFilter& filter, std::string_view sandbox_id, const v1::ContainerStatus& container);
bool matches(const v1::PodSandboxStatsFilter& filter, const v1::PodSandboxStatus& sandbox);
bool matches(const v1::ContainerStatsFilter& filter, std::string_view sandbox_id, const v1::ContainerStatus& container);

}  // namespace gantry::cri
