// SPDX-License-Identifier: Apache-2.0
#include "control/server/actions/pod_eviction.h"

#include "api/codec.h"
#include "api/label_selector.h"
#include "base/text.h"
#include "control/server/actions/success.h"
#include "control/server/delete_options.h"
#include "control/server/node_users.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/policy/v1/policy.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;
namespace policy = k8s::io::api::policy::v1;

// So many pods may be on their way out before the budget's controller has seen them go.
constexpr int kMaxDisrupted = 2000;

bool is_ready(const core::Pod& pod) {
  for (const core::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  return false;
}

// Nothing is disrupted by the end of a pod that does not run, or has ended.
bool needs_no_budget(const core::Pod& pod) {
  const std::string& phase = pod.status().phase();
  return phase == "Succeeded" || phase == "Failed" || phase == "Pending" || pod.metadata().has_deletion_timestamp();
}

Failure refused(const std::string& budget, const policy::PodDisruptionBudgetStatus& status) {
  Failure failure = too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0);
  failure.causes.push_back({"DisruptionBudget",
                            cat("The disruption budget ", budget, " needs ", status.desired_healthy(),
                                " healthy pods and has ", status.current_healthy(), " currently"),
                            ""});
  return failure;
}

bool selects(const policy::PodDisruptionBudget& budget, const core::Pod& pod) {
  if (!budget.spec().has_selector()) return false;
  const api::Value document = api::encode(budget);
  const api::Value* spec = document.find("spec");
  const api::Value* selector = spec == nullptr ? nullptr : spec->find("selector");
  if (selector == nullptr) return false;
  const Result<api::LabelSelector> parsed = api::LabelSelector::from_value(*selector);
  return parsed && parsed->matches_map(pod.metadata().labels());
}

// The budget with one disruption less, or why there is none.
Outcome<std::unique_ptr<api::Message>> spend(const policy::PodDisruptionBudget& budget, const core::Pod& pod,
                                             int64_t now) {
  const policy::PodDisruptionBudgetStatus& status = budget.status();
  const std::string& name = budget.metadata().name();
  if (status.observed_generation() < budget.metadata().generation()) {
    Failure failure = too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 10);
    failure.causes.push_back(
        {"DisruptionBudget", cat("The disruption budget ", name, " is still being processed by the server."), ""});
    return fail(std::move(failure));
  }
  if (status.disruptions_allowed() <= 0) return fail(refused(name, status));
  if (status.disrupted_pods_size() > kMaxDisrupted) return fail(refused(name, status));
  auto updated = std::make_unique<policy::PodDisruptionBudget>(budget);
  updated->mutable_status()->set_disruptions_allowed(status.disruptions_allowed() - 1);
  (*updated->mutable_status()->mutable_disrupted_pods())[pod.metadata().name()].set_seconds(now);
  return updated;
}

Outcome<std::unique_ptr<api::Message>> with_condition(const core::Pod& pod, int64_t now) {
  auto updated = std::make_unique<core::Pod>(pod);
  core::PodCondition* target = nullptr;
  for (core::PodCondition& condition : *updated->mutable_status()->mutable_conditions()) {
    if (condition.type() == "DisruptionTarget") target = &condition;
  }
  if (target == nullptr) target = updated->mutable_status()->add_conditions();
  target->Clear();
  target->set_type("DisruptionTarget");
  target->set_status("True");
  target->set_reason("EvictionByEvictionAPI");
  target->set_message("Eviction API: evicting");
  target->mutable_last_transition_time()->set_seconds(now);
  return updated;
}

const api::UpdateRules kRules = {
    .prepare = [](const api::Message&, api::Message*) {}, .validate = {}, .changes_alone = true};

Call inner_call(Call& call, const api::Kind& kind) {
  Call inner{.here = call.here, .user = call.user, .info = call.info, .kind = kind};
  inner.subresource = kind.find_subresource("status");
  inner.dry_run = call.dry_run;
  inner.field_manager = call.field_manager;
  return inner;
}

}  // namespace

PodEviction::PodEviction(const Objects& objects, const Caches& caches, ResourceWriter& writer,
                         std::function<api::Timestamp()> now)
    : objects_(objects),
      caches_(caches),
      writer_(writer),
      now_(std::move(now)),
      pods_(*objects.kinds().find_resource("", "v1", "pods")),
      budgets_(*objects.kinds().find_resource("policy", "v1", "poddisruptionbudgets")) {}

std::unique_ptr<api::Message> PodEviction::make() const { return std::make_unique<policy::Eviction>(); }

Task<Outcome<void>> PodEviction::take_from_budget(Call& call, const Object& object) {
  const auto pod = std::static_pointer_cast<const core::Pod>(object.message);
  Result<Snapshot> budgets = co_await caches_.of(budgets_).fresh(call.here);
  if (!budgets) co_return fail(from_error(budgets.error()));
  std::vector<std::string> names;
  bool unhealthy_may_go = false;
  budgets->visit(storage_key(budgets_, call.info.ns, ""), "", [&](const ObjectPtr& entry) {
    const ItemPtr item = as_item(entry);
    if (item == nullptr) return true;
    const auto budget = std::static_pointer_cast<const policy::PodDisruptionBudget>(item->message(budgets_));
    if (!selects(*budget, *pod)) return true;
    names.push_back(item->name());
    // A pod that is not ready disrupts nothing if its budget says so, or holds without it.
    unhealthy_may_go = !is_ready(*pod) && (budget->spec().unhealthy_pod_eviction_policy() == "AlwaysAllow" ||
                                           (budget->status().current_healthy() >= budget->status().desired_healthy() &&
                                            budget->status().desired_healthy() > 0));
    return true;
  });
  if (names.empty()) co_return Outcome<void>();
  if (names.size() > 1) {
    co_return fail(internal_error(
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."));
  }
  if (unhealthy_may_go) co_return Outcome<void>();
  Call inner = inner_call(call, budgets_);
  const int64_t now = now_().seconds;
  Outcome<Object> spent = co_await writer_.change(inner, names[0], kRules, [pod, now](const Object& current) {
    return spend(static_cast<const policy::PodDisruptionBudget&>(*current.message), *pod, now);
  });
  if (!spent) co_return fail(std::move(spent.error()));
  co_return Outcome<void>();
}

Task<Outcome<void>> PodEviction::mark(Call& call, const std::string& name) {
  Call inner = inner_call(call, pods_);
  const int64_t now = now_().seconds;
  Outcome<Object> marked = co_await writer_.change(inner, name, kRules, [now](const Object& current) {
    return with_condition(static_cast<const core::Pod&>(*current.message), now);
  });
  if (!marked) co_return fail(std::move(marked.error()));
  co_return Outcome<void>();
}

Task<Outcome<std::unique_ptr<api::Message>>> PodEviction::run(Call& call, std::unique_ptr<api::Message> sent) {
  const auto& eviction = static_cast<const policy::Eviction&>(*sent);
  const std::string name = call.info.name;
  if (!eviction.metadata().name().empty() && eviction.metadata().name() != name) {
    co_return fail(bad_request(
        cat("the eviction is of ", quoted(eviction.metadata().name()), ", and the URL names ", quoted(name))));
  }
  Outcome<DeleteOptions> wanted = delete_options_of(eviction.delete_options(), &call);
  if (!wanted) co_return fail(std::move(wanted.error()));
  Result<std::optional<Object>> pod = co_await objects_.find(call.here, pods_, call.info.ns, name);
  if (!pod) co_return fail(from_error(pod.error()));
  if (!*pod) co_return fail(object_not_found(pods_, name));
  // A node may evict what it runs, and nothing of others' budgets goes by what it may not.
  const std::string& node = static_cast<const core::Pod&>(*(*pod)->message).spec().node_name();
  if (call.user.is_in(kNodesGroup) && call.user.name != cat(kNodeUserPrefix, node)) {
    co_return fail(forbidden(pods_, name, cat("node ", quoted(call.user.name), " can only evict pods that it runs")));
  }
  if (!needs_no_budget(static_cast<const core::Pod&>(*(*pod)->message))) {
    if (Outcome<void> taken = co_await take_from_budget(call, **pod); !taken) co_return fail(std::move(taken.error()));
    if (Outcome<void> marked = co_await mark(call, name); !marked) co_return fail(std::move(marked.error()));
  }
  Call inner{.here = call.here, .user = call.user, .info = call.info, .kind = pods_};
  inner.dry_run = call.dry_run;
  inner.field_manager = call.field_manager;
  DeleteOptions options = std::move(*wanted);
  // The pod that was looked at, and no later one of its name.
  if (!options.uid) options.uid = static_cast<const core::Pod&>(*(*pod)->message).metadata().uid();
  Outcome<DeleteAnswer> removed = co_await writer_.remove(inner, name, std::move(options));
  if (!removed) co_return fail(std::move(removed.error()));
  co_return success();
}

}  // namespace gantry::control
