// SPDX-License-Identifier: Apache-2.0
// ControllerManager: the controllers and the scheduler, on a thread of their own, each of the two while this process
// holds its Lease, kube-system/kube-controller-manager and kube-system/kube-scheduler. Without any controller the first
// one is left to others. First of all, lease or not, it makes the bootstrap objects.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/client/queue_metrics.h"
#include "api/client/transport.h"
#include "api/ip_network.h"
#include "api/kind.h"
#include "control/controllers/bootstrap.h"
#include "control/controllers/controller_choice.h"
#include "control/pki/authority.h"

namespace gantry::control {

class Controller;
struct ControllerParts;

// The leases, in kube-system.
inline constexpr char kControllersLease[] = "kube-controller-manager";
inline constexpr char kSchedulerLease[] = "kube-scheduler";

// A controller of another library, which works with those of this one.
struct MoreController {
  std::string name;     // upstream's: "replicaset-controller"; "" of what is no matter of ManagerOptions::controllers
  std::string account;  // as which it asks; see ManagerTransports
  std::function<std::unique_ptr<Controller>(const ControllerParts& parts)> make;
  // While which is held it works. Those of another lease than the controllers' ask for it, and learn what there is, as
  // the first of them asks.
  std::string lease = kControllersLease;
};

struct ManagerOptions {
  BootstrapOptions bootstrap;  // without ManagerTransports::bootstrap of no use
  std::string root_ca;  // PEM; empty: none is published
  std::string chain;    // PEM, stands behind each certificate that is signed; may be empty
  // By which requests for certificates are signed; without it they wait for others. The names and addresses that the
  // API server is known by are given to no node.
  std::optional<Authority> authority;
  AlternativeNames own_names;
  std::string identity;  // of this process, in the leases
  // The pods' addresses, one network a family, and the prefix that each node gets of it.
  std::vector<api::IpNetwork> cluster_networks;
  int node_prefix_v4 = 24;
  int node_prefix_v6 = 64;
  ServerList* servers = nullptr;        // null: there is no other
  api::QueueMetrics* queues = nullptr;  // null: nobody counts what queues do
  std::function<api::Timestamp()> now;
  std::vector<MoreController> more;
  ControllerChoice controllers;  // which of all of these work
  // Called on the manager's thread when the bootstrap objects are there.
  std::function<void()> bootstrapped;
  // How long an end waits for whoever does not answer.
  Duration end_limit = std::chrono::seconds(2);
};

struct ManagerTransports {
  // Of somebody who may do everything: makes the bootstrap objects. Null: another's cluster, which has its own.
  api::Transport* bootstrap = nullptr;
  // Of the service account of kube-system that has this name, one for each controller, so that each may do what its
  // role says and no more; of system:kube-controller-manager for "", and of the user whose name begins with "system:".
  // Called on the manager's thread, whose loop `here` is. What they ask must outlive the manager.
  std::function<std::unique_ptr<api::Transport>(Loop& here, const std::string& account)> of;
};

// The names of the controllers of this library, which are upstream's.
std::vector<std::string> own_controller_names();

class ControllerManager {
 public:
  // `kinds` must outlive it.
  ControllerManager(ManagerTransports transports, const api::Kinds& kinds, ManagerOptions options);
  // Any thread: who is trusted, and who signs, from now on.
  void replace(std::string root_ca, Authority authority, std::string chain);
  // Waits for requests that are under way.
  ~ControllerManager();

 private:
  struct Impl;
  Impl* impl_ = nullptr;  // made on the thread, and ends on it
  std::thread thread_;
};

}  // namespace gantry::control
