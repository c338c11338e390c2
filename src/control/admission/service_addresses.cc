// SPDX-License-Identifier: Apache-2.0
#include "control/admission/service_addresses.h"

#include <algorithm>
#include <random>

#include "base/text.h"
#include "control/server/object_names.h"
#include "control/server/objects.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"

namespace gantry::control {

namespace networking = k8s::io::api::networking::v1;
using Size = unsigned __int128;

namespace {

constexpr char kDefaultRange[] = "kubernetes";
constexpr char kManagedBy[] = "ipaddress.kubernetes.io/managed-by";
constexpr char kAllocator[] = "ipallocator.k8s.io";
// Tries at random before all are tried in turn, of which there is an end, too.
constexpr int kRandomTries = 32;
constexpr std::uint64_t kTries = 1 << 16;

std::minstd_rand& random_source() {
  static thread_local std::minstd_rand source(std::random_device{}());
  return source;
}

// The lower part of a range is chosen last, so that those who ask for an address of it find it free.
Size kept_for_asking(Size size) { return std::clamp<Size>(size / 16, 16, 256); }

}  // namespace

bool is_given_to_service(const networking::IPAddress& address) {
  const auto& labels = address.metadata().labels();
  const auto manager = labels.find(kManagedBy);
  const networking::ParentReference& parent = address.spec().parent_ref();
  return manager != labels.end() && manager->second == kAllocator && parent.group().empty() &&
         parent.resource() == "services";
}

Task<Outcome<std::vector<api::IpNetwork>>> ServiceAddresses::networks(Loop& here) const {
  std::vector<std::shared_ptr<const networking::ServiceCIDR>> ranges = view_.list<networking::ServiceCIDR>("");
  const auto first =
      std::ranges::find(ranges, kDefaultRange, [](const auto& range) { return range->metadata().name(); });
  if (first != ranges.end()) std::rotate(ranges.begin(), first, first + 1);
  if (ranges.empty() || ranges.front()->metadata().name() != kDefaultRange) {
    auto found = co_await view_.find_now<networking::ServiceCIDR>(here, "", kDefaultRange);
    if (!found) co_return fail(std::move(found.error()));
    if (*found != nullptr) ranges.insert(ranges.begin(), *found);
  }
  std::vector<api::IpNetwork> networks;
  for (const auto& range : ranges) {
    if (range->metadata().has_deletion_timestamp()) continue;
    for (const std::string& text : range->spec().cidrs()) {
      if (Result<api::IpNetwork> network = api::parse_network(text); network) networks.push_back(*network);
    }
  }
  co_return std::move(networks);
}

Task<Result<std::string>> ServiceAddresses::take(Loop& here, api::IpAddress wanted, std::string ns,
                                                 std::string service) const {
  auto object = std::make_unique<networking::IPAddress>();
  auto* metadata = object->mutable_metadata();
  metadata->set_name(to_string(wanted));
  Result<std::string> uid = new_uid();
  if (!uid) co_return std::unexpected(std::move(uid.error()));
  metadata->set_uid(*uid);
  metadata->mutable_creation_timestamp()->set_seconds(now_().seconds);
  metadata->set_generation(1);
  (*metadata->mutable_labels())["ipaddress.kubernetes.io/ip-family"] = wanted.is_v6 ? "IPv6" : "IPv4";
  (*metadata->mutable_labels())[kManagedBy] = kAllocator;
  networking::ParentReference* parent = object->mutable_spec()->mutable_parent_ref();
  parent->set_resource("services");
  parent->set_namespace_(ns);
  parent->set_name(service);
  Objects objects(view_.kinds(), view_.store());
  Result<Objects::Answer> made =
      co_await objects.create(here, view_.kind_of<networking::IPAddress>(), std::move(object));
  if (!made) co_return std::unexpected(std::move(made.error()));
  co_return made->done ? to_string(wanted) : std::string();
}

Task<Result<std::string>> ServiceAddresses::take_any(Loop& here, std::vector<api::IpNetwork> networks, bool is_v6,
                                                     std::string ns, std::string service, bool dry_run) const {
  for (const api::IpNetwork& network : networks) {
    if (network.base.is_v6 != is_v6) continue;
    // Without the network's own address, and IPv4's last, which is broadcast.
    const Size size = network.size() - (is_v6 ? 1 : 2);
    if (network.size() < 4) continue;
    const Size kept = std::min(kept_for_asking(network.size()), size - 1);
    std::uniform_int_distribution<std::uint64_t> any(0, static_cast<std::uint64_t>(size - kept) - 1);
    for (int i = 0; i < kRandomTries; ++i) {
      const api::IpAddress address = network.base.plus(1 + kept + any(random_source()));
      if (dry_run) co_return to_string(address);
      Result<std::string> taken = co_await take(here, address, ns, service);
      if (!taken || !taken->empty()) co_return taken;
    }
    const Size start = any(random_source());
    for (std::uint64_t i = 0; i < std::min<Size>(size, kTries); ++i) {
      Result<std::string> taken = co_await take(here, network.base.plus(1 + (kept + start + i) % size), ns, service);
      if (!taken || !taken->empty()) co_return taken;
    }
  }
  co_return std::string();
}

Task<Status> ServiceAddresses::release(Loop& here, std::string address, std::string ns, std::string service) const {
  Objects objects(view_.kinds(), view_.store());
  const api::Kind& kind = view_.kind_of<networking::IPAddress>();
  Result<std::optional<Object>> found = co_await objects.find(here, kind, "", address);
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return Status();
  const auto& parent = static_cast<const networking::IPAddress&>(*(*found)->message).spec().parent_ref();
  if (parent.resource() != "services" || parent.namespace_() != ns || parent.name() != service) co_return Status();
  Result<Objects::Answer> removed = co_await objects.remove(here, kind, "", address, (*found)->revision());
  if (!removed) co_return std::unexpected(std::move(removed.error()));
  co_return Status();
}

}  // namespace gantry::control
