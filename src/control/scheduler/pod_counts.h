// SPDX-License-Identifier: Apache-2.0
// PodCounts: how many pods of a namespace that a selector selects are on a node, counted again only when its pods have
// changed: pods of one owner come one after the other, and each changes one node. Those that are being deleted do not
// count, and nobody does for a selector that selects everything, as upstream has it. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "api/label_selector.h"
#include "control/scheduler/pod_info.h"

namespace gantry::control::scheduling {

struct NodeState;

// Which pods.
struct CountedPods {
  std::string ns;
  api::LabelSelector labels;

  bool is_nobody() const { return labels.selects_everything() || labels.selects_nothing(); }
  bool has(const PodInfo& pod) const;
};

class PodCounts {
 public:
  class Of {
   public:
    explicit Of(CountedPods pods) : pods_(std::move(pods)) {}
    const CountedPods& pods() const { return pods_; }
    // Precondition: a node of the cluster, no copy of one.
    std::int64_t on(const NodeState& node);

   private:
    struct Count {
      std::uint64_t version = 0;
      std::int64_t count = 0;
    };
    const CountedPods pods_;
    std::unordered_map<const NodeState*, Count> counts_;
  };
  std::shared_ptr<Of> of(const std::string& ns, const api::LabelSelector& labels);

 private:
  std::map<std::string, std::shared_ptr<Of>> known_;
};

}  // namespace gantry::control::scheduling
