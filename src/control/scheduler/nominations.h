// SPDX-License-Identifier: Apache-2.0
// Nominations: pods for which others make place on a node, which nobody less important may take meanwhile
// (status.nominatedNodeName). A pod has one or none. One thread.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "control/scheduler/pod_info.h"

namespace gantry::control::scheduling {

struct Nomination {
  PodInfoPtr pod;  // null: none
  std::string node;
};

class Nominations {
 public:
  // In place of what was known of the pod.
  void put(PodInfoPtr pod, const std::string& node);
  // What it had.
  Nomination remove(const std::string& key);

  // "": none.
  std::string node_of(const std::string& key) const;
  // The pods of a node, by name: those that are at least as important as `pod`, and not itself.
  std::vector<PodInfoPtr> not_below(const PodInfo& pod, const std::string& node) const;
  // And those that are less important.
  std::vector<PodInfoPtr> below(const PodInfo& pod, const std::string& node) const;

 private:
  template <typename Wanted>
  std::vector<PodInfoPtr> find(const std::string& node, const Wanted& wanted) const;

  std::unordered_map<std::string, Nomination> all_;                // by the pod's key
  std::unordered_map<std::string, std::vector<PodInfoPtr>> pods_;  // by node
};

}  // namespace gantry::control::scheduling
