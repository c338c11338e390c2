// SPDX-License-Identifier: Apache-2.0
// Pods, containers and their limits in the words of the Node Resource Interface (nri/plugins.h), and limits back. Pure.
#pragma once

#include "base/result.h"
#include "cri/objects.h"
#include "cri/runtime/v1/api.pb.h"

namespace nri::pkg::api::v1alpha1 {
class Container;
class LinuxResources;
class PodSandbox;
}  // namespace nri::pkg::api::v1alpha1

namespace gantry::cri {

namespace api = ::nri::pkg::api::v1alpha1;

void fill(const Sandbox& sandbox, api::PodSandbox& out);
// `sandbox` may be null.
void fill(const Container& container, const Sandbox* sandbox, api::Container& out);
void fill(const v1::LinuxContainerResources& resources, api::LinuxResources& out);

// kUnimplemented names what this runtime does not limit.
Result<v1::LinuxContainerResources> cri_resources(const api::LinuxResources& resources);

}  // namespace gantry::cri
