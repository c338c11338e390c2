// SPDX-License-Identifier: Apache-2.0
// New limits for containers and pods that are there. What a request leaves out, or has as zero, stays as it is.
#include <algorithm>

#include "base/log.h"
#include "cri/boot_records.h"
#include "cri/make_spec.h"
#include "cri/pod_cgroups.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

// `resources` with what `wanted` sets.
v1::LinuxContainerResources with(v1::LinuxContainerResources resources, const v1::LinuxContainerResources& wanted) {
  auto* limits = resources.mutable_hugepage_limits();
  for (const auto& limit : wanted.hugepage_limits()) {
    auto same = std::ranges::find(*limits, limit.page_size(), &v1::HugepageLimit::page_size);
    if (same != limits->end()) limits->erase(same);
  }
  resources.MergeFrom(wanted);
  return resources;
}

// The sum of memory and swap has no file of its own in cgroup v2: given alone, it goes with the limit that is in force.
void complete_memory(const v1::LinuxContainerResources& merged, cgroups::MemoryLimits& limits) {
  if (limits.swap_total.value_or(0) != 0 && limits.limit.value_or(0) == 0)
    limits.limit = merged.memory_limit_in_bytes();
}

}  // namespace

// Limits of a container, as it starts or while it runs.
Status Runtime::put_in_force(const ContainerPtr& container, const cgroups::Cgroup& cgroup,
                             const cgroups::Resources& resources) {
  auto applied = cgroups::apply(cgroup, resources);
  if (!applied) return fail_with(std::move(applied.error()), "set the limits");
  for (const auto& missing : *applied) {
    // Nobody asked for this one: Kubernetes sends a zero for every size of huge pages that a node has.
    if (missing.file.starts_with("hugetlb.") && missing.value == "0") continue;
    std::string sentence = cat("the limit ", missing.file, " = ", missing.value, " is not enforced: ", missing.reason);
    if (node_.require_controllers) return fail(Code::kFailedPrecondition, sentence);
    log::warning(
        "a limit is not enforced",
        {{"container", container->id()}, {"file", missing.file}, {"value", missing.value}, {"reason", missing.reason}});
    if (std::ranges::find(container->warnings, sentence) == container->warnings.end())
      container->warnings.push_back(std::move(sentence));
  }
  return {};
}

Task<Result<v1::UpdateContainerResourcesResponse>> Runtime::update_container_resources(
    v1::UpdateContainerResourcesRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  auto found = need_container(request.container_id());
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (request.has_windows()) co_return fail(Code::kUnimplemented, "windows: this node runs Linux; leave it out");
  auto wanted = make_resources(request.linux());
  if (!wanted) co_return std::unexpected(std::move(wanted.error()));
  ContainerPtr container = *found;
  if (has_plugins()) {
    // Without its turn: they may change the limits of any container.
    auto asked = co_await ask_plugins(container, request.linux());
    if (!asked) co_return fail_from(asked, cat("update container ", container->id()));
    *request.mutable_linux() = std::move(*asked);
    wanted = make_resources(request.linux());
    if (!wanted) co_return std::unexpected(std::move(wanted.error()));
  }
  auto turn = co_await container->turn.acquire();
  if (container->state != ContainerState::kCreated && container->state != ContainerState::kRunning) {
    co_return fail(Code::kFailedPrecondition, cat("container ", container->id(), " is ", to_string(container->state),
                                                  "; it has no limits any more"));
  }
  auto updated = update(container, request.linux(), std::move(*wanted));
  if (!updated) co_return fail_from(updated, cat("update container ", container->id()));
  for (const auto& [key, value] : request.annotations()) (*container->status.mutable_annotations())[key] = value;
  auto recorded = co_await record(container);
  if (!recorded) co_return std::unexpected(std::move(recorded.error()));
  tell_plugins_soon(nri::Happening::kContainerUpdated, container);
  co_return v1::UpdateContainerResourcesResponse();
}

// The record of this boot is written first, so that a later start, or a gantryd that comes next, has what is in force.
Status Runtime::update(const ContainerPtr& container, const v1::LinuxContainerResources& wanted,
                       cgroups::Resources resources) {
  auto folder = node_.folders.open_run_sandbox(container->sandbox_id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto before = read_container_record(*folder, container->id());
  if (!before) return std::unexpected(std::move(before.error()));
  if (!*before) return fail(Code::kFailedPrecondition, "the record of the container was lost; create it anew");
  auto merged = with(container->config.linux().resources(), wanted);
  if (auto good = make_resources(merged); !good) return std::unexpected(std::move(good.error()));
  ContainerRecord after = **before;
  *after.config.mutable_linux()->mutable_resources() = merged;
  if (auto written = write_container_record(*folder, container->id(), after); !written) return written;
  if (container->state == ContainerState::kRunning) {
    complete_memory(merged, resources.memory);
    auto cgroup = node_.cgroups.open(container->cgroup);
    Status done = cgroup ? put_in_force(container, *cgroup, resources) : std::unexpected(std::move(cgroup.error()));
    if (!done) {
      (void)write_container_record(*folder, container->id(), **before);
      return done;
    }
  }
  *container->config.mutable_linux()->mutable_resources() = merged;
  *container->status.mutable_resources()->mutable_linux() = std::move(merged);
  return {};
}

Task<Result<v1::UpdatePodSandboxResourcesResponse>> Runtime::update_pod_sandbox_resources(
    v1::UpdatePodSandboxResourcesRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  auto found = need_sandbox(request.pod_sandbox_id());
  if (!found) co_return std::unexpected(std::move(found.error()));
  SandboxPtr sandbox = *found;
  auto turn = co_await sandbox->turn.acquire();
  if (sandbox->state != SandboxState::kReady || !sandbox->has_config) {
    co_return fail(Code::kFailedPrecondition, cat("pod sandbox ", sandbox->id(), " is not ready"));
  }
  if (has_plugins()) {
    auto agreed = co_await ask_plugins(sandbox, request);
    if (!agreed) co_return std::unexpected(std::move(agreed.error()));
  }
  v1::PodSandboxConfig config = sandbox->config;
  auto& linux = *config.mutable_linux();
  *linux.mutable_overhead() = with(linux.overhead(), request.overhead());
  *linux.mutable_resources() = with(linux.resources(), request.resources());
  if (auto good = make_resources(linux.overhead()); !good) co_return fail_from(good, "overhead");
  auto resources = make_resources(pod_resources(linux));
  if (!resources) co_return std::unexpected(std::move(resources.error()));
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  if (auto written = write_sandbox_record(*folder, config); !written) co_return std::unexpected(written.error());
  sandbox->config = std::move(config);
  // The pod's cgroup is there while it has containers, and gets its limits with the first of them.
  bool is_there = std::ranges::any_of(containers_of(sandbox->id()), [](const auto& each) { return each->is_live(); });
  if (is_there) {
    auto limited = limit_pod_cgroup(node_.cgroups, node_.instance.id, sandbox->cgroup,
                                    pod_scope_path(sandbox->cgroup, sandbox->id()), *resources);
    if (!limited) co_return fail_from(limited, "set the pod's limits");
  }
  tell_plugins_soon(nri::Happening::kPodUpdated, sandbox);
  co_return v1::UpdatePodSandboxResourcesResponse();
}

}  // namespace gantry::cri
