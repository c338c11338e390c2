// SPDX-License-Identifier: Apache-2.0
// TriggerTimes: since when a service's endpoints have not been what they should be, which endpoints bear as an
// annotation: the earliest time at which a pod changed whether it is ready, of those times that are new. On one loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace k8s::io::api::core::v1 {
class Pod;
class Service;
}  // namespace k8s::io::api::core::v1

namespace gantry::control::services {

class TriggerTimes {
 public:
  // What the annotation says after this look at the pods; "": nothing that has a time is new.
  std::string next(const std::string& key, const k8s::io::api::core::v1::Service& service,
                   const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& pods);
  void forget(const std::string& key) { known_.erase(key); }
  void clear() { known_.clear(); }

 private:
  struct Known {
    std::int64_t service = 0;  // seconds since 1970
    std::map<std::string, std::int64_t> pods;
  };
  std::unordered_map<std::string, Known> known_;
};

}  // namespace gantry::control::services
