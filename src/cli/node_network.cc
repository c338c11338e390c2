// SPDX-License-Identifier: Apache-2.0
#include "cli/node_network.h"

namespace gantry::cli {

NodeNetwork::NodeNetwork(Parts parts)
    : parts_(parts), objects_(parts_.cluster.client(), parts_.cluster.services(), parts_.cluster.node_name()) {}

void NodeNetwork::start() { objects_.start(); }

void NodeNetwork::stop() { objects_.stop(); }

}  // namespace gantry::cli
