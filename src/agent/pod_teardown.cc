// SPDX-License-Identifier: Apache-2.0
// The end of a pod.
#include <algorithm>
#include <chrono>

#include "agent/pod_worker.h"
#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

// What a sidecar has at least, when the others took all of the time.
constexpr std::chrono::seconds kLeastSidecarGrace{2};

TimePoint now() { return std::chrono::steady_clock::now(); }

}  // namespace

Duration PodWorker::grace_of(const ObservedPod& observed) const {
  std::int64_t seconds = 0;
  if (grace_) return *grace_;
  if (pod_) {
    seconds = pod_->spec().termination_grace_period_seconds();
  } else {
    for (const auto& container : observed.containers) seconds = std::max(seconds, container.grace_seconds);
  }
  return bounded_grace(seconds);
}

std::string PodWorker::ip_of(const ObservedPod& observed, const std::string& sandbox_id) const {
  for (const auto& sandbox : observed.sandboxes) {
    if (sandbox.id == sandbox_id && !sandbox.ips.empty()) return sandbox.ips.front();
  }
  return pod_ && pod_->spec().host_network() ? env_->config.host_ip : "";
}

// The main containers first, as the others serve them; then sidecars, the last that was started first. Hooks are run
// at once, of all of them.
Task<Status> PodWorker::stop_by_role(const ObservedPod& observed) {
  if (!deadline_) deadline_ = now() + std::chrono::duration_cast<TimePoint::duration>(grace_of(observed));
  const auto target_of = [&](const ObservedContainer& container) {
    return ContainerStopper::Target{container, "", ip_of(observed, container.sandbox_id)};
  };
  std::vector<ContainerStopper::Target> main;
  std::vector<ContainerStopper::Target> sidecars;
  for (const auto& container : observed.containers) {
    if (!container.is_running()) continue;
    bool is_sidecar = std::ranges::any_of(rules_.containers, [&](const ContainerRule& rule) {
      return rule.name == container.name && rule.role == ContainerRule::Role::kSidecar;
    });
    if (!is_sidecar) main.push_back(target_of(container));
  }
  for (auto rule = rules_.containers.rbegin(); rule != rules_.containers.rend(); ++rule) {
    if (rule->role != ContainerRule::Role::kSidecar) continue;
    for (const auto& container : observed.containers) {
      if (container.is_running() && container.name == rule->name) sidecars.push_back(target_of(container));
    }
  }
  for (const auto& sidecar : sidecars) stopper_.prepare(pod_, sidecar, *deadline_ - now());
  auto stopped = co_await stopper_.stop(pod_, main, *deadline_ - now());
  if (!stopped) co_return stopped;
  for (const auto& sidecar : sidecars) {
    Duration left = std::max<Duration>(*deadline_ - now(), kLeastSidecarGrace);
    auto one = co_await stopper_.stop(pod_, {sidecar}, left);
    if (!one) co_return one;
  }
  co_return Status();
}

Task<Status> PodWorker::stop_sandboxes(const ObservedPod& observed) {
  for (const auto& sandbox : observed.sandboxes) {
    if (stopped_) co_return Status();
    v1::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(sandbox.id);
    auto stopped = co_await env_->runtime.stop_pod_sandbox(std::move(request));
    if (!stopped && !stopped.error().is_not_found()) co_return std::unexpected(std::move(stopped.error()));
  }
  co_return Status();
}

Task<Status> PodWorker::remove_sandboxes(const ObservedPod& observed) {
  for (const auto& sandbox : observed.sandboxes) {
    if (stopped_) co_return Status();
    v1::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(sandbox.id);
    auto removed = co_await env_->runtime.remove_pod_sandbox(std::move(request));
    if (!removed && !removed.error().is_not_found()) co_return std::unexpected(std::move(removed.error()));
    env_->sandbox_owners.erase(sandbox.id);
  }
  co_return Status();
}

// Idempotent: what an earlier try has done is not there any more. The sandboxes go last: after a restart they are all
// that says that this pod is to be ended, and that its folders are ours to remove.
Task<Status> PodWorker::tear_down_once() {
  auto observed = co_await look();
  if (!observed) co_return std::unexpected(std::move(observed.error()));
  if (stopped_) co_return Status();
  if (auto stopped = co_await stop_by_role(*observed); !stopped || stopped_) co_return stopped;
  if (auto stopped = co_await stop_sandboxes(*observed); !stopped || stopped_) co_return stopped;
  if (pod_ && identity_.is_api()) {
    auto ended = co_await look();
    if (!ended) co_return std::unexpected(std::move(ended.error()));
    if (stopped_) co_return Status();
    publish_end(*ended);
  }
  co_await end_config_volumes();
  co_await end_volume_call();
  if (stopped_) co_return Status();
  if (had_sandbox_) {
    auto removed = co_await env_->disk.run(
        [env = env_, uid = identity_.uid, logs = log_folder()] { return env->folders.remove_pod(uid, logs); });
    if (!removed || stopped_) co_return removed;
  }
  if (auto freed = co_await release_users(); !freed || stopped_) co_return freed;
  co_return co_await remove_sandboxes(*observed);
}

Task<Status> PodWorker::release_users() {
  if (!env_->users.of(identity_.uid)) co_return Status();
  co_return co_await env_->disk.run([env = env_, uid = identity_.uid] { return env->users.release(uid); });
}

Task<> PodWorker::tear_down() {
  log::info("ending a pod", {{"pod", identity_.full_name()}, {"uid", identity_.uid}});
  while (!stopped_) {
    auto done = co_await tear_down_once();
    if (stopped_) co_return;
    if (done) {
      log::info("a pod has ended", {{"pod", identity_.full_name()}, {"uid", identity_.uid}});
      if (env_->ended) env_->ended(identity_.uid);
      co_return;
    }
    gave_back_.set();  // nobody waits for what may never be
    TimePoint again = retries_.failed("tear down", now());
    log::error("ending a pod, retrying", {{"pod", identity_.full_name()}, {"error", done.error()}});
    while (!stopped_ && now() < again) {
      wake_.reset();
      (void)co_await wake_.wait_for(again - now());
    }
  }
}

}  // namespace gantry::agent
