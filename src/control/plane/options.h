// SPDX-License-Identifier: Apache-2.0
// What a control plane is told when it starts, parsed and checked. Where it stands in texts (flags, a file) is
// settings.h's matter.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "api/ip_network.h"
#include "control/audit/audit_file.h"
#include "control/autoscaling/settings.h"
#include "control/controllers/controller_choice.h"
#include "control/server/flow_control.h"

namespace gantry::control {

struct ListenAddress {
  std::string host = "0.0.0.0";  // numeric, without brackets
  std::uint16_t port = 6443;
};

// Where all that is stored is: in a file of this machine, or in an etcd.
struct StoreOptions {
  std::string sqlite_path;                  // empty: store.db in the data folder
  std::vector<std::string> etcd_endpoints;  // not empty: etcd, by these
  std::string etcd_ca_file, etcd_certificate_file, etcd_key_file;
};

struct PlaneOptions {
  std::string data_dir = "/var/lib/gantry-control";
  ListenAddress listen;
  StoreOptions store;
  std::string encryption_config_file;  // empty: nothing is encrypted
  std::string advertise_address;       // empty: the first of this host's
  // Where nodes and clients find one of the servers, "cluster.example.org"; without a host one of the servers
  // themselves. Port 0: that of `listen`.
  ListenAddress endpoint{.host = {}, .port = 0};
  std::vector<api::IpNetwork> service_networks;
  std::vector<api::IpNetwork> cluster_networks;
  // Not empty: the scheduler and the controllers are those of the API server that it names, and there is no other here.
  std::string kubeconfig;
  ListenAddress health_listen{.host = "127.0.0.1", .port = 10257};  // then
  bool with_scheduler = true;
  ControllerChoice controllers;
  autoscaling::Settings autoscaling;
  FlowControl::Limits flow;
  Duration metric_resolution = std::chrono::seconds(15);  // from one reading of a node's use to the next
  AuditFile::Options audit;  // without a path: nothing is recorded
  std::string audit_policy_file;
  // From the signal to end until connections are closed: not ready any more, but answering.
  Duration shutdown_delay{};
  std::string version;  // "v1.37.0-gantry.0.1.0"
};

}  // namespace gantry::control
