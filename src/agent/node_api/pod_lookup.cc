// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/pod_lookup.h"

#include "agent/pod_status.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

std::unexpected<http::Response> refuse(int status, std::string_view text) {
  return std::unexpected(http::text_response(status, text));
}

// In the words that kubectl's users know.
std::string why_waiting(const std::string& reason) {
  if (reason == "ErrImagePull") return "trying and failing to pull image";
  if (reason == "ImagePullBackOff") return "image can't be pulled";
  return cat("waiting to start: ", reason);
}

}  // namespace

const PodInfo* find_pod(const std::vector<PodInfo>& pods, const PodPath& path) {
  for (const PodInfo& info : pods) {
    if (!info.pod || info.pod->metadata().name() != path.name || info.pod->metadata().namespace_() != path.ns) continue;
    if (path.uid.empty() || path.uid == info.uid) return &info;
  }
  return nullptr;
}

const core::ContainerStatus* find_container(const PodInfo& pod, std::string_view name) {
  if (!pod.status) return nullptr;
  for (const auto* list : {&pod.status->container_statuses(), &pod.status->init_container_statuses(),
                           &pod.status->ephemeral_container_statuses()}) {
    for (const core::ContainerStatus& status : *list) {
      if (status.name() == name) return &status;
    }
  }
  return nullptr;
}

std::expected<std::string, http::Response> choose_log(const PodInfo& pod, const PodPath& path, bool previous) {
  const auto* status = find_container(pod, path.container);
  std::string who = cat("container ", quoted(path.container), " in pod ", quoted(path.name));
  if (status == nullptr)
    return refuse(404, cat("container ", quoted(path.container), " not found in pod ", quoted(path.name)));
  const auto& state = status->state();
  const auto& last = status->last_state().terminated();
  std::string id;
  if (previous) {
    if (last.container_id().empty()) return refuse(400, cat("previous terminated ", who, " not found"));
    id = last.container_id();
  } else if (state.has_running()) {
    id = status->container_id();
  } else if (state.has_terminated() && !state.terminated().container_id().empty()) {
    id = state.terminated().container_id();
  } else if (!last.container_id().empty()) {
    id = last.container_id();
  } else if (state.has_waiting()) {
    return refuse(400, cat(who, " is ", why_waiting(state.waiting().reason())));
  } else {
    return refuse(400, cat(who, " has no log"));
  }
  return std::string(bare_id(id));
}

std::expected<std::string, http::Response> choose_running(const PodInfo& pod, const PodPath& path) {
  const auto* status = find_container(pod, path.container);
  if (status == nullptr || !status->state().has_running())
    return refuse(404, cat("container not found (", quoted(path.container), ")"));
  return std::string(bare_id(status->container_id()));
}

}  // namespace gantry::agent
