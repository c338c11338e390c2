// SPDX-License-Identifier: Apache-2.0
#include <sys/personality.h>

#include <algorithm>

#include "runtime/oci/config_parts.h"

namespace gantry::runtime::oci {
namespace {

namespace json = boost::json;

void read_namespaces(const Fields& fields, Linux& out) {
  fields.objects("namespaces", [&](const Fields& entry) {
    std::string type;
    if (!entry.text("type", type)) return entry.missing("type", "a kind of namespace");
    for (std::size_t kind = 0; kind < kNamespaceKinds; ++kind) {
      if (type != to_string(static_cast<NamespaceKind>(kind))) continue;
      Namespace& space = out.namespaces[kind];
      if (space.is_listed) return entry.refuse("type", cat(quoted(type), " is given twice"));
      space.is_listed = true;
      entry.text("path", space.path);
      if (!space.path.empty() && space.path[0] != '/')
        entry.refuse("path", cat(quoted(space.path), " is wrong: an absolute path was expected"));
      return;
    }
    entry.refuse("type",
                 cat(quoted(type), " is unknown: pid, network, mount, ipc, uts, cgroup, user or time was expected"));
  });
}

void read_user(const Fields& fields, Linux& out) {
  read_id_mappings(fields, out.ids);
  const Namespace& user = out.of(NamespaceKind::kUser);
  if (!user.is_listed && !out.ids.is_empty())
    return fields.refuse("uidMappings", "needs a user namespace in linux.namespaces");
  const Namespace& mount = out.of(NamespaceKind::kMount);
  if (user.is_new() ? !mount.is_new() : user.is_listed && !mount.is_listed)
    return fields.refuse("namespaces",
                         "a user namespace needs a mount namespace of its own beside it: another's it can't enter, and "
                         "its root would be mounted for all there to see");
  if (!user.is_new()) return;
  if (out.ids.is_empty()) return fields.missing("uidMappings", "a mapping for the new user namespace");
  for (auto [name, mappings] : {std::pair("uidMappings", &out.ids.uids), std::pair("gidMappings", &out.ids.gids)}) {
    if (!host_id(*mappings, 0)) fields.refuse(name, "does not map 0: the container is made as its root");
  }
}

void read_time_offsets(const Fields& fields, Linux& out) {
  auto offsets = fields.object("timeOffsets");
  if (!offsets) return;
  for (const auto& entry : fields.find("timeOffsets")->get_object()) {
    TimeOffset offset;
    offset.clock.assign(entry.key().data(), entry.key().size());
    if (offset.clock != "monotonic" && offset.clock != "boottime")
      return offsets->refuse(quoted(offset.clock), "is unknown: monotonic or boottime was expected");
    auto times = offsets->object(offset.clock.c_str());
    if (!times) continue;
    // More the kernel does not take: with it, a clock could run over.
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 1'000'000'000 / 2;
    times->number("secs", offset.seconds, -kMost, kMost);
    times->number("nanosecs", offset.nanoseconds, 0U, 999'999'999U);
    out.time_offsets.push_back(std::move(offset));
  }
  if (!out.time_offsets.empty() && !out.of(NamespaceKind::kTime).is_new())
    fields.refuse("timeOffsets", "needs a new time namespace in linux.namespaces");
}

void read_devices(const Fields& fields, std::vector<Device>& out) {
  fields.objects("devices", [&](const Fields& entry) {
    Device device;
    if (!entry.text("path", device.path) || device.path.empty()) entry.missing("path", "a path in the container");
    if (!entry.text("type", device.type)) entry.missing("type", "c, b, u or p");
    if (device.type != "c" && device.type != "b" && device.type != "u" && device.type != "p")
      entry.refuse("type", cat(quoted(device.type), " is unknown: c, b, u or p was expected"));
    bool needs_number = device.type != "p";
    if (!entry.number("major", device.major, 0U, 0xfffU) && needs_number) entry.missing("major", "a number");
    if (!entry.number("minor", device.minor, 0U, 0xfffffU) && needs_number) entry.missing("minor", "a number");
    entry.number("fileMode", device.file_mode, 0U, 0777777U);
    entry.number("uid", device.uid, 0U, kMaxId);
    entry.number("gid", device.gid, 0U, kMaxId);
    out.push_back(std::move(device));
  });
}

void read_personality(const Fields& fields, std::optional<std::uint32_t>& out) {
  auto personality = fields.object("personality");
  if (!personality) return;
  std::string domain;
  if (!personality->text("domain", domain)) return personality->missing("domain", "LINUX or LINUX32");
  if (domain != "LINUX" && domain != "LINUX32")
    return personality->refuse("domain", cat(quoted(domain), " is unknown: LINUX or LINUX32 was expected"));
  personality->unsupported("flags", "flags are not supported");
  out = domain == "LINUX" ? PER_LINUX : PER_LINUX32;
}

// Their parts one after the other: what is wrong is in the one that came last.
void check_resources(const Fields& fields, const cgroups::Resources& all) {
  cgroups::Resources part;
  auto check = [&](std::string_view name) {
    if (auto s = cgroups::validate(part); !s) fields.refuse(cat("resources.", name), s.error().message());
  };
  part.memory = all.memory;
  check("memory");
  part.cpu = all.cpu;
  part.cpuset = all.cpuset;
  check("cpu");
  part.pids = all.pids;
  check("pids");
  part.io = all.io;
  check("blockIO");
  part.hugepages = all.hugepages;
  check("hugepageLimits");
  part.unified = all.unified;
  check("unified");
}

void read_seccomp(const Fields& fields, std::string& out) {
  if (!fields.object("seccomp")) return;
  out = json::serialize(*fields.find("seccomp"));
}

}  // namespace

void read_linux(const Fields& fields, Linux& out) {
  read_namespaces(fields, out);
  read_user(fields, out);
  read_time_offsets(fields, out);
  read_devices(fields, out.devices);
  fields.unsupported("netDevices", "moving network devices is not supported yet");
  fields.text("cgroupsPath", out.cgroups_path);
  if (auto resources = fields.object("resources")) read_resources(*resources, out);
  check_resources(fields, out.resources);
  fields.unsupported("intelRdt", "Intel RDT is not supported");
  fields.unsupported("memoryPolicy", "memory policies are not supported yet");
  fields.entries("sysctl", [&](const std::string& name, const std::string& value) { out.sysctl[name] = value; });
  read_seccomp(fields, out.seccomp);
  if (fields.text("rootfsPropagation", out.rootfs_propagation)) {
    constexpr std::string_view kKnown[] = {"",       "private", "rprivate",   "slave",      "rslave",
                                           "shared", "rshared", "unbindable", "runbindable"};
    if (std::ranges::find(kKnown, out.rootfs_propagation) == std::end(kKnown))
      fields.refuse("rootfsPropagation", cat(quoted(out.rootfs_propagation),
                                             " is unknown: private, slave, shared or unbindable was expected"));
  }
  fields.texts("maskedPaths", out.masked_paths);
  fields.texts("readonlyPaths", out.read_only_paths);
  fields.text("mountLabel", out.mount_label);
  read_personality(fields, out.personality);
}

}  // namespace gantry::runtime::oci
