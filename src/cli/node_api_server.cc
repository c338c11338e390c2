// SPDX-License-Identifier: Apache-2.0
#include "cli/node_api_server.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "agent/node_api/folder_watch.h"
#include "agent/node_api/self_signed.h"
#include "base/log.h"
#include "sys/file.h"
#include "sys/given_files.h"

namespace gantry::cli {
namespace {

constexpr std::size_t kMaxPem = 1 << 20;
// As kubelet does. Nothing tells when a port is free again.
constexpr std::chrono::seconds kPortRetry{5};
constexpr std::chrono::seconds kLeastPause{1};

Result<http::TlsServerOptions> read_pair(const std::string& certificate_file, const std::string& key_file) {
  auto certificate = sys::read_given(certificate_file, kMaxPem);
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  auto key = sys::read_given(key_file, kMaxPem);
  if (!key) return std::unexpected(std::move(key.error()));
  return http::TlsServerOptions{
      .certificate_pem = std::move(*certificate), .key_pem = std::move(*key), .client_ca_pem = {}};
}

Result<http::TlsServerOptions> own_certificate(const agent::KubeletSettings& settings) {
  const agent::ServerConfig& server = settings.server;
  if (server.certificate_file.empty()) return agent::make_self_signed(settings.node.name, settings.node.addresses);
  return read_pair(server.certificate_file, server.key_file);
}

// An error: it shows what it showed.
Status show(const Result<http::TlsServerOptions>& pair, NodeApiServer& server) {
  if (!pair) return std::unexpected(pair.error());
  http::TlsServerOptions wanted = server.tls_options;
  wanted.certificate_pem = pair->certificate_pem;
  wanted.key_pem = pair->key_pem;
  if (wanted.certificate_pem == server.tls_options.certificate_pem && wanted.key_pem == server.tls_options.key_pem) {
    return {};
  }
  if (Status used = server.tls->replace(wanted); !used) return used;
  server.tls_options = std::move(wanted);
  log::info("the node API shows another certificate of its own");
  return {};
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

Task<> follow_certificate_files(Loop& loop, Pool& disk, std::string certificate, std::string key,
                                NodeApiServer& server) {
  agent::FolderWatch watch(loop);
  Event changed(loop);
  std::vector<std::unique_ptr<agent::FolderWatch::Watching>> watching;
  for (const std::string* file : {&certificate, &key}) {
    const std::string folder = std::filesystem::absolute(*file).parent_path().string();
    auto opened = sys::open_dir(sys::kCwd, folder.c_str());
    auto one = opened ? watch.watch(*opened, changed) : std::unexpected(std::move(opened.error()));
    if (!one) {
      log::warning("a new certificate of the node API's own is not seen before gantryd begins anew",
                   {{"folder", folder}, {"error", one.error()}});
      co_return;
    }
    watching.push_back(std::move(*one));
  }
  for (std::string said;;) {
    changed.reset();
    const auto pair = co_await disk.run([certificate, key] { return read_pair(certificate, key); });
    // One of them may have come before the other, which is a change of its own.
    const Status shown = show(pair, server);
    const std::string problem = shown ? "" : shown.error().message();
    if (!shown && problem != said) log::warning("the node API keeps its certificate", {{"error", shown.error()}});
    said = problem;
    // Others may write often in these folders.
    co_await loop.sleep_for(kLeastPause);
    co_await changed.wait();
  }
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
