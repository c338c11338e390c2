// SPDX-License-Identifier: Apache-2.0
// linux.resources: cgroup v1's words, as the specification has them, for cgroups/resources.h. What v2 has no file for
// is refused by name, as the specification wants it.
#include "runtime/oci/config_parts.h"

namespace gantry::runtime::oci {
namespace {

constexpr std::string_view kNotInV2 = "cgroup v2 has nothing that does this";

void read_memory(const Fields& resources, cgroups::MemoryLimits& out, bool& check_before_update) {
  auto fields = resources.object("memory");
  if (!fields) return;
  fields->number("limit", out.limit);
  fields->number("reservation", out.low);
  fields->number("swap", out.swap_total);
  for (const char* name : {"kernelTCP", "swappiness", "disableOOMKiller"}) fields->unsupported(name, kNotInV2);
  fields->flag("checkBeforeUpdate", check_before_update);
  // kernel and useHierarchy: deprecated, or true of v2 anyway.
}

void read_cpu(const Fields& resources, cgroups::Resources& out) {
  auto fields = resources.object("cpu");
  if (!fields) return;
  fields->number("shares", out.cpu.shares);
  fields->number("quota", out.cpu.quota);
  fields->number("period", out.cpu.period);
  fields->number("burst", out.cpu.burst);
  std::optional<std::int64_t> idle;
  if (fields->number("idle", idle, std::int64_t{0}, std::int64_t{1})) out.cpu.idle = *idle == 1;
  fields->text("cpus", out.cpuset.cpus);
  fields->text("mems", out.cpuset.mems);
  fields->unsupported("realtimeRuntime", kNotInV2);
  fields->unsupported("realtimePeriod", kNotInV2);
}

cgroups::DeviceNumber read_number(const Fields& entry) {
  cgroups::DeviceNumber number;
  if (!entry.number("major", number.major)) entry.missing("major", "a number");
  if (!entry.number("minor", number.minor)) entry.missing("minor", "a number");
  return number;
}

void read_throttles(const Fields& fields, const char* name, cgroups::IoLimits& out,
                    std::optional<std::uint64_t> cgroups::IoLimits::Throttle::* field) {
  fields.objects(name, [&](const Fields& entry) {
    cgroups::IoLimits::Throttle throttle;
    throttle.device = read_number(entry);
    if (!entry.number("rate", throttle.*field)) entry.missing("rate", "a number");
    out.throttles.push_back(throttle);
  });
}

void read_io(const Fields& resources, cgroups::IoLimits& out) {
  auto fields = resources.object("blockIO");
  if (!fields) return;
  fields->number("weight", out.weight);
  fields->unsupported("leafWeight", kNotInV2);
  fields->objects("weightDevice", [&](const Fields& entry) {
    cgroups::IoLimits::DeviceWeight weight;
    weight.device = read_number(entry);
    entry.number("weight", weight.weight);
    entry.unsupported("leafWeight", kNotInV2);
    out.device_weights.push_back(weight);
  });
  using Throttle = cgroups::IoLimits::Throttle;
  read_throttles(*fields, "throttleReadBpsDevice", out, &Throttle::read_bytes);
  read_throttles(*fields, "throttleWriteBpsDevice", out, &Throttle::write_bytes);
  read_throttles(*fields, "throttleReadIOPSDevice", out, &Throttle::read_operations);
  read_throttles(*fields, "throttleWriteIOPSDevice", out, &Throttle::write_operations);
}

void read_device_rules(const Fields& resources, std::vector<cgroups::DeviceRule>& out) {
  resources.objects("devices", [&](const Fields& entry) {
    cgroups::DeviceRule rule;
    if (!entry.flag("allow", rule.allow)) entry.missing("allow", "true or false");
    std::string type = "a", access;
    entry.text("type", type);
    if (type == "c") {
      rule.type = cgroups::DeviceType::kCharacter;
    } else if (type == "b") {
      rule.type = cgroups::DeviceType::kBlock;
    } else if (type != "a" && !type.empty()) {
      entry.refuse("type", cat(quoted(type), " is unknown: a, b or c was expected"));
    }
    // -1 is any, as programs write it.
    std::int64_t number = -1;
    if (entry.number("major", number, std::int64_t{-1}, std::int64_t{0xffffffff}) && number >= 0)
      rule.major = static_cast<std::uint32_t>(number);
    number = -1;
    if (entry.number("minor", number, std::int64_t{-1}, std::int64_t{0xffffffff}) && number >= 0)
      rule.minor = static_cast<std::uint32_t>(number);
    if (entry.text("access", access) && !access.empty()) {
      auto parsed = cgroups::parse_device_access(access);
      if (parsed) {
        rule.access = *parsed;
      } else {
        entry.refuse("access", parsed.error().message());
      }
    }
    out.push_back(rule);
  });
  if (out.size() > cgroups::kMaxDeviceRules / 2) {
    resources.refuse("devices",
                     cat("has ", out.size(), " rules: at most ", cgroups::kMaxDeviceRules / 2, " are taken"));
  }
}

}  // namespace

void read_resources(const Fields& fields, Linux& out) {
  read_device_rules(fields, out.device_rules);
  read_memory(fields, out.resources.memory, out.check_memory_before_update);
  read_cpu(fields, out.resources);
  if (auto pids = fields.object("pids")) pids->number("limit", out.resources.pids);
  read_io(fields, out.resources.io);
  fields.objects("hugepageLimits", [&](const Fields& entry) {
    cgroups::HugepageLimit limit;
    if (!entry.text("pageSize", limit.page_size)) entry.missing("pageSize", "a size such as 2MB");
    if (!entry.number("limit", limit.limit)) entry.missing("limit", "a number of bytes");
    out.resources.hugepages.push_back(std::move(limit));
  });
  fields.unsupported("network", kNotInV2);
  fields.unsupported("rdma", "limits of the rdma controller are not supported yet");
  fields.entries("unified",
                 [&](const std::string& name, const std::string& value) { out.resources.unified[name] = value; });
  for (const char* name : {"memory", "cpu", "pids", "blockIO", "hugepageLimits", "unified"})
    out.has_limits = out.has_limits || fields.says(name);
}

}  // namespace gantry::runtime::oci
