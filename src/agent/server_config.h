// SPDX-License-Identifier: Apache-2.0
// How a node's own servers are reached, by whom, and what they show: KubeletConfiguration's fields and the command
// line, checked. Values.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/loop.h"
#include "http/tls.h"

namespace gantry::agent {

// Who is let in to the node API (node_api/gate.h), and how long answers to that count.
struct GateRules {
  // authentication.webhook.enabled: the cluster is asked whose they are.
  bool takes_tokens = true;
  // authentication.anonymous.enabled: who shows nothing is system:anonymous.
  bool takes_anonymous = false;
  // authorization.mode Webhook; else whoever has a name may do everything.
  bool asks_for_rights = true;
  Duration tokens = std::chrono::minutes(2);         // authentication.webhook.cacheTTL
  Duration authorized = std::chrono::minutes(5);     // authorization.webhook.cacheAuthorizedTTL
  Duration unauthorized = std::chrono::seconds(30);  // authorization.webhook.cacheUnauthorizedTTL
};

struct ServerConfig {
  // ---- the node API; a node without a cluster has none
  bool is_on = true;
  std::string address = "0.0.0.0";
  std::uint16_t port = 10250;
  // What it shows: files, PEM. Empty: one that the cluster signs, if it is asked for that; until then one that signs
  // itself.
  std::string certificate_file, key_file;
  bool asks_for_certificate = true;  // serverTLSBootstrap
  std::string client_ca_file;        // whose clients it takes; empty: those of the kubeconfig's CA
  http::TlsRules tls;
  GateRules gate;
  bool enters_containers = true;  // enableDebuggingHandlers

  // ---- /healthz for this machine alone, without TLS
  std::string health_address = "127.0.0.1";
  std::uint16_t health_port = 10248;  // 0: it is not served

  // ---- as a client of its cluster
  bool renews_certificate = true;  // rotateCertificates

  std::uint16_t served_port() const { return is_on ? port : std::uint16_t{0}; }
};

}  // namespace gantry::agent
