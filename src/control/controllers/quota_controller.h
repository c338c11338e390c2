// SPDX-License-Identifier: Apache-2.0
// Resource quotas: says in each one's status what is limited and what of it is used.
//
// Admission charges what is made (admission/resource_quota.h); this finds what is there no longer. It never takes away
// what an object was charged that is about to be written: what it takes away is what stood in the status a second
// before all objects were counted, less what they take, and only if nobody else took anything meanwhile. So a limit is
// not passed, however fast things come and go.
//
// Resources are those that quotas name, whatever discovery knows by that name; of most of them metadata is enough.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "control/controllers/controller.h"
#include "control/quota/usage.h"
#include "kubernetes/core/v1/quota.pb.h"

namespace gantry::control {

class QuotaController final : public Controller {
 public:
  // `settled`: longer than what was charged takes to be written.
  explicit QuotaController(ControllerParts parts, Duration settled = std::chrono::seconds(1));
  void start() override { queue_.start(); }
  void stop() override;

 private:
  using Clock = std::chrono::steady_clock;
  // What was used at one time, for the difference to what is counted later.
  struct Mark {
    Amounts used;
    Clock::time_point since;
  };

  Task<Status> work(std::string key);
  // As the server has it now; empty: there is none.
  Task<Result<std::optional<ResourceQuota>>> read(std::string ns, std::string name);
  Task<Status> set_up(const ResourceQuota& quota);
  Task<Status> take_back(std::string key, Mark mark);
  Task<Status> write(ResourceQuota quota, Amounts hard, Amounts used);
  // What objects take of what the quota limits, as informers know it, or as the server has it now.
  Task<Result<Amounts>> count(const ResourceQuota& quota, bool now);
  Task<Result<Amounts>> count_resource(const api::Target& target, const ResourceQuota& quota, bool now);
  // The resources that the quota limits.
  Task<Result<std::vector<api::Target>>> targets_of(const ResourceQuota& quota);
  api::Informer* informer_of(const api::Target& target);
  void on_object(const api::Target& target, const api::Informer::Change& change);
  void on_quota(const api::Informer::Change& change);
  // The quotas of a namespace, a little later, once for all who ask meanwhile.
  void look_at(const std::string& ns);
  Task<> look_later(std::string ns);

  ControllerParts parts_;
  const Duration settled_;
  api::WorkQueue queue_;
  std::vector<api::Target> known_;  // of discovery
  std::optional<Clock::time_point> asked_;
  std::map<std::string, Mark> marks_;
  std::set<std::string> looked_at_;  // namespaces
  // Of resources without amounts of their own, by the name of their count.
  std::map<std::string, std::unique_ptr<api::Informer>> counted_;
};

}  // namespace gantry::control
