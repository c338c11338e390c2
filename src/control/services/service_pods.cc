// SPDX-License-Identifier: Apache-2.0
#include "control/services/service_pods.h"

#include <algorithm>

#include "api/kinds/core/same_map.h"
#include "base/text.h"
#include "control/services/pod_endpoint.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

namespace {

std::string label_key(const std::string& ns, const std::string& label, const std::string& value) {
  return cat(ns, "/", label, "=", value);
}

template <typename Selector>
bool selects(const Selector& selector, const core::Pod& pod) {
  const auto& labels = pod.metadata().labels();
  return std::ranges::all_of(selector, [&](const auto& wanted) {
    const auto found = labels.find(wanted.first);
    return found != labels.end() && found->second == wanted.second;
  });
}

}  // namespace

ServicePods::ServicePods(api::Informers& informers, std::function<void(const std::string& key)> changed)
    : pods_(informers.of<core::Pod>()), changed_(std::move(changed)) {
  informers.of<core::Service>().on_change([this](const api::Informer::Change& change) { see_service(change); });
  pods_.on_change([this](const api::Informer::Change& change) { see_pod(change); });
}

std::vector<std::shared_ptr<const core::Pod>> ServicePods::of(const std::string& service) const {
  std::vector<std::shared_ptr<const core::Pod>> out;
  const auto found = services_.find(service);
  if (found == services_.end()) return out;
  const std::string ns = api::split_key(service).first;
  for (const std::string& name : found->second.pods) {
    if (auto pod = pods_.find(ns, name)) out.push_back(std::move(pod));
  }
  return out;
}

std::vector<std::string> ServicePods::services_of(const core::Pod& pod) const {
  std::vector<std::string> out;
  for (const auto& [label, value] : pod.metadata().labels()) {
    const auto found = by_label_.find(label_key(pod.metadata().namespace_(), label, value));
    if (found == by_label_.end()) continue;
    std::ranges::copy_if(found->second, std::back_inserter(out), [&](const std::string& key) {
      return selects(services_.at(key).selector, pod);
    });
  }
  return out;
}

void ServicePods::forget(const std::string& key) {
  const auto found = services_.find(key);
  if (found == services_.end()) return;
  const auto& [label, value] = *found->second.selector.begin();
  const auto bucket = by_label_.find(label_key(api::split_key(key).first, label, value));
  bucket->second.erase(key);
  if (bucket->second.empty()) by_label_.erase(bucket);
  services_.erase(found);
}

void ServicePods::see_service(const api::Informer::Change& change) {
  const auto& service = static_cast<const core::Service&>(change.object());
  const std::string& ns = service.metadata().namespace_();
  const std::string key = api::object_key(ns, service.metadata().name());
  Labels selector;
  if (change.now != nullptr) selector.insert(service.spec().selector().begin(), service.spec().selector().end());
  const auto known = services_.find(key);
  if (selector.empty() || known == services_.end() || known->second.selector != selector) {
    forget(key);
    if (!selector.empty()) {
      by_label_[label_key(ns, selector.begin()->first, selector.begin()->second)].insert(key);
      Entry& entry = services_[key];
      const std::string prefix = ns + "/";
      for (auto at = pods_.all().lower_bound(prefix); at != pods_.all().end() && at->first.starts_with(prefix); ++at) {
        const auto& pod = static_cast<const core::Pod&>(*at->second);
        if (selects(selector, pod)) entry.pods.insert(pod.metadata().name());
      }
      entry.selector = std::move(selector);
    }
  }
  changed_(key);
}

void ServicePods::see_pod(const api::Informer::Change& change) {
  const auto* before = static_cast<const core::Pod*>(change.before.get());
  const auto* now = static_cast<const core::Pod*>(change.now.get());
  const bool is_same = before != nullptr && now != nullptr &&
                       api::same_map(before->metadata().labels(), now->metadata().labels());
  if (is_same && same_endpoint(*before, *now)) return;
  const std::vector<std::string> present = now == nullptr ? std::vector<std::string>() : services_of(*now);
  if (before != nullptr && !is_same) {
    for (const std::string& key : services_of(*before)) {
      if (std::ranges::find(present, key) != present.end()) continue;
      services_.at(key).pods.erase(before->metadata().name());
      changed_(key);
    }
  }
  for (const std::string& key : present) {
    const bool is_new = services_.at(key).pods.insert(now->metadata().name()).second;
    if (is_new || before == nullptr || !same_endpoint(*before, *now)) changed_(key);
  }
}

}  // namespace gantry::control::services
