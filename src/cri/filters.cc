// SPDX-License-Identifier: Apache-2.0
#include "cri/filters.h"

#include <algorithm>

namespace gantry::cri {
namespace {

using Labels = google::protobuf::Map<std::string, std::string>;

bool has_all(const Labels& labels, const Labels& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& pair) {
    auto found = labels.find(pair.first);
    return found != labels.end() && found->second == pair.second;
  });
}

}  // namespace

bool matches(const v1::PodSandboxFilter& filter, const v1::PodSandboxStatus& sandbox) {
  return sandbox.id().starts_with(filter.id()) && (!filter.has_state() || filter.state().state() == sandbox.state()) &&
         has_all(sandbox.labels(), filter.label_selector());
}

bool matches(const v1::PodSandboxStatsFilter& filter, const v1::PodSandboxStatus& sandbox) {
  return sandbox.id().starts_with(filter.id()) && has_all(sandbox.labels(), filter.label_selector());
}

bool matches(const v1::ContainerFilter& filter, std::string_view sandbox_id, const v1::ContainerStatus& container) {
  return container.id().starts_with(filter.id()) && sandbox_id.starts_with(filter.pod_sandbox_id()) &&
         (!filter.has_state() || filter.state().state() == container.state()) &&
         has_all(container.labels(), filter.label_selector());
}

bool matches(const v1::ContainerStatsFilter& filter, std::string_view sandbox_id,
             const v1::ContainerStatus& container) {
  return container.id().starts_with(filter.id()) && sandbox_id.starts_with(filter.pod_sandbox_id()) &&
         has_all(container.labels(), filter.label_selector());
}

}  // namespace gantry::cri
