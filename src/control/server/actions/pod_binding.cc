// SPDX-License-Identifier: Apache-2.0
#include "control/server/actions/pod_binding.h"

#include "api/names.h"
#include "base/text.h"
#include "control/server/actions/success.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

Outcome<std::unique_ptr<api::Message>> bound(const api::Kind& kind, const core::Pod& pod, const core::Binding& binding,
                                             int64_t now) {
  const std::string& name = pod.metadata().name();
  if (!binding.metadata().uid().empty() && binding.metadata().uid() != pod.metadata().uid()) {
    return fail(conflict(kind, name,
                         cat("Precondition failed: UID in precondition: ", binding.metadata().uid(),
                             ", UID in object meta: ", pod.metadata().uid())));
  }
  if (pod.metadata().has_deletion_timestamp()) {
    return fail(conflict(kind, name, cat("pod ", name, " is being deleted, cannot be assigned to a host")));
  }
  if (!pod.spec().node_name().empty()) {
    return fail(
        conflict(kind, name, cat("pod ", name, " is already assigned to node ", quoted(pod.spec().node_name()))));
  }
  if (pod.spec().scheduling_gates_size() > 0) {
    return fail(conflict(kind, name, cat("pod ", name, " has non-empty .spec.schedulingGates")));
  }
  auto updated = std::make_unique<core::Pod>(pod);
  updated->mutable_spec()->set_node_name(binding.target().name());
  updated->mutable_status()->clear_nominated_node_name();
  for (const auto& [key, value] : binding.metadata().annotations()) {
    (*updated->mutable_metadata()->mutable_annotations())[key] = value;
  }
  for (const auto& [key, value] : binding.metadata().labels()) {
    (*updated->mutable_metadata()->mutable_labels())[key] = value;
  }
  auto& conditions = *updated->mutable_status()->mutable_conditions();
  core::PodCondition* scheduled = nullptr;
  for (core::PodCondition& condition : conditions) {
    if (condition.type() == "PodScheduled") scheduled = &condition;
  }
  if (scheduled == nullptr) scheduled = conditions.Add();
  scheduled->Clear();
  scheduled->set_type("PodScheduled");
  scheduled->set_status("True");
  scheduled->mutable_last_transition_time()->set_seconds(now);
  return updated;
}

// Neither spec nor status are the client's here: what bound() did stands, also of a pod that is older than a rule.
const api::UpdateRules kRules = {
    .prepare = [](const api::Message&, api::Message*) {}, .validate = {}, .changes_alone = true};

}  // namespace

PodBinding::PodBinding(const api::Kinds& kinds, ResourceWriter& writer, std::function<api::Timestamp()> now)
    : pods_(*kinds.find_resource("", "v1", "pods")), writer_(writer), now_(std::move(now)) {}

std::unique_ptr<api::Message> PodBinding::make() const { return std::make_unique<core::Binding>(); }

Task<Outcome<std::unique_ptr<api::Message>>> PodBinding::run(Call& call, std::unique_ptr<api::Message> sent) {
  const std::shared_ptr<const core::Binding> binding(static_cast<core::Binding*>(sent.release()));
  std::string name = call.info.name.empty() ? binding->metadata().name() : call.info.name;
  if (name.empty()) co_return fail(bad_request("the binding names no pod (metadata.name)"));
  if (!binding->metadata().name().empty() && binding->metadata().name() != name) {
    co_return fail(bad_request(
        cat("the binding is of ", quoted(binding->metadata().name()), ", and the URL names ", quoted(name))));
  }
  if (!binding->target().kind().empty() && binding->target().kind() != "Node") {
    co_return fail(
        bad_request(cat("the binding's target is of kind ", quoted(binding->target().kind()), "; expected Node")));
  }
  const std::string& node = binding->target().name();
  if (node.empty()) co_return fail(bad_request("the binding names no node (target.name)"));
  if (const std::string wrong = api::check_dns1123_subdomain(node); !wrong.empty()) {
    co_return fail(bad_request(cat("the binding's target.name ", quoted(node), ": ", wrong)));
  }
  Call inner{.here = call.here, .user = call.user, .info = call.info, .kind = pods_, .subresource = call.subresource};
  inner.dry_run = call.dry_run;
  inner.field_manager = call.field_manager;
  const int64_t now = now_().seconds;
  Outcome<Object> done =
      co_await writer_.change(inner, std::move(name), kRules, [binding, now, &kind = pods_](const Object& current) {
        return bound(kind, static_cast<const core::Pod&>(*current.message), *binding, now);
      });
  if (!done) co_return fail(std::move(done.error()));
  co_return success();
}

}  // namespace gantry::control
