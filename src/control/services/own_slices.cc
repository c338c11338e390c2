// SPDX-License-Identifier: Apache-2.0
#include "control/services/own_slices.h"

#include <chrono>

#include "control/services/names.h"
#include "control/workloads/written.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace {

constexpr char kByService[] = "service";
// Somebody may have removed a slice before it was seen, and nobody tells.
constexpr Duration kForgotten = std::chrono::minutes(1);

Duration now() { return std::chrono::steady_clock::now().time_since_epoch(); }

std::string service_of(const EndpointSlice& slice) {
  const auto& labels = slice.metadata().labels();
  const auto found = labels.find(kServiceName);
  return found == labels.end() ? std::string() : api::object_key(slice.metadata().namespace_(), found->second);
}

std::uint64_t version_of(const EndpointSlice& slice) { return workloads::version_of(slice.metadata()); }

}  // namespace

OwnSlices::OwnSlices(const ControllerParts& parts, std::string managed_by,
                     std::function<void(const std::string& key)> changed)
    : here_(parts.here),
      client_(parts.client),
      slices_(parts.informers.of<EndpointSlice>()),
      managed_by_(std::move(managed_by)),
      changed_(std::move(changed)) {
  slices_.add_index(kByService, [](const api::Message& slice) {
    return std::vector<std::string>{service_of(static_cast<const EndpointSlice&>(slice))};
  });
  slices_.on_change([this](const api::Informer::Change& change) { see(change); });
}

std::optional<std::vector<SlicePtr>> OwnSlices::of(const std::string& service) {
  if (const auto written = written_.find(service); written != written_.end()) {
    const std::string ns = api::split_key(service).first;
    const Duration old = now() - kForgotten;
    std::erase_if(written->second,
                  [&](const auto& each) { return each.second.at < old || is_seen(ns, each.first, each.second); });
    if (!written->second.empty()) {
      held_.insert(service);
      if (timed_.insert(service).second) here_.spawn(look_again(service));
      return std::nullopt;
    }
    written_.erase(written);
  }
  held_.erase(service);
  std::vector<SlicePtr> out = slices_.by(kByService, service);
  std::erase_if(out, [this](const SlicePtr& slice) { return !is_managed(*slice); });
  return out;
}

Task<> OwnSlices::look_again(std::string service) {
  co_await here_.sleep_for(kForgotten);
  timed_.erase(service);
  if (held_.contains(service)) changed_(service);
}

bool OwnSlices::is_seen(const std::string& ns, const std::string& name, const Written& written) const {
  const auto slice = slices_.find(ns, name);
  if (written.version == 0) return slice == nullptr || slice->metadata().uid() != written.uid;
  // A slice of that name that is another one came later: a name is given when nobody is known to have it.
  return slice != nullptr && (slice->metadata().uid() != written.uid || version_of(*slice) >= written.version);
}

bool OwnSlices::is_managed(const EndpointSlice& slice) const {
  const auto& labels = slice.metadata().labels();
  const auto found = labels.find(kManagedBy);
  return found != labels.end() && found->second == managed_by_;
}

// It is what was written here, and not another's change.
bool OwnSlices::is_echo(const std::string& service, const api::Informer::Change& change) {
  const auto written = written_.find(service);
  if (written == written_.end()) return false;
  const auto& slice = static_cast<const EndpointSlice&>(change.object());
  const auto entry = written->second.find(slice.metadata().name());
  if (entry == written->second.end() || entry->second.uid != slice.metadata().uid()) return false;
  const std::uint64_t version = entry->second.version;
  const bool is_echo = change.now == nullptr ? version == 0 : version != 0 && version_of(slice) <= version;
  // Who removed it was faster than what tells of its last change.
  if (change.now == nullptr || version_of(slice) == version) written->second.erase(entry);
  if (written->second.empty()) written_.erase(written);
  return is_echo;
}

void OwnSlices::see(const api::Informer::Change& change) {
  const auto& slice = static_cast<const EndpointSlice&>(change.object());
  const std::string service = service_of(slice);
  if (change.before != nullptr && change.now != nullptr) {
    const auto& before = static_cast<const EndpointSlice&>(*change.before);
    const bool was_others = service_of(before) != service || is_managed(before) != is_managed(slice);
    if (was_others) changed_(service_of(before));
  }
  const bool is_echo = this->is_echo(service, change);
  if ((is_managed(slice) && !is_echo) || held_.contains(service)) changed_(service);
}

void OwnSlices::note(const std::string& service, const EndpointSlice& slice, bool removed) {
  written_[service][slice.metadata().name()] = {
      .uid = slice.metadata().uid(), .version = removed ? 0 : version_of(slice), .at = now()};
}

Task<Status> OwnSlices::create(std::string service, EndpointSlice slice) {
  const api::Answer<EndpointSlice> made = co_await client_.create(slice);
  if (made) {
    note(service, *made, false);
  } else if (!made.error().is_end_of_namespace()) {
    co_return done_or_gone(made);
  }
  co_return Status();
}

Task<Status> OwnSlices::write(std::string service, SlicePlan plan) {
  for (EndpointSlice& slice : plan.create) {
    if (Status done = co_await create(service, std::move(slice)); !done) co_return done;
  }
  for (const EndpointSlice& slice : plan.update) {
    const api::Answer<EndpointSlice> updated = co_await client_.update(slice);
    if (updated) note(service, *updated, false);
    if (Status done = done_or_late(updated); !done) co_return done;
  }
  for (const SlicePtr& slice : plan.remove) {
    const auto& metadata = slice->metadata();
    // The version too: by now it may be in use for another group of endpoints.
    const api::Answer<void> removed = co_await client_.remove<EndpointSlice>(
        metadata.namespace_(), metadata.name(),
        {.uid = metadata.uid(), .resource_version = metadata.resource_version()});
    if (removed) note(service, *slice, true);
    if (Status done = done_or_late(removed); !done) co_return done;
  }
  co_return Status();
}

}  // namespace gantry::control::services
