// SPDX-License-Identifier: Apache-2.0
// Statistics and metrics of ready pods: the pod's own cgroup, the links of its network namespace, and its running
// containers. A pod on the host's network has no network of its own to tell of.
#include "base/log.h"
#include "cri/filters.h"
#include "cri/metrics.h"
#include "cri/runtime_impl.h"
#include "cri/stats_messages.h"
#include "cri/text.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

// The name that stands for the pod itself among its containers', as cAdvisor and CRI-O have it.
constexpr std::string_view kPodItself = "POD";

std::string device_name(const cgroups::DeviceNumber& device) {
  auto target = sys::readlinkat(sys::kCwd, cat("/sys/dev/block/", device.major, ":", device.minor).c_str());
  if (!target) return cat(device.major, ":", device.minor);
  return cat("/dev/", target->substr(target->rfind('/') + 1));
}

}  // namespace

std::vector<SandboxPtr> Runtime::ready_sandboxes() const {
  std::vector<SandboxPtr> found;
  for (const auto& [id, sandbox] : sandboxes_) {
    if (sandbox->state == SandboxState::kReady) found.push_back(sandbox);
  }
  return found;
}

// Nothing: it has none of its own, or its shim can't name it now.
Task<Result<std::optional<std::vector<netns::LinkCounters>>>> Runtime::read_links(SandboxPtr sandbox) {
  using Links = std::optional<std::vector<netns::LinkCounters>>;
  if (!sandbox->kind().own_net || !sandbox->shim || !sandbox->shim->is_alive()) co_return Links();
  auto netns = open_netns(*sandbox->shim);
  if (!netns) co_return Links();
  auto links = co_await node_.disk.run([ns = std::move(*netns)] { return netns::read_link_counters(ns); });
  if (!links) co_return std::unexpected(std::move(links.error()));
  co_return Links(std::move(*links));
}

// ---- statistics

Task<Result<v1::PodSandboxStats>> Runtime::stats_of(SandboxPtr sandbox) {
  v1::PodSandboxStats stats;
  auto* attributes = stats.mutable_attributes();
  attributes->set_id(sandbox->id());
  *attributes->mutable_metadata() = sandbox->status.metadata();
  *attributes->mutable_labels() = sandbox->status.labels();
  *attributes->mutable_annotations() = sandbox->status.annotations();
  auto* pod = stats.mutable_linux();
  auto read = co_await read_cgroup(sandbox->cgroup, sandbox->samples);
  if (!read) co_return std::unexpected(std::move(read.error()));
  if (sandbox->samples.cgroup) {
    fill(*sandbox->samples.cgroup, sandbox->samples.nano_cores, *pod);
  } else {
    // A pod without a container need not have a cgroup. Clients want to see that it was looked for.
    pod->mutable_cpu()->set_timestamp(now());
    pod->mutable_memory()->set_timestamp(now());
  }
  auto links = co_await read_links(sandbox);
  if (!links) co_return fail_from(links, "its network");
  if (*links) fill(**links, now(), *pod->mutable_network());
  std::uint64_t processes = 0;
  for (const auto& container : running_containers(sandbox->id())) {
    auto of_container = co_await stats_of(container);
    if (!of_container) co_return fail_from(of_container, cat("container ", container->id()));
    if (container->state != ContainerState::kRunning) continue;
    processes += container->samples.processes;
    *pod->add_containers() = std::move(*of_container);
  }
  pod->mutable_process()->set_timestamp(now());
  pod->mutable_process()->mutable_process_count()->set_value(processes);
  co_return stats;
}

Task<Result<v1::PodSandboxStatsResponse>> Runtime::pod_sandbox_stats(v1::PodSandboxStatsRequest request) {
  auto sandbox = need_sandbox(request.pod_sandbox_id());
  if (!sandbox) co_return std::unexpected(std::move(sandbox.error()));
  if ((*sandbox)->state != SandboxState::kReady) {
    co_return fail(Code::kUnavailable, cat("pod sandbox ", (*sandbox)->id(), " is not ready, and has no statistics"));
  }
  auto stats = co_await stats_of(*sandbox);
  if (!stats) co_return fail_within(stats, cat("statistics of pod sandbox ", (*sandbox)->id()));
  v1::PodSandboxStatsResponse response;
  *response.mutable_stats() = std::move(*stats);
  co_return response;
}

Task<Result<v1::ListPodSandboxStatsResponse>> Runtime::list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest request) {
  v1::ListPodSandboxStatsResponse response;
  const auto& filter = request.filter();
  for (const auto& sandbox : sandboxes_.select(filter.id(), terms_of(filter.label_selector()))) {
    if (sandbox->state != SandboxState::kReady || !matches(filter, sandbox->status)) continue;
    auto stats = co_await stats_of(sandbox);
    // One pod's trouble, most likely its end, is not that of the others.
    if (!stats) {
      log::warning("statistics of a pod sandbox, leaving it out",
                   {{"sandbox", sandbox->id()}, {"error", stats.error()}});
    } else if (sandbox->state == SandboxState::kReady) {
      *response.add_stats() = std::move(*stats);
    }
  }
  co_return response;
}

// ---- metrics

Task<Result<v1::ListMetricDescriptorsResponse>> Runtime::list_metric_descriptors(v1::ListMetricDescriptorsRequest) {
  v1::ListMetricDescriptorsResponse response;
  for (const auto& kind : metric_kinds()) {
    auto* descriptor = response.add_descriptors();
    descriptor->set_name(std::string(kind.name));
    descriptor->set_help(std::string(kind.help));
    for (auto& key : label_keys(kind)) descriptor->add_label_keys(std::move(key));
  }
  co_return response;
}

Task<Status> Runtime::add_metrics(ContainerPtr container, MetricSubject subject, v1::ContainerMetrics& to) {
  if (auto read = co_await read_numbers(container); !read) co_return read;
  const auto& kept = container->samples;
  struct Found {
    std::optional<ProcessCounts> open;
    std::optional<std::uint64_t> soft_limit;
    std::optional<ContainerNumbers::FileSystem> file_system;
  };
  auto found = co_await node_.disk.run(
      [&driver = node_.cgroups, &images = node_.images, path = container->cgroup, pid = container->pid] {
        Found out;
        if (auto cgroup = driver.open(path)) out.open = count_what_is_open(*cgroup);
        out.soft_limit = soft_limit_of_files(pid);
        if (auto info = sys::fstatfs(images.store_dir())) {
          out.file_system = {.bytes = info->f_blocks * static_cast<std::uint64_t>(info->f_bsize),
                             .inodes = info->f_files,
                             .inodes_free = info->f_ffree};
        }
        return out;
      });
  if (container->state != ContainerState::kRunning) co_return Status();
  ContainerNumbers numbers{.open = found.open,
                           .soft_limit_of_files = found.soft_limit,
                           .file_system = found.file_system,
                           .started_at = container->status.started_at(),
                           .resources = container->config.linux().resources(),
                           .device_name = device_name};
  if (kept.cgroup) {
    numbers.cgroup = &*kept.cgroup;
    numbers.processes = kept.processes;
  }
  if (kept.disk) numbers.layer_bytes = kept.disk->bytes;
  subject.id = container->id();
  subject.image = container->status.image().image();
  subject.container = container->status.metadata().name();
  add_container_metrics(*to.mutable_metrics(), subject, numbers, now());
  co_return Status();
}

Task<Result<v1::PodSandboxMetrics>> Runtime::metrics_of(SandboxPtr sandbox) {
  v1::PodSandboxMetrics metrics;
  metrics.set_pod_sandbox_id(sandbox->id());
  const auto& metadata = sandbox->status.metadata();
  MetricSubject subject{.id = sandbox->id(),
                        .image = "",
                        .pod_namespace = metadata.namespace_(),
                        .pod = metadata.name(),
                        .container = std::string(kPodItself)};
  auto links = co_await read_links(sandbox);
  if (!links) co_return fail_from(links, "its network");
  if (*links) add_network_metrics(*metrics.mutable_metrics(), subject, **links, now());
  for (const auto& container : running_containers(sandbox->id())) {
    v1::ContainerMetrics of_container;
    of_container.set_container_id(container->id());
    auto added = co_await add_metrics(container, subject, of_container);
    if (!added) co_return fail_from(added, cat("container ", container->id()));
    if (of_container.metrics_size() > 0) *metrics.add_container_metrics() = std::move(of_container);
  }
  co_return metrics;
}

Task<Result<v1::ListPodSandboxMetricsResponse>> Runtime::list_pod_sandbox_metrics(v1::ListPodSandboxMetricsRequest) {
  v1::ListPodSandboxMetricsResponse response;
  for (const auto& sandbox : ready_sandboxes()) {
    auto metrics = co_await metrics_of(sandbox);
    if (!metrics) {
      log::warning("metrics of a pod sandbox, leaving it out",
                   {{"sandbox", sandbox->id()}, {"error", metrics.error()}});
    } else if (sandbox->state == SandboxState::kReady) {
      *response.add_pod_metrics() = std::move(*metrics);
    }
  }
  co_return response;
}

}  // namespace gantry::cri
