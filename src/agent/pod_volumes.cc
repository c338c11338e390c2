// SPDX-License-Identifier: Apache-2.0
// A worker's pod and its volumes. What may hang is waited for as long as nothing else happens to the pod, and its end
// waits with the removal of its folder alone.
#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/cluster.h"
#include "agent/config_volumes.h"
#include "agent/container_volumes.h"
#include "agent/pod_resources.h"
#include "agent/pod_surroundings.h"
#include "agent/pod_worker.h"
#include "api/quantity.h"
#include "base/log.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/config_volume.h"
#include "volumes/local_folder.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

TimePoint now() { return std::chrono::steady_clock::now(); }

}  // namespace

Task<bool> PodWorker::wait_quietly(std::function<bool()> holds, std::uint64_t heard, TimePoint until) {
  while (!holds() && !stopped_ && !terminating_ && heard_ == heard && now() < until) {
    wake_.reset();
    (void)co_await wake_.wait_for(until - now());
  }
  co_return holds() && !stopped_ && !terminating_;
}

TimePoint PodWorker::volumes_until() {
  const TimePoint late = now() + std::chrono::duration_cast<TimePoint::duration>(env_->config.volume_patience);
  return std::min(late, check_deadline().value_or(late));
}

Task<Result<std::optional<VolumeOutcome>>> PodWorker::call_volumes(std::vector<volumes::SubPath> what,
                                                                   std::set<std::string> keys, VolumeCalls::Work work) {
  const auto heard = heard_;
  const TimePoint late = now() + std::chrono::duration_cast<TimePoint::duration>(env_->config.volume_patience);
  const TimePoint until = volumes_until();
  if (rules_.is_over) co_return std::nullopt;
  const auto not_yet = [&]() -> Result<std::optional<VolumeOutcome>> {
    if (now() < late || stopped_ || terminating_) return std::nullopt;
    return std::unexpected(late_volumes());
  };
  const auto is_done = [this] { return volume_call_->is_done; };
  // One that is for something else is waited for, too: there is one at a time.
  if (volume_call_ && volume_call_for_ != what) {
    if (!co_await wait_quietly(is_done, heard, until)) co_return not_yet();
    volume_call_.reset();
  }
  if (!volume_call_) {
    volume_call_for_ = std::move(what);
    volume_call_ = env_->volumes.begin(std::move(keys), std::move(work), [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      self->retry_now("ContainerCreating");
      self->hear();
    });
  }
  if (!co_await wait_quietly(is_done, heard, until)) co_return not_yet();
  co_return std::move(std::exchange(volume_call_, nullptr)->outcome);
}

// In kubelet's words.
Error PodWorker::late_volumes() const {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  };
  for (const auto& bound : volume_call_for_) add(bound.volume);
  if (volume_call_for_.empty() && pod_ && volumes_passed_) {
    for (int i = *volumes_passed_; i < pod_->spec().volumes_size(); ++i) {
      const auto& volume = pod_->spec().volumes(i);
      if (!volumes::is_config_volume(volume)) add(volume.name());
    }
  }
  return {Code::kUnavailable,
          absl::StrCat("Unable to attach or mount volumes: unmounted volumes=[", absl::StrJoin(names, " "),
                       "], unattached volumes=[], failed to process volumes=[]: context deadline exceeded")};
}

void PodWorker::fail_mount(const Error& error) {
  trouble("", "ContainerCreating", error, retries_.failed("", now()));
  tell(EventType::kWarning, "FailedMount", error.message());
}

Task<Result<std::optional<volumes::Claims>>> PodWorker::find_claims() {
  const auto heard = heard_;
  const TimePoint until = volumes_until();
  if (rules_.is_over) co_return std::nullopt;
  if (!claims_call_) {
    claims_call_ = std::make_shared<ClaimsCall>();
    env_->loop.spawn([](std::shared_ptr<Environment> env, std::weak_ptr<PodWorker> weak,
                        std::shared_ptr<const core::Pod> pod, std::shared_ptr<ClaimsCall> call) -> Task<> {
      call->found = co_await volumes::find_claims(env->cluster == nullptr ? nullptr : &env->cluster->client(), pod);
      if (auto self = weak.lock()) self->wake_.set();
    }(env_, weak_from_this(), pod_, claims_call_));
  }
  if (!co_await wait_quietly([this] { return claims_call_->found.has_value(); }, heard, until)) co_return std::nullopt;
  auto found = std::move(*std::exchange(claims_call_, nullptr)->found);
  if (!found) co_return std::unexpected(std::move(found.error()));
  co_return std::move(*found);
}

namespace {

// Memory is limited where a pod does not say so, too: what is in there is the node's as long as nobody removes it.
std::shared_ptr<const core::Pod> with_sizes(const Environment& env, std::shared_ptr<const core::Pod> pod) {
  const auto is_in_memory = [](const core::Volume& volume) {
    return volume.volume_source().empty_dir().medium() == "Memory";
  };
  if (std::ranges::none_of(pod->spec().volumes(), is_in_memory)) return pod;
  std::int64_t allocatable = 0;
  const auto amounts = node_allocatable(env);
  if (const auto found = amounts.find("memory"); found != amounts.end()) {
    if (auto amount = api::Quantity::parse(found->second)) allocatable = amount->value();
  }
  auto sized = std::make_shared<core::Pod>(*pod);
  for (core::Volume& volume : *sized->mutable_spec()->mutable_volumes()) {
    if (!is_in_memory(volume)) continue;
    auto& empty = *volume.mutable_volume_source()->mutable_empty_dir();
    const std::int64_t size = memory_volume_size(*pod, empty, allocatable);
    if (size > 0) empty.mutable_size_limit()->set_string(absl::StrCat(size));
  }
  return sized;
}

}  // namespace

Task<Result<bool>> PodWorker::make_volumes() {
  if (volumes_made_) co_return true;
  volumes::Claims claims;
  if (!volume_call_ || !volume_call_for_.empty()) {
    auto found = co_await find_claims();
    if (!found) co_return std::unexpected(std::move(found.error()));
    if (!*found) co_return false;
    claims = std::move(**found);
    for (auto& [name, claimed] : claims) {
      claimed.is_made_here =
          volumes::is_made_here(*claimed.volume, env_->config.node_name, env_->config.local_volumes_dir);
    }
    volumes_passed_ = std::make_shared<std::atomic<int>>(0);
  }
  auto keys = volumes::shared_places(claims);
  auto done =
      co_await call_volumes({}, std::move(keys),
                            [prepare = env_->prepare_volumes, pod = with_sizes(*env_, pod_), claims = std::move(claims),
                             folder = env_->folders.pod_folder(identity_.uid), passed = volumes_passed_] {
                              VolumeOutcome outcome;
                              auto prepared = prepare(*pod, folder, claims, passed.get());
                              if (prepared) {
                                outcome.volumes = std::move(*prepared);
                              } else {
                                outcome.status = std::unexpected(std::move(prepared.error()));
                              }
                              return outcome;
                            });
  if (!done) co_return std::unexpected(std::move(done.error()));
  if (!*done) co_return false;
  VolumeOutcome outcome = std::move(**done);
  if (!outcome.status) co_return std::unexpected(std::move(outcome.status.error()));
  volumes_made_ = std::move(outcome.volumes);
  co_return true;
}

Task<Result<bool>> PodWorker::prepare_volumes() {
  if (volumes_) co_return true;
  auto made = co_await make_volumes();
  if (!made || !*made) co_return made;
  volumes::PreparedVolumes all = *volumes_made_;
  begin_config_volumes();
  if (const auto config = config_volumes_) {
    const auto heard = heard_;
    const TimePoint until = volumes_until();
    if (rules_.is_over) co_return false;
    if (!co_await wait_quietly([&] { return config->was_tried(); }, heard, until)) co_return false;
    auto written = config->prepared();
    if (!written) co_return std::unexpected(std::move(written.error()));
    all.merge(std::move(*written));
  }
  volumes_ = std::move(all);
  untrouble("");
  co_return true;
}

Task<Result<bool>> PodWorker::bind_volumes(const core::Container& spec, ContainerInputs& inputs) {
  auto wanted = sub_paths_to_bind(*env_, *pod_, spec, inputs);
  if (!wanted) co_return std::unexpected(std::move(wanted.error()));
  if (wanted->empty()) co_return true;
  auto work = [pod = identity_.full_name(), folder = env_->folders.pod_folder(identity_.uid), paths = *wanted] {
    VolumeOutcome outcome;
    auto bound = bind_sub_paths(pod, folder, paths);
    if (bound) {
      outcome.sub_paths = std::move(*bound);
    } else {
      outcome.status = std::unexpected(std::move(bound.error()));
    }
    return outcome;
  };
  auto done = co_await call_volumes(std::move(*wanted), {}, std::move(work));
  if (!done) {
    fail_mount(done.error());
    co_return false;
  }
  if (!*done) co_return false;
  if (!(*done)->status) co_return std::unexpected(std::move((*done)->status.error()));
  inputs.sub_paths.merge((*done)->sub_paths);
  untrouble("");
  co_return true;
}

Task<> PodWorker::end_volume_call() {
  if (!volume_call_) co_return;
  if (!env_->volumes.give_up(*volume_call_)) {
    if (!volume_call_->is_done) gave_back_.set();
    const auto patience = std::chrono::duration_cast<TimePoint::duration>(env_->config.volume_patience);
    for (TimePoint late = now() + patience; !volume_call_->is_done && !stopped_;) {
      wake_.reset();
      (void)co_await wake_.wait_for(late - now());
      if (volume_call_->is_done || stopped_ || now() < late) continue;
      const Error error = late_volumes();
      log::warning("a pod's end waits for its volumes", {{"pod", identity_.full_name()}, {"error", error}});
      tell(EventType::kWarning, "FailedMount", error.message());
      late = now() + patience;
    }
  }
  if (!stopped_) volume_call_.reset();
}

}  // namespace gantry::agent
