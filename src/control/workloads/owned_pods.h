// SPDX-License-Identifier: Apache-2.0
// OwnedPods: the pods of the owners of one kind: which they are, and making and deleting them, with the events that say
// so. Nothing is asked for twice (expectations.h), and what a create that comes late or twice asks for exists already
// (pod_names.h).
//
// One loop's thread; it must live as long as the loop runs.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/expectations.h"
#include "control/workloads/owner.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"

namespace gantry::control::workloads {

class OwnedPods {
 public:
  using Pod = k8s::io::api::core::v1::Pod;
  using PodPtr = std::shared_ptr<const Pod>;
  using PodTemplate = k8s::io::api::core::v1::PodTemplateSpec;

  // A pod was made or deleted, or could not be.
  struct Deed {
    const std::string& owner;
    const std::string& pod;
    bool is_create = false;
    const std::string* error = nullptr;
  };
  struct Owners {
    std::string api_version, kind;
    // An owner ("namespace/name") is to look again: something happened to a pod of its, or it waited in vain.
    std::function<void(const std::string& key)> wake;
    // A pod that nobody controls is there, or has other labels or is newly alone; null: nobody wants to know.
    std::function<void(const Pod& orphan)> orphan = nullptr;
    // What events say; null: what most do.
    std::function<std::string(const Deed& deed)> words = nullptr;
  };
  // `events` says what becomes of pods, and must outlive it.
  OwnedPods(ControllerParts parts, EventRecorder& events, Owners owners);

  // All that it controls, ending and ended ones among them.
  std::vector<PodPtr> of(const std::string& owner_uid) const { return controlled_by(pods_, owner_uid); }
  // Those that it has after it adopted and released what it should; `check` as in claim(). Pods of which `counts`
  // says no are left as they are; null: none are.
  Task<Result<std::vector<PodPtr>>> claim(Owner owner, std::function<Task<Status>()> check,
                                          std::function<bool(const Pod&)> counts = nullptr);

  // Nothing is under way that was not seen yet. Until then who counts his pods counts wrong. To be asked before they
  // are read, in the same step of the loop.
  bool is_settled(const std::string& owner_uid) const { return expected_.is_settled(owner_uid); }
  const Expectations& expected() const { return expected_; }
  // Nothing is known any more: the lease is lost.
  void clear();
  // The owner is no more.
  void forget(const std::string& owner_uid) { expected_.forget_owner(owner_uid); }

  // A pod of the template that the owner controls.
  static Pod pod_of(const Owner& owner, const PodTemplate& pod_template, const std::string& name);
  // So many names that no pod has or had lately: "web-x7k2p".
  std::vector<std::string> new_names(const Owner& owner, std::size_t count) const;
  // The name of that slot; if a pod has it or had it lately, the next one's.
  std::string new_name(const Owner& owner, std::string_view slot) const;
  bool is_taken(const std::string& ns, const std::string& name) const;

  // Makes them: one, then two, then four at a time and so on for as long as none is refused. The first refusal. That
  // the namespace ends is none: nothing more is to be made there.
  Task<Status> create(Owner owner, std::vector<Pod> pods);
  // Deletes them all, also when one of them can't be. The first refusal.
  Task<Status> remove(Owner owner, std::vector<PodPtr> pods);

 private:
  void take(const api::Informer::Change& change);
  void wake_controller(const Pod& pod);
  void remember_name(std::string key);
  void tell(const Owner& owner, const Pod& pod, bool is_create, const std::string* error);
  Task<Status> create_one(Owner owner, std::shared_ptr<const Pod> pod);
  Task<Status> remove_one(Owner owner, PodPtr pod);
  void keep_watch(const Owner& owner);
  Task<> give_up_in_time();

  ControllerParts parts_;
  EventRecorder& events_;
  Owners owners_;
  api::InformerOf<Pod>& pods_;
  Expectations expected_;
  std::unordered_map<std::string, std::string> keys_;  // of owners who expect something, by uid
  bool is_watching_ = false;
  // Names of pods that went, not given again at once: who waits for such a pod's end would wait for ever.
  std::unordered_set<std::string> gone_;
  std::deque<std::string> gone_order_;
};

}  // namespace gantry::control::workloads
