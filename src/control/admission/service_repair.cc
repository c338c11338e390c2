// SPDX-License-Identifier: Apache-2.0
#include "control/admission/service_repair.h"

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "control/admission/service_allocation.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;
namespace networking = k8s::io::api::networking::v1;

namespace {

// As upstream. No request takes as long.
constexpr Duration kRound = std::chrono::minutes(3);
constexpr std::int64_t kAddressAge = 60;

// What services have now, where the caches may be behind. Empty when one can't be read: no port is known to be
// nobody's.
Task<Result<std::optional<std::set<std::int32_t>>>> stored_ports(Loop& home, const ClusterView& view) {
  const api::Kind& kind = view.kind_of<core::Service>();
  std::set<std::int32_t> ports;
  ListRequest request{.prefix = storage_key(kind, "", "")};
  for (;;) {
    Result<ListAnswer> page = co_await view.store().list(home, request);
    if (!page) co_return std::unexpected(std::move(page.error()));
    for (const EntryPtr& entry : page->entries) {
      const Result<Object> service = decode_entry(view.kinds(), kind, entry);
      if (!service) co_return std::nullopt;
      ports.merge(service_ports(static_cast<const core::Service&>(*service->message)));
    }
    if (!page->more) co_return ports;
    request.after = page->entries.back()->key;
    request.revision = page->revision;
  }
}

}  // namespace

ServiceRepair::ServiceRepair(const ClusterView& view, std::function<api::Timestamp()> now, bool is_alone)
    : view_(view), now_(std::move(now)), is_alone_(is_alone), addresses_(view, now_), ports_(view.store()) {}

Task<Status> ServiceRepair::repair_ports(Loop& home) {
  std::set<std::int32_t> used;
  for (const auto& service : view_.list<core::Service>("")) used.merge(service_ports(*service));
  std::set<std::int32_t> unused;
  std::ranges::set_intersection(unknown_, unknown_before_, std::inserter(unused, unused.end()));
  if (!unused.empty()) {
    Result<std::optional<std::set<std::int32_t>>> stored = co_await stored_ports(home, view_);
    if (!stored) co_return std::unexpected(std::move(stored.error()));
    if (!*stored) {
      unused.clear();
    } else {
      used.merge(**stored);
    }
  }
  Result<std::set<std::int32_t>> unknown = co_await ports_.repair(home, std::move(used), std::move(unused));
  if (!unknown) co_return std::unexpected(std::move(unknown.error()));
  unknown_before_ = std::move(unknown_);
  unknown_ = std::move(*unknown);
  co_return Status();
}

Task<Status> ServiceRepair::take_back_addresses(Loop& home, std::set<std::string> used) {
  Objects objects(view_.kinds(), view_.store());
  for (const auto& address : view_.list<networking::IPAddress>("")) {
    const networking::ParentReference& parent = address->spec().parent_ref();
    const bool is_new = !is_alone_ && address->metadata().creation_timestamp().seconds() + kAddressAge > now_().seconds;
    if (used.contains(address->metadata().name()) || is_new || !is_given_to_service(*address)) continue;
    // The caches may be behind.
    const Result<std::optional<Object>> service =
        co_await objects.find(home, view_.kind_of<core::Service>(), parent.namespace_(), parent.name());
    const std::string& name = address->metadata().name();
    if (!service && service.error().code() == Code::kDataLoss) {
      log::warning("an address stays taken, for its service can't be read",
                   {{"address", name}, {"error", service.error()}});
      continue;
    }
    if (!service) co_return std::unexpected(service.error());
    if (*service && service_addresses(static_cast<const core::Service&>(*(*service)->message)).contains(name)) continue;
    log::info("an address that no service has is free again", {{"address", name}});
    Status released = co_await addresses_.release(home, name, parent.namespace_(), parent.name());
    if (!released) co_return released;
  }
  co_return Status();
}

Task<Status> ServiceRepair::repair_addresses(Loop& home) {
  std::set<std::string> known;
  for (const auto& address : view_.list<networking::IPAddress>("")) known.insert(address->metadata().name());
  std::set<std::string> used;
  for (const auto& service : view_.list<core::Service>("")) {
    const core::Service& each = *service;
    for (const std::string& text : service_addresses(each)) {
      used.insert(text);
      Result<api::IpAddress> address = api::parse_ip(text);
      if (!address || known.contains(to_string(*address))) continue;
      Result<std::string> taken =
          co_await addresses_.take(home, *address, each.metadata().namespace_(), each.metadata().name());
      if (!taken) co_return std::unexpected(std::move(taken.error()));
    }
  }
  co_return co_await take_back_addresses(home, std::move(used));
}

Task<Status> ServiceRepair::start(Loop& home) {
  if (Status done = co_await repair_addresses(home); !done) co_return done;
  if (Status done = co_await repair_ports(home); !done || !is_alone_ || unknown_.empty()) co_return done;
  // Nobody is under way: what nobody has is free.
  unknown_before_ = unknown_;
  co_return co_await repair_ports(home);
}

Task<> ServiceRepair::keep(Loop& home) {
  is_alone_ = false;  // requests are under way from now on
  for (;;) {
    co_await home.sleep_for(kRound);
    Status done = co_await repair_ports(home);
    if (done) done = co_await repair_addresses(home);
    if (!done)
      log::warning("addresses and ports of services could not be repaired, retrying", {{"error", done.error()}});
  }
}

}  // namespace gantry::control
