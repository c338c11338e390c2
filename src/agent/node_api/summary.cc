// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/summary.h"

#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "api/time.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;
using api::Value;

constexpr std::int64_t kSecond = 1'000'000'000;

std::string text_of(std::int64_t nanoseconds) { return api::format_rfc3339(nanoseconds / kSecond); }

void put(Value& object, std::string_view name, const std::optional<std::uint64_t>& number) {
  if (number) object[name] = *number;
}
void put(Value& object, std::string_view name, bool is_there, const v1::UInt64Value& number) {
  if (is_there) object[name] = static_cast<std::uint64_t>(number.value());
}

Value timed(std::int64_t nanoseconds) {
  Value object = Value::Object();
  object["time"] = text_of(nanoseconds);
  return object;
}

// ---- the node

Value file_system(std::int64_t time, const FileSystemUsage& usage) {
  Value fs = timed(time);
  fs["availableBytes"] = usage.available;
  fs["capacityBytes"] = usage.capacity;
  fs["usedBytes"] = usage.used;
  fs["inodesFree"] = usage.inodes_free;
  fs["inodes"] = usage.inodes;
  fs["inodesUsed"] = usage.inodes - std::min(usage.inodes, usage.inodes_free);
  return fs;
}

Value link(const NodeLink& from) {
  return Value::object({{"name", from.name},
                        {"rxBytes", from.rx_bytes},
                        {"rxErrors", from.rx_errors},
                        {"txBytes", from.tx_bytes},
                        {"txErrors", from.tx_errors}});
}

Value node_network(const NodeUsage& node) {
  Value network = timed(node.time);
  Value::List interfaces;
  for (const NodeLink& from : node.links) {
    if (from.name == node.default_link) {
      for (auto& member : *link(from).as_object()) network[member.key] = member.value;
    }
    interfaces.push_back(link(from));
  }
  network["interfaces"] = std::move(interfaces);
  return network;
}

void add_cpu_and_memory(const Measured& measured, Value& out) {
  const NodeUsage& node = measured.node;
  if (node.cpu_time) {
    Value cpu = timed(node.time);
    put(cpu, "usageNanoCores", measured.nano_cores);
    put(cpu, "usageCoreNanoSeconds", node.cpu_time);
    out["cpu"] = std::move(cpu);
  }
  if (!node.memory) return;
  Value memory = timed(node.time);
  memory["availableBytes"] = node.memory->available();
  memory["usageBytes"] = node.memory->usage;
  memory["workingSetBytes"] = node.memory->working_set;
  memory["rssBytes"] = node.memory->rss;
  put(memory, "pageFaults", node.memory->faults);
  put(memory, "majorPageFaults", node.memory->major_faults);
  out["memory"] = std::move(memory);
  if (!node.memory->swap_total) return;
  Value swap = timed(node.time);
  swap["swapAvailableBytes"] = *node.memory->swap_total - *node.memory->swap_usage;
  swap["swapUsageBytes"] = *node.memory->swap_usage;
  out["swap"] = std::move(swap);
}

// The images' own part of their disk, beside what all of it has.
std::optional<Value> image_file_system(const Measured& measured) {
  if (measured.images == nullptr || measured.images->image_filesystems_size() == 0 || !measured.image_fs)
    return std::nullopt;
  const v1::FilesystemUsage& told = measured.images->image_filesystems(0);
  Value fs = file_system(told.timestamp(), *measured.image_fs);
  put(fs, "usedBytes", told.has_used_bytes(), told.used_bytes());
  put(fs, "inodesUsed", told.has_inodes_used(), told.inodes_used());
  return fs;
}

Value node_stats(const Measured& measured, bool only_cpu_and_memory) {
  const NodeUsage& node = measured.node;
  Value out = Value::object({{"nodeName", measured.node_name}, {"startTime", api::format_rfc3339(node.booted)}});
  add_cpu_and_memory(measured, out);
  if (only_cpu_and_memory) return out;
  out["network"] = node_network(node);
  if (node.root) out["fs"] = file_system(node.time, *node.root);
  if (auto images = image_file_system(measured)) {
    out["runtime"] = Value::object({{"imageFs", *images}, {"containerFs", *images}});
  }
  if (node.max_pids) {
    Value limits = timed(node.time);
    put(limits, "maxpid", node.max_pids);
    put(limits, "curproc", node.processes);
    out["rlimit"] = std::move(limits);
  }
  return out;
}

// A part of a file system, beside what all of it has.
Value part_of(std::int64_t time, const FileSystemUsage& all, std::uint64_t bytes, std::uint64_t inodes) {
  Value fs = file_system(time, all);
  fs["usedBytes"] = bytes;
  fs["inodesUsed"] = inodes;
  return fs;
}

// ---- pods

Value share(double percent) { return Value::number(absl::StrCat(std::isfinite(percent) ? percent : 0.0)); }

Value pressure_line(const v1::PsiData& from) {
  return Value::object({{"total", static_cast<std::uint64_t>(from.total())},
                        {"avg10", share(from.avg10())},
                        {"avg60", share(from.avg60())},
                        {"avg300", share(from.avg300())}});
}

void put_pressure(Value& object, bool is_there, const v1::PsiStats& from) {
  if (!is_there) return;
  Value psi = Value::Object();
  if (from.has_full()) psi["full"] = pressure_line(from.full());
  if (from.has_some()) psi["some"] = pressure_line(from.some());
  object["psi"] = std::move(psi);
}

// For containers and pods alike.
template <typename Stats>
void add_usage(const Stats& stats, Value& out) {
  if (stats.has_cpu()) {
    Value cpu = timed(stats.cpu().timestamp());
    put(cpu, "usageNanoCores", stats.cpu().has_usage_nano_cores(), stats.cpu().usage_nano_cores());
    put(cpu, "usageCoreNanoSeconds", stats.cpu().has_usage_core_nano_seconds(), stats.cpu().usage_core_nano_seconds());
    put_pressure(cpu, stats.cpu().has_psi(), stats.cpu().psi());
    out["cpu"] = std::move(cpu);
  }
  if (stats.has_io()) {
    Value io = timed(stats.io().timestamp());
    put_pressure(io, stats.io().has_psi(), stats.io().psi());
    out["io"] = std::move(io);
  }
  if (!stats.has_memory()) return;
  const v1::MemoryUsage& from = stats.memory();
  Value memory = timed(from.timestamp());
  put(memory, "availableBytes", from.has_available_bytes(), from.available_bytes());
  put(memory, "usageBytes", from.has_usage_bytes(), from.usage_bytes());
  put(memory, "workingSetBytes", from.has_working_set_bytes(), from.working_set_bytes());
  put(memory, "rssBytes", from.has_rss_bytes(), from.rss_bytes());
  put(memory, "pageFaults", from.has_page_faults(), from.page_faults());
  put(memory, "majorPageFaults", from.has_major_page_faults(), from.major_page_faults());
  put_pressure(memory, from.has_psi(), from.psi());
  out["memory"] = std::move(memory);
}

Value link(const v1::NetworkInterfaceUsage& from) {
  Value out = Value::object({{"name", from.name()}});
  put(out, "rxBytes", from.has_rx_bytes(), from.rx_bytes());
  put(out, "rxErrors", from.has_rx_errors(), from.rx_errors());
  put(out, "txBytes", from.has_tx_bytes(), from.tx_bytes());
  put(out, "txErrors", from.has_tx_errors(), from.tx_errors());
  return out;
}

Value pod_network(const v1::NetworkUsage& from) {
  Value network = timed(from.timestamp());
  for (auto& member : *link(from.default_interface()).as_object()) network[member.key] = member.value;
  Value::List interfaces;
  for (const auto& one : from.interfaces()) interfaces.push_back(link(one));
  network["interfaces"] = std::move(interfaces);
  return network;
}

const PodInfo* info_of(const Measured& measured, const v1::PodSandboxStats& stats) {
  for (const PodInfo& info : measured.pods) {
    if (info.uid == stats.attributes().metadata().uid() && info.status) return &info;
  }
  return nullptr;
}

// Seconds since 1970 at which a container of that pod began to run; nothing when the agent does not know it.
std::optional<std::int64_t> started(const PodInfo* info, std::string_view container) {
  if (info == nullptr) return std::nullopt;
  for (const auto* list : {&info->status->container_statuses(), &info->status->init_container_statuses()}) {
    for (const auto& status : *list) {
      if (status.name() == container && status.state().has_running())
        return status.state().running().started_at().seconds();
    }
  }
  return std::nullopt;
}

const PodDisk* disk_of(const Measured& measured, const std::string& uid) {
  const auto found = measured.disks.find(uid);
  return found == measured.disks.end() ? nullptr : &found->second;
}

Value volume_stats(const Measured& measured, const VolumeDisk& volume) {
  FileSystemUsage fs = *measured.node.root;
  if (volume.memory) {
    fs = {.capacity = volume.memory->capacity,
          .available = volume.memory->available,
          .used = volume.usage.bytes,
          .inodes = volume.memory->inodes,
          .inodes_free = volume.memory->inodes_free};
  }
  Value out = part_of(measured.disks_at, fs, volume.usage.bytes, volume.usage.inodes);
  out["name"] = volume.name;
  return out;
}

// Logs, volumes and files on the node's disk, and what the containers have written beside them.
Value ephemeral_storage(const Measured& measured, const v1::LinuxPodSandboxStats& pod, const PodDisk& disk) {
  std::uint64_t bytes = disk.files, inodes = 0;
  for (const auto& [name, log] : disk.logs) {
    bytes += log.bytes;
    inodes += log.inodes;
  }
  for (const VolumeDisk& volume : disk.volumes) {
    if (volume.memory) continue;
    bytes += volume.usage.bytes;
    inodes += volume.usage.inodes;
  }
  for (const auto& container : pod.containers()) {
    bytes += container.writable_layer().used_bytes().value();
    inodes += container.writable_layer().inodes_used().value();
  }
  return part_of(measured.disks_at, *measured.node.root, bytes, inodes);
}

Value container_stats(const Measured& measured, const PodInfo* info, const PodDisk* disk,
                      const v1::ContainerStats& stats) {
  Value out = Value::object({{"name", stats.attributes().metadata().name()}});
  if (auto since = started(info, stats.attributes().metadata().name())) out["startTime"] = api::format_rfc3339(*since);
  add_usage(stats, out);
  if (stats.has_swap()) {
    Value swap = timed(stats.swap().timestamp());
    put(swap, "swapAvailableBytes", stats.swap().has_swap_available_bytes(), stats.swap().swap_available_bytes());
    put(swap, "swapUsageBytes", stats.swap().has_swap_usage_bytes(), stats.swap().swap_usage_bytes());
    out["swap"] = std::move(swap);
  }
  if (stats.has_writable_layer() && measured.image_fs) {
    const v1::FilesystemUsage& layer = stats.writable_layer();
    Value fs = file_system(layer.timestamp(), *measured.image_fs);
    put(fs, "usedBytes", layer.has_used_bytes(), layer.used_bytes());
    put(fs, "inodesUsed", layer.has_inodes_used(), layer.inodes_used());
    out["rootfs"] = std::move(fs);
  }
  if (disk == nullptr || !measured.node.root) return out;
  if (auto log = disk->logs.find(stats.attributes().metadata().name()); log != disk->logs.end()) {
    out["logs"] = part_of(measured.disks_at, *measured.node.root, log->second.bytes, log->second.inodes);
  }
  return out;
}

Value pod_stats(const Measured& measured, const v1::PodSandboxStats& stats, bool only_cpu_and_memory) {
  const auto& metadata = stats.attributes().metadata();
  const PodInfo* info = info_of(measured, stats);
  const PodDisk* disk = disk_of(measured, metadata.uid());
  Value out = Value::object(
      {{"podRef",
        Value::object({{"name", metadata.name()}, {"namespace", metadata.namespace_()}, {"uid", metadata.uid()}})}});
  if (info != nullptr) out["startTime"] = api::format_rfc3339(info->status->start_time().seconds());
  const auto& pod = stats.linux();
  Value::List containers;
  for (const auto& container : pod.containers()) containers.push_back(container_stats(measured, info, disk, container));
  out["containers"] = std::move(containers);
  add_usage(pod, out);
  if (only_cpu_and_memory) return out;
  if (pod.has_network()) out["network"] = pod_network(pod.network());
  if (disk != nullptr && measured.node.root) {
    Value::List volumes;
    for (const VolumeDisk& volume : disk->volumes) volumes.push_back(volume_stats(measured, volume));
    if (!volumes.empty()) out["volume"] = std::move(volumes);
    out["ephemeral-storage"] = ephemeral_storage(measured, pod, *disk);
  }
  if (pod.has_process() && pod.process().has_process_count()) {
    out["process_stats"] =
        Value::object({{"process_count", static_cast<std::uint64_t>(pod.process().process_count().value())}});
  }
  return out;
}

}  // namespace

Value make_summary(const Measured& measured, bool only_cpu_and_memory) {
  Value::List pods;
  if (measured.stats != nullptr) {
    for (const auto& stats : measured.stats->stats()) pods.push_back(pod_stats(measured, stats, only_cpu_and_memory));
  }
  return Value::object({{"node", node_stats(measured, only_cpu_and_memory)}, {"pods", std::move(pods)}});
}

}  // namespace gantry::agent
