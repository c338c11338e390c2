// SPDX-License-Identifier: Apache-2.0
#include "cri/metrics.h"

#include <algorithm>
#include <map>

namespace gantry::cri {
namespace {

using cgroups::Counter;

constexpr std::uint64_t kUsecPerSecond = 1'000'000;
constexpr std::int64_t kNsecPerSecond = 1'000'000'000;

const MetricKind* kind_of(std::string_view name) {
  static const auto* by_name = [] {
    auto* map = new std::map<std::string_view, const MetricKind*>();
    for (const auto& kind : metric_kinds()) map->emplace(kind.name, &kind);
    return map;
  }();
  auto found = by_name->find(name);
  return found == by_name->end() ? nullptr : found->second;
}

class Writer {
 public:
  Writer(MetricList& to, const MetricSubject& subject, std::int64_t now) : to_(to), subject_(subject), now_(now) {}

  void add(std::string_view name, const Counter& value, std::initializer_list<std::string_view> more = {}) {
    const MetricKind* kind = kind_of(name);
    if (!value || kind == nullptr) return;
    auto* metric = to_.Add();
    metric->set_name(std::string(name));
    metric->set_timestamp(now_);
    metric->set_metric_type(kind->type);
    metric->mutable_value()->set_value(*value);
    for (const std::string* label :
         {&subject_.id, &subject_.image, &subject_.pod_namespace, &subject_.pod, &subject_.container}) {
      metric->add_label_values(*label);
    }
    for (std::string_view label : more) metric->add_label_values(std::string(label));
  }
  void add_seconds(std::string_view name, const Counter& usec, std::initializer_list<std::string_view> more = {}) {
    if (usec) add(name, *usec / kUsecPerSecond, more);
  }

 private:
  MetricList& to_;
  const MetricSubject& subject_;
  std::int64_t now_;
};

void add_pressure(Writer& out, std::string_view resource, const std::optional<cgroups::Pressure>& pressure) {
  if (!pressure) return;
  auto name = [&](std::string_view what) {
    return "container_pressure_" + std::string(resource) + "_" + std::string(what) + "_seconds_total";
  };
  if (pressure->some) out.add_seconds(name("waiting"), pressure->some->total_usec);
  if (pressure->full) out.add_seconds(name("stalled"), pressure->full->total_usec);
}

void add_cpu(Writer& out, const cgroups::CpuStats& cpu) {
  out.add_seconds("container_cpu_usage_seconds_total", cpu.usage_usec, {"total"});
  out.add_seconds("container_cpu_user_seconds_total", cpu.user_usec);
  out.add_seconds("container_cpu_system_seconds_total", cpu.system_usec);
  out.add("container_cpu_cfs_periods_total", cpu.periods);
  out.add("container_cpu_cfs_throttled_periods_total", cpu.throttled_periods);
  out.add_seconds("container_cpu_cfs_throttled_seconds_total", cpu.throttled_usec);
  add_pressure(out, "cpu", cpu.pressure);
}

void add_memory(Writer& out, const cgroups::MemoryStats& memory) {
  auto event = [&memory](std::string_view name) {
    auto found = memory.events.find(name);
    return found == memory.events.end() ? Counter() : Counter(found->second);
  };
  out.add("container_memory_usage_bytes", memory.current);
  out.add("container_memory_working_set_bytes", memory.working_set());
  out.add("container_memory_max_usage_bytes", memory.peak);
  out.add("container_memory_swap", memory.swap_current);
  out.add("container_memory_rss", memory.value("anon"));
  out.add("container_memory_cache", memory.value("file"));
  out.add("container_memory_mapped_file", memory.value("file_mapped"));
  out.add("container_memory_kernel_usage", memory.value("kernel"));
  out.add("container_memory_failcnt", event("max"));
  out.add("container_oom_events_total", event("oom_kill"));
  out.add("container_spec_memory_reservation_limit_bytes", memory.min);
  for (const char* fault : {"pgfault", "pgmajfault"}) {
    // One number for both: cgroup v2 counts for a cgroup and what is beneath it.
    out.add("container_memory_failures_total", memory.value(fault), {fault, "container"});
    out.add("container_memory_failures_total", memory.value(fault), {fault, "hierarchy"});
  }
  add_pressure(out, "memory", memory.pressure);
}

void add_io(Writer& out, const cgroups::IoStats& io, const ContainerNumbers& numbers) {
  for (const auto& each : io.devices) {
    const std::string major = std::to_string(each.device.major), minor = std::to_string(each.device.minor);
    const std::string device = numbers.device_name ? numbers.device_name(each.device) : major + ":" + minor;
    out.add("container_fs_reads_bytes_total", each.read_bytes, {device});
    out.add("container_fs_reads_total", each.reads, {device});
    out.add("container_fs_writes_bytes_total", each.write_bytes, {device});
    out.add("container_fs_writes_total", each.writes, {device});
    out.add("container_blkio_device_usage_total", each.read_bytes, {device, major, minor, "Read"});
    out.add("container_blkio_device_usage_total", each.write_bytes, {device, major, minor, "Write"});
  }
  add_pressure(out, "io", io.pressure);
}

// What was asked for. Of memory 0 stands for no limit, as with cAdvisor.
void add_spec(Writer& out, const v1::LinuxContainerResources& asked) {
  auto given = [](std::int64_t value) { return value > 0 ? Counter(static_cast<std::uint64_t>(value)) : Counter(); };
  auto limit = [](std::int64_t value) { return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0)); };
  out.add("container_spec_cpu_period", given(asked.cpu_period()));
  out.add("container_spec_cpu_quota", given(asked.cpu_quota()));
  out.add("container_spec_cpu_shares", given(asked.cpu_shares()));
  out.add("container_spec_memory_limit_bytes", limit(asked.memory_limit_in_bytes()));
  out.add("container_spec_memory_swap_limit_bytes", limit(asked.memory_swap_limit_in_bytes()));
}

}  // namespace

const std::vector<MetricKind>& metric_kinds() {
  constexpr auto kCounter = v1::COUNTER;
  constexpr auto kGauge = v1::GAUGE;
  static const auto* kinds = new std::vector<MetricKind>{
      {"container_blkio_device_usage_total",
       "Bytes that the container has read from and written to a block device.",
       kCounter,
       {"device", "major", "minor", "operation"}},
      {"container_cpu_cfs_periods_total", "Periods for which a CPU limit was in force.", kCounter, {}},
      {"container_cpu_cfs_throttled_periods_total", "Periods in which the CPU limit was hit.", kCounter, {}},
      {"container_cpu_cfs_throttled_seconds_total", "Time for which the CPU limit held tasks up.", kCounter, {}},
      {"container_cpu_system_seconds_total", "CPU time spent in the kernel.", kCounter, {}},
      {"container_cpu_usage_seconds_total", "CPU time spent.", kCounter, {"cpu"}},
      {"container_cpu_user_seconds_total", "CPU time spent in programs.", kCounter, {}},
      {"container_file_descriptors", "Open file descriptors of the container's processes.", kGauge, {}},
      {"container_fs_inodes_free", "Free inodes of the file system of the writable layer.", kGauge, {}},
      {"container_fs_inodes_total", "Inodes of the file system of the writable layer.", kGauge, {}},
      {"container_fs_limit_bytes", "Size of the file system of the writable layer.", kGauge, {}},
      {"container_fs_reads_bytes_total", "Bytes read from a block device.", kCounter, {"device"}},
      {"container_fs_reads_total", "Reads from a block device.", kCounter, {"device"}},
      {"container_fs_usage_bytes", "Bytes in the container's writable layer.", kGauge, {}},
      {"container_fs_writes_bytes_total", "Bytes written to a block device.", kCounter, {"device"}},
      {"container_fs_writes_total", "Writes to a block device.", kCounter, {"device"}},
      {"container_hugetlb_max_usage_bytes", "Most bytes of huge pages ever used.", kGauge, {"pagesize"}},
      {"container_hugetlb_usage_bytes", "Bytes of huge pages in use.", kGauge, {"pagesize"}},
      {"container_last_seen", "When the container was last looked at, in seconds since 1970.", kGauge, {}},
      {"container_memory_cache", "Bytes of page cache.", kGauge, {}},
      {"container_memory_failcnt", "How often memory was about to go over its limit.", kCounter, {}},
      {"container_memory_failures_total", "Page faults.", kCounter, {"failure_type", "scope"}},
      {"container_memory_kernel_usage", "Bytes of kernel memory.", kGauge, {}},
      {"container_memory_mapped_file", "Bytes of files that are mapped into memory.", kGauge, {}},
      {"container_memory_max_usage_bytes", "Most bytes of memory ever used.", kGauge, {}},
      {"container_memory_rss", "Bytes of anonymous memory.", kGauge, {}},
      {"container_memory_swap", "Bytes of swap in use.", kGauge, {}},
      {"container_memory_usage_bytes", "Bytes of memory in use, all kinds together.", kGauge, {}},
      {"container_memory_working_set_bytes", "Bytes of memory in use without inactive page cache.", kGauge, {}},
      {"container_network_receive_bytes_total", "Bytes received.", kCounter, {"interface"}},
      {"container_network_receive_errors_total", "Errors of receiving.", kCounter, {"interface"}},
      {"container_network_receive_packets_dropped_total", "Packets dropped on their way in.", kCounter, {"interface"}},
      {"container_network_receive_packets_total", "Packets received.", kCounter, {"interface"}},
      {"container_network_transmit_bytes_total", "Bytes sent.", kCounter, {"interface"}},
      {"container_network_transmit_errors_total", "Errors of sending.", kCounter, {"interface"}},
      {"container_network_transmit_packets_dropped_total",
       "Packets dropped on their way out.",
       kCounter,
       {"interface"}},
      {"container_network_transmit_packets_total", "Packets sent.", kCounter, {"interface"}},
      {"container_oom_events_total", "Processes that the kernel killed for want of memory.", kCounter, {}},
      {"container_pressure_cpu_stalled_seconds_total", "Time in which all tasks waited for a CPU.", kCounter, {}},
      {"container_pressure_cpu_waiting_seconds_total", "Time in which some task waited for a CPU.", kCounter, {}},
      {"container_pressure_io_stalled_seconds_total", "Time in which all tasks waited for a disk.", kCounter, {}},
      {"container_pressure_io_waiting_seconds_total", "Time in which some task waited for a disk.", kCounter, {}},
      {"container_pressure_memory_stalled_seconds_total", "Time in which all tasks waited for memory.", kCounter, {}},
      {"container_pressure_memory_waiting_seconds_total", "Time in which some task waited for memory.", kCounter, {}},
      {"container_processes", "Processes in the container.", kGauge, {}},
      {"container_sockets", "Open sockets of the container's processes.", kGauge, {}},
      {"container_spec_cpu_period", "Microseconds of the CPU limit's period, as asked for.", kGauge, {}},
      {"container_spec_cpu_quota", "Microseconds of CPU time in each period, as asked for.", kGauge, {}},
      {"container_spec_cpu_shares", "The container's share of the CPU, as asked for.", kGauge, {}},
      {"container_spec_memory_limit_bytes", "The memory limit asked for; 0: none.", kGauge, {}},
      {"container_spec_memory_reservation_limit_bytes", "Memory that is not taken away (memory.min).", kGauge, {}},
      {"container_spec_memory_swap_limit_bytes", "The limit of memory and swap asked for; 0: none.", kGauge, {}},
      {"container_start_time_seconds", "When the container was started, in seconds since 1970.", kGauge, {}},
      {"container_threads", "Threads in the container.", kGauge, {}},
      {"container_threads_max", "Most threads that may be in the container; 0: no limit.", kGauge, {}},
      {"container_ulimits_soft", "A soft resource limit of the container's first process.", kGauge, {"ulimit"}},
  };
  return *kinds;
}

std::vector<std::string> label_keys(const MetricKind& kind) {
  std::vector<std::string> keys = {"id", "image", "namespace", "pod", "container"};
  keys.insert(keys.end(), kind.more_keys.begin(), kind.more_keys.end());
  return keys;
}

void add_container_metrics(MetricList& to, const MetricSubject& subject, const ContainerNumbers& numbers,
                           std::int64_t now) {
  Writer out(to, subject, now);
  auto whole_seconds = [](std::int64_t time) { return static_cast<std::uint64_t>(time / kNsecPerSecond); };
  out.add("container_last_seen", whole_seconds(now));
  if (numbers.started_at > 0) out.add("container_start_time_seconds", whole_seconds(numbers.started_at));
  add_spec(out, numbers.resources);
  if (numbers.cgroup != nullptr) {
    const cgroups::Stats& stats = *numbers.cgroup;
    if (stats.cpu) add_cpu(out, *stats.cpu);
    if (stats.memory) add_memory(out, *stats.memory);
    if (stats.io) add_io(out, *stats.io, numbers);
    if (stats.pids) out.add("container_threads_max", stats.pids->max.value_or(0));
    for (const auto& each : stats.hugetlb) out.add("container_hugetlb_usage_bytes", each.current, {each.page_size});
  }
  out.add("container_processes", numbers.processes);
  if (numbers.open) {
    out.add("container_threads", numbers.open->threads);
    out.add("container_file_descriptors", numbers.open->descriptors);
    out.add("container_sockets", numbers.open->sockets);
  }
  out.add("container_ulimits_soft", numbers.soft_limit_of_files, {"max_open_files"});
  out.add("container_fs_usage_bytes", numbers.layer_bytes);
  if (!numbers.file_system) return;
  out.add("container_fs_limit_bytes", numbers.file_system->bytes);
  out.add("container_fs_inodes_total", numbers.file_system->inodes);
  out.add("container_fs_inodes_free", numbers.file_system->inodes_free);
}

void add_network_metrics(MetricList& to, const MetricSubject& subject, std::span<const netns::LinkCounters> links,
                         std::int64_t now) {
  Writer out(to, subject, now);
  for (const auto& link : links) {
    out.add("container_network_receive_bytes_total", link.rx_bytes, {link.name});
    out.add("container_network_receive_packets_total", link.rx_packets, {link.name});
    out.add("container_network_receive_packets_dropped_total", link.rx_dropped, {link.name});
    out.add("container_network_receive_errors_total", link.rx_errors, {link.name});
    out.add("container_network_transmit_bytes_total", link.tx_bytes, {link.name});
    out.add("container_network_transmit_packets_total", link.tx_packets, {link.name});
    out.add("container_network_transmit_packets_dropped_total", link.tx_dropped, {link.name});
    out.add("container_network_transmit_errors_total", link.tx_errors, {link.name});
  }
}

}  // namespace gantry::cri
