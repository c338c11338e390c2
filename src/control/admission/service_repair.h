// SPDX-License-Identifier: Apache-2.0
// ServiceRepair: addresses and node ports are those of the services that there are, whatever ended in the middle of
// what. A process that is alone with its store knows at its start that nothing is under way. One of several does not:
// it adds what is missing, and takes back only what it has seen for longer than any request takes. All of several
// servers may repair at once. On the loop `home`.
#pragma once

#include <functional>
#include <set>

#include "control/admission/node_ports.h"
#include "control/admission/service_addresses.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class ServiceRepair {
 public:
  // The view must outlive it.
  ServiceRepair(const ClusterView& view, std::function<api::Timestamp()> now, bool is_alone);

  // Once, before anybody is answered.
  Task<Status> start(Loop& home);
  // Again and again; never returns.
  Task<> keep(Loop& home);

 private:
  Task<Status> repair_ports(Loop& home);
  Task<Status> repair_addresses(Loop& home);
  Task<Status> take_back_addresses(Loop& home, std::set<std::string> used);

  const ClusterView& view_;
  const std::function<api::Timestamp()> now_;
  bool is_alone_;  // and nobody is under way
  ServiceAddresses addresses_;
  NodePorts ports_;
  // Ports that are taken by nobody, as the last rounds saw them.
  std::set<std::int32_t> unknown_;
  std::set<std::int32_t> unknown_before_;
};

}  // namespace gantry::control
