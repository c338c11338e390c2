// SPDX-License-Identifier: Apache-2.0
// Proxies: [SCHEME:]NAME[:PORT] of a pod, service or node.
#include <arpa/inet.h>

#include <charconv>
#include <random>

#include "base/text.h"
#include "control/server/connect/connector.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;
namespace discovery = k8s::io::api::discovery::v1;

constexpr std::string_view kServiceName = "kubernetes.io/service-name";

struct ProxyName {
  bool tls = false;
  std::string name;
  std::string port;
};

// "name", "name:port", "scheme:name:port"; the port may be empty in the last.
Outcome<ProxyName> parse_name(std::string_view text) {
  const size_t first = text.find(':');
  if (first == text.npos) return ProxyName{.name = std::string(text), .port = {}};
  const size_t second = text.find(':', first + 1);
  if (second == text.npos) {
    return ProxyName{.name = std::string(text.substr(0, first)), .port = std::string(text.substr(first + 1))};
  }
  const std::string_view scheme = text.substr(0, first);
  const std::string_view port = text.substr(second + 1);
  if ((scheme != "http" && scheme != "https" && !scheme.empty()) || port.find(':') != port.npos) {
    return fail(bad_request(cat("invalid service request ", quoted(text), "; expected [SCHEME:]NAME[:PORT]")));
  }
  return ProxyName{.tls = scheme == "https",
                   .name = std::string(text.substr(first + 1, second - first - 1)),
                   .port = std::string(port)};
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// Addresses at which a pod can't be: this machine's own, the local link's (a cloud's metadata), multicast.
bool is_allowed(const std::string& address) {
  in_addr four{};
  if (::inet_pton(AF_INET, address.c_str(), &four) == 1) {
    const std::uint32_t host = ntohl(four.s_addr);
    const bool loopback = (host >> 24) == 127;
    const bool link_local = (host >> 16) == 0xa9fe;
    return host != 0 && !loopback && !link_local && (host >> 28) != 0xe;
  }
  in6_addr six{};
  if (::inet_pton(AF_INET6, address.c_str(), &six) != 1) return false;
  return !IN6_IS_ADDR_UNSPECIFIED(&six) && !IN6_IS_ADDR_LOOPBACK(&six) && !IN6_IS_ADDR_LINKLOCAL(&six) &&
         !IN6_IS_ADDR_MULTICAST(&six) && !IN6_IS_ADDR_V4MAPPED(&six);
}

Failure no_endpoints(std::string_view name) {
  Failure failure;
  failure.code = 503;
  failure.reason = "ServiceUnavailable";
  failure.message = cat("no endpoints available for service ", quoted(name));
  return failure;
}

struct Address {
  std::string host;
  std::uint16_t port = 0;
};

void collect(const discovery::EndpointSlice& slice, std::string_view port_name, std::vector<Address>* addresses) {
  std::optional<std::uint16_t> port;
  for (const discovery::EndpointPort& candidate : slice.ports()) {
    if (candidate.name() == port_name && candidate.port() > 0) port = static_cast<std::uint16_t>(candidate.port());
  }
  if (!port) return;
  for (const discovery::Endpoint& endpoint : slice.endpoints()) {
    const bool ready = !endpoint.conditions().has_ready() || endpoint.conditions().ready();
    if (ready && endpoint.addresses_size() > 0) addresses->push_back({endpoint.addresses(0), *port});
  }
}

}  // namespace

Task<Outcome<Connector::Target>> Connector::pod_proxy(Call& call) {
  Outcome<ProxyName> name = parse_name(call.info.name);
  if (!name) co_return fail(std::move(name.error()));
  Result<std::optional<Object>> found = co_await objects_.find(call.here, call.kind, call.info.ns, name->name);
  if (!found) co_return fail(from_error(found.error()));
  if (!*found) co_return fail(object_not_found(call.kind, name->name));
  const auto& pod = static_cast<const core::Pod&>(*(*found)->message);
  std::optional<std::uint16_t> port = parse_port(name->port);
  if (name->port.empty()) {
    port = name->tls ? 443 : 80;
    for (const core::Container& container : pod.spec().containers()) {
      if (container.ports_size() > 0) {
        port = static_cast<std::uint16_t>(container.ports(0).container_port());
        break;
      }
    }
  }
  if (!port) co_return fail(bad_request(cat("port ", quoted(name->port), " of the pod is no number")));
  if (!is_allowed(pod.status().pod_ip())) {
    co_return fail(bad_request(cat("address not allowed: pod ", name->name, " has ", quoted(pod.status().pod_ip()))));
  }
  co_return Target{.host = pod.status().pod_ip(),
                   .port = *port,
                   .tls = name->tls ? pods_ : nullptr,
                   .server_user = {},
                   .path = {},
                   .prefix = {}};
}

Task<Outcome<Connector::Target>> Connector::service_proxy(Call& call) {
  Outcome<ProxyName> name = parse_name(call.info.name);
  if (!name) co_return fail(std::move(name.error()));
  Result<std::optional<Object>> found = co_await objects_.find(call.here, call.kind, call.info.ns, name->name);
  if (!found) co_return fail(from_error(found.error()));
  if (!*found) co_return fail(object_not_found(call.kind, name->name));
  const auto& service = static_cast<const core::Service&>(*(*found)->message);
  std::optional<std::string> port_name;
  for (const core::ServicePort& port : service.spec().ports()) {
    const bool only = name->port.empty() && service.spec().ports_size() == 1;
    if (only || (!name->port.empty() && (port.name() == name->port || std::to_string(port.port()) == name->port))) {
      port_name = port.name();
    }
  }
  if (!port_name) co_return fail(no_endpoints(call.info.name));
  const api::Kind& slices = *objects_.kinds().find_resource("discovery.k8s.io", "v1", "endpointslices");
  Result<Snapshot> snapshot = co_await caches_.of(slices).fresh(call.here);
  if (!snapshot) co_return fail(from_error(snapshot.error()));
  Result<api::LabelSelector> labels = api::LabelSelector::parse(cat(kServiceName, "=", name->name));
  if (!labels) co_return fail(from_error(labels.error()));
  const Selection selection{.labels = std::move(*labels), .fields = {}};
  std::vector<Address> addresses;
  snapshot->visit(storage_key(slices, call.info.ns, ""), "", [&](const ObjectPtr& object) {
    const ItemPtr item = as_item(object);
    if (item != nullptr && item->matches(slices, selection)) {
      collect(static_cast<const discovery::EndpointSlice&>(*item->message(slices)), *port_name, &addresses);
    }
    return true;
  });
  if (addresses.empty()) co_return fail(no_endpoints(call.info.name));
  static thread_local std::minstd_rand random(std::random_device{}());
  const Address& chosen = addresses[random() % addresses.size()];
  if (!is_allowed(chosen.host)) {
    co_return fail(bad_request(cat("address not allowed: service ", name->name, " has ", quoted(chosen.host))));
  }
  co_return Target{.host = chosen.host,
                   .port = chosen.port,
                   .tls = name->tls ? pods_ : nullptr,
                   .server_user = {},
                   .path = {},
                   .prefix = {}};
}

Task<Outcome<Connector::Target>> Connector::proxy_target(Call& call) {
  Outcome<Target> target = fail(no_such_resource());
  if (call.info.resource == "pods") target = co_await pod_proxy(call);
  if (call.info.resource == "services") target = co_await service_proxy(call);
  if (call.info.resource == "nodes") target = co_await node_target(call.here, call.info.name);
  if (!target) co_return target;
  // All of the query is the target's: the API has none of its own here.
  target->path =
      cat(call.info.rest.empty() ? "/" : call.info.rest, call.info.raw_query.empty() ? "" : "?", call.info.raw_query);
  const std::string base = cat("/api/v1/", call.info.ns.empty() ? "" : cat("namespaces/", call.info.ns, "/"));
  target->prefix = cat(base, call.info.resource, "/", call.info.name, "/proxy");
  co_return target;
}

}  // namespace gantry::control
