// SPDX-License-Identifier: Apache-2.0
// Which EndpointSlices are to be written so that some endpoints are in them: few, and with little change to those that
// are there, because each that changes goes to every node. Endpoints stay in the slice in which they are; new ones come
// into slices that change anyhow, then into one that has room for all of them, then into new slices. Pure; any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/workloads/owner.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::control::services {

using Endpoint = k8s::io::api::discovery::v1::Endpoint;
using EndpointPort = k8s::io::api::discovery::v1::EndpointPort;
using EndpointSlice = k8s::io::api::discovery::v1::EndpointSlice;
using SlicePtr = std::shared_ptr<const EndpointSlice>;
using Texts = std::map<std::string, std::string>;

// Endpoints that have their ports in common.
class EndpointGroups {
 public:
  struct Group {
    std::string address_type;  // "IPv4", "IPv6"
    std::vector<EndpointPort> ports;
    std::map<std::string, Endpoint> endpoints;  // by what makes them one: their address and whom it belongs to
  };
  // The same endpoint counts once.
  void add(const std::string& address_type, const std::vector<EndpointPort>& ports, Endpoint endpoint);
  std::map<std::string, Group>& all() { return groups_; }

 private:
  std::map<std::string, Group> groups_;  // by address type and ports
};

// What all slices of an object have in common.
struct SliceFrame {
  workloads::Owner owner;
  std::vector<std::string> address_types;  // others have no slice
  Texts labels;
  // Absent: those that are there stay.
  std::optional<Texts> annotations;
  std::string trigger_time = {};  // see TriggerTimes
  int most_endpoints = 100;       // in a slice
  bool keeps_one = false;         // of each address type, if only an empty one
};

struct SlicePlan {
  std::vector<EndpointSlice> create;
  std::vector<EndpointSlice> update;  // each with the resourceVersion that it replaces
  std::vector<SlicePtr> remove;
};

// `is_taken`: a slice of that name is there, ours or not.
SlicePlan plan_slices(const SliceFrame& frame, EndpointGroups groups, const std::vector<SlicePtr>& existing,
                      const std::function<bool(const std::string& name)>& is_taken);

}  // namespace gantry::control::services
