// SPDX-License-Identifier: Apache-2.0
// gantryd's node API, put together: its socket, its certificate, whose certificates it takes, whom it asks. Loop
// thread.
#pragma once

#include <memory>
#include <string>

#include "agent/cluster.h"
#include "agent/node_api/node_api.h"
#include "agent/node_api/reviews.h"
#include "base/loop.h"
#include "base/result.h"
#include "cli/gantryd_options.h"
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

// Serves at once. `client_ca` are the CAs of the clients' certificates, as PEM. The certificate is the one of the
// options, or signs itself.
Result<NodeApiServer> start_node_api(Loop& loop, const GantrydOptions& options, const std::string& node_ip,
                                     std::string client_ca, std::string pod_logs_dir, agent::Cluster& cluster,
                                     agent::NodeApiSources sources, KeptSockets& kept);

}  // namespace gantry::cli
