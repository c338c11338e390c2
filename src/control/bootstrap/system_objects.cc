// SPDX-License-Identifier: Apache-2.0
#include "control/bootstrap/system_objects.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "api/metadata.h"
#include "base/text.h"
#include "base/together.h"
#include "control/authorization/default_roles.h"
#include "control/server/object_names.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/scheduling/v1/priority_class.pb.h"

namespace gantry::control {

namespace {

std::unique_ptr<api::Message> system_namespace(const char* name) {
  auto made = std::make_unique<k8s::io::api::core::v1::Namespace>();
  made->mutable_metadata()->set_name(name);
  (*made->mutable_metadata()->mutable_labels())["kubernetes.io/metadata.name"] = name;
  made->mutable_spec()->add_finalizers("kubernetes");
  made->mutable_status()->set_phase("Active");
  return made;
}

std::unique_ptr<api::Message> priority_class(const char* name, int32_t value, const char* description) {
  auto made = std::make_unique<k8s::io::api::scheduling::v1::PriorityClass>();
  made->mutable_metadata()->set_name(name);
  made->set_value(value);
  made->set_description(description);
  made->set_preemption_policy("PreemptLowerPriority");
  return made;
}

}  // namespace

Task<Result<bool>> make_missing(Loop& here, Objects objects, std::unique_ptr<api::Message> wanted, api::Timestamp now) {
  const auto& all = objects.kinds().all();
  const auto kind = std::ranges::find_if(
      all, [&](const api::Kind& k) { return k.descriptor == wanted->GetDescriptor() && !k.conversion; });
  if (kind == all.end()) co_return fail(Code::kFailedPrecondition, "there is no such kind");
  const std::string ns = api::metadata_of(*wanted).namespace_();
  const std::string name = api::metadata_of(*wanted).name();
  Result<std::optional<Object>> present = co_await objects.find(here, *kind, ns, name);
  if (!present) co_return std::unexpected(std::move(present.error()));
  if (*present) co_return false;
  Result<std::string> uid = new_uid();
  if (!uid) co_return std::unexpected(std::move(uid.error()));
  api::ObjectMeta* metadata = api::mutable_metadata_of(wanted.get());
  metadata->set_uid(*uid);
  metadata->mutable_creation_timestamp()->set_seconds(now.seconds);
  if (kind->has_generation) metadata->set_generation(1);
  if (kind->set_defaults) kind->set_defaults(wanted.get());
  Result<Objects::Answer> answer = co_await objects.create(here, *kind, std::move(wanted));
  if (!answer) co_return std::unexpected(std::move(answer.error()).with_context(cat("make ", kind->plural, " ", name)));
  co_return answer->done;
}

namespace {

Task<Status> make_one(Loop& here, Objects objects, std::unique_ptr<api::Message> wanted, api::Timestamp now) {
  Result<bool> made = co_await make_missing(here, objects, std::move(wanted), now);
  if (!made) co_return std::unexpected(std::move(made.error()));
  co_return Status();
}

}  // namespace

Task<Status> make_system_objects(Loop& here, Objects objects, std::function<api::Timestamp()> now) {
  std::vector<std::unique_ptr<api::Message>> wanted;
  for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    wanted.push_back(system_namespace(name));
  }
  wanted.push_back(priority_class("system-cluster-critical", 2'000'000'000,
                                  "Used for system critical pods that must run in the cluster, but can be moved to "
                                  "another node if necessary."));
  wanted.push_back(priority_class("system-node-critical", 2'000'001'000,
                                  "Used for system critical pods that must not be moved from their current node."));
  std::vector<Task<Status>> tasks;
  for (std::unique_ptr<api::Message>& object : wanted) {
    tasks.push_back(make_one(here, objects, std::move(object), now()));
  }
  tasks.push_back(reconcile_default_roles(here, objects, now));
  co_return co_await together(here, std::move(tasks));
}

}  // namespace gantry::control
