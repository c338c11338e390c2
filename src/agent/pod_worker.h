// SPDX-License-Identifier: Apache-2.0
// The life of one pod: a coroutine that looks at what the runtime has, takes the next step (pod_plan.h), and waits for
// something to happen. One a uid; what it does is serial, so nothing is started twice. It begins by looking, so after a
// restart of gantryd it goes on with what is there.
//
//   syncing -> terminating -> gone
//
// A pod comes from a manifest or from the API server. One that can't run on this node as it is asked for is rejected:
// it does nothing but say so, until it is terminated.
//
// syncing: sandbox, init containers in their order, main containers; restarts with back-off; a new sandbox for one that
// was lost. terminating: the manifest has gone or changed. Containers are stopped with the pod's grace period, then
// sandboxes; volumes and logs are removed, and at last the sandboxes with their containers, which say until then that
// there is something to end. It goes on until that is done. Of a pod that never had a sandbox here nothing is removed:
// what is at the places of its volumes and logs is not ours (a living pod's that the runtime has no record of).
//
// Events carry no state here, they are counted: looking covers all that were heard before it began, and those are
// dropped; one that is heard later makes the worker look again. A storm of events is one more look.
//
// Owner: the agent. Loop thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/backoff.h"
#include "agent/container_stopper.h"
#include "agent/environment.h"
#include "agent/eviction/eviction.h"
#include "agent/object_cache.h"
#include "agent/observed_pod.h"
#include "agent/pod_images.h"
#include "agent/pod_plan.h"
#include "agent/pod_status.h"
#include "agent/probe/prober.h"
#include "agent/volume_calls.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "volumes/prepare.h"
#include "volumes/sub_path.h"

namespace gantry::agent {

struct PodIdentity {
  std::string uid, name, namespace_;
  std::string file;  // the manifest; empty: the API server's

  std::string full_name() const { return namespace_ + "/" + name; }
  bool is_api() const { return file.empty(); }
};

class ConfigVolumes;

class PodWorker : public std::enable_shared_from_this<PodWorker> {
 public:
  // Without a pod (null) it can only terminate: the pod is one of an earlier time, known by its labels alone.
  PodWorker(std::shared_ptr<Environment> environment, PodIdentity identity,
            std::shared_ptr<const k8s::io::api::core::v1::Pod> pod);
  PodWorker(const PodWorker&) = delete;
  PodWorker& operator=(const PodWorker&) = delete;

  // Before start().
  void reject(Waiting why) { rejected_ = std::move(why); }
  // Once.
  void start();
  // The pod as it is asked for now: what may change of it while it runs.
  void update(std::shared_ptr<const k8s::io::api::core::v1::Pod> pod);
  // Something of this pod's changed in the runtime.
  void hear();
  // Something of the node has changed: what it refused is tried again at once.
  void hear_of_node() { retry_now("ContainerCreating"); }
  // Ends the pod; environment.ended is called when nothing of it is left. For good: a pod that is wanted again gets a
  // new worker. `grace` takes the place of the pod's own; a later call can only shorten it, and ends a wait that is
  // longer.
  void terminate(std::optional<Duration> grace = std::nullopt);
  // Ends what runs; the pod stays, as one that failed, also when gantryd ends before the API server knows. One that ends
  // already has the grace at most.
  void evict(PodEviction eviction);
  // Has what a pod that has come to its end has on the disk removed, as soon as the API server knows how it ended: its
  // containers with their logs, and its volumes. An evicted one does that by itself.
  void give_back();
  // Set when that was done, or can't be done now.
  Event& gave_back() { return gave_back_; }
  // Leaves the pod as it is and does nothing more.
  void stop();

  const PodIdentity& identity() const { return identity_; }
  const PodProber::Counts& probe_counts() const { return prober_.counts(); }
  bool is_terminating() const { return terminating_; }
  // It takes something of the node: it was not rejected, and has not ended.
  bool is_here() const { return pod_ && !rejected_ && !was_over(); }
  // It is to go on.
  bool is_running() const { return !terminating_ && !rejected_ && !rules_.is_over && !was_over(); }
  // What it has may be given back.
  bool is_over_for_good() const { return pod_ && !rejected_ && !terminating_ && is_end_known(); }
  // Nothing of it runs, or is to; one that is known by its labels alone ends in its own time.
  bool has_come_to_rest() const;
  // None of its containers runs.
  bool is_still() const;
  const std::shared_ptr<const k8s::io::api::core::v1::Pod>& pod() const { return pod_; }
  // The newest that update() was given: pod() as soon as this worker has looked again.
  const std::shared_ptr<const k8s::io::api::core::v1::Pod>& asked() const { return next_pod_ ? next_pod_ : pod_; }
  // Null until the runtime was looked at.
  const std::shared_ptr<const k8s::io::api::core::v1::PodStatus>& status() const { return status_; }

 private:
  struct Trouble {
    Waiting waiting;
    TimePoint until;
  };

  static Task<> run(std::shared_ptr<PodWorker> self);
  // Looks and takes one step; returns when to look again if nothing is heard before (not given: at once).
  Task<std::optional<TimePoint>> sync();
  Task<> wait_until(TimePoint time);
  Task<Result<ObservedPod>> look();

  // --- steps (pod_worker.cc, pod_start.cc). False: there was trouble, and it is noted when to try again.
  Task<bool> carry_out(const ObservedPod& observed, const PodPlan& plan);
  Task<bool> stop_all(const ObservedPod& observed, const PodPlan& plan);
  Task<bool> run_sandbox(std::uint32_t attempt);
  Task<> start_container(const PodPlan::Start& start, const ObservedSandbox& sandbox);
  // Nothing: it is not done, and the pod is to end.
  Task<std::optional<Status>> call_start(const std::string& id);
  // Whether its handler mounts read-only with all that is beneath. Asked once, of a pod that wants it alone.
  Task<Result<bool>> mounts_recursively();
  // What an ephemeral container asks for, which was not looked at when the pod came.
  Status check_ephemeral(const PodPlan::Start& start) const;
  Task<Result<std::string>> create_container(const PodPlan::Start& start, const ObservedSandbox& sandbox);
  // --- volumes (pod_volumes.cc). False and nothing: they are not there yet, and the worker looks what else there is
  // to do; what is under way is joined by the next try.
  Task<Result<bool>> prepare_volumes();
  // Those that are made here, in volumes_made_.
  Task<Result<bool>> make_volumes();
  Task<Result<std::optional<volumes::Claims>>> find_claims();
  Task<Result<bool>> bind_volumes(const k8s::io::api::core::v1::Container& spec, ContainerInputs& inputs);
  Task<Result<std::optional<VolumeOutcome>>> call_volumes(std::vector<volumes::SubPath> what,
                                                          std::set<std::string> keys, VolumeCalls::Work work);
  // So long volumes are waited for in one go; the rules are marked when activeDeadlineSeconds are over.
  TimePoint volumes_until();
  // False: it does not hold, and something else has happened. Who makes it so wakes the worker.
  Task<bool> wait_quietly(std::function<bool()> holds, std::uint64_t heard, TimePoint until);
  Error late_volumes() const;
  void fail_mount(const Error& error);
  // Nothing is done in the pod's folder any more.
  Task<> end_volume_call();

  // Not there: it is noted why, or it is being pulled.
  Task<Result<std::shared_ptr<const runtime::v1::Image>>> find_image(PodImages::Want want);
  // What the container's spec wants done when it has started; false: that failed, and it was stopped.
  Task<bool> run_post_start(const std::string& name, const std::string& id, const ObservedSandbox& sandbox);

  // --- objects that the pod refers to, and volumes that are made from them (pod_objects.cc)
  void follow_objects();
  void need_objects();
  void update_objects();
  void hear_objects();
  void begin_config_volumes();
  // Nothing is written into them any more.
  Task<> end_config_volumes();
  // What waits for something is tried at once.
  void retry_now(const char* reason);

  Task<> link_log(std::string container, std::uint32_t attempt, std::string id);
  Task<bool> remove_leftovers(const PodPlan& plan);
  Task<Status> remove_container(const ObservedContainer& container);
  // Of a pod of the API server's, which has its end and that of all of its containers.
  bool is_end_known() const;
  bool is_to_give_back() const;
  // When to look again.
  Task<TimePoint> return_space(const ObservedPod& observed);
  Task<TimePoint> remove_volumes();
  // False: a call for its volumes is under way, and is heard of when it is done.
  bool forget_volumes();
  Task<Status> remove_contents(const ObservedPod& observed);
  // --- eviction (pod_eviction.cc): recorded before anything is stopped for it, and recalled by the first look of a
  // later gantryd
  void take_eviction(PodEviction eviction);
  Duration grace_with(const PodEviction& eviction) const;
  Task<> record_eviction();
  Task<> recall_eviction();

  // --- the end (pod_teardown.cc)
  Task<> tear_down();
  Task<Status> tear_down_once();
  Task<Status> stop_by_role(const ObservedPod& observed);
  Task<Status> stop_sandboxes(const ObservedPod& observed);
  Task<Status> remove_sandboxes(const ObservedPod& observed);
  // The ids of its user namespace. Precondition: its sandboxes are stopped, and no call in the pod's folder is under
  // way.
  Task<Status> release_users();
  Duration grace_of(const ObservedPod& observed) const;
  // Also of what is being stopped.
  void shorten(Duration grace);
  // The pod's address as its hooks reach it; may be empty.
  std::string ip_of(const ObservedPod& observed, const std::string& sandbox_id) const;
  // It has an address that the node's pods are not to have.
  bool is_misplaced(const ObservedSandbox& sandbox) const;

  // --- status
  TimePoint may_start(const std::string& name, const ObservedContainer* last) const;
  std::map<std::string, Waiting> waiting(const ObservedPod& observed, const PodPlan& plan) const;
  void publish(const ObservedPod& observed, const PodPlan& plan);
  // A pod that is ending still serves, and says when it does not any more.
  static Task<> publish_readiness(std::shared_ptr<PodWorker> self);
  void publish_end(const ObservedPod& observed);
  void set_status(std::shared_ptr<const k8s::io::api::core::v1::PodStatus> status);
  // The last one, of now or of before this gantryd; null: there is none.
  const k8s::io::api::core::v1::PodStatus* status_before() const;
  // What the last status tells of is not all there any more.
  bool is_in_parts(const ObservedPod& observed) const;
  // The last status says that the pod has come to its end.
  bool was_over() const;
  // The newest that was asked for is what this worker brings about from now on.
  void take_pod();
  // Marks the rules when the API server has the pod as one that has ended.
  void take_end();
  // Marks the rules when activeDeadlineSeconds are over; else when they will be.
  std::optional<TimePoint> check_deadline();
  // Notes why `name` ("" is the pod) does not run and when that is tried again. Its event says `word`; empty: the
  // error.
  void trouble(const std::string& name, std::string reason, const Error& error, TimePoint until,
               std::string_view word = {});
  void untrouble(const std::string& name);
  // Those that wait to be started again, once for each end.
  void tell_of_back_offs(const ObservedPod& observed, const std::map<std::string, Waiting>& waits);
  // An event of the pod, or of that container of it.
  void tell(EventType type, std::string_view reason, std::string_view message, std::string_view container = {}) const;
  std::string log_folder() const;

  std::shared_ptr<Environment> env_;
  PodIdentity identity_;
  std::shared_ptr<const k8s::io::api::core::v1::Pod> pod_;
  std::shared_ptr<const k8s::io::api::core::v1::Pod> next_pod_;  // taken over by the next look
  PodRules rules_;
  std::optional<Waiting> rejected_;
  std::optional<Waiting> end_;           // why the pod as a whole has ended
  std::optional<PodEviction> eviction_;  // then this is why
  bool is_eviction_recorded_ = false;
  bool was_looked_at_ = false;
  std::optional<bool> recursive_read_only_;  // nothing: not asked
  PodObserver observer_;
  std::shared_ptr<const k8s::io::api::core::v1::PodStatus> status_;
  std::string described_;  // what was logged of it last

  Event wake_, gave_back_;
  std::uint64_t heard_ = 0;    // events up to now
  std::uint64_t covered_ = 0;  // events that the last look covers
  bool stepping_ = false;      // a step may take as long as a container has to stop, or a hook to run
  bool terminating_ = false;
  bool stopped_ = false;
  bool end_published_ = false;
  bool had_sandbox_ = false;           // seen or made: only then are the pod's folders this worker's
  bool is_asked_back_ = false;         // by give_back()
  bool has_nothing_ = false;           // all was given back
  bool has_no_volumes_ = false;        // they were removed, for the pod has come to its end
  std::optional<Duration> grace_;      // that terminate() was given
  std::optional<TimePoint> deadline_;  // of the grace period
  std::set<std::string> replaced_;     // those that were stopped for another to take their place

  ContainerStopper stopper_;
  Backoff crashes_, retries_;
  std::shared_ptr<PodImages> images_;  // of start() on
  std::map<std::string, Trouble> troubles_;
  std::map<std::string, std::string> told_back_offs_;  // by name: the container that had ended
  std::set<std::string> stopped_sandboxes_;
  // All; those of them that are not made from objects.
  std::optional<volumes::PreparedVolumes> volumes_, volumes_made_;
  struct ClaimsCall {
    std::optional<Result<volumes::Claims>> found;  // when it is done
  };
  std::shared_ptr<ClaimsCall> claims_call_;
  std::shared_ptr<VolumeCalls::Call> volume_call_;
  std::vector<volumes::SubPath> volume_call_for_;     // that it binds; none: it makes the volumes
  std::shared_ptr<std::atomic<int>> volumes_passed_;  // of volumes::prepare()
  ObjectCache::Holder objects_;                       // what it refers to
  bool objects_ended_ = false;                        // nothing of the pod needs them any more
  std::shared_ptr<ConfigVolumes> config_volumes_;     // null: it has none, or had no sandbox yet
  PodProber prober_;
};

}  // namespace gantry::agent
