// SPDX-License-Identifier: Apache-2.0
#include "agent/node_lease.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::agent {

namespace {

constexpr char kNamespace[] = "kube-node-lease";
constexpr Duration kFirstPause = std::chrono::milliseconds(200);

}  // namespace

NodeLease::NodeLease(Cluster& cluster, std::int32_t seconds)
    : cluster_(cluster), seconds_(seconds), node_there_(cluster.loop()) {
  cluster_.node().on_change([this](const api::Informer::Change& change) {
    if (change.now != nullptr) node_there_.set();
  });
}
NodeLease::~NodeLease() = default;

void NodeLease::start() { cluster_.loop().spawn(run()); }

void NodeLease::stop() {
  stopped_ = true;
  node_there_.set();
}

void NodeLease::fill(Lease* lease, const std::string& node_uid) const {
  lease->mutable_metadata()->set_name(cluster_.node_name());
  lease->mutable_metadata()->set_namespace_(kNamespace);
  lease->mutable_metadata()->clear_owner_references();
  auto* owner = lease->mutable_metadata()->add_owner_references();
  owner->set_api_version("v1");
  owner->set_kind("Node");
  owner->set_name(cluster_.node_name());
  owner->set_uid(node_uid);
  lease->mutable_spec()->set_holder_identity(cluster_.node_name());
  lease->mutable_spec()->set_lease_duration_seconds(seconds_);
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(since).count();
  lease->mutable_spec()->mutable_renew_time()->set_seconds(micros / 1'000'000);
  lease->mutable_spec()->mutable_renew_time()->set_nanos(static_cast<std::int32_t>(micros % 1'000'000 * 1000));
}

// Of a lease that somebody else changed or removed meanwhile the newest is read, the next time.
Task<api::Answer<void>> NodeLease::renew() {
  const std::shared_ptr<const Cluster::Node> node = cluster_.node_object();
  if (node == nullptr) {
    node_there_.reset();
    co_return api::Answer<void>();
  }
  const std::string uid = node->metadata().uid();
  bool is_there = true;
  if (held_ == nullptr) {
    api::Answer<Lease> found = co_await cluster_.urgent_client().get<Lease>(kNamespace, cluster_.node_name());
    is_there = found.has_value();
    if (!found && !found.error().is_not_found()) co_return api::fail(std::move(found.error()));
    held_ = std::make_unique<Lease>(found ? std::move(*found) : Lease());
  }
  fill(held_.get(), uid);
  const std::unique_ptr<Lease> sent = std::move(held_);
  api::Answer<Lease> done;
  if (is_there) {
    done = co_await cluster_.urgent_client().update(*sent);
  } else {
    done = co_await cluster_.urgent_client().create(*sent);
  }
  if (!done) co_return api::fail(std::move(done.error()));
  held_ = std::make_unique<Lease>(std::move(*done));
  co_return api::Answer<void>();
}

Task<> NodeLease::run() {
  const Duration interval = std::chrono::seconds(seconds_) / 4;
  Duration wait = kFirstPause;
  while (!stopped_) {
    co_await node_there_.wait();
    if (stopped_) co_return;
    api::Answer<void> done = co_await renew();
    if (done) {
      wait = kFirstPause;
      co_await cluster_.loop().sleep_for(interval);
      continue;
    }
    if (!done.error().is_conflict())
      log::warning("the node's lease can't be renewed, retrying", {{"error", done.error().message}});
    co_await cluster_.loop().sleep_for(std::min(wait, interval));
    wait = std::min(wait * 2, interval);
  }
}

}  // namespace gantry::agent
