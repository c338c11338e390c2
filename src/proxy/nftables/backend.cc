// SPDX-License-Identifier: Apache-2.0
#include "proxy/nftables/backend.h"

#include <utility>

#include "netns/nft_mark.h"
#include "proxy/nftables/watcher.h"

namespace gantry::proxy::nftables {

Result<std::unique_ptr<NftablesBackend>> NftablesBackend::open(const std::string& instance) {
  auto connection = Connection::open();
  if (!connection) return std::unexpected(std::move(connection.error()));
  return std::unique_ptr<NftablesBackend>(new NftablesBackend(
      std::move(*connection), netns::nft_table_name("gantry-services", instance), netns::nft_mark(instance)));
}

Status NftablesBackend::replace(const ServiceRules& rules, const std::vector<netns::Cidr>& pods) {
  maps_.reset();
  auto there = netns::has_own_nft_table(table(), comment_);
  if (!there) return std::unexpected(std::move(there.error()));
  auto maps = std::make_unique<ServiceMaps>(rules_);
  Batch batch;
  rules_.replace(&batch, comment_, pods);
  for (const auto& [name, rule] : rules) maps->set(name, rule);
  maps->write(&batch);
  if (auto done = commit_all(std::move(batch)); !done) return done;
  maps_ = std::move(maps);
  return {};
}

// For who listens the kernel keeps a page for each element until all is done: gigabytes for a large cluster.
Status NftablesBackend::commit_all(Batch batch) {
  if (!events_.is_open()) return connection_.commit(std::move(batch));
  if (auto silent = Watcher::listen(events_, false); !silent) return silent;
  auto done = connection_.commit(std::move(batch));
  auto heard = Watcher::listen(events_, true);
  if (!done) return done;
  if (!heard) return heard;
  // Who removed it meanwhile was not heard.
  auto there = netns::has_own_nft_table(table(), comment_);
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return fail(Code::kUnavailable, "somebody removed the table of services at once");
  return {};
}

Status NftablesBackend::apply(const RuleChanges& changes) {
  if (!maps_) return fail(Code::kFailedPrecondition, "nobody knows what the kernel's table has");
  for (const std::string& name : changes.removed) maps_->erase(name);
  for (const auto& [name, rule] : changes.set) maps_->set(name, rule);
  Batch batch;
  maps_->write(&batch);
  auto done = connection_.commit(std::move(batch));
  if (!done) maps_.reset();
  return done;
}

Status NftablesBackend::remove() {
  maps_.reset();
  auto there = netns::has_own_nft_table(table(), comment_);
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return {};
  Batch batch;
  rules_.remove(&batch);
  return connection_.commit(std::move(batch));
}

}  // namespace gantry::proxy::nftables
