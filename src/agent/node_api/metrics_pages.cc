// SPDX-License-Identifier: Apache-2.0
// The pages of metrics of summary.h, in Prometheus' text form.
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "agent/node_api/summary.h"
#include "base/metrics.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;
using Label = std::pair<std::string_view, std::string_view>;

constexpr double kNanos = 1e9;

// Nothing: not known.
using Amount = std::optional<double>;

// A family with a sample for each container, or each pod, that has one.
class Families {
 public:
  Families(metrics::Page& page, const v1::ListPodSandboxStatsResponse* stats) : page_(page), stats_(stats) {}

  template <typename Read>
  void of_containers(std::string_view name, std::string_view help, std::string_view type, Read read) {
    page_.begin(name, help, type);
    each_pod([&](const v1::PodSandboxStats& pod) {
      const auto& metadata = pod.attributes().metadata();
      for (const v1::ContainerStats& container : pod.linux().containers()) {
        Amount amount = read(pod, container);
        if (!amount) continue;
        page_.sample(name,
                     {{"container", container.attributes().metadata().name()},
                      {"namespace", metadata.namespace_()},
                      {"pod", metadata.name()}},
                     *amount);
      }
    });
  }
  template <typename Read>
  void of_pods(std::string_view name, std::string_view help, std::string_view type, Read read) {
    page_.begin(name, help, type);
    each_pod([&](const v1::PodSandboxStats& pod) {
      const auto& metadata = pod.attributes().metadata();
      Amount amount = read(pod.linux());
      if (!amount) return;
      page_.sample(name, {{"namespace", metadata.namespace_()}, {"pod", metadata.name()}}, *amount);
    });
  }

 private:
  template <typename Take>
  void each_pod(Take take) {
    if (stats_ == nullptr) return;
    for (const auto& pod : stats_->stats()) take(pod);
  }

  metrics::Page& page_;
  const v1::ListPodSandboxStatsResponse* stats_;
};

template <typename Stats>
Amount cpu_seconds(const Stats& stats) {
  if (!stats.has_cpu() || !stats.cpu().has_usage_core_nano_seconds()) return std::nullopt;
  return static_cast<double>(stats.cpu().usage_core_nano_seconds().value()) / kNanos;
}
template <typename Stats>
Amount working_set(const Stats& stats) {
  if (!stats.has_memory() || !stats.memory().has_working_set_bytes()) return std::nullopt;
  return static_cast<double>(stats.memory().working_set_bytes().value());
}
Amount swap_bytes(const v1::ContainerStats& stats) {
  if (!stats.has_swap() || !stats.swap().has_swap_usage_bytes()) return std::nullopt;
  return static_cast<double>(stats.swap().swap_usage_bytes().value());
}

// By pod uid and container name: seconds since 1970.
std::map<std::pair<std::string, std::string>, std::int64_t> start_times(const std::vector<PodInfo>& pods) {
  std::map<std::pair<std::string, std::string>, std::int64_t> times;
  for (const PodInfo& info : pods) {
    if (!info.status) continue;
    for (const auto* list : {&info.status->container_statuses(), &info.status->init_container_statuses()}) {
      for (const auto& status : *list) {
        if (status.state().has_running())
          times[{info.uid, status.name()}] = status.state().running().started_at().seconds();
      }
    }
  }
  return times;
}

void write_node(metrics::Page& page, const NodeUsage& node) {
  auto one = [&](std::string_view name, std::string_view help, std::string_view type, Amount value) {
    if (value) page.single(name, help, type, *value);
  };
  Amount cpu, memory, swap;
  if (node.cpu_time) cpu = static_cast<double>(*node.cpu_time) / kNanos;
  if (node.memory) memory = static_cast<double>(node.memory->working_set);
  if (node.memory && node.memory->swap_usage) swap = static_cast<double>(*node.memory->swap_usage);
  one("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", "counter", cpu);
  one("node_memory_working_set_bytes", "Current working set of the node in bytes", "gauge", memory);
  one("node_swap_usage_bytes", "Current swap usage of the node in bytes", "gauge", swap);
}

// ---- cAdvisor's

using Samples = std::map<std::string_view, std::vector<const v1::Metric*>>;

void collect(const google::protobuf::RepeatedPtrField<v1::Metric>& metrics, Samples& by_name) {
  for (const v1::Metric& metric : metrics) by_name[metric.name()].push_back(&metric);
}

void write_family(metrics::Page& page, const v1::MetricDescriptor& kind, const std::vector<const v1::Metric*>& found) {
  page.begin(kind.name(), kind.help(), found.front()->metric_type() == v1::GAUGE ? "gauge" : "counter");
  for (const v1::Metric* metric : found) {
    if (metric->label_values_size() != kind.label_keys_size()) continue;
    std::vector<Label> labels;
    for (int i = 0; i < kind.label_keys_size(); ++i) labels.emplace_back(kind.label_keys(i), metric->label_values(i));
    page.sample(kind.name(), labels, static_cast<double>(metric->value().value()));
  }
}

void write_times(metrics::Page& page, std::string_view name, const CountedProbe& probe) {
  const ProbeTimes& times = probe.count.times;
  if (probe.count.successful + probe.count.unknown == 0) return;
  std::vector<Label> labels = {{"container", probe.container},
                               {"namespace", probe.namespace_},
                               {"pod", probe.pod},
                               {"probe_type", to_string(probe.kind)}};
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < times.counts.size(); ++i) {
    total += times.counts[i];
    const std::string bound = i < ProbeTimes::kBounds.size() ? absl::StrCat(ProbeTimes::kBounds[i]) : "+Inf";
    labels.emplace_back("le", bound);
    page.sample(cat(name, "_bucket"), labels, static_cast<double>(total));
    labels.pop_back();
  }
  page.sample(cat(name, "_sum"), labels, times.sum);
  page.sample(cat(name, "_count"), labels, static_cast<double>(total));
}

}  // namespace

std::string resource_metrics(const Measured& measured) {
  metrics::Page page;
  write_node(page, measured.node);
  Families families(page, measured.stats);
  auto started = start_times(measured.pods);
  families.of_containers("container_cpu_usage_seconds_total",
                         "Cumulative cpu time consumed by the container in core-seconds", "counter",
                         [](const auto&, const v1::ContainerStats& stats) { return cpu_seconds(stats); });
  families.of_containers("container_memory_working_set_bytes", "Current working set of the container in bytes", "gauge",
                         [](const auto&, const v1::ContainerStats& stats) { return working_set(stats); });
  families.of_containers("container_swap_usage_bytes", "Current amount of the container swap usage in bytes", "gauge",
                         [](const auto&, const v1::ContainerStats& stats) { return swap_bytes(stats); });
  families.of_containers("container_start_time_seconds", "Start time of the container since unix epoch in seconds",
                         "gauge", [&](const v1::PodSandboxStats& pod, const v1::ContainerStats& stats) -> Amount {
                           auto found =
                               started.find({pod.attributes().metadata().uid(), stats.attributes().metadata().name()});
                           if (found == started.end()) return std::nullopt;
                           return static_cast<double>(found->second);
                         });
  families.of_pods("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", "counter",
                   [](const auto& stats) { return cpu_seconds(stats); });
  families.of_pods("pod_memory_working_set_bytes", "Current working set of the pod in bytes", "gauge",
                   [](const auto& stats) { return working_set(stats); });
  double failed = measured.stats == nullptr ? 1 : 0;
  page.single("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", "gauge",
              failed);
  return page.take();
}

std::string cadvisor_metrics(const NodeUsage& node, const v1::ListMetricDescriptorsResponse& kinds,
                             const v1::ListPodSandboxMetricsResponse& metrics) {
  metrics::Page page;
  page.single("machine_cpu_cores", "Number of logical CPU cores.", "gauge", node.cores);
  if (node.memory) {
    page.single("machine_memory_bytes", "Amount of memory installed on the machine.", "gauge",
                static_cast<double>(node.memory->total));
  }
  Samples by_name;
  for (const auto& pod : metrics.pod_metrics()) {
    collect(pod.metrics(), by_name);
    for (const auto& container : pod.container_metrics()) collect(container.metrics(), by_name);
  }
  for (const auto& kind : kinds.descriptors()) {
    if (auto found = by_name.find(kind.name()); found != by_name.end()) write_family(page, kind, found->second);
  }
  return page.take();
}

std::string agent_metrics(const std::string& node_name, const std::vector<PodInfo>& pods) {
  metrics::Page page;
  page.begin("kubelet_node_name", "The node's name. The count is always 1.", "gauge");
  page.sample("kubelet_node_name", {{"node", node_name}}, 1);
  double running_pods = 0;
  std::map<std::string_view, double> containers = {{"created", 0}, {"running", 0}, {"exited", 0}};
  for (const PodInfo& info : pods) {
    if (!info.status) continue;
    double running = 0;
    for (const auto* list : {&info.status->container_statuses(), &info.status->init_container_statuses()}) {
      for (const auto& status : *list) {
        running += status.state().has_running() ? 1 : 0;
        containers["exited"] += status.state().has_terminated() ? 1 : 0;
        containers["created"] += status.state().has_waiting() && !status.container_id().empty() ? 1 : 0;
      }
    }
    containers["running"] += running;
    running_pods += running > 0 ? 1 : 0;
  }
  page.single("kubelet_running_pods", "Number of pods that have a running container", "gauge", running_pods);
  page.begin("kubelet_running_containers", "Number of containers by their state", "gauge");
  for (const auto& [state, count] : containers) {
    page.sample("kubelet_running_containers", {{"container_state", state}}, count);
  }
  metrics::write_process_metrics(&page);
  return page.take();
}

std::string probe_metrics(const std::vector<CountedProbe>& probes) {
  constexpr char kName[] = "prober_probe_total";
  metrics::Page page;
  page.begin(kName, "Number of probes of a container by what they are for and by their result", "counter");
  for (const CountedProbe& probe : probes) {
    const std::pair<std::string_view, std::uint64_t> results[] = {
        {"failed", probe.count.failed}, {"successful", probe.count.successful}, {"unknown", probe.count.unknown}};
    for (const auto& [result, count] : results) {
      // As with kubelet, what never happened has no sample.
      if (count == 0) continue;
      page.sample(kName,
                  {{"container", probe.container},
                   {"namespace", probe.namespace_},
                   {"pod", probe.pod},
                   {"pod_uid", probe.pod_uid},
                   {"probe_type", to_string(probe.kind)},
                   {"result", result}},
                  static_cast<double>(count));
    }
  }
  constexpr char kTimes[] = "prober_probe_duration_seconds";
  page.begin(kTimes, "Duration in seconds for a probe response.", "histogram");
  for (const CountedProbe& probe : probes) write_times(page, kTimes, probe);
  return page.take();
}

}  // namespace gantry::agent
