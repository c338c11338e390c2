// SPDX-License-Identifier: Apache-2.0
// Which pod and which container a path of the node API means. Only what the agent has is found: a name is compared,
// never made into a path. Pure.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "agent/agent.h"
#include "http/message.h"

namespace k8s::io::api::core::v1 {
class ContainerStatus;
}

namespace gantry::agent {

// What a path names; `uid` empty: whichever.
struct PodPath {
  std::string ns, name, uid, container;
};

// Null: there is none.
const PodInfo* find_pod(const std::vector<PodInfo>& pods, const PodPath& path);
// Of any kind of container; null: the pod has none of that name.
const k8s::io::api::core::v1::ContainerStatus* find_container(const PodInfo& pod, std::string_view name);

// The container whose log is wanted, by its state, or what the client is told.
std::expected<std::string, http::Response> choose_log(const PodInfo& pod, const PodPath& path, bool previous);
// The one that runs, for exec and attach.
std::expected<std::string, http::Response> choose_running(const PodInfo& pod, const PodPath& path);

}  // namespace gantry::agent
