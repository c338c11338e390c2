// SPDX-License-Identifier: Apache-2.0
#include "cri/stats_messages.h"

#include <string_view>

namespace gantry::cri {
namespace {

constexpr std::string_view kDefaultInterface = "eth0";

// `message` is a CpuUsage, a MemoryUsage or an IoUsage.
template <typename Message>
void set_pressure(const std::optional<cgroups::Pressure>& from, Message& message) {
  if (!from) return;
  auto line = [](const cgroups::Pressure::Line& l, v1::PsiData* data) {
    data->set_total(l.total_usec);
    data->set_avg10(l.avg10);
    data->set_avg60(l.avg60);
    data->set_avg300(l.avg300);
  };
  if (from->some) line(*from->some, message.mutable_psi()->mutable_some());
  if (from->full) line(*from->full, message.mutable_psi()->mutable_full());
}

void set_cpu(const cgroups::Stats& sample, const std::optional<std::uint64_t>& nano_cores, v1::CpuUsage& cpu) {
  cpu.set_timestamp(nanoseconds(sample.read_at));
  if (sample.cpu->usage_usec) cpu.mutable_usage_core_nano_seconds()->set_value(*sample.cpu->usage_usec * 1000);
  if (nano_cores) cpu.mutable_usage_nano_cores()->set_value(*nano_cores);
  set_pressure(sample.cpu->pressure, cpu);
}

void set_memory(const cgroups::Stats& sample, v1::MemoryUsage& memory) {
  memory.set_timestamp(nanoseconds(sample.read_at));
  // Without a controller there is a time at which it was looked for, and no number.
  if (!sample.memory || !sample.memory->current) return;
  const auto& from = *sample.memory;
  memory.mutable_usage_bytes()->set_value(*from.current);
  if (auto value = from.working_set()) {
    memory.mutable_working_set_bytes()->set_value(*value);
    if (from.max && *from.max >= *value) memory.mutable_available_bytes()->set_value(*from.max - *value);
  }
  if (auto value = from.value("anon")) memory.mutable_rss_bytes()->set_value(*value);
  if (auto value = from.value("pgfault")) memory.mutable_page_faults()->set_value(*value);
  if (auto value = from.value("pgmajfault")) memory.mutable_major_page_faults()->set_value(*value);
  set_pressure(from.pressure, memory);
}

void set_swap(const cgroups::Stats& sample, v1::ContainerStats& stats) {
  if (!sample.memory || !sample.memory->swap_current) return;
  const auto& from = *sample.memory;
  auto* swap = stats.mutable_swap();
  swap->set_timestamp(nanoseconds(sample.read_at));
  swap->mutable_swap_usage_bytes()->set_value(*from.swap_current);
  if (from.swap_max && *from.swap_max >= *from.swap_current) {
    swap->mutable_swap_available_bytes()->set_value(*from.swap_max - *from.swap_current);
  }
}

template <typename Stats>
void fill_common(const cgroups::Stats& sample, const std::optional<std::uint64_t>& nano_cores, Stats& stats) {
  if (sample.cpu) set_cpu(sample, nano_cores, *stats.mutable_cpu());
  set_memory(sample, *stats.mutable_memory());
  if (!sample.io || !sample.io->pressure) return;
  stats.mutable_io()->set_timestamp(nanoseconds(sample.read_at));
  set_pressure(sample.io->pressure, *stats.mutable_io());
}

}  // namespace

std::int64_t nanoseconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

void fill(const cgroups::Stats& sample, const std::optional<std::uint64_t>& nano_cores, v1::ContainerStats& stats) {
  fill_common(sample, nano_cores, stats);
  set_swap(sample, stats);
}

void fill(const cgroups::Stats& sample, const std::optional<std::uint64_t>& nano_cores,
          v1::LinuxPodSandboxStats& stats) {
  fill_common(sample, nano_cores, stats);
}

void fill(const std::vector<netns::LinkCounters>& links, std::int64_t read_at, v1::NetworkUsage& usage) {
  usage.set_timestamp(read_at);
  for (const auto& link : links) {
    auto* interface = usage.add_interfaces();
    interface->set_name(link.name);
    interface->mutable_rx_bytes()->set_value(link.rx_bytes);
    interface->mutable_rx_errors()->set_value(link.rx_errors);
    interface->mutable_tx_bytes()->set_value(link.tx_bytes);
    interface->mutable_tx_errors()->set_value(link.tx_errors);
    if (link.name == kDefaultInterface) *usage.mutable_default_interface() = *interface;
  }
  if (!usage.has_default_interface() && usage.interfaces_size() > 0) {
    *usage.mutable_default_interface() = usage.interfaces(0);
  }
}

std::optional<std::uint64_t> nano_cores(const cgroups::Stats& before, const cgroups::Stats& after) {
  if (!before.cpu || !after.cpu || !before.cpu->usage_usec || !after.cpu->usage_usec) return std::nullopt;
  double elapsed = std::chrono::duration<double>(after.read_at - before.read_at).count();
  if (elapsed < 0.1 || *after.cpu->usage_usec < *before.cpu->usage_usec) return std::nullopt;
  double used = static_cast<double>(*after.cpu->usage_usec - *before.cpu->usage_usec) * 1000;
  return static_cast<std::uint64_t>(used / elapsed);
}

}  // namespace gantry::cri
