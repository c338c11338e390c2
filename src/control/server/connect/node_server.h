// SPDX-License-Identifier: Apache-2.0
// Where a node's TLS server is, as its Node object says, and how it is spoken to. Pure.
#pragma once

#include <memory>

#include "control/server/failure.h"
#include "http/client.h"
#include "http/tls.h"

namespace k8s::io::api::core::v1 {
class Node;
}

namespace gantry::control {

// The node's certificate must name that address, and the node as its user; see connector.h. 503 when it has no address.
Outcome<http::ClientOptions> node_server(const k8s::io::api::core::v1::Node& node,
                                         std::shared_ptr<http::TlsClient> tls);

}  // namespace gantry::control
