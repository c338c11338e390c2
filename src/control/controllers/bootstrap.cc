// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/bootstrap.h"

#include <algorithm>

#include "api/local_volumes.h"
#include "api/text.h"
#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"
#include "kubernetes/util/intstr.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;
namespace discovery = k8s::io::api::discovery::v1;
namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;
namespace networking = k8s::io::api::networking::v1;
namespace storage = k8s::io::api::storage::v1;

namespace {

constexpr char kDefault[] = "default";
constexpr char kSystem[] = "kube-system";
constexpr char kName[] = "kubernetes";
constexpr char kPortName[] = "https";
constexpr char kDefaultClass[] = "storageclass.kubernetes.io/is-default-class";
constexpr char kClassWasMade[] = "gantry.io/made-storage-class";

constexpr int kAttempts = 5;  // of a write that others may be faster with

template <typename M>
Task<Status> ensure(api::Client& client, M object) {
  const std::string name = object.metadata().name();
  // Asked first: a Service that names its address cannot be made while it is there, and is refused for that.
  api::Answer<M> present = co_await client.get<M>(object.metadata().namespace_(), name);
  if (present) co_return Status();
  if (!present.error().is_not_found()) {
    co_return fail_with(present.error().as_error(), cat("read ", client.target<M>().plural, " ", name));
  }
  api::Answer<M> made = co_await client.create(object);
  if (made || made.error().is_already_exists()) co_return Status();
  co_return fail_with(made.error().as_error(), cat("make ", client.target<M>().plural, " ", name));
}

networking::ServiceCIDR make_range(const BootstrapOptions& options) {
  networking::ServiceCIDR object;
  object.mutable_metadata()->set_name(kName);
  for (const api::IpNetwork& network : options.service_networks) object.mutable_spec()->add_cidrs(to_string(network));
  return object;
}

// Says of the range, if it is the one that was asked for, that addresses are given from it.
Task<Status> report_range(api::Client& client, const networking::ServiceCIDR& wanted, api::Timestamp now) {
  api::Answer<networking::ServiceCIDR> range = co_await client.get<networking::ServiceCIDR>("", kName);
  if (!range) co_return fail_with(range.error().as_error(), "read the range of service addresses");
  const bool is_other = !std::ranges::equal(range->spec().cidrs(), wanted.spec().cidrs());
  if (is_other || range->metadata().has_deletion_timestamp() || !range->status().conditions().empty()) {
    co_return Status();
  }
  meta::Condition* ready = range->mutable_status()->add_conditions();
  ready->set_type("Ready");
  ready->set_status("True");
  ready->set_message("Kubernetes default Service CIDR is ready");
  ready->mutable_last_transition_time()->set_seconds(now.seconds);
  const api::Answer<networking::ServiceCIDR> done = co_await client.update_status(*range);
  // Somebody else is about to say it, or to take it away.
  if (done || done.error().is_conflict() || done.error().is_not_found()) co_return Status();
  co_return fail_with(done.error().as_error(), "report on the range of service addresses");
}

void add_port(core::Service* service, const char* name, const char* protocol, int32_t port, int32_t target) {
  core::ServicePort* added = service->mutable_spec()->add_ports();
  added->set_name(name);
  added->set_protocol(protocol);
  added->set_port(port);
  added->mutable_target_port()->set_type(0);
  added->mutable_target_port()->set_int_val(target);
}

void set_address(core::Service* service, const api::IpAddress& address) {
  service->mutable_spec()->set_type("ClusterIP");
  service->mutable_spec()->set_session_affinity("None");
  service->mutable_spec()->set_cluster_ip(to_string(address));
  service->mutable_spec()->add_cluster_ips(to_string(address));
  service->mutable_spec()->add_ip_families(address.is_v6 ? "IPv6" : "IPv4");
  service->mutable_spec()->set_ip_family_policy("SingleStack");
}

core::Service make_kubernetes(const BootstrapOptions& options) {
  core::Service object;
  object.mutable_metadata()->set_namespace_(kDefault);
  object.mutable_metadata()->set_name(kName);
  (*object.mutable_metadata()->mutable_labels())["component"] = "apiserver";
  (*object.mutable_metadata()->mutable_labels())["provider"] = "kubernetes";
  add_port(&object, kPortName, "TCP", 443, options.port);
  set_address(&object, kubernetes_address(options.service_networks.front()));
  return object;
}

core::Service make_dns(const BootstrapOptions& options) {
  core::Service object;
  object.mutable_metadata()->set_namespace_(kSystem);
  object.mutable_metadata()->set_name("kube-dns");
  auto& labels = *object.mutable_metadata()->mutable_labels();
  labels["k8s-app"] = "kube-dns";
  labels["kubernetes.io/cluster-service"] = "true";
  labels["kubernetes.io/name"] = "CoreDNS";
  add_port(&object, "dns", "UDP", 53, 53);
  add_port(&object, "dns-tcp", "TCP", 53, 53);
  add_port(&object, "metrics", "TCP", 9153, 9153);
  set_address(&object, dns_address(options.service_networks.front()));
  return object;
}

bool is_v6(const std::string& address) { return address.contains(':'); }

core::Endpoints make_endpoints(const BootstrapOptions& options, const std::vector<std::string>& servers) {
  core::Endpoints object;
  object.mutable_metadata()->set_namespace_(kDefault);
  object.mutable_metadata()->set_name(kName);
  (*object.mutable_metadata()->mutable_labels())["endpointslice.kubernetes.io/skip-mirror"] = "true";
  core::EndpointSubset* subset = object.add_subsets();
  for (const std::string& server : servers) subset->add_addresses()->set_ip(server);
  core::EndpointPort* port = subset->add_ports();
  port->set_name(kPortName);
  port->set_port(options.port);
  port->set_protocol("TCP");
  return object;
}

discovery::EndpointSlice make_slice(const BootstrapOptions& options, const std::vector<std::string>& servers) {
  discovery::EndpointSlice object;
  object.mutable_metadata()->set_namespace_(kDefault);
  object.mutable_metadata()->set_name(kName);
  (*object.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = kName;
  object.set_address_type(is_v6(options.advertise_address) ? "IPv6" : "IPv4");
  for (const std::string& server : servers) {
    discovery::Endpoint* endpoint = object.add_endpoints();
    endpoint->add_addresses(server);
    endpoint->mutable_conditions()->set_ready(true);
  }
  discovery::EndpointPort* port = object.add_ports();
  port->set_name(kPortName);
  port->set_port(options.port);
  port->set_protocol("TCP");
  return object;
}

// As it is wanted, whatever was there.
template <typename M>
Task<Status> bring(api::Client& client, M wanted, bool (*is_same)(const M& a, const M& b)) {
  for (int attempt = 1;; ++attempt) {
    api::Answer<M> present = co_await client.get<M>(kDefault, kName);
    api::Answer<M> done = present;
    if (!present && present.error().is_not_found()) {
      done = co_await client.create(wanted);
    } else if (present && !is_same(*present, wanted)) {
      wanted.mutable_metadata()->set_resource_version(present->metadata().resource_version());
      done = co_await client.update(wanted);
    }
    if (done) co_return Status();
    const bool lost = done.error().is_conflict() || done.error().is_already_exists();
    if (!lost || attempt == kAttempts) {
      co_return fail_with(done.error().as_error(), cat("write ", client.target<M>().plural, " ", kName));
    }
    wanted.mutable_metadata()->clear_resource_version();
  }
}

bool same_endpoints(const core::Endpoints& a, const core::Endpoints& b) {
  if (a.subsets_size() != 1 || a.subsets(0).ports_size() != 1) return false;
  const auto ip = [](const core::EndpointAddress& address) { return address.ip(); };
  return std::ranges::equal(a.subsets(0).addresses(), b.subsets(0).addresses(), {}, ip, ip) &&
         a.subsets(0).ports(0).port() == b.subsets(0).ports(0).port();
}

bool same_slice(const discovery::EndpointSlice& a, const discovery::EndpointSlice& b) {
  if (a.ports_size() != 1 || a.ports(0).port() != b.ports(0).port()) return false;
  return std::ranges::equal(a.endpoints(), b.endpoints(), [](const auto& one, const auto& other) {
    return one.addresses_size() == 1 && one.addresses(0) == other.addresses(0);
  });
}

std::string server_line(const std::string& endpoint) { return cat("\n    server: https://", endpoint, "\n"); }

// The bootstrap signer adds signatures to it.
std::string cluster_info(const BootstrapOptions& options, const std::string& endpoint) {
  return cat("apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ",
             api::encode_base64(options.root_ca), server_line(endpoint),
             "  name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: null\n");
}

}  // namespace

api::IpAddress kubernetes_address(const api::IpNetwork& services) { return services.base.plus(1); }
api::IpAddress dns_address(const api::IpNetwork& services) { return services.base.plus(10); }

Task<Status> make_bootstrap_objects(api::Client& client, BootstrapOptions options,
                                    std::function<api::Timestamp()> now) {
  const networking::ServiceCIDR range = make_range(options);
  if (Status done = co_await ensure(client, range); !done) co_return done;
  if (Status done = co_await report_range(client, range, now()); !done) co_return done;
  if (Status done = co_await ensure(client, make_kubernetes(options)); !done) co_return done;
  co_return co_await ensure(client, make_dns(options));
}

Task<Status> make_storage_class(api::Client& client) {
  const api::Answer<core::Namespace> system = co_await client.get<core::Namespace>("", kSystem);
  if (!system) co_return fail_with(system.error().as_error(), "read the namespace kube-system");
  if (system->metadata().annotations().contains(kClassWasMade)) co_return Status();
  const auto classes = co_await client.list<storage::StorageClass>({});
  if (!classes) co_return fail_with(classes.error().as_error(), "list storageclasses");
  const bool has_default = std::ranges::any_of(*classes, [](const storage::StorageClass& one) {
    const auto found = one.metadata().annotations().find(kDefaultClass);
    return found != one.metadata().annotations().end() && found->second == "true";
  });
  storage::StorageClass made;
  made.mutable_metadata()->set_name("gantry-local");
  if (!has_default) (*made.mutable_metadata()->mutable_annotations())[kDefaultClass] = "true";
  made.set_provisioner(api::kLocalProvisioner);
  made.set_reclaim_policy("Delete");
  made.set_volume_binding_mode("WaitForFirstConsumer");
  if (Status done = co_await ensure(client, std::move(made)); !done) co_return done;
  // Last: until then nobody has taken it away.
  const api::Value annotations = api::Value::object({{kClassWasMade, "gantry-local"}});
  const api::Answer<core::Namespace> said = co_await client.patch<core::Namespace>(
      "", kSystem, api::PatchForm::kMerge,
      api::Value::object(
          {{"metadata", api::Value::object({{"uid", system->metadata().uid()}, {"annotations", annotations}})}}));
  if (!said) co_return fail_with(said.error().as_error(), "write the namespace kube-system");
  co_return Status();
}

Task<Status> publish_servers(api::Client& client, BootstrapOptions options, std::vector<std::string> servers) {
  const bool family = is_v6(options.advertise_address);
  std::erase_if(servers, [family](const std::string& server) { return is_v6(server) != family; });
  std::ranges::sort(servers);
  if (servers.empty()) co_return Status();
  if (Status done = co_await bring(client, make_endpoints(options, servers), same_endpoints); !done) co_return done;
  co_return co_await bring(client, make_slice(options, servers), same_slice);
}

Task<Status> publish_cluster_info(api::Client& client, BootstrapOptions options, std::vector<std::string> servers) {
  std::vector<std::string> endpoints;
  std::ranges::sort(servers);
  for (const std::string& each : servers) {
    endpoints.push_back(is_v6(each) ? cat("[", each, "]:", options.port) : cat(each, ":", options.port));
  }
  if (!options.endpoint.empty()) endpoints = {options.endpoint};
  if (options.root_ca.empty() || endpoints.empty()) co_return Status();
  core::ConfigMap wanted;
  wanted.mutable_metadata()->set_namespace_("kube-public");
  wanted.mutable_metadata()->set_name("cluster-info");
  std::string& text = (*wanted.mutable_data())["kubeconfig"];
  text = cluster_info(options, endpoints.front());
  for (int attempt = 1;; ++attempt) {
    const api::Answer<core::ConfigMap> there = co_await client.get<core::ConfigMap>("kube-public", "cluster-info");
    if (!there && !there.error().is_not_found()) co_return fail_with(there.error().as_error(), "read cluster-info");
    if (!there) {
      const api::Answer<core::ConfigMap> made = co_await client.create(wanted);
      if (made || made.error().is_already_exists()) co_return Status();
      co_return fail_with(made.error().as_error(), "make cluster-info");
    }
    const auto found = there->data().find("kubeconfig");
    const std::string present = found == there->data().end() ? "" : found->second;
    for (const std::string& each : endpoints) {
      if (present.contains(server_line(each))) text = cluster_info(options, each);
    }
    if (present == text) co_return Status();
    // Its version: a server that stood still meanwhile does not bring a former CA back.
    const api::Answer<core::ConfigMap> done = co_await client.patch<core::ConfigMap>(
        "kube-public", "cluster-info", api::PatchForm::kMerge,
        api::Value::object(
            {{"metadata", api::Value::object({{"resourceVersion", there->metadata().resource_version()}})},
             {"data", api::Value::object({{"kubeconfig", text}})}}));
    if (done) co_return Status();
    if (!done.error().is_conflict() || attempt == kAttempts) {
      co_return fail_with(done.error().as_error(), "write cluster-info");
    }
  }
}

}  // namespace gantry::control
