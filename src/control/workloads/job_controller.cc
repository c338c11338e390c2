// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/job_controller.h"

#include <algorithm>

#include "base/together.h"
#include "control/workloads/pod_names.h"
#include "control/workloads/pod_state.h"
#include "control/workloads/written.h"

namespace gantry::control::workloads {

namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;
using api::Value;

namespace {

constexpr std::size_t kWorkers = 5;
constexpr std::size_t kAtOnce = 64;

Owner owner_of_job(const api::Client& client, const batch::Job& job) {
  Owner owner = owner_of(client, job, selector_of(job.spec().selector()));
  owner.finalizer = kTrackingFinalizer;
  return owner;
}

// "JOB-INDEX", cut so that what follows fits.
std::string name_with_index(std::string_view job, std::int32_t index) {
  const std::string end = cat("-", index);
  return cat(job.substr(0, kLongestPodPrefix - 1 - end.size()), end);
}

// The patch that takes the finalizer off this pod, and off this version of it alone.
Value without_finalizer(const core::Pod& pod, bool this_version) {
  Value metadata = Value::object({{"uid", pod.metadata().uid()}});
  if (this_version) metadata["resourceVersion"] = pod.metadata().resource_version();
  metadata["$deleteFromPrimitiveList/finalizers"] = Value(Value::List{Value(kTrackingFinalizer)});
  return Value::object({{"metadata", std::move(metadata)}});
}

// Every container is told the index.
template <typename Containers>
void tell_index(Containers* containers) {
  static constexpr char kVariable[] = "JOB_COMPLETION_INDEX";
  for (auto& container : *containers) {
    const bool has_it =
        std::ranges::any_of(container.env(), [](const core::EnvVar& variable) { return variable.name() == kVariable; });
    if (has_it) continue;
    core::EnvVar* variable = container.add_env();
    variable->set_name(kVariable);
    variable->mutable_value_from()->mutable_field_ref()->set_field_path(cat("metadata.labels['", kIndexKey, "']"));
  }
}

// What the pods that are counted already have to say of failures: after a start nobody remembers them.
PodBackoff remembered(const JobView& view) {
  const batch::UncountedTerminatedPods& uncounted = view.job.status().uncounted_terminated_pods();
  const std::set<std::string> failed_before(uncounted.failed().begin(), uncounted.failed().end());
  const std::set<std::string> succeeded_before(uncounted.succeeded().begin(), uncounted.succeeded().end());
  std::vector<JobPod> succeeded, failed;
  for (const JobPod& pod : view.pods) {
    const std::string& uid = pod->metadata().uid();
    if (is_tracked(*pod) && !failed_before.contains(uid) && !succeeded_before.contains(uid)) continue;
    if (pod->status().phase() == "Succeeded") succeeded.push_back(pod);
    if (has_failed(*pod, view.job)) failed.push_back(pod);
  }
  PodBackoff backoff;
  backoff.take(succeeded, failed);
  return backoff;
}

}  // namespace

JobController::JobController(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "job-controller"),
      jobs_(parts_.informers.of<Job>()),
      all_pods_(parts_.informers.of<Pod>()),
      queue_(parts_.queues(), "job", [this](std::string key) { return work(std::move(key)); }, kWorkers),
      orphans_(parts_.queues(), "job_orphan_pod", [this](std::string key) { return let_go(std::move(key)); }),
      pods_(parts_, events_,
            {.api_version = "batch/v1",
             .kind = "Job",
             .wake = [this](const std::string& key) { queue_.add(key); },
             .orphan = [this](const Pod& pod) { see_orphan(pod); }}) {
  jobs_.on_change([this](const api::Informer::Change& change) { see_job(change); });
  all_pods_.on_change([this](const api::Informer::Change& change) { see_pod(change); });
}

void JobController::start() {
  queue_.start();
  orphans_.start();
}

void JobController::see_job(const api::Informer::Change& change) {
  const auto& job = static_cast<const Job&>(change.object());
  queue_.add(key_of(job));
  const bool is_other = change.now != nullptr && change.before != nullptr &&
                        api::metadata_of(*change.before).uid() != job.metadata().uid();
  const std::string& gone = is_other ? api::metadata_of(*change.before).uid() : job.metadata().uid();
  if (change.now != nullptr && !is_other && !is_finished(job)) return;
  if (change.now == nullptr || is_other) {
    memory_.erase(gone);
    pods_.forget(gone);
  }
  for (const JobPod& pod : pods_.of(gone)) {
    if (is_tracked(*pod)) orphans_.add(key_of(*pod));
  }
}

void JobController::see_pod(const api::Informer::Change& change) {
  const auto& pod = static_cast<const Pod&>(change.object());
  if (change.now == nullptr || !is_tracked(pod)) released_.erase(pod.metadata().uid());
  if (change.now == nullptr || !is_tracked(pod)) return;
  const OwnerReference* controller = controller_of(pod.metadata());
  const bool is_held = controller == nullptr || controller->kind() == "Job";
  if (is_held && needing(pod) == nullptr) orphans_.add(key_of(pod));
}

// Somebody may want to adopt it.
void JobController::see_orphan(const Pod& pod) {
  const std::string& ns = pod.metadata().namespace_();
  for (auto each = jobs_.all().lower_bound(ns + "/"); each != jobs_.all().end(); ++each) {
    const auto& job = static_cast<const Job&>(*each->second);
    if (job.metadata().namespace_() != ns) break;
    if (is_finished(job) || is_managed_elsewhere(job)) continue;
    const auto uid = pod.metadata().labels().find("batch.kubernetes.io/controller-uid");
    const bool may_fit =
        job.spec().manual_selector() || (uid != pod.metadata().labels().end() && uid->second == job.metadata().uid());
    if (may_fit && selector_of(job.spec().selector()).matches_map(pod.metadata().labels())) queue_.add(each->first);
  }
}

std::shared_ptr<const batch::Job> JobController::needing(const Pod& pod) const {
  const OwnerReference* controller = controller_of(pod.metadata());
  if (controller == nullptr || controller->kind() != "Job") return nullptr;
  std::shared_ptr<const Job> job = jobs_.find(pod.metadata().namespace_(), controller->name());
  const bool needs_it = job != nullptr && job->metadata().uid() == controller->uid() &&
                        (is_managed_elsewhere(*job) || !is_finished(*job));
  return needs_it ? job : nullptr;
}

void JobController::stop() {
  pods_.clear();
  wakes_.clear();
  memory_.clear();
  released_.clear();
}

Task<Status> JobController::work(std::string key) {
  const std::shared_ptr<const Job> job = jobs_.find_key(key);
  if (job == nullptr || is_finished(*job)) {
    if (job != nullptr) memory_.erase(job->metadata().uid());
    co_return Status();
  }
  if (is_managed_elsewhere(*job)) co_return Status();
  const std::string uid = job->metadata().uid();
  // What was written here comes by the watch, and brings the job back.
  const auto known = memory_.find(uid);
  if (known != memory_.end() && version_of(job->metadata()) < known->second.version) co_return Status();
  const Owner owner = owner_of_job(parts_.client, *job);
  const bool is_settled = pods_.is_settled(uid);
  // With the pods: while one is adopted, the watch may show what is not among them yet.
  std::set<std::string> released;
  for (const JobPod& pod : pods_.of(uid)) {
    if (released_.contains(pod->metadata().uid())) released.insert(pod->metadata().uid());
  }
  Result<std::vector<JobPod>> pods =
      co_await pods_.claim(owner, [this, &owner] { return may_adopt<Job>(parts_.client, owner); });
  if (!pods) co_return std::unexpected(std::move(pods.error()));
  // It went meanwhile, or is another one.
  if (const auto still = jobs_.find_key(key); still == nullptr || still->metadata().uid() != uid) co_return Status();

  JobView view{.job = *job,
               .pods = std::move(*pods),
               .released = std::move(released),
               .is_settled = is_settled,
               .backoff = {},
               .now = parts_.now().seconds};
  for (const JobPod& pod : view.pods) {
    if (released_.contains(pod->metadata().uid())) view.released.insert(pod->metadata().uid());
  }
  Memory& memory = memory_[uid];
  if (!memory.backoff) memory.backoff = remembered(view);
  view.backoff = *memory.backoff;
  JobSync sync(std::move(view));
  const Status acted = co_await act(owner, sync, *job);

  Result<bool> written = co_await write(sync, uid);
  if (!written) co_return std::unexpected(std::move(written.error()));
  if (!*written) co_return acted;
  memory_[uid].backoff = sync.backoff();
  std::set<std::string> done;
  const Status let_go = co_await release(sync.to_release(), &done);
  sync.released(done);
  written = co_await write(sync, uid);
  if (!written) co_return std::unexpected(std::move(written.error()));
  if (jobs_.find_key(key) == nullptr) memory_.erase(uid);  // it went meanwhile
  if (sync.seconds_to_look()) {
    wakes_.within(key, std::chrono::seconds(*sync.seconds_to_look()));
  }
  co_return acted ? let_go : acted;
}

Task<Status> JobController::act(Owner owner, JobSync& sync, const Job& job) {
  std::vector<JobPod> removed;
  Status done = co_await remove(owner, sync.to_remove(), sync.removes_uncounted(), &removed);
  std::vector<Pod> pods = pods_to_make(owner, job, sync.to_make());
  std::vector<std::string> names;
  for (const Pod& pod : pods) names.push_back(pod.metadata().name());
  if (!pods.empty()) done = co_await pods_.create(owner, std::move(pods));
  const auto made = std::ranges::count_if(names, [&](const auto& name) { return pods_.is_taken(owner.ns, name); });
  sync.acted(removed, static_cast<std::size_t>(made));
  co_return done;
}

Task<Status> JobController::remove(Owner owner, std::vector<JobPod> pods, bool uncounted,
                                   std::vector<JobPod>* removed) {
  if (pods.empty()) co_return Status();
  Status done;
  if (uncounted) {
    std::set<std::string> released;
    std::vector<JobPod> tracked;
    std::ranges::copy_if(pods, std::back_inserter(tracked), [&](const JobPod& pod) {
      return is_tracked(*pod) && !released_.contains(pod->metadata().uid());
    });
    done = co_await release(tracked, &released);
    // One that is held would be counted as a failure.
    std::erase_if(pods, [&](const JobPod& pod) {
      return !released.contains(pod->metadata().uid()) && std::ranges::find(tracked, pod) != tracked.end();
    });
  }
  const Status deleted = co_await pods_.remove(owner, pods);
  for (const JobPod& pod : pods) {
    const std::shared_ptr<const Pod> now = all_pods_.find(owner.ns, pod->metadata().name());
    const bool is_gone = now == nullptr || now->metadata().uid() != pod->metadata().uid() ||
                         now->metadata().has_deletion_timestamp();
    if (is_gone || pods_.expected().is_removed(pod->metadata().uid())) removed->push_back(pod);
  }
  co_return done ? deleted : done;
}

std::vector<core::Pod> JobController::pods_to_make(const Owner& owner, const Job& job,
                                                   const std::vector<WantedPod>& wanted) const {
  core::PodTemplateSpec pattern = job.spec().template_();
  auto* finalizers = pattern.mutable_metadata()->mutable_finalizers();
  if (std::ranges::find(*finalizers, kTrackingFinalizer) == finalizers->end()) *finalizers->Add() = kTrackingFinalizer;
  std::vector<Pod> pods;
  if (!is_indexed(job)) {
    for (const std::string& name : pods_.new_names(owner, wanted.size())) {
      pods.push_back(OwnedPods::pod_of(owner, pattern, name));
    }
    return pods;
  }
  tell_index(pattern.mutable_spec()->mutable_init_containers());
  tell_index(pattern.mutable_spec()->mutable_containers());
  for (const WantedPod& one : wanted) {
    const std::string text = std::to_string(*one.index);
    Owner named = owner;
    named.name = name_with_index(owner.name, *one.index);
    Pod pod = OwnedPods::pod_of(owner, pattern, pods_.new_name(named, text));
    pod.mutable_metadata()->set_generate_name(cat(named.name, "-"));
    auto& annotations = *pod.mutable_metadata()->mutable_annotations();
    annotations[kIndexKey] = text;
    (*pod.mutable_metadata()->mutable_labels())[kIndexKey] = text;
    if (job.spec().has_backoff_limit_per_index()) {
      annotations[kFailureCountAnnotation] = std::to_string(one.failures.counted);
      if (one.failures.ignored > 0) annotations[kIgnoredFailureCountAnnotation] = std::to_string(one.failures.ignored);
    }
    pod.mutable_spec()->set_hostname(cat(owner.name, "-", text));
    pods.push_back(std::move(pod));
  }
  return pods;
}

Task<Result<bool>> JobController::write(JobSync& sync, const std::string& uid) {
  if (const Job* changed = sync.to_write()) {
    const api::Answer<Job> written = co_await parts_.client.update_status(*changed);
    if (!written && (written.error().is_conflict() || written.error().is_not_found())) co_return false;
    if (!written) co_return std::unexpected(written.error().as_error());
    memory_[uid].version = version_of(written->metadata());
    sync.wrote(*written);
    for (JobEvent& event : sync.take_events()) {
      if (event.is_warning) {
        events_.warning(events_.about(*written), event.reason, std::move(event.message));
      } else {
        events_.normal(events_.about(*written), event.reason, std::move(event.message));
      }
    }
  }
  co_return true;
}

Task<Status> JobController::release(std::vector<JobPod> pods, std::set<std::string>* done) {
  Status all;
  for (std::size_t next = 0; next < pods.size();) {
    std::vector<Task<Status>> tasks;
    for (const std::size_t end = std::min(next + kAtOnce, pods.size()); next < end; ++next) {
      tasks.push_back(release_one(pods[next], done));
    }
    Status some = co_await together(parts_.here, std::move(tasks));
    if (all) all = std::move(some);
  }
  co_return all;
}

Task<Status> JobController::release_one(JobPod pod, std::set<std::string>* done) {
  const api::ObjectMeta& metadata = pod->metadata();
  // The watch may be faster than the answer.
  released_.insert(metadata.uid());
  const api::Answer<Pod> now = co_await parts_.client.patch<Pod>(
      metadata.namespace_(), metadata.name(), api::PatchForm::kStrategicMerge, without_finalizer(*pod, false));
  const std::shared_ptr<const Pod> there = all_pods_.find(metadata.namespace_(), metadata.name());
  if (!now && (there == nullptr || there->metadata().uid() != metadata.uid())) released_.erase(metadata.uid());
  // It is gone, or another pod has its name.
  if (now || now.error().is_not_found() || now.error().is_conflict()) {
    done->insert(metadata.uid());
    co_return Status();
  }
  released_.erase(metadata.uid());
  co_return std::unexpected(now.error().as_error());
}

// A pod that is held for no job.
Task<Status> JobController::let_go(std::string key) {
  const std::shared_ptr<const Pod> pod = all_pods_.find_key(key);
  if (pod == nullptr || !is_tracked(*pod) || needing(*pod) != nullptr) co_return Status();
  if (const OwnerReference* controller = controller_of(pod->metadata())) {
    if (controller->kind() != "Job") co_return Status();
    // The pod may have come by its watch before its job did.
    const api::Answer<Job> live = co_await parts_.client.get<Job>(pod->metadata().namespace_(), controller->name());
    if (!live && !live.error().is_not_found()) co_return std::unexpected(live.error().as_error());
    if (live && live->metadata().uid() == controller->uid() && (is_managed_elsewhere(*live) || !is_finished(*live))) {
      co_return Status();
    }
  }
  // As it was seen: somebody may adopt it meanwhile, and hold it.
  co_return done_or_late(co_await parts_.client.patch<Pod>(pod->metadata().namespace_(), pod->metadata().name(),
                                                           api::PatchForm::kStrategicMerge,
                                                           without_finalizer(*pod, true)));
}

}  // namespace gantry::control::workloads
