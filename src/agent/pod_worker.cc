// SPDX-License-Identifier: Apache-2.0
// Looking, deciding and waiting; pod_start.cc starts things, pod_teardown.cc ends them.
#include "agent/pod_worker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/api_source.h"
#include "agent/config_volumes.h"
#include "base/duration.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

TimePoint now() { return std::chrono::steady_clock::now(); }

std::int64_t wall_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

PodWorker::PodWorker(std::shared_ptr<Environment> environment, PodIdentity identity,
                     std::shared_ptr<const core::Pod> pod)
    : env_(std::move(environment)),
      identity_(std::move(identity)),
      pod_(std::move(pod)),
      observer_(env_->runtime, env_->disk, env_->folders),
      wake_(env_->loop),
      gave_back_(env_->loop),
      stopper_(env_),
      crashes_(env_->config.crash),
      retries_(env_->config.retry),
      prober_(env_, [this] {
        hear();
        if (terminating_ || stepping_) env_->loop.spawn(publish_readiness(shared_from_this()));
      }) {
  if (!pod_) return;
  rules_ = rules_of(*pod_);
  take_end();
}

void PodWorker::start() {
  images_ = std::make_shared<PodImages>(env_, [weak = weak_from_this()] {
    if (auto worker = weak.lock()) worker->hear();
  });
  if (terminating_) images_->stop();
  env_->loop.spawn(run(shared_from_this()));
}

void PodWorker::hear() {
  ++heard_;
  wake_.set();
}

void PodWorker::update(std::shared_ptr<const core::Pod> pod) {
  next_pod_ = std::move(pod);
  hear();
}

void PodWorker::terminate(std::optional<Duration> grace) {
  terminating_ = true;
  if (images_) images_->stop();
  prober_.keep_readiness_only();
  if (grace && (!grace_ || *grace < *grace_)) shorten(*grace);
  wake_.set();
}

void PodWorker::shorten(Duration grace) {
  grace_ = grace;
  stopper_.shorten(grace);
  if (deadline_) deadline_ = std::min(*deadline_, now() + std::chrono::duration_cast<TimePoint::duration>(grace));
}

bool PodWorker::has_come_to_rest() const {
  if (rejected_ || !pod_) return true;
  return !terminating_ && was_over() && is_still();
}

bool PodWorker::is_still() const {
  if (!status_) return false;
  const auto runs = [](const core::ContainerStatus& container) { return container.state().has_running(); };
  return std::ranges::none_of(status_->container_statuses(), runs) &&
         std::ranges::none_of(status_->init_container_statuses(), runs);
}

void PodWorker::stop() {
  stopped_ = true;
  if (images_) images_->stop();
  if (config_volumes_) config_volumes_->stop();
  prober_.stop();
  wake_.set();
}

std::string PodWorker::log_folder() const {
  return pod_log_folder_name(identity_.namespace_, identity_.name, identity_.uid);
}

Task<> PodWorker::run(std::shared_ptr<PodWorker> self) {
  if (self->rejected_) {
    self->tell(EventType::kWarning, self->rejected_->reason, self->rejected_->message);
    self->set_status(make_rejected_status(*self->pod_, *self->rejected_, wall_seconds()));
    while (!self->stopped_ && !self->terminating_) {
      self->wake_.reset();
      co_await self->wake_.wait();
    }
  }
  if (!self->stopped_ && !self->terminating_) self->follow_objects();
  while (!self->stopped_ && !self->terminating_) {
    auto again_at = co_await self->sync();
    if (again_at && !self->stopped_ && !self->terminating_) co_await self->wait_until(*again_at);
  }
  if (!self->stopped_) co_await self->tear_down();
}

// Or until something is heard that the last look did not cover.
Task<> PodWorker::wait_until(TimePoint time) {
  wake_.reset();
  if (heard_ != covered_) co_return;
  if (time == TimePoint::max()) {
    co_await wake_.wait();
  } else if (auto wait = time - now(); wait > wait.zero()) {
    (void)co_await wake_.wait_for(wait);
  }
}

Task<Result<ObservedPod>> PodWorker::look() {
  covered_ = heard_;
  auto observed = co_await observer_.observe(identity_.uid);
  if (!observed || stopped_) co_return observed;
  observed->runtime = env_->runtime_name;
  for (auto& sandbox : observed->sandboxes) {
    env_->sandbox_owners[sandbox.id] = identity_.uid;
    if (is_misplaced(sandbox)) sandbox.ready = false;
  }
  had_sandbox_ |= !observed->sandboxes.empty();
  if (!std::exchange(was_looked_at_, true)) co_await recall_eviction();
  std::erase_if(replaced_, [&](const std::string& id) {
    return std::ranges::none_of(observed->containers, [&](const auto& container) { return container.id == id; });
  });
  for (auto& container : observed->containers) container.is_replaced = replaced_.contains(container.id);
  if (pod_) prober_.follow(pod_, *observed, status_before());
  std::erase_if(stopped_sandboxes_, [&](const std::string& id) {
    return std::ranges::none_of(observed->sandboxes, [&](const auto& sandbox) { return sandbox.id == id; });
  });
  co_return observed;
}

// One that is to run once is let run to its end.
bool PodWorker::is_misplaced(const ObservedSandbox& sandbox) const {
  if (env_->pod_ranges.empty() || rules_.restart == Restart::kNever) return false;
  return std::ranges::any_of(sandbox.ips, [this](const std::string& ip) {
    const auto address = api::parse_ip(ip);
    return address && std::ranges::none_of(env_->pod_ranges, [&](const auto& range) { return range.contains(*address); });
  });
}

void PodWorker::take_pod() {
  pod_ = std::exchange(next_pod_, nullptr);
  PodRules rules = rules_of(*pod_);
  rules.is_over = rules_.is_over;
  rules.is_over_as_failed = rules_.is_over_as_failed;
  // What went wrong with another image says nothing of this one.
  for (const auto& rule : rules.containers) {
    const auto same = [&](const ContainerRule& old) { return old.name == rule.name && old.hash == rule.hash; };
    if (std::ranges::any_of(rules_.containers, same)) continue;
    untrouble(rule.name);
    images_->forget(rule.name);
    crashes_.succeeded(rule.name);
  }
  rules_ = std::move(rules);
  take_end();
  update_objects();
}

Task<std::optional<TimePoint>> PodWorker::sync() {
  auto observed = co_await look();
  if (stopped_) co_return TimePoint::max();
  if (!observed) {
    log::error("asking the runtime for a pod, retrying", {{"pod", identity_.full_name()}, {"error", observed.error()}});
    co_return retries_.failed("look", now());
  }
  retries_.succeeded("look");
  if (next_pod_) take_pod();
  // Where that fails it is asked for again, at the latest by the container that needs it.
  (void)co_await mounts_recursively();
  if (stopped_) co_return TimePoint::max();
  const auto over_at = check_deadline();
  auto is_stopped = [this](const std::string& id) { return stopped_sandboxes_.contains(id); };
  auto may = [this](const std::string& name, const ObservedContainer* last) { return may_start(name, last); };
  PodPlan plan = plan_pod(rules_, *observed, is_stopped, may, now());
  if (plan.finished) images_->stop();
  if (plan.finished && eviction_) co_await record_eviction();
  if (stopped_) co_return TimePoint::max();
  publish(*observed, plan);
  if (plan.finished) {
    co_await end_config_volumes();
  } else {
    begin_config_volumes();
  }
  bool has_steps = !plan.stop_containers.empty() || !plan.stop_sandboxes.empty() || plan.run_sandbox ||
                   !plan.starts.empty() || !plan.remove_containers.empty() || !plan.remove_sandboxes.empty();
  if (!has_steps && plan.finished) {
    auto freed = co_await release_users();
    if (stopped_) co_return TimePoint::max();
    if (!freed) {
      log::warning("freeing the ids of a pod that has ended, retrying",
                   {{"pod", identity_.full_name()}, {"error", freed.error()}});
      co_return retries_.failed("users", now());
    }
    if (is_to_give_back()) co_return co_await return_space(*observed);
    if (!has_no_volumes_) co_return co_await remove_volumes();
  }
  if (!has_steps) {
    co_return std::min(plan.again_at.value_or(TimePoint::max()), over_at.value_or(TimePoint::max()));
  }
  stepping_ = true;
  const bool done = co_await carry_out(*observed, plan);
  stepping_ = false;
  if (done) co_return std::nullopt;
  co_return retries_.ready_at("step", now());
}

Task<bool> PodWorker::carry_out(const ObservedPod& observed, const PodPlan& plan) {
  if (!plan.stop_containers.empty() || !plan.stop_sandboxes.empty()) co_return co_await stop_all(observed, plan);
  if (plan.run_sandbox) co_return co_await run_sandbox(*plan.run_sandbox);
  for (const auto& start : plan.starts) {
    // Trouble of the pod's as a whole holds all of them.
    auto all = troubles_.find("");
    bool is_held = all != troubles_.end() && all->second.until > now();
    if (stopped_ || terminating_ || is_held) co_return true;
    co_await start_container(start, observed.sandboxes.front());
    if (volume_call_ || !volumes_) co_return true;  // which the others would wait for, too
  }
  if (stopped_ || terminating_) co_return true;
  co_return co_await remove_leftovers(plan);
}

Task<bool> PodWorker::stop_all(const ObservedPod& observed, const PodPlan& plan) {
  Status done;
  if (plan.finished) {
    done = co_await stop_by_role(observed);
  } else {
    std::vector<ContainerStopper::Target> targets;
    for (const auto& stop : plan.stop_containers) {
      const ObservedContainer& container = *stop.container;
      targets.push_back({container, stop.why, ip_of(observed, container.sandbox_id), stop.grace});
      if (stop.replaced) replaced_.insert(container.id);
    }
    done = co_await stopper_.stop(pod_, std::move(targets), grace_of(observed));
  }
  for (const auto& id : plan.stop_sandboxes) {
    if (!done || stopped_) break;
    v1::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    auto stopped = co_await env_->runtime.stop_pod_sandbox(std::move(request));
    if (stopped) {
      stopped_sandboxes_.insert(id);
    } else {
      done = std::unexpected(std::move(stopped.error()));
    }
  }
  if (done) {
    retries_.succeeded("step");
    co_return true;
  }
  log::error("stopping what is left of a pod, retrying", {{"pod", identity_.full_name()}, {"error", done.error()}});
  (void)retries_.failed("step", now());
  co_return false;
}

Task<Status> PodWorker::remove_container(const ObservedContainer& container) {
  v1::RemoveContainerRequest request;
  request.set_container_id(container.id);
  auto removed = co_await env_->runtime.remove_container(std::move(request));
  if (stopped_) co_return Status();
  if (!removed) co_return std::unexpected(std::move(removed.error()));
  co_return co_await env_->disk.run([env = env_, id = identity_, container, logs = log_folder()] {
    return env->folders.remove_container_files(
        id.uid, container.name, container.attempt, logs,
        container_log_link(id.name, id.namespace_, container.name, container.id));
  });
}

Task<bool> PodWorker::remove_leftovers(const PodPlan& plan) {
  Status done;
  for (const auto* container : plan.remove_containers) {
    auto removed = co_await remove_container(*container);
    if (stopped_) co_return true;
    if (!removed) done = fail_with(std::move(removed.error()), absl::StrCat("container ", container->name));
  }
  for (const auto& id : plan.remove_sandboxes) {
    v1::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    auto removed = co_await env_->runtime.remove_pod_sandbox(std::move(request));
    if (stopped_) co_return true;
    if (removed) {
      env_->sandbox_owners.erase(id);
    } else {
      done = fail_with(std::move(removed.error()), absl::StrCat("sandbox ", id));
    }
  }
  if (done) {
    retries_.succeeded("step");
    co_return true;
  }
  log::warning("removing what is left of a pod's past, retrying",
               {{"pod", identity_.full_name()}, {"error", done.error()}});
  (void)retries_.failed("step", now());
  co_return false;
}

// ---- status

TimePoint PodWorker::may_start(const std::string& name, const ObservedContainer* last) const {
  if (images_->is_pulling(name)) return TimePoint::max();
  TimePoint at = TimePoint::min();
  for (const std::string& who : {name, std::string()}) {
    if (auto found = troubles_.find(who); found != troubles_.end()) at = std::max(at, found->second.until);
  }
  return last != nullptr && last->is_exited() && !last->is_replaced ? std::max(at, crashes_.ready_at(name, last->ended))
                                                                    : at;
}

std::map<std::string, Waiting> PodWorker::waiting(const ObservedPod& observed, const PodPlan& plan) const {
  std::map<std::string, Waiting> all;
  for (const auto& [name, trouble] : troubles_) all[name] = trouble.waiting;
  if (plan.finished || terminating_) return {};
  for (const auto& rule : rules_.containers) {
    const auto* last = observed.newest(rule.name);
    if (last == nullptr || !last->is_exited() || last->is_replaced) continue;
    if (rule.is_done(*last)) {
      all.erase(rule.name);  // whatever there was with it
      continue;
    }
    TimePoint ready = crashes_.ready_at(rule.name, last->ended);
    auto own = troubles_.find(rule.name);
    if (ready <= now() || (own != troubles_.end() && own->second.until > ready)) continue;
    all[rule.name] = {"CrashLoopBackOff",
                      absl::StrCat("back-off ", format_duration(crashes_.delay(rule.name, last->ended)),
                                   " restarting failed container=", rule.name, " pod=", identity_.name, "_",
                                   identity_.namespace_, "(", identity_.uid, ")")};
  }
  return all;
}

void PodWorker::publish(const ObservedPod& observed, const PodPlan& plan) {
  auto waits = waiting(observed, plan);
  // Of one that ended long ago the runtime may know nothing any more: what was said of it stays true.
  if (was_over() && is_in_parts(observed)) {
    return set_status(std::make_shared<core::PodStatus>(*status_before()));
  }
  tell_of_back_offs(observed, waits);
  set_status(make_status({.pod = pod_.get(),
                          .observed = &observed,
                          .plan = &plan,
                          .waiting = &waits,
                          .end = end_ ? &*end_ : nullptr,
                          .is_disrupted = eviction_ && eviction_->is_disruption,
                          .before = status_before(),
                          .recursive_read_only = recursive_read_only_.value_or(false),
                          .host_ip = env_->config.host_ip,
                          .now = wall_seconds()}));
}

Task<> PodWorker::publish_readiness(std::shared_ptr<PodWorker> self) {
  const auto covered = self->covered_;
  auto observed = co_await self->look();
  if (!self->terminating_) self->covered_ = covered;  // the worker has still to look for itself
  if (!observed || self->stopped_ || self->end_published_ || !self->status_) co_return;
  auto is_stopped = [&](const std::string& id) { return self->stopped_sandboxes_.contains(id); };
  auto may = [&](const std::string& name, const ObservedContainer* last) { return self->may_start(name, last); };
  PodPlan plan = plan_pod(self->rules_, *observed, is_stopped, may, now());
  if (!plan.finished) self->publish(*observed, plan);
}

// All of it has ended, and whoever looks at the object before it goes sees how.
void PodWorker::publish_end(const ObservedPod& observed) {
  if (rejected_ || (was_over() && is_in_parts(observed)) || std::exchange(end_published_, true)) return;
  PodPlan plan;
  plan.finished = plan.initialized = true;
  plan.failed = rules_.is_over && rules_.is_over_as_failed;
  for (const auto& rule : rules_.containers) {
    if (rule.role == ContainerRule::Role::kSidecar || rule.role == ContainerRule::Role::kEphemeral) continue;
    const auto* newest = observed.newest(rule.name);
    const bool did_well = newest != nullptr && newest->is_exited() && newest->exit_code == 0;
    plan.failed |= !did_well;
    if (rule.role == ContainerRule::Role::kInit) plan.initialized &= did_well;
  }
  const std::map<std::string, Waiting> nobody_waits;
  set_status(make_status({.pod = pod_.get(),
                          .observed = &observed,
                          .plan = &plan,
                          .waiting = &nobody_waits,
                          .end = end_ ? &*end_ : nullptr,
                          .is_disrupted = eviction_ && eviction_->is_disruption,
                          .before = status_before(),
                          .recursive_read_only = recursive_read_only_.value_or(false),
                          .host_ip = env_->config.host_ip,
                          .now = wall_seconds()}));
}

const core::PodStatus* PodWorker::status_before() const {
  if (status_) return status_.get();
  return identity_.is_api() && pod_->status().has_start_time() ? &pod_->status() : nullptr;
}

bool PodWorker::was_over() const {
  const auto* before = status_before();
  return before != nullptr && has_ended(*before);
}

bool PodWorker::is_in_parts(const ObservedPod& observed) const {
  const auto* before = status_before();
  const auto is_gone = [&](const core::ContainerStatus& container) {
    return container.state().has_terminated() && observed.newest(container.name()) == nullptr;
  };
  if (observed.containers.empty()) return true;
  return !has_running(*before) && (std::ranges::any_of(before->container_statuses(), is_gone) ||
                                   std::ranges::any_of(before->init_container_statuses(), is_gone));
}

// Whoever said it: a pod's end is never taken back.
void PodWorker::take_end() {
  const auto& status = pod_->status();
  if (rules_.is_over || !identity_.is_api() || !has_ended(status)) return;
  rules_.is_over = true;
  rules_.is_over_as_failed = status.phase() == "Failed";
  if (!status.reason().empty()) end_ = Waiting{status.reason(), status.message()};
}

std::optional<TimePoint> PodWorker::check_deadline() {
  if (rules_.is_over || !pod_->spec().has_active_deadline_seconds()) return std::nullopt;
  const auto* before = status_before();
  if (before == nullptr || !before->has_start_time()) return now();
  const auto left =
      std::chrono::seconds(before->start_time().seconds() + pod_->spec().active_deadline_seconds() - wall_seconds());
  if (left > left.zero()) return now() + left;
  rules_.is_over = rules_.is_over_as_failed = true;
  end_ = Waiting{"DeadlineExceeded", "Pod was active on the node longer than the specified deadline"};
  tell(EventType::kNormal, end_->reason, end_->message);
  return std::nullopt;
}

void PodWorker::set_status(std::shared_ptr<const core::PodStatus> status) {
  if (status_ && status_->SerializeAsString() == status->SerializeAsString()) return;
  status_ = std::move(status);
  std::string line = describe(*status_);
  if (line != described_) log::info("pod", {{"pod", identity_.full_name()}, {"uid", identity_.uid}, {"status", line}});
  described_ = std::move(line);
  if (env_->changed) env_->changed(identity_.uid);
}

void PodWorker::trouble(const std::string& name, std::string reason, const Error& error, TimePoint until,
                        std::string_view word) {
  auto known = troubles_.find(name);
  bool is_new = known == troubles_.end() || known->second.waiting.message != error.message();
  troubles_[name] = {{std::move(reason), error.message()}, until};
  if (!name.empty()) {
    tell(EventType::kWarning, "Failed", cat("Error: ", word.empty() ? std::string_view(error.message()) : word), name);
  }
  if (!is_new) return;
  log::error("a pod can't go on, retrying", {{"pod", identity_.full_name()},
                                             {"container", name},
                                             {"reason", troubles_[name].waiting.reason},
                                             {"error", error.message()}});
}

void PodWorker::untrouble(const std::string& name) {
  troubles_.erase(name);
  retries_.succeeded(name);
}

void PodWorker::tell_of_back_offs(const ObservedPod& observed, const std::map<std::string, Waiting>& waits) {
  for (const auto& [name, wait] : waits) {
    const auto* last = observed.newest(name);
    if (wait.reason != "CrashLoopBackOff" || last == nullptr || told_back_offs_[name] == last->id) continue;
    told_back_offs_[name] = last->id;
    tell(EventType::kWarning, "BackOff",
         absl::StrCat("Back-off restarting failed container ", name, " in pod ", identity_.name, "_",
                      identity_.namespace_, "(", identity_.uid, ")"),
         name);
  }
}

void PodWorker::tell(EventType type, std::string_view reason, std::string_view message,
                     std::string_view container) const {
  if (env_->events != nullptr && pod_) env_->events->record(*pod_, type, reason, message, container);
}

}  // namespace gantry::agent
