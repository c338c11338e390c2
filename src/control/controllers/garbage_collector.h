// SPDX-License-Identifier: Apache-2.0
// The garbage collector: removes what none of its owners is left of, of whatever kinds the server has; lets dependents
// go of an owner that is deleted with "orphan", and has them go first with "foregroundDeletion".
//
// It keeps of each object what says who it is and whose. What it sees there only makes it look: before it deletes, it
// asks the server for the object and for each of its owners, and deletes the very version that it looked at.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "api/client/discovery.h"
#include "control/controllers/controller.h"
#include "control/controllers/dependency_graph.h"
#include "control/controllers/event_recorder.h"

namespace gantry::control {

// Owners of which is known that they are no more. A uid never comes back, so that only space makes it forget.
class AbsentOwners {
 public:
  void add(std::string key);
  bool contains(const std::string& key) const { return keys_.contains(key); }

 private:
  std::unordered_set<std::string> keys_;
  std::deque<std::string> order_;
};

class GarbageCollector final : public Controller {
 public:
  explicit GarbageCollector(ControllerParts parts);
  // What there is to watch is asked of the server.
  void start() override;
  void stop() override;

  // All that is there is known, and nothing waits to be done about it.
  bool is_idle() const { return synced_ && checks_.is_idle() && orphans_.is_idle(); }

 private:
  struct Owners;
  Task<> run();
  void watch(const api::Target& target);
  const api::Target* target_for(const api::Value& reference) const;
  std::string absent_key(const api::Target& target, std::string_view ns, std::string_view name,
                         std::string_view uid) const;
  bool is_settled(const DependencyGraph::Node& node) const;
  EventRecorder::About about(const DependencyGraph::Node& node) const;

  Task<Status> check(std::string uid);
  Task<Status> wait_for_dependents(std::string uid);
  Task<Status> classify(const api::Value& metadata, std::string ns, Owners* out);
  Task<Status> collect(std::string uid, std::string path, const api::Value& metadata, const Owners& owners);
  Task<Status> unblock(const std::string& path, const api::Value& metadata);
  Task<Status> orphan(std::string uid);
  Task<Status> let_go(std::string path, std::string uid, std::string owner_uid);
  Task<Status> remove_finalizer(std::string path, std::string uid, std::string finalizer);
  Task<Status> patch(std::string path, const api::Value& metadata, const char* field, api::Value::List list);

  ControllerParts parts_;
  EventRecorder events_;
  DependencyGraph graph_;
  AbsentOwners absent_;
  std::vector<api::Target> targets_;
  std::vector<api::Informer*> informers_;
  api::WorkQueue checks_;
  api::WorkQueue orphans_;
  bool synced_ = false;
  bool stopped_ = false;
};

}  // namespace gantry::control
