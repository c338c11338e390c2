// SPDX-License-Identifier: Apache-2.0
// JobController: makes the pods of jobs, counts how they end, and says when a job has succeeded or failed. What is to
// be done JobSync decides (job_sync.h); this is what does it, in an order in which no pod is counted twice or not at
// all, wherever it is cut short. A pod that is held for a job which is no more, or needs it no more, is let go.
//
// One loop's thread; it must live as long as the loop runs.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/delayed_wakes.h"
#include "control/workloads/job_sync.h"
#include "control/workloads/owned_pods.h"

namespace gantry::control::workloads {

class JobController final : public Controller {
 public:
  explicit JobController(ControllerParts parts);
  void start() override;
  void stop() override;

 private:
  using Job = k8s::io::api::batch::v1::Job;
  using Pod = k8s::io::api::core::v1::Pod;

  // Of a job, by its uid.
  struct Memory {
    std::optional<PodBackoff> backoff;
    // Of the job as it was last written here; older ones say less than is so.
    std::uint64_t version = 0;
  };

  void see_job(const api::Informer::Change& change);
  void see_pod(const api::Informer::Change& change);
  void see_orphan(const Pod& pod);
  // The job that the pod is held for, if it still may be counted there.
  std::shared_ptr<const Job> needing(const Pod& pod) const;

  Task<Status> work(std::string key);
  Task<Status> act(Owner owner, JobSync& sync, const Job& job);
  Task<Status> remove(Owner owner, std::vector<JobPod> pods, bool uncounted, std::vector<JobPod>* removed);
  std::vector<Pod> pods_to_make(const Owner& owner, const Job& job, const std::vector<WantedPod>& wanted) const;
  // What is to be written is written, and told. True: it was, or there was nothing; false: somebody was faster.
  Task<Result<bool>> write(JobSync& sync, const std::string& uid);
  // Takes the finalizers off; the uids of those that have none now.
  Task<Status> release(std::vector<JobPod> pods, std::set<std::string>* done);
  Task<Status> release_one(JobPod pod, std::set<std::string>* done);
  Task<Status> let_go(std::string key);

  ControllerParts parts_;
  EventRecorder events_;
  api::InformerOf<Job>& jobs_;
  api::InformerOf<Pod>& all_pods_;
  api::WorkQueue queue_;
  api::WorkQueue orphans_;
  OwnedPods pods_;
  DelayedWakes wakes_{parts_.here, queue_};
  std::unordered_map<std::string, Memory> memory_;
  // Uids of pods that are known here with the finalizer that was taken off.
  std::unordered_set<std::string> released_;
};

}  // namespace gantry::control::workloads
