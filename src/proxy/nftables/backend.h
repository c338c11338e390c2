// SPDX-License-Identifier: Apache-2.0
// The nftables backend: one table of family inet for a node, "gantry-services-<8 hex digits of the instance>", ours
// when its comment says "gantry:<instance>". A change is one transaction of what changes. In the network namespace of
// the thread that opens it. Blocking. Linux 6.1, CAP_NET_ADMIN.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "proxy/backend.h"
#include "proxy/nftables/batch.h"
#include "proxy/nftables/service_maps.h"

namespace gantry::proxy::nftables {

class NftablesBackend final : public Backend {
 public:
  static Result<std::unique_ptr<NftablesBackend>> open(const std::string& instance);

  Status replace(const ServiceRules& rules, const std::vector<netns::Cidr>& pods) override;
  Status apply(const RuleChanges& changes) override;
  Status remove() override;

  // A socket of Watcher's that need not be told of each element of a replace().
  void spare(OwnFd events) { events_ = std::move(events); }
  const std::string& table() const { return rules_.table(); }
  const std::string& mark() const { return comment_; }
  // Who the kernel says has made our changes (watcher.h).
  std::uint32_t port_id() const { return connection_.port_id(); }

 private:
  Status commit_all(Batch batch);
  NftablesBackend(Connection connection, std::string table, std::string comment)
      : connection_(std::move(connection)), rules_(std::move(table)), comment_(std::move(comment)) {}

  Connection connection_;
  const RuleSet rules_;
  const std::string comment_;
  OwnFd events_;  // not open: nobody listens
  std::unique_ptr<ServiceMaps> maps_;  // none: the kernel's state is not known
};

}  // namespace gantry::proxy::nftables
