// SPDX-License-Identifier: Apache-2.0
// The fields of KubeletConfiguration (kubelet.config.k8s.io/v1beta1, of 1.37), each by its name: what it becomes here,
// or that it has no effect. Pure.
#pragma once

#include <string_view>

#include "agent/kubelet_config.h"
#include "api/value.h"
#include "base/result.h"

namespace gantry::agent {

// False: the field has no effect here. kInvalidArgument: kubelet has no such field, or its value is none; with its
// name.
Result<bool> take_field(std::string_view name, const api::Value& value, KubeletSettings* settings);
// What must hold between fields.
Status check_fields(const KubeletSettings& settings);

}  // namespace gantry::agent
