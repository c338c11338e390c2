// SPDX-License-Identifier: Apache-2.0
#include "control/services/endpoints.h"

#include <algorithm>

#include "api/kinds/core/same_map.h"
#include "base/text.h"
#include "control/services/names.h"
#include "control/services/own_slices.h"
#include "control/services/pod_endpoint.h"
#include "control/services/subsets.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kLabel[] = "endpoints.kubernetes.io/managed-by";
constexpr char kController[] = "endpoint-controller";
constexpr char kOverCapacity[] = "endpoints.kubernetes.io/over-capacity";
constexpr std::size_t kWorkers = 4;

bool is_ours(const core::Endpoints& endpoints) {
  const auto found = endpoints.metadata().labels().find(kLabel);
  return found != endpoints.metadata().labels().end() && found->second == kController;
}

// As `current` should be, without its trigger time.
core::Endpoints wanted_endpoints(const core::Service& service, const core::Endpoints& current, Subsets subsets) {
  core::Endpoints out = current;
  out.mutable_metadata()->set_namespace_(service.metadata().namespace_());
  out.mutable_metadata()->set_name(service.metadata().name());
  auto& annotations = *out.mutable_metadata()->mutable_annotations();
  annotations.erase(kOverCapacity);
  if (truncate(&subsets)) annotations[kOverCapacity] = "truncated";
  auto& labels = *out.mutable_metadata()->mutable_labels();
  labels = service.metadata().labels();
  labels.erase(kHeadless);
  if (is_headless(service)) labels[kHeadless] = "";
  labels[kLabel] = kController;
  out.mutable_subsets()->Assign(subsets.begin(), subsets.end());
  return out;
}

bool same(const core::Endpoints& a, const core::Endpoints& b) {
  return api::same_map(a.metadata().labels(), b.metadata().labels()) &&
         api::same_map(a.metadata().annotations(), b.metadata().annotations()) &&
         std::ranges::equal(a.subsets(), b.subsets(), [](const auto& one, const auto& other) {
           return one.SerializeAsString() == other.SerializeAsString();
         });
}

}  // namespace

EndpointsController::EndpointsController(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, kController),
      queue_(
          parts_.queues(), "endpoint", [this](std::string key) { return work(key); }, kWorkers),
      pods_(parts_.informers, [this](const std::string& key) { gathering_.add(key); }) {
  parts_.informers.of<core::Endpoints>().on_change([this](const api::Informer::Change& change) {
    const auto& endpoints = static_cast<const core::Endpoints&>(change.object());
    const std::string key = api::object_key(endpoints.metadata().namespace_(), endpoints.metadata().name());
    // Others' without a service are their business.
    const bool is_wanted = parts_.informers.of<core::Service>().find_key(key) != nullptr;
    if (is_wanted || (change.now != nullptr && is_ours(endpoints))) gathering_.add(key);
  });
}

void EndpointsController::start() {
  // Services that were deleted while nobody looked.
  for (const auto& [key, endpoints] : parts_.informers.of<core::Endpoints>().all()) {
    if (parts_.informers.of<core::Service>().find_key(key) == nullptr) queue_.add(key);
  }
  queue_.start();
}

Task<Status> EndpointsController::remove(std::string key) {
  times_.forget(key);
  gathering_.forget(key);
  const auto endpoints = parts_.informers.of<core::Endpoints>().find_key(key);
  // Old elections hold their leases there.
  if (endpoints == nullptr || endpoints->metadata().annotations().contains(kLeader)) co_return Status();
  const auto& metadata = endpoints->metadata();
  // A service that is newer than what was seen.
  const api::Answer<core::Service> live =
      co_await parts_.client.get<core::Service>(metadata.namespace_(), metadata.name());
  if (live || !live.error().is_not_found()) co_return done_or_gone(live);
  co_return done_or_late(co_await parts_.client.remove<core::Endpoints>(
      metadata.namespace_(), metadata.name(),
      {.uid = metadata.uid(), .resource_version = metadata.resource_version()}));
}

Task<Status> EndpointsController::work(std::string key) {
  const std::vector<std::shared_ptr<const core::Pod>> pods = pods_.of(key);
  gathering_.begin(key, pods.size());
  const auto service = parts_.informers.of<core::Service>().find_key(key);
  if (service == nullptr) co_return co_await remove(key);
  if (!is_led_by_selector(*service)) co_return Status();
  const std::string time = times_.next(key, *service, pods);
  const auto current = parts_.informers.of<core::Endpoints>().find_key(key);
  core::Endpoints wanted =
      wanted_endpoints(*service, current != nullptr ? *current : core::Endpoints(), subsets_of(*service, pods));
  if (current != nullptr && same(*current, wanted)) co_return Status();
  auto& annotations = *wanted.mutable_metadata()->mutable_annotations();
  annotations.erase(kTriggerTime);
  if (!time.empty()) annotations[kTriggerTime] = time;
  if (current == nullptr && service->metadata().has_deletion_timestamp()) co_return Status();
  co_return co_await write(std::move(wanted));
}

Task<Status> EndpointsController::write(core::Endpoints wanted) {
  const bool is_new = wanted.metadata().uid().empty();
  const api::Answer<core::Endpoints> written =
      is_new ? co_await parts_.client.create(wanted) : co_await parts_.client.update(wanted);
  if (written || (is_new && written.error().is_end_of_namespace())) co_return Status();
  Status done = done_or_late(written);
  // Nobody can have made it but who was faster; it is seen soon.
  if (!done && !done.error().is_cancelled() && !written.error().is_already_exists()) {
    const std::string name = cat(wanted.metadata().namespace_(), "/", wanted.metadata().name());
    events_.warning(events_.about(wanted), is_new ? "FailedToCreateEndpoint" : "FailedToUpdateEndpoint",
                    is_new ? cat("Failed to create endpoint for service ", name, ": ", written.error().message)
                           : cat("Failed to update endpoint ", name, ": ", written.error().message));
  }
  co_return done;
}

}  // namespace gantry::control::services
