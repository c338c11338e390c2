// SPDX-License-Identifier: Apache-2.0
// What nodes may (users system:node:NAME of the group system:nodes): a node reads what pods that are bound to it need
// (secrets, config maps, claims, volumes, their attachments, tokens), its own Node, Lease, CSINode and pods, and what
// every node needs. What it may write of these is narrowed further by admission (NodeRestriction). Any thread.
#pragma once

#include <optional>
#include <string>

#include "control/authorization/node_graph.h"
#include "control/authorization/rbac_policy.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

// The NAME of a node's user; nothing for other users.
std::optional<std::string> node_name_of(const User& user);

class NodeAuthorizer : public Authorizer {
 public:
  // What the arguments refer to must outlive it. `rules`: what every node may, of anything that is not judged by name.
  NodeAuthorizer(const NodeGraph& graph, const ClusterView& view, std::shared_ptr<const RbacPolicy::Rules> rules)
      : graph_(graph), view_(view), rules_(std::move(rules)) {}
  ~NodeAuthorizer() override;

  Task<Answer> authorize(Loop& here, const AccessRequest& request) override;

  // Those of the default role system:node.
  static Result<std::shared_ptr<const RbacPolicy::Rules>> default_rules();

 private:
  Task<bool> may_read(Loop& here, std::string node, const AccessRequest& request) const;
  Task<bool> reaches_volume(Loop& here, std::string node, std::string volume) const;
  Task<bool> reaches_secret_of_volume(Loop& here, std::string node, std::string reference) const;

  const NodeGraph& graph_;
  const ClusterView& view_;
  const std::shared_ptr<const RbacPolicy::Rules> rules_;
};

}  // namespace gantry::control
