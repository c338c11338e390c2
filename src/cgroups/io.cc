// SPDX-License-Identifier: Apache-2.0
// The io controller. Weights are there in two makes: io.weight (of iocost) and io.bfq.weight (of the BFQ scheduler,
// with cgroup v1's range); what is there gets the weight.
#include "cgroups/controllers.h"
#include "cgroups/text.h"

namespace gantry::cgroups {
namespace {

constexpr std::size_t kMaxDevices = 1024;

std::string show(const DeviceNumber& device) {
  return std::to_string(device.major) + ":" + std::to_string(device.minor);
}

Status validate_weight(std::uint16_t weight) {
  if (weight == 0 || (weight >= 10 && weight <= 1000)) return {};
  return invalid_argument("io weight " + std::to_string(weight) + ": expected 10 to 1000");
}

Status write_weight(LimitWriter& writer, const std::string& whose, std::uint16_t weight) {
  if (weight == 0) return {};
  std::string value = whose + " " + std::to_string(io_weight_from_blkio(weight));
  auto bfq = writer.write_if_there("io.bfq.weight", whose + " " + std::to_string(weight));
  if (!bfq) return std::unexpected(std::move(bfq.error()));
  auto cost = writer.write_if_there("io.weight", value);
  if (!cost) return std::unexpected(std::move(cost.error()));
  if (*bfq || *cost) return {};
  return writer.not_enforced("io.weight", value);
}

}  // namespace

std::uint64_t io_weight_from_blkio(std::uint16_t weight) {
  if (weight == 0) return 0;
  if (weight <= 10) return 1;
  return 1 + (static_cast<std::uint64_t>(weight) - 10) * 9999 / 990;
}

Status validate(const IoLimits& limits) {
  if (limits.device_weights.size() > kMaxDevices || limits.throttles.size() > kMaxDevices) {
    return invalid_argument("io limits of more than " + std::to_string(kMaxDevices) + " devices");
  }
  if (auto checked = validate_weight(limits.weight.value_or(0)); !checked) return checked;
  for (const auto& each : limits.device_weights) {
    if (auto checked = validate_weight(each.weight); !checked)
      return fail_with(checked.error(), "device " + show(each.device));
  }
  return {};
}

Status apply(LimitWriter& writer, const IoLimits& limits) {
  if (auto done = write_weight(writer, "default", limits.weight.value_or(0)); !done) return done;
  for (const auto& each : limits.device_weights) {
    if (auto done = write_weight(writer, show(each.device), each.weight); !done) return done;
  }
  for (const auto& each : limits.throttles) {
    std::string value = show(each.device);
    const std::pair<const char*, const std::optional<std::uint64_t>&> keys[] = {{" rbps=", each.read_bytes},
                                                                                {" wbps=", each.write_bytes},
                                                                                {" riops=", each.read_operations},
                                                                                {" wiops=", each.write_operations}};
    bool any = false;
    for (const auto& [key, limit] : keys) {
      if (!limit) continue;
      any = true;
      value.append(key).append(*limit == 0 ? "max" : std::to_string(*limit));
    }
    if (!any) continue;
    if (auto done = writer.write("io.max", value); !done) return done;
  }
  return {};
}

void read_io(StatsReader& reader, Stats& stats) {
  auto text = reader.text("io.stat");
  if (!text) return;
  IoStats io;
  for (DeviceLine& line : parse_device_lines(*text)) {
    if (line.values.empty()) continue;  // a device that this cgroup never used
    auto value = [&](const char* name) {
      auto found = line.values.find(name);
      return found == line.values.end() ? 0 : found->second;
    };
    io.devices.push_back(
        {line.device, value("rbytes"), value("wbytes"), value("rios"), value("wios"), value("dbytes"), value("dios")});
  }
  io.pressure = reader.pressure("io.pressure");
  stats.io = std::move(io);
}

}  // namespace gantry::cgroups
