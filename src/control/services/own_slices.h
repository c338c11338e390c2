// SPDX-License-Identifier: Apache-2.0
// OwnSlices: the EndpointSlices that one controller manages, by service. What it has written counts: until the informer
// shows it, there is nothing to be said of a service's slices, so that nothing is written on what is old. On one loop.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "control/controllers/controller.h"
#include "control/services/slice_plan.h"

namespace gantry::control::services {

class OwnSlices {
 public:
  // Before the informers start. `managed_by` is the label's value. `changed` is told the key of a service whose slices
  // somebody else changed, or of which can be said again what of() could not.
  OwnSlices(const ControllerParts& parts, std::string managed_by, std::function<void(const std::string& key)> changed);

  // None while something that was written is not seen yet, at most for a minute.
  std::optional<std::vector<SlicePtr>> of(const std::string& service);
  // A slice of that name is there, whosever it is.
  bool is_taken(const std::string& ns, const std::string& name) const { return slices_.find(ns, name) != nullptr; }
  // One after the other. What is refused because the namespace ends, or is gone, is done.
  Task<Status> write(std::string service, SlicePlan plan);
  void forget(const std::string& service) {
    written_.erase(service);
    held_.erase(service);
  }
  void clear() {
    written_.clear();
    held_.clear();
  }

 private:
  struct Written {
    std::string uid;
    std::uint64_t version = 0;  // 0: it was removed
    Duration at{};
  };
  void see(const api::Informer::Change& change);
  bool is_echo(const std::string& service, const api::Informer::Change& change);
  bool is_managed(const EndpointSlice& slice) const;
  bool is_seen(const std::string& ns, const std::string& name, const Written& written) const;
  void note(const std::string& service, const EndpointSlice& slice, bool removed);
  Task<> look_again(std::string service);
  Task<Status> create(std::string service, EndpointSlice slice);

  Loop& here_;
  api::Client& client_;
  api::InformerOf<EndpointSlice>& slices_;
  std::string managed_by_;
  std::function<void(const std::string& key)> changed_;
  std::unordered_map<std::string, std::map<std::string, Written>> written_;  // by service and name
  std::unordered_set<std::string> held_;                                      // services that of() said nothing of
  std::unordered_set<std::string> timed_;                                     // those for which look_again() waits
};

}  // namespace gantry::control::services
