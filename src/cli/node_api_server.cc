// SPDX-License-Identifier: Apache-2.0
#include "cli/node_api_server.h"

#include <chrono>
#include <utility>

#include "agent/node_api/self_signed.h"
#include "base/log.h"
#include "sys/given_files.h"

namespace gantry::cli {
namespace {

constexpr std::size_t kMaxPem = 1 << 20;
// As kubelet does. Nothing tells when a port is free again.
constexpr std::chrono::seconds kPortRetry{5};

Result<http::TlsServerOptions> own_certificate(const agent::KubeletSettings& settings) {
  const agent::ServerConfig& server = settings.server;
  if (server.certificate_file.empty()) return agent::make_self_signed(settings.node.name, settings.node.addresses);
  auto certificate = sys::read_given(server.certificate_file, kMaxPem);
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  auto key = sys::read_given(server.key_file, kMaxPem);
  if (!key) return std::unexpected(std::move(key.error()));
  return http::TlsServerOptions{
      .certificate_pem = std::move(*certificate), .key_pem = std::move(*key), .client_ca_pem = {}};
}

}  // namespace

Result<NodeApiServer> start_node_api(Loop& loop, const agent::KubeletSettings& settings, std::string client_ca,
                                     agent::Cluster& cluster, agent::NodeApiSources sources, KeptSockets& kept) {
  const agent::ServerConfig& config = settings.server;
  NodeApiServer server;
  auto certificate = own_certificate(settings);
  if (!certificate) return fail_with(std::move(certificate.error()), "its certificate");
  server.tls_options = std::move(*certificate);
  server.tls_options.rules = config.tls;
  server.tls_options.client_ca_pem = std::move(client_ca);
  if (!config.client_ca_file.empty()) {
    auto given = sys::read_given(config.client_ca_file, kMaxPem);
    if (!given) return std::unexpected(std::move(given.error()));
    server.tls_options.client_ca_pem = std::move(*given);
  }
  auto tls = http::TlsServer::make(server.tls_options);
  if (!tls) return std::unexpected(std::move(tls.error()));
  server.tls = std::move(*tls);
  auto listener = kept_or_new_tcp(kept, "node-api", config.address, config.port);
  if (!listener) return std::unexpected(std::move(listener.error()));
  server.reviewer = std::make_unique<agent::ApiReviewer>(cluster.client(), cluster.node_name());
  sources.tokens = server.reviewer.get();
  sources.access = server.reviewer.get();
  server.api = std::make_unique<agent::NodeApi>(loop, std::move(sources),
                                                agent::NodeApiOptions{.node_name = settings.node.name,
                                                                      .root_dir = settings.node.root_dir,
                                                                      .pod_logs_dir = settings.agent.pod_logs_dir,
                                                                      .rules = config.gate,
                                                                      .enters_containers = config.enters_containers});
  server.api->serve(std::move(listener->socket), server.tls);
  return server;
}

Task<> serve_health(Loop& loop, const agent::ServerConfig& server, KeptSockets& kept,
                    std::unique_ptr<agent::HealthServer>& health) {
  if (server.health_port == 0) co_return;
  for (bool is_said = false;; is_said = true) {
    auto listener = kept_or_new_tcp(kept, "healthz", server.health_address, server.health_port);
    if (listener) {
      health = std::make_unique<agent::HealthServer>(loop);
      health->serve(std::move(listener->socket));
      co_return;
    }
    if (!is_said) log::warning("/healthz is not served yet, retrying", {{"error", listener.error()}});
    co_await loop.sleep_for(kPortRetry);
  }
}

}  // namespace gantry::cli
