// SPDX-License-Identifier: Apache-2.0
// What a number of equal pods needs: which of too many go, and what is counted. Pure; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/time.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"

namespace gantry::control::workloads {

using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;

// `count` of them, in upstream's order: those without a node, that are pending, not ready, cheap by their annotation,
// beside others on their node (`related`: all that count for that), young, often restarted.
std::vector<PodPtr> choose_removed(std::vector<PodPtr> pods, const std::vector<PodPtr>& related, std::size_t count,
                                   api::Timestamp now);

struct ReplicaCounts {
  std::int32_t replicas = 0, fully_labeled = 0, ready = 0, available = 0;
  // Seconds until another one is available.
  std::optional<std::int64_t> next_available;
};
// Of active pods.
ReplicaCounts count_replicas(const std::vector<PodPtr>& pods,
                             const k8s::io::api::core::v1::PodTemplateSpec& pod_template,
                             std::int64_t min_ready_seconds, std::int64_t now);

}  // namespace gantry::control::workloads
