// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/quota_controller.h"

#include <algorithm>

#include "api/client/discovery.h"
#include "api/metadata.h"
#include "base/text.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/quota.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/meta/v1/object.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;
using k8s::io::apimachinery::pkg::apis::meta::v1::PartialObjectMetadata;

namespace {

// How often quotas are looked at of a namespace in which much happens.
constexpr Duration kPause = std::chrono::milliseconds(300);
// How often discovery is asked for a name that it does not know.
constexpr Duration kAskAgain = std::chrono::seconds(30);
constexpr std::size_t kWorkers = 4;

QuotaResource resource_of(const api::Target& target) { return {target.group, target.plural}; }

std::unique_ptr<api::Message> make_object(const QuotaResource& resource) {
  if (resource.is_core("pods")) return std::make_unique<core::Pod>();
  if (resource.is_core("services")) return std::make_unique<core::Service>();
  if (resource.is_core("persistentvolumeclaims")) return std::make_unique<core::PersistentVolumeClaim>();
  return std::make_unique<PartialObjectMetadata>();
}

Amounts used_of(const ResourceQuota& quota) { return read_amounts(quota.status().used()); }

// Its status says of each limit what it is and how much of it is used.
bool is_set_up(const ResourceQuota& quota, const Amounts& counted) {
  const Amounts hard = read_amounts(quota.spec().hard());
  const Amounts used = used_of(quota);
  return equal(hard, read_amounts(quota.status().hard())) &&
         std::ranges::all_of(counted, [&used](const auto& entry) { return used.contains(entry.first); }) &&
         std::ranges::all_of(used, [&hard](const auto& entry) { return hard.contains(entry.first); });
}

bool any_smaller(const Amounts& before, const Amounts& now) {
  return std::ranges::any_of(before, [&now](const auto& entry) {
    const auto found = now.find(entry.first);
    return found != now.end() && found->second.compare(entry.second) < 0;
  });
}

}  // namespace

QuotaController::QuotaController(ControllerParts parts, Duration settled)
    : parts_(std::move(parts)),
      settled_(settled),
      queue_(parts_.queues(), "resourcequota", [this](std::string key) { return work(key); }, kWorkers) {
  parts_.informers.of<core::ResourceQuota>().on_change([this](const auto& change) { on_quota(change); });
  const auto follow = [this](api::Informer& informer) {
    informer.on_change([this, &informer](const auto& change) { on_object(informer.target(), change); });
  };
  follow(parts_.informers.of<core::Pod>());
  follow(parts_.informers.of<core::Service>());
  follow(parts_.informers.of<core::PersistentVolumeClaim>());
}

void QuotaController::on_quota(const api::Informer::Change& change) {
  const auto& quota = static_cast<const ResourceQuota&>(change.object());
  const std::string key = key_of(quota);
  if (change.now == nullptr) {
    marks_.erase(key);
    return;
  }
  if (change.before != nullptr &&
      any_smaller(used_of(static_cast<const ResourceQuota&>(*change.before)), used_of(quota))) {
    marks_.erase(key);
  }
  const bool is_new =
      change.before == nullptr || !equal(read_amounts(quota.spec().hard()), read_amounts(quota.status().hard()));
  if (is_new) {
    queue_.add(key);
  } else {
    look_at(quota.metadata().namespace_());
  }
}

void QuotaController::on_object(const api::Target& target, const api::Informer::Change& change) {
  const std::string& ns = api::metadata_of(change.object()).namespace_();
  const auto& quotas = parts_.informers.of<core::ResourceQuota>().all();
  const auto first = quotas.lower_bound(cat(ns, "/"));
  if (first == quotas.end() || !first->first.starts_with(cat(ns, "/"))) return;
  // What is new was charged.
  if (change.before == nullptr) return;
  const QuotaResource resource = resource_of(target);
  if (change.now != nullptr) {
    if (!has_own_amounts(resource)) return;
    const std::int64_t now = parts_.now().seconds;
    if (equal(quota_usage(resource, *change.before, now), quota_usage(resource, *change.now, now))) return;
  }
  look_at(ns);
}

void QuotaController::stop() {
  for (const auto& [name, informer] : counted_) informer->stop();
}

void QuotaController::look_at(const std::string& ns) {
  if (looked_at_.insert(ns).second) parts_.here.spawn(look_later(ns));
}

Task<> QuotaController::look_later(std::string ns) {
  co_await parts_.here.sleep_for(kPause);
  looked_at_.erase(ns);
  const auto& quotas = parts_.informers.of<core::ResourceQuota>().all();
  const std::string prefix = cat(ns, "/");
  for (auto quota = quotas.lower_bound(prefix); quota != quotas.end() && quota->first.starts_with(prefix); ++quota) {
    queue_.add(quota->first);
  }
}

Task<Result<std::vector<api::Target>>> QuotaController::targets_of(const ResourceQuota& quota) {
  std::vector<api::Target> targets;
  for (int attempt = 0; attempt < 2; ++attempt) {
    targets.clear();
    std::set<std::string> left;
    for (const auto& [name, amount] : quota.spec().hard()) left.insert(name);
    for (const api::Target& target : known_) {
      const QuotaResource resource = resource_of(target);
      const auto limits = [&resource](const std::string& name) { return is_limit_of(resource, name); };
      // Of reviews and bindings there are none to count.
      const bool can_be_seen = api::has(target.verbs, api::Verb::kList) && api::has(target.verbs, api::Verb::kWatch);
      if (!target.namespaced || !can_be_seen || !resource.is_counted() || std::ranges::none_of(left, limits)) continue;
      std::erase_if(left, limits);
      targets.push_back(target);
    }
    // A resource that is not known yet may have come since discovery was asked; one that is none does not come.
    if (left.empty() || attempt > 0 || (asked_ && Clock::now() - *asked_ < kAskAgain)) break;
    api::Answer<api::Discovered> found = co_await api::discover(parts_.client);
    if (!found) co_return std::unexpected(found.error().as_error());
    known_ = std::move(found->targets);
    asked_ = Clock::now();
  }
  co_return targets;
}

api::Informer* QuotaController::informer_of(const api::Target& target) {
  const QuotaResource resource = resource_of(target);
  if (resource.is_core("pods")) return &parts_.informers.of<core::Pod>();
  if (resource.is_core("services")) return &parts_.informers.of<core::Service>();
  if (resource.is_core("persistentvolumeclaims")) return &parts_.informers.of<core::PersistentVolumeClaim>();
  std::unique_ptr<api::Informer>& informer = counted_[resource.count_name()];
  if (informer == nullptr) {
    informer = std::make_unique<api::Informer>(
        parts_.client, api::Informer::Options{.target = target, .metadata_only = true, .make = [] {
                                                return std::make_unique<PartialObjectMetadata>();
                                              }});
    informer->on_change([this, target](const auto& change) { on_object(target, change); });
    informer->start();
  }
  return informer.get();
}

Task<Result<Amounts>> QuotaController::count_resource(const api::Target& target, const ResourceQuota& quota, bool now) {
  const QuotaResource resource = resource_of(target);
  const std::string& ns = quota.metadata().namespace_();
  const std::int64_t time = parts_.now().seconds;
  Amounts sum;
  const auto take = [&](const api::Message& object) {
    if (is_in_scopes(quota, resource, object)) add(quota_usage(resource, object, time), &sum);
  };
  api::Informer* informer = informer_of(target);
  if (!now) {
    co_await informer->wait_synced();
    const std::string prefix = cat(ns, "/");
    const auto& all = informer->all();
    for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it) take(*it->second);
    co_return sum;
  }
  const auto look = [&](const api::Value& item) -> api::Answer<void> {
    const std::unique_ptr<api::Message> object = make_object(resource);
    if (api::Answer<void> read = api::Client::decode_item(item, object.get()); !read) return read;
    take(*object);
    return {};
  };
  const api::Answer<void> seen =
      co_await parts_.client.visit(target, {.ns = ns}, look, /*metadata_only=*/!has_own_amounts(resource));
  if (!seen) co_return std::unexpected(seen.error().as_error());
  co_return sum;
}

Task<Result<Amounts>> QuotaController::count(const ResourceQuota& quota, bool now) {
  Result<std::vector<api::Target>> targets = co_await targets_of(quota);
  if (!targets) co_return std::unexpected(std::move(targets.error()));
  Amounts sum;
  for (const api::Target& target : *targets) {
    // Also of what there is none of.
    for (const auto& [name, amount] : quota.spec().hard()) {
      if (is_limit_of(resource_of(target), name)) sum.try_emplace(name);
    }
    const Result<Amounts> counted = co_await count_resource(target, quota, now);
    if (!counted) co_return std::unexpected(counted.error());
    add(*counted, &sum);
  }
  co_return only(sum, read_amounts(quota.spec().hard()));
}

Task<Result<std::optional<ResourceQuota>>> QuotaController::read(std::string ns, std::string name) {
  api::Answer<std::vector<ResourceQuota>> found =
      co_await parts_.client.list<ResourceQuota>({.ns = std::move(ns), .field_selector = cat("metadata.name=", name)});
  if (!found) co_return std::unexpected(found.error().as_error());
  if (found->empty()) co_return std::nullopt;
  co_return std::move(found->front());
}

Task<Status> QuotaController::write(ResourceQuota quota, Amounts hard, Amounts used) {
  marks_.erase(key_of(quota));
  write_amounts(hard, quota.mutable_status()->mutable_hard());
  write_amounts(used, quota.mutable_status()->mutable_used());
  // Charged meanwhile: the change comes, and with it this.
  co_return done_or_late(co_await parts_.client.update_status(quota));
}

// What a limit that is new counts from its beginning; what was charged for already stays.
Task<Status> QuotaController::set_up(const ResourceQuota& quota) {
  Result<std::optional<ResourceQuota>> found = co_await read(quota.metadata().namespace_(), quota.metadata().name());
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return Status();
  ResourceQuota& current = **found;
  Result<Amounts> counted = co_await count(current, true);
  if (!counted) co_return std::unexpected(std::move(counted.error()));
  const Amounts hard = read_amounts(current.spec().hard());
  Amounts used = *counted;
  raise(only(used_of(current), *counted), &used);
  co_return co_await write(std::move(current), hard, used);
}

Task<Status> QuotaController::take_back(std::string key, Mark mark) {
  const auto known = parts_.informers.of<core::ResourceQuota>().find_key(key);
  if (known == nullptr) co_return Status();
  const Result<Amounts> counted = co_await count(*known, true);
  if (!counted) co_return std::unexpected(counted.error());
  Result<std::optional<ResourceQuota>> found = co_await read(known->metadata().namespace_(), known->metadata().name());
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return Status();
  ResourceQuota& current = **found;
  // Only when all that became of it until now is known is it known that nobody else took anything away.
  const auto seen = parts_.informers.of<core::ResourceQuota>().find_key(key);
  const bool is_all_seen =
      seen != nullptr && seen->metadata().resource_version() == current.metadata().resource_version();
  if (!marks_.contains(key)) co_return Status();
  if (!is_all_seen) {
    queue_.add_after(key, kPause);
    co_return Status();
  }
  Amounts used = used_of(current);
  for (auto& [name, amount] : used) {
    const auto there = counted->find(name);
    const auto marked = mark.used.find(name);
    if (there == counted->end() || marked == mark.used.end()) continue;
    api::Quantity gone = marked->second;
    gone.subtract(there->second);
    if (!gone.is_negative()) {
      amount.subtract(gone);
    } else if (amount.compare(there->second) < 0) {
      amount = there->second;
    }
  }
  if (equal(used, used_of(current))) {
    marks_.erase(key);
    co_return Status();
  }
  const Amounts hard = read_amounts(current.status().hard());
  co_return co_await write(std::move(current), hard, used);
}

Task<Status> QuotaController::work(std::string key) {
  const auto quota = parts_.informers.of<core::ResourceQuota>().find_key(key);
  if (quota == nullptr || quota->metadata().has_deletion_timestamp()) co_return Status();
  const Result<Amounts> counted = co_await count(*quota, false);
  if (!counted) co_return std::unexpected(counted.error());
  if (!is_set_up(*quota, *counted)) co_return co_await set_up(*quota);
  const Amounts used = used_of(*quota);
  if (equal(only(used, *counted), *counted)) {
    marks_.erase(key);
    co_return Status();
  }
  const auto mark = marks_.find(key);
  if (mark == marks_.end()) {
    marks_[key] = {used, Clock::now()};
    queue_.add_after(key, settled_);
    co_return Status();
  }
  // It was added by something else meanwhile, and comes again.
  if (Clock::now() - mark->second.since < settled_) co_return Status();
  co_return co_await take_back(key, mark->second);
}

}  // namespace gantry::control
