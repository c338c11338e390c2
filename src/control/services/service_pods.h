// SPDX-License-Identifier: Apache-2.0
// ServicePods: which pods each service leads to by its selector, kept as both change, so that a change of a pod costs
// what it has labels, however many services and pods there are. On the loop of the informers, which must outlive it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/client/informer.h"

namespace k8s::io::api::core::v1 {
class Pod;
class Service;
}  // namespace k8s::io::api::core::v1

namespace gantry::control::services {

class ServicePods {
 public:
  using Pod = k8s::io::api::core::v1::Pod;
  using Service = k8s::io::api::core::v1::Service;

  // Before the informers start. `changed` is told the key of each service whose endpoints may be others now.
  ServicePods(api::Informers& informers, std::function<void(const std::string& key)> changed);

  // By name; none of a service without a selector.
  std::vector<std::shared_ptr<const Pod>> of(const std::string& service) const;
  // The keys of the services that lead to the pod.
  std::vector<std::string> services_of(const Pod& pod) const;
  // Nothing is known any more: the lease is lost.
  void clear() {
    services_.clear();
    by_label_.clear();
  }

 private:
  using Labels = std::map<std::string, std::string>;
  struct Entry {
    Labels selector;
    std::set<std::string> pods;  // their names
  };
  void see_service(const api::Informer::Change& change);
  void see_pod(const api::Informer::Change& change);
  void forget(const std::string& key);

  api::InformerOf<Pod>& pods_;
  std::function<void(const std::string& key)> changed_;
  std::unordered_map<std::string, Entry> services_;
  // By the first label of their selectors, which each of their pods has: "ns/label=value".
  std::unordered_map<std::string, std::set<std::string>> by_label_;
};

}  // namespace gantry::control::services
