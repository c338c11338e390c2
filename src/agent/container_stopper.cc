// SPDX-License-Identifier: Apache-2.0
#include "agent/container_stopper.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/environment.h"
#include "agent/event_recorder.h"
#include "agent/lifecycle_hook.h"
#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

// What a container has to end in after a hook that took all of its time.
constexpr std::chrono::seconds kLeastAfterHook{2};

TimePoint now() { return std::chrono::steady_clock::now(); }

TimePoint after(Duration grace) { return now() + std::chrono::duration_cast<TimePoint::duration>(grace); }

// Whole seconds, as the CRI counts; a part of one is one.
std::int64_t seconds_until(TimePoint time) {
  return std::chrono::ceil<std::chrono::seconds>(std::max<Duration>(time - now(), Duration::zero())).count();
}

Task<Status> call_stop(std::shared_ptr<Environment> env, std::string id, std::int64_t seconds) {
  v1::StopContainerRequest request;
  request.set_container_id(std::move(id));
  request.set_timeout(seconds);
  auto stopped = co_await env->runtime.stop_container(std::move(request));
  if (!stopped && !stopped.error().is_not_found()) co_return std::unexpected(std::move(stopped.error()));
  co_return Status();
}

}  // namespace

struct ContainerStopper::Stopping {
  explicit Stopping(Loop& loop) : changed(loop), ended(loop) {}

  std::string id;
  TimePoint deadline;
  std::shared_ptr<LifecycleHook> hook;  // null: there is none
  bool is_signalled = false;
  Status result;
  Event changed;  // the hook has ended, or the deadline is another
  Event ended;
};

void ContainerStopper::prepare(const PodPtr& pod, const Target& target, Duration grace) {
  const auto& container = target.container;
  auto& stopping = under_way_[container.id];
  if (stopping) {
    stopping->deadline = after(grace);
    return;
  }
  stopping = std::make_shared<Stopping>(env_->loop);
  stopping->id = container.id;
  stopping->deadline = after(grace);
  if (!pod) return;
  if (env_->events != nullptr) {
    env_->events->record(*pod, EventType::kNormal, "Killing",
                         target.why.empty() ? absl::StrCat("Stopping container ", container.name) : target.why,
                         container.name);
  }
  if (grace <= Duration::zero() || container.state != ObservedContainer::State::kRunning) return;
  auto ended = [env = env_, pod, name = container.name, weak = std::weak_ptr<Stopping>(stopping)] {
    auto self = weak.lock();
    if (!self) return;
    if (!self->hook->result()) {
      log::warning("a preStop hook, ignoring", {{"pod", pod->metadata().namespace_() + "/" + pod->metadata().name()},
                                                {"container", name},
                                                {"error", self->hook->result().error()}});
      // Without its words: there may be secrets in them.
      if (env->events != nullptr) {
        env->events->record(*pod, EventType::kWarning, "FailedPreStopHook", "PreStopHook failed", name);
      }
    }
    self->changed.set();
  };
  stopping->hook = LifecycleHook::begin(env_, LifecycleHook::Kind::kPreStop,
                                        {pod, container.name, container.id, target.pod_ip, grace}, std::move(ended));
}

Task<> ContainerStopper::finish(std::shared_ptr<Environment> env, std::shared_ptr<Stopping> stopping) {
  while (stopping->hook && !stopping->hook->has_ended() && stopping->deadline > now()) {
    stopping->changed.reset();
    (void)co_await stopping->changed.wait_for(stopping->deadline - now());
  }
  if (stopping->hook) {
    if (!stopping->hook->has_ended()) stopping->hook->give_up();
    stopping->deadline = std::max(stopping->deadline, now() + kLeastAfterHook);
  }
  stopping->is_signalled = true;
  stopping->result = co_await call_stop(env, stopping->id, seconds_until(stopping->deadline));
  stopping->is_signalled = false;
  stopping->ended.set();
}

Task<Status> ContainerStopper::stop(PodPtr pod, std::vector<Target> targets, Duration grace) {
  std::vector<std::shared_ptr<Stopping>> group;
  for (const auto& target : targets) {
    prepare(pod, target, target.grace.value_or(grace));
    group.push_back(under_way_.at(target.container.id));
    group.back()->ended.reset();
    env_->loop.spawn(finish(env_, group.back()));
  }
  std::vector<std::string> errors;
  for (const auto& stopping : group) {
    co_await stopping->ended.wait();
    if (stopping->result) {
      under_way_.erase(stopping->id);
    } else {
      errors.push_back(stopping->result.error().message());
    }
  }
  if (errors.empty()) co_return Status();
  co_return fail(Code::kUnavailable, absl::StrJoin(errors, "; "));
}

// The runtime takes the shorter of two calls.
void ContainerStopper::shorten(Duration grace) {
  const TimePoint end = after(grace);
  for (const auto& [id, stopping] : under_way_) {
    if (stopping->deadline <= end) continue;
    stopping->deadline = end;
    stopping->changed.set();
    if (!stopping->is_signalled) continue;
    env_->loop.spawn([](std::shared_ptr<Environment> env, std::string id, std::int64_t seconds) -> Task<> {
      (void)co_await call_stop(env, std::move(id), seconds);
    }(env_, id, seconds_until(end)));
  }
}

}  // namespace gantry::agent
