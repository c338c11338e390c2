// SPDX-License-Identifier: Apache-2.0
#include "agent/probe/probe.h"

#include <map>
#include <optional>

#include "agent/expansion.h"
#include "agent/http_action.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

// Those of the container's environment that stand in its spec; what comes from elsewhere a command of a probe does not
// see, as with kubelet.
std::map<std::string, std::string> plain_env(const core::Container& container) {
  std::map<std::string, std::string> values;
  for (const auto& variable : container.env()) {
    if (!variable.has_value_from()) values[variable.name()] = expand(variable.value(), values);
  }
  return values;
}

}  // namespace

Result<ProbeAction> probe_action(const core::ProbeHandler& handler, const core::Container& container,
                                 const std::string& container_id, const std::string& pod_ip) {
  if (handler.has_exec()) {
    ExecProbe probe{container_id, {}};
    const auto values = plain_env(container);
    for (const auto& word : handler.exec().command()) probe.command.push_back(expand(word, values));
    return probe;
  }
  if (handler.has_http_get()) {
    auto port = resolve_port(handler.http_get().port(), container);
    if (!port) return std::unexpected(std::move(port.error()));
    return http_probe(handler.http_get(), *port, pod_ip);
  }
  if (handler.has_tcp_socket()) {
    auto port = resolve_port(handler.tcp_socket().port(), container);
    if (!port) return std::unexpected(std::move(port.error()));
    const std::string& host = handler.tcp_socket().host();
    return TcpProbe{host.empty() ? pod_ip : host, *port};
  }
  auto port = valid_port(handler.grpc().port());
  if (!port) return std::unexpected(std::move(port.error()));
  return GrpcProbe{pod_ip, *port, handler.grpc().service()};
}

Result<std::shared_ptr<http::TlsClient>> ProbeMeans::tls() {
  if (tls_) return tls_;
  auto made = http::TlsClient::make({.verify = false});
  if (!made) return std::unexpected(std::move(made.error()));
  return tls_ = std::move(*made);
}

Task<ProbeOutcome> ask(ProbeMeans& means, ProbeAction action, Duration limit, std::shared_ptr<Event> over) {
  if (auto* exec = std::get_if<ExecProbe>(&action)) {
    co_return co_await ask_exec(means, std::move(*exec), limit, std::move(over));
  }
  if (auto* http = std::get_if<HttpProbe>(&action)) co_return co_await ask_http(means, std::move(*http), limit);
  if (auto* tcp = std::get_if<TcpProbe>(&action)) co_return co_await ask_tcp(means, std::move(*tcp), limit);
  co_return co_await ask_grpc(means, std::get<GrpcProbe>(std::move(action)), limit);
}

}  // namespace gantry::agent
