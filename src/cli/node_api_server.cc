// SPDX-License-Identifier: Apache-2.0
#include "cli/node_api_server.h"

#include "agent/node_api/self_signed.h"
#include "sys/given_files.h"

namespace gantry::cli {
namespace {

constexpr std::size_t kMaxPem = 1 << 20;

Result<http::TlsServerOptions> own_certificate(const GantrydOptions& options, const std::string& node_ip) {
  if (options.tls_cert_file.empty()) return agent::make_self_signed(options.node_name, {node_ip});
  auto certificate = sys::read_given(options.tls_cert_file, kMaxPem);
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  auto key = sys::read_given(options.tls_key_file, kMaxPem);
  if (!key) return std::unexpected(std::move(key.error()));
  return http::TlsServerOptions{
      .certificate_pem = std::move(*certificate), .key_pem = std::move(*key), .client_ca_pem = {}};
}

}  // namespace

Result<NodeApiServer> start_node_api(Loop& loop, const GantrydOptions& options, const std::string& node_ip,
                                     std::string client_ca, std::string pod_logs_dir, agent::Cluster& cluster,
                                     agent::NodeApiSources sources, KeptSockets& kept) {
  NodeApiServer server;
  auto certificate = own_certificate(options, node_ip);
  if (!certificate) return fail_with(std::move(certificate.error()), "its certificate");
  server.tls_options = std::move(*certificate);
  server.tls_options.client_ca_pem = std::move(client_ca);
  if (!options.client_ca_file.empty()) {
    auto given = sys::read_given(options.client_ca_file, kMaxPem);
    if (!given) return std::unexpected(std::move(given.error()));
    server.tls_options.client_ca_pem = std::move(*given);
  }
  auto tls = http::TlsServer::make(server.tls_options);
  if (!tls) return std::unexpected(std::move(tls.error()));
  server.tls = std::move(*tls);
  auto listener = kept_or_new_tcp(kept, "node-api", options.node_api_address, options.node_api_port);
  if (!listener) return std::unexpected(std::move(listener.error()));
  server.reviewer = std::make_unique<agent::ApiReviewer>(cluster.client(), cluster.node_name());
  sources.tokens = server.reviewer.get();
  sources.access = server.reviewer.get();
  server.api = std::make_unique<agent::NodeApi>(
      loop, std::move(sources),
      agent::NodeApiOptions{
          .node_name = options.node_name, .root_dir = options.kubelet_root, .pod_logs_dir = std::move(pod_logs_dir)});
  server.api->serve(std::move(listener->socket), server.tls);
  return server;
}

}  // namespace gantry::cli
