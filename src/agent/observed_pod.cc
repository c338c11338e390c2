// SPDX-License-Identifier: Apache-2.0
#include "agent/observed_pod.h"

#include <algorithm>
#include <chrono>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/container_ends.h"
#include "agent/names.h"
#include "agent/pod_folders.h"
#include "base/map_text.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;
using State = ObservedContainer::State;

State state_of(v1::ContainerState state) {
  switch (state) {
    case v1::CONTAINER_CREATED:
      return State::kCreated;
    case v1::CONTAINER_RUNNING:
      return State::kRunning;
    case v1::CONTAINER_EXITED:
      return State::kExited;
    default:
      return State::kUnknown;
  }
}

// A time of the wall clock as one of the steady clock. The wall clock may have been set since: never later than now.
TimePoint steady(std::int64_t wall_nanos) {
  auto wall = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
  auto ago = std::max(wall - std::chrono::nanoseconds(wall_nanos), std::chrono::nanoseconds::zero());
  auto now = std::chrono::steady_clock::now();
  return now - std::min<std::chrono::nanoseconds>(ago, now.time_since_epoch());
}

ObservedContainer to_observed(const v1::ContainerStatus& status, std::string sandbox_id) {
  ObservedContainer container;
  container.id = status.id();
  container.name = status.metadata().name();
  container.sandbox_id = std::move(sandbox_id);
  container.attempt = status.metadata().attempt();
  container.state = state_of(status.state());
  container.created_at = status.created_at();
  container.started_at = status.started_at();
  container.finished_at = status.finished_at();
  container.exit_code = status.exit_code();
  container.reason = status.reason();
  container.message = status.message();
  container.image =
      status.image().user_specified_image().empty() ? status.image().image() : status.image().user_specified_image();
  container.image_id = status.image_ref();
  container.log_path = status.log_path();
  container.hash = text_at(status.annotations(), kContainerHashAnnotation);
  (void)absl::SimpleAtoi(text_at(status.annotations(), kGracePeriodAnnotation), &container.grace_seconds);
  if (container.is_exited()) container.ended = steady(status.finished_at());
  return container;
}

// The file on the host that was mounted for the container's last words.
std::string termination_log(const v1::ContainerStatus& status) {
  std::string path = text_at(status.annotations(), kTerminationPathAnnotation);
  for (const auto& mount : status.mounts()) {
    if (!path.empty() && mount.container_path() == path) return mount.host_path();
  }
  return "";
}

}  // namespace

const ObservedContainer* ObservedPod::newest(const std::string& name, const std::string* sandbox_id) const {
  for (const auto& container : containers) {
    if (container.name == name && (sandbox_id == nullptr || container.sandbox_id == *sandbox_id)) return &container;
  }
  return nullptr;
}

Task<Result<ObservedPod>> PodObserver::observe(std::string uid) {
  ObservedPod pod;
  if (auto added = co_await add_sandboxes(uid, pod); !added)
    co_return fail_with(std::move(added.error()), "list sandboxes");
  if (auto added = co_await add_containers(uid, pod); !added)
    co_return fail_with(std::move(added.error()), "list containers");
  auto newer = [](const auto& a, const auto& b) {
    return std::tie(a.attempt, a.created_at, a.id) > std::tie(b.attempt, b.created_at, b.id);
  };
  std::ranges::sort(pod.sandboxes, newer);
  std::ranges::sort(pod.containers, newer);
  // What is gone need not be remembered.
  std::erase_if(exited_, [&](const auto& entry) {
    return std::ranges::none_of(pod.containers, [&](const auto& container) { return container.id == entry.first; });
  });
  std::erase_if(addresses_, [&](const auto& entry) {
    return std::ranges::none_of(pod.sandboxes, [&](const auto& sandbox) { return sandbox.id == entry.first; });
  });
  co_return pod;
}

Task<Status> PodObserver::add_sandboxes(std::string uid, ObservedPod& pod) {
  v1::ListPodSandboxRequest request;
  (*request.mutable_filter()->mutable_label_selector())[kPodUidLabel] = uid;
  auto list = co_await runtime_.list_pod_sandbox(std::move(request));
  if (!list) co_return std::unexpected(std::move(list.error()));
  for (const auto& item : list->items()) {
    ObservedSandbox sandbox{.id = item.id(),
                            .attempt = item.metadata().attempt(),
                            .ready = item.state() == v1::SANDBOX_READY,
                            .created_at = item.created_at()};
    if (auto known = addresses_.find(item.id()); known != addresses_.end()) {
      sandbox.ips = known->second;
    } else {
      v1::PodSandboxStatusRequest ask;
      ask.set_pod_sandbox_id(item.id());
      auto answer = co_await runtime_.pod_sandbox_status(std::move(ask));
      if (!answer && answer.error().is_not_found()) continue;  // gone meanwhile
      if (!answer) co_return std::unexpected(std::move(answer.error()));
      const auto& network = answer->status().network();
      if (!network.ip().empty()) sandbox.ips.push_back(network.ip());
      for (const auto& more : network.additional_ips()) sandbox.ips.push_back(more.ip());
      addresses_[item.id()] = sandbox.ips;
    }
    pod.sandboxes.push_back(std::move(sandbox));
  }
  co_return Status();
}

Task<Status> PodObserver::add_containers(std::string uid, ObservedPod& pod) {
  v1::ListContainersRequest request;
  (*request.mutable_filter()->mutable_label_selector())[kPodUidLabel] = uid;
  auto list = co_await runtime_.list_containers(std::move(request));
  if (!list) co_return std::unexpected(std::move(list.error()));
  for (const auto& item : list->containers()) {
    if (auto known = exited_.find(item.id()); known != exited_.end()) {
      pod.containers.push_back(known->second);
      continue;
    }
    auto containers = co_await read_container(item.id(), item.pod_sandbox_id());
    if (!containers) co_return std::unexpected(std::move(containers.error()));
    for (auto& container : *containers) {
      if (container.is_exited()) exited_[container.id] = container;
      pod.containers.push_back(std::move(container));
    }
  }
  co_return Status();
}

// One, or none when it has gone since.
Task<Result<std::vector<ObservedContainer>>> PodObserver::read_container(std::string id, std::string sandbox_id) {
  std::vector<ObservedContainer> result;
  v1::ContainerStatusRequest ask;
  ask.set_container_id(id);
  auto answer = co_await runtime_.container_status(std::move(ask));
  if (!answer && answer.error().is_not_found()) co_return result;
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  const v1::ContainerStatus& status = answer->status();
  ObservedContainer container = to_observed(status, std::move(sandbox_id));
  if (container.is_exited()) {
    bool by_log = text_at(status.annotations(), kTerminationPolicyAnnotation) == "FallbackToLogsOnError" &&
                  container.exit_code != 0;
    std::string last_words = co_await disk_.run(
        [&folders = folders_, path = termination_log(status), log = by_log ? container.log_path : std::string()] {
          std::string text = path.empty() ? std::string() : folders.read_termination_log(path);
          return text.empty() && !log.empty() ? folders.read_log_end(log) : text;
        });
    last_words = as_text(last_words);
    if (!last_words.empty()) {
      container.message = container.message.empty() ? last_words : absl::StrCat(container.message, ": ", last_words);
    }
  }
  result.push_back(std::move(container));
  co_return result;
}

}  // namespace gantry::agent
