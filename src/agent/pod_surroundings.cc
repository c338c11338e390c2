// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_surroundings.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/cluster.h"
#include "agent/service_environment.h"
#include "api/client/informer.h"
#include "api/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/node/v1/runtime_class.pb.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

api::Allocatable node_allocatable(const Environment& environment) {
  api::Allocatable amounts;
  const auto node = environment.cluster == nullptr ? nullptr : environment.cluster->node_object();
  if (node == nullptr) {
    amounts["cpu"] = absl::StrCat(::sysconf(_SC_NPROCESSORS_ONLN));
    amounts["memory"] = absl::StrCat(environment.node.resources.memory_capacity);
    return amounts;
  }
  for (const auto& [name, amount] : node->status().allocatable()) amounts[name] = amount.string();
  return amounts;
}

Result<std::map<std::string, std::string>> services_of(const Environment& environment, const core::Pod& pod,
                                                       bool is_api) {
  const bool links = !pod.spec().has_enable_service_links() || pod.spec().enable_service_links();
  std::vector<std::shared_ptr<const core::Service>> services;
  if (environment.cluster != nullptr) {
    if (is_api && !environment.cluster->services().is_synced()) {
      return fail(Code::kUnavailable, "services have not yet been read at least once, cannot construct envvars");
    }
    // Of the cluster's, which may be tens of thousands, the few that are meant.
    if (auto api = environment.cluster->services().find("default", "kubernetes")) services.push_back(std::move(api));
    const auto& all = environment.cluster->services().all();
    const std::string own = api::object_key(pod.metadata().namespace_(), "");
    for (auto at = all.lower_bound(own); links && at != all.end() && at->first.starts_with(own); ++at) {
      services.push_back(std::static_pointer_cast<const core::Service>(at->second));
    }
  }
  return service_environment(services, pod.metadata().namespace_(), links);
}

Result<std::string> runtime_handler_of(const Environment& environment, const core::Pod& pod) {
  const std::string& name = pod.spec().runtime_class_name();
  if (name.empty()) return std::string();
  if (environment.cluster == nullptr) {
    return fail(Code::kFailedPrecondition,
                absl::StrCat("runtime class ", api::quoted(name), ": there is no API server"));
  }
  auto& classes = environment.cluster->runtime_classes();
  if (!classes.is_synced()) {
    return fail(Code::kUnavailable, absl::StrCat("runtime class ", api::quoted(name), ": none was read yet"));
  }
  const auto found = classes.find("", name);
  if (found == nullptr) {
    return fail(Code::kNotFound, absl::StrCat("runtimeclass.node.k8s.io ", api::quoted(name), " not found"));
  }
  return found->handler();
}

const v1::RuntimeHandler* find_handler(const v1::StatusResponse& status, const std::string& name) {
  const auto& all = status.runtime_handlers();
  const auto found = std::ranges::find(all, name, [](const auto& one) { return one.name(); });
  return found == all.end() ? nullptr : &*found;
}

namespace {

bool has_own_users(const core::Pod& pod) { return pod.spec().has_host_users() && !pod.spec().host_users(); }

Status check_user_namespaces(const Result<v1::StatusResponse>& status, const std::string& handler) {
  std::string words = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
  if (!handler.empty()) {
    words = absl::StrCat("can't set `spec.hostUsers: false`, RuntimeClass handler ", api::quoted(handler),
                         " does not support user namespaces");
  }
  if (!status) return fail_with(status.error(), words);
  const auto* found = find_handler(*status, handler);
  if (found != nullptr && found->features().user_namespaces()) return {};
  const bool has_none = status->runtime_handlers().empty();
  if (has_none) words += ": runtime handlers are not set";
  if (!has_none && found == nullptr) {
    words += absl::StrCat(": the handler ", api::quoted(handler), " is not known");
  }
  return fail(Code::kFailedPrecondition, std::move(words));
}

}  // namespace

Task<Result<std::optional<UserRange>>> take_users(std::shared_ptr<Environment> environment,
                                                  std::shared_ptr<const core::Pod> pod, std::string handler) {
  if (!has_own_users(*pod)) co_return std::nullopt;
  auto status = co_await environment->runtime.status({});
  if (auto able = check_user_namespaces(status, handler); !able) co_return std::unexpected(std::move(able.error()));
  auto taken = co_await environment->disk.run(
      [environment, uid = pod->metadata().uid()] { return environment->users.take(uid); });
  if (!taken) co_return fail_with(std::move(taken.error()), "create user namespace");
  co_return std::optional(*taken);
}

Result<std::optional<UserRange>> users_of(const Environment& environment, const core::Pod& pod) {
  if (!has_own_users(pod)) return std::nullopt;
  if (auto users = environment.users.of(pod.metadata().uid())) return users;
  return fail(Code::kInternal, "user namespace: the record of the pod's ids is lost");
}

}  // namespace gantry::agent
