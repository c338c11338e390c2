// SPDX-License-Identifier: Apache-2.0
// What gantryd's command line says, parsed once and checked as a whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/loop.h"
#include "cgroups/driver.h"
#include "cni/network.h"
#include "images/registry/hosts.h"
#include "netns/address.h"
#include "netns/peer_nodes.h"
#include "nri/plugins.h"

namespace gantry::cli {

struct GantrydOptions {
  std::string root = "/var/lib/gantry";
  std::string run = "/run/gantry";
  std::string cgroup_root = "/gantry-pods";
  std::string systemd_scope;  // in place of cgroup_root
  std::optional<cgroups::DriverKind> cgroup_driver;  // nothing: cgroupDriver, else cgroupfs
  std::optional<netns::Cidr> pod_cidr;  // nothing: its cluster says, or 10.88.0.0/16 where it stands alone
  std::optional<netns::Cidr> cluster_cidr;
  std::optional<netns::RouteMode> pod_routes = netns::RouteMode::kAuto;  // to other nodes' pods; nothing: the host's
  bool uses_cni = false;  // for the pods' network, not the built-in one
  cni::Options cni;
  std::string streaming_address = "127.0.0.1";
  std::uint16_t streaming_port = 0;
  std::size_t pool_size = 2;
  bool require_controllers = false;
  std::vector<std::string> cdi_folders = {"/etc/cdi", "/var/run/cdi"};
  bool owns_devices = true;
  bool restores_images = false;
  nri::Options plugins = {
      .socket = "/var/run/nri/nri.sock", .plugins_folder = "/opt/nri/plugins", .config_folder = "/etc/nri/conf.d"};
  std::string config;  // gantryd.yaml; "" for kConfigFile, when it is there
  log::Level log_level = log::Level::kInfo;

  // ---- registries
  std::string registries = images::kRegistriesFolder;  // who is asked, and how
  unsigned pull_patience = 60;                         // seconds without progress
  std::string provider_config;                         // kubelet's CredentialProviderConfig; "" for the folder's
  std::string provider_folder;                         // of the programs that it names; "" for the folder's

  // ---- modules; cri is always on, but for an agent on another runtime
  bool agent = true;
  bool proxy = true, dns = true;  // of a node of a cluster
  // Sockets of another runtime, absolute paths; empty: gantryd is the runtime.
  std::string runtime_endpoint, image_endpoint;
  std::string node_name;   // the hostname when none is given
  std::string node_ip;     // empty: the network says
  std::string kubeconfig;  // of the cluster that it is a node of; empty: the configuration says, or it stands alone
  std::string kubelet_config, kubelet_config_dir;  // KubeletConfiguration; empty: none
  std::string kubelet_root = "/var/lib/kubelet";
  std::string local_volumes;  // of persistent volumes that the node makes; empty: local-volumes in `root`
  std::string container_logs = "/var/log/containers";
  // These count more than the KubeletConfiguration, which says when they are not given (empty).
  std::optional<std::string> node_api_address;
  std::optional<std::uint16_t> node_api_port;  // 0: it is not served
  std::string client_ca_file, tls_cert_file, tls_key_file;
  std::optional<std::string> manifest_dir, pod_logs;
  std::optional<int> image_gc_high_percent, image_gc_low_percent;
  std::optional<Duration> image_gc_min_age, image_gc_max_age;
};

// Of a node that stands alone, when nobody has said where its pods' addresses come from.
inline constexpr const char* kAlonePodCidr = "10.88.0.0/16";
inline constexpr const char* kConfigFile = "/etc/gantry/gantryd.yaml";

// Nothing: the program ends with `exit_code` (help was asked for, or the line is wrong; both were printed).
std::optional<GantrydOptions> parse_gantryd_options(int argc, char** argv, int& exit_code);

}  // namespace gantry::cli
