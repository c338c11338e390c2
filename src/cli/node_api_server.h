// SPDX-License-Identifier: Apache-2.0
// gantryd's own servers, put together. The node API: its socket, its certificate, whose certificates it takes, whom it
// asks. And /healthz. Loop thread.
#pragma once

#include <memory>
#include <string>

#include "agent/cluster.h"
#include "agent/kubelet_config.h"
#include "agent/node_api/health_server.h"
#include "agent/node_api/node_api.h"
#include "agent/node_api/reviews.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cli/service.h"
#include "http/tls.h"

namespace gantry::cli {

struct NodeApiServer {
  std::unique_ptr<agent::ApiReviewer> reviewer;
  // What it shows and whom it takes; replaced when either is renewed.
  http::TlsServerOptions tls_options;
  std::shared_ptr<http::TlsServer> tls;
  std::unique_ptr<agent::NodeApi> api;
};

// Serves at once. `client_ca` are the CAs of the clients' certificates, as PEM, when the settings name none. The
// certificate is the one of the settings, or signs itself.
Result<NodeApiServer> start_node_api(Loop& loop, const agent::KubeletSettings& settings, std::string client_ca,
                                     agent::Cluster& cluster, agent::NodeApiSources sources, KeptSockets& kept);

// From now on the certificate and the key of these files are shown when others are there that fit each other. Ends when
// their folders can't be watched. `server` outlives it.
Task<> follow_certificate_files(Loop& loop, Pool& disk, std::string certificate, std::string key,
                                NodeApiServer& server);

// Serves /healthz into `health`; as long as somebody else has its port it is tried again. All outlive it.
Task<> serve_health(Loop& loop, const agent::ServerConfig& server, KeptSockets& kept,
                    std::unique_ptr<agent::HealthServer>& health);

}  // namespace gantry::cli
