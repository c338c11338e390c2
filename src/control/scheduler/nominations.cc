// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/nominations.h"

#include <algorithm>
#include <iterator>

namespace gantry::control::scheduling {

void Nominations::put(PodInfoPtr pod, const std::string& node) {
  remove(pod->key);
  all_[pod->key] = {pod, node};
  std::vector<PodInfoPtr>& pods = pods_[node];
  const auto place = std::ranges::lower_bound(pods, pod->key, {}, [](const PodInfoPtr& p) { return p->key; });
  pods.insert(place, std::move(pod));
}

Nomination Nominations::remove(const std::string& key) {
  const auto found = all_.find(key);
  if (found == all_.end()) return {};
  Nomination last = std::move(found->second);
  all_.erase(found);
  const auto place = pods_.find(last.node);
  std::erase(place->second, last.pod);
  if (place->second.empty()) pods_.erase(place);
  return last;
}

std::string Nominations::node_of(const std::string& key) const {
  const auto found = all_.find(key);
  return found == all_.end() ? std::string() : found->second.node;
}

template <typename Wanted>
std::vector<PodInfoPtr> Nominations::find(const std::string& node, const Wanted& wanted) const {
  std::vector<PodInfoPtr> out;
  const auto found = pods_.find(node);
  if (found != pods_.end()) std::ranges::copy_if(found->second, std::back_inserter(out), wanted);
  return out;
}

std::vector<PodInfoPtr> Nominations::not_below(const PodInfo& pod, const std::string& node) const {
  return find(node, [&](const PodInfoPtr& other) {
    return other->priority() >= pod.priority() && other->uid() != pod.uid();
  });
}

std::vector<PodInfoPtr> Nominations::below(const PodInfo& pod, const std::string& node) const {
  return find(node, [&](const PodInfoPtr& other) { return other->priority() < pod.priority(); });
}

}  // namespace gantry::control::scheduling
