// SPDX-License-Identifier: Apache-2.0
// What every cluster has before its users come, beside what the API server has from its beginning (namespaces, priority
// classes, roles: bootstrap/system_objects.h): the range of service addresses, the Services kubernetes (the API server
// itself) and kube-dns (at the tenth address, without a selector: a node's own DNS answers for it), a StorageClass. What
// is there already is left as it is, but for the endpoints of the API servers and the kubeconfig of cluster-info, which
// are these.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "api/client/client.h"
#include "api/ip_network.h"
#include "api/time.h"

namespace gantry::control {

struct BootstrapOptions {
  std::vector<api::IpNetwork> service_networks;  // the first one is of the Services' first family
  std::string advertise_address;                 // where nodes and pods reach this API server
  std::uint16_t port = 6443;
  std::string root_ca;  // PEM; empty: there is no cluster-info
  // "cluster.example.org:6443": what nodes are told in cluster-info; empty: one of the servers.
  std::string endpoint;
};

// What a range has for the API server and for DNS.
api::IpAddress kubernetes_address(const api::IpNetwork& services);
api::IpAddress dns_address(const api::IpNetwork& services);

// Can be run again after an error, and by several API servers at once.
Task<Status> make_bootstrap_objects(api::Client& client, BootstrapOptions options, std::function<api::Timestamp()> now);

// The StorageClass gantry-local, which a claim without a class gets, unless there is such a class already. Once in the
// life of a cluster: who changes it or takes it away has the last word, and the namespace kube-system says that it was
// made.
Task<Status> make_storage_class(api::Client& client);

// The endpoints of the Service kubernetes are these servers': addresses of the family of `advertise_address`; others
// are left out. With none, nothing is changed.
Task<Status> publish_servers(api::Client& client, BootstrapOptions options, std::vector<std::string> servers);

// What who has nothing but a token must know: kube-public/cluster-info, as kubeadm has it, names the endpoint. Without
// one it goes on to name the server that it names, for as long as that is among `servers`, and then the first of them.
Task<Status> publish_cluster_info(api::Client& client, BootstrapOptions options, std::vector<std::string> servers);

// The API servers of a cluster that live. Each says so again and again, or is forgotten. One loop's thread.
class ServerList {
 public:
  virtual ~ServerList() = default;
  // This one lives; answers the addresses of all that do.
  virtual Task<Result<std::vector<std::string>>> renew(Loop& here) = 0;
  // This one ends; answers the others.
  virtual Task<Result<std::vector<std::string>>> leave(Loop& here) = 0;
};
// How often renew() is to be called.
inline constexpr Duration kServerRenewal = std::chrono::seconds(10);

}  // namespace gantry::control
