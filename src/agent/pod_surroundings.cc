// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_surroundings.h"

#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/cluster.h"
#include "agent/service_environment.h"
#include "api/client/informer.h"
#include "api/text.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/node/v1/runtime_class.pb.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;

api::Allocatable node_allocatable(const Environment& environment) {
  api::Allocatable amounts;
  const auto node = environment.cluster == nullptr ? nullptr : environment.cluster->node_object();
  if (node == nullptr) {
    amounts["cpu"] = absl::StrCat(::sysconf(_SC_NPROCESSORS_ONLN));
    amounts["memory"] = absl::StrCat(environment.node.memory_capacity);
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

}  // namespace gantry::agent
