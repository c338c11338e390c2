// SPDX-License-Identifier: Apache-2.0
#include "cri/pod_users.h"

#include <fcntl.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "cri/text.h"
#include "sys/device_node.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/namespaces.h"

namespace gantry::cri {
namespace {

constexpr std::string_view kOptions = "namespace_options.userns_options";
constexpr std::uint64_t kIds = 0xffffffff;  // -1 is none

bool overlap(std::uint64_t a, std::uint64_t b, std::uint64_t a_size, std::uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

Result<std::vector<runtime::oci::IdMapping>> mappings_of(const IdMappingList& from, const std::string& field) {
  if (static_cast<std::size_t>(from.size()) > runtime::oci::kMaxIdMappings)
    return invalid_argument(
        cat(field, ": ", from.size(), " mappings; the kernel takes ", runtime::oci::kMaxIdMappings));
  std::vector<runtime::oci::IdMapping> out;
  for (const auto& each : from) {
    const std::string at = cat(field, "[", out.size(), "]");
    if (each.length() == 0) return invalid_argument(cat(at, ".length 0: give 1 or more"));
    for (auto [name, first] : {std::pair("container_id", each.container_id()), std::pair("host_id", each.host_id())}) {
      if (std::uint64_t{first} + each.length() > kIds)
        return invalid_argument(cat(at, ".length ", each.length(), ": from ", name, " ", first, " on there are ",
                                    kIds - first, " ids; give no more"));
    }
    for (const auto& other : out) {
      if (overlap(each.container_id(), other.container, each.length(), other.size))
        return invalid_argument(cat(at, ".container_id ", each.container_id(), ": overlaps another mapping's"));
      if (overlap(each.host_id(), other.host, each.length(), other.size))
        return invalid_argument(cat(at, ".host_id ", each.host_id(), ": overlaps another mapping's"));
    }
    out.push_back({each.container_id(), each.host_id(), each.length()});
  }
  if (std::size_t bytes = runtime::oci::id_map_text(out).size(); bytes > runtime::oci::kMaxIdMapBytes)
    return invalid_argument(cat(field, ": ", bytes, " bytes as text; the kernel takes ", runtime::oci::kMaxIdMapBytes));
  return out;
}

// As the kubelet sends it.
Status check_pod_mapping(const std::vector<runtime::oci::IdMapping>& mappings, std::string_view name) {
  const std::string field = cat(kOptions, ".", name);
  if (mappings.size() != 1)
    return invalid_argument(cat(field, ": ", mappings.size(), " mappings; give exactly one mapping"));
  if (mappings[0].container != 0)
    return invalid_argument(
        cat(field, "[0].container_id ", mappings[0].container, ": give 0, container_id 0 must be mapped"));
  if (mappings[0].host == 0)
    return invalid_argument(cat(field, "[0].host_id 0: is the host's root; give ids that are the pod's alone"));
  return {};
}

// What is the host's belongs to the host's user namespace: who is in another has no rights on it.
Status check_own_namespaces(const v1::NamespaceOption& options) {
  for (auto [mode, name] :
       {std::pair(options.network(), "network"), std::pair(options.pid(), "pid"), std::pair(options.ipc(), "ipc")}) {
    if (mode != v1::NODE) continue;
    return invalid_argument(cat("namespace_options.", name,
                                " NODE: a pod with a user namespace can't share the host's; "
                                "give POD, or leave userns_options out (hostUsers: true)"));
  }
  return {};
}

}  // namespace

Result<runtime::oci::IdMappings> id_mappings(const IdMappingList& uids, const IdMappingList& gids,
                                             const std::string& field, std::string_view uids_name,
                                             std::string_view gids_name) {
  runtime::oci::IdMappings ids;
  for (auto [from, name, to] : {std::tuple(&uids, uids_name, &ids.uids), std::tuple(&gids, gids_name, &ids.gids)}) {
    auto list = mappings_of(*from, cat(field, ".", name));
    if (!list) return std::unexpected(std::move(list.error()));
    *to = std::move(*list);
  }
  if (ids.uids.empty() != ids.gids.empty())
    return invalid_argument(cat(field, ".", ids.uids.empty() ? uids_name : gids_name,
                                ": not given; give it as well as ", ids.uids.empty() ? gids_name : uids_name));
  return ids;
}

Result<runtime::oci::IdMappings> pod_users(const v1::NamespaceOption& options) {
  const auto& users = options.userns_options();
  if (!options.has_userns_options() || users.mode() == v1::NODE) return runtime::oci::IdMappings();
  if (users.mode() != v1::POD)
    return invalid_argument(cat(kOptions, ".mode ", v1::NamespaceMode_Name(users.mode()), ": give POD or NODE"));
  runtime::oci::IdMappings ids;
  for (auto [from, name, to] :
       {std::tuple(&users.uids(), "uids", &ids.uids), std::tuple(&users.gids(), "gids", &ids.gids)}) {
    auto list = mappings_of(*from, cat(kOptions, ".", name));
    if (!list) return std::unexpected(std::move(list.error()));
    if (auto s = check_pod_mapping(*list, name); !s) return std::unexpected(std::move(s.error()));
    *to = std::move(*list);
  }
  if (auto s = check_own_namespaces(options); !s) return std::unexpected(std::move(s.error()));
  return ids;
}

std::optional<runtime::UsersSpec> users_spec(const v1::NamespaceOption& options) {
  auto ids = pod_users(options);
  if (!ids || ids->is_empty()) return std::nullopt;
  const auto &uids = ids->uids[0], &gids = ids->gids[0];
  return runtime::UsersSpec{.uid = uids.host, .gid = gids.host, .uids = uids.size, .gids = gids.size};
}

bool are_same_users(const v1::NamespaceOption& one, const v1::NamespaceOption& other) {
  auto is_hosts = [](const v1::NamespaceOption& options) {
    return !options.has_userns_options() || options.userns_options().mode() == v1::NODE;
  };
  if (is_hosts(one) || is_hosts(other)) return is_hosts(one) && is_hosts(other);
  return google::protobuf::util::MessageDifferencer::Equals(one.userns_options(), other.userns_options());
}

Result<OwnFd> open_pod_users(const shim::Client& shim) {
  auto space = sys::openat(sys::kCwd, cat("/proc/", shim.pid(), "/ns/uts").c_str(), O_RDONLY);
  // Whoever has this pid now is the shim only if that has not ended meanwhile.
  if (!space || !shim.is_alive()) return fail(Code::kUnavailable, "the shim ended");
  return sys::owner_of_namespace(*space);
}

Result<std::string> mount_line(FdRef place) {
  auto info = sys::openat(sys::kCwd, cat("/proc/self/fdinfo/", place.get()).c_str(), O_RDONLY);
  auto text = info ? sys::read_all(*info, 4096) : Result<std::string>(std::unexpected(info.error()));
  if (!text) return text;
  auto file = sys::openat(sys::kCwd, "/proc/self/mountinfo", O_RDONLY);
  auto table = file ? sys::read_all(*file, 64U << 20) : Result<std::string>(std::unexpected(file.error()));
  if (!table) return table;
  std::string id;
  for (std::string_view line : split(*text, '\n')) {
    if (line.starts_with("mnt_id:")) id = std::string(trimmed(line.substr(7)));
  }
  for (std::string_view line : split(*table, '\n')) {
    if (line.starts_with(id + " ")) return std::string(line);
  }
  return not_found(cat("mount ", id));
}

Status map_mount_ids(FdRef mount, FdRef source, FdRef users, std::string_view path) {
  auto s = sys::map_ids(mount, users, sys::Recursive::kNo);
  if (s) return s;
  if (s.error().sys() == EPERM)
    return fail(Code::kFailedPrecondition,
                cat(quoted(path), ": its ids are mapped already; no mount has two mappings"));
  if (s.error().sys() != EINVAL) return fail_with(std::move(s.error()), quoted(path));
  auto line = mount_line(source);
  std::string type = "its file system";
  if (line) {
    if (auto at = line->find(" - "); at != std::string::npos)
      type = cat("file system ", quoted(std::string_view(*line).substr(at + 3, line->find(' ', at + 3) - at - 3)));
  }
  return fail(Code::kFailedPrecondition, cat(quoted(path), ": this kernel maps no ids of ", type));
}

namespace {

constexpr std::string_view kDevFolder = "/dev";
constexpr std::string_view kDev = "/dev/";
constexpr mode_t kFolderMode = 0755;

// The parent of a device, made with its own.
Result<OwnFd> folder_for(FdRef dev, std::string_view path, const runtime::UsersSpec& users) {
  auto folder = duplicate(dev);
  auto parts = split(path, '/');
  parts.pop_back();
  for (std::string_view part : parts) {
    if (!folder) return folder;
    std::string name(part);
    auto made = sys::mkdirat(*folder, name.c_str(), kFolderMode);
    if (!made && !made.error().is_already_exists()) return std::unexpected(std::move(made.error()));
    folder = sys::openat(*folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!folder) return folder;
    if (auto s = sys::fchown(*folder, users.uid, users.gid); !s) return std::unexpected(std::move(s.error()));
    if (auto s = sys::fchmod(*folder, kFolderMode); !s) return std::unexpected(std::move(s.error()));
  }
  return folder;
}

Status make_device(FdRef dev, const runtime::DevicePlan& device, bool are_hosts, const runtime::UsersSpec& users) {
  std::string_view path = std::string_view(device.path).substr(kDev.size());
  auto folder = folder_for(dev, path, users);
  if (!folder) return std::unexpected(std::move(folder.error()));
  std::string name(split(path, '/').back());
  uid_t uid = are_hosts ? device.uid : users.uid + (device.uid < users.uids ? device.uid : 0);
  gid_t gid = are_hosts ? device.gid : users.gid + (device.gid < users.gids ? device.gid : 0);
  return sys::make_device_node(
      *folder, name.c_str(),
      {.mode = device.mode, .device = makedev(device.major, device.minor), .uid = uid, .gid = gid});
}

Result<MountFd> make_tmpfs(const runtime::MountPlan& plan, const runtime::UsersSpec& users) {
  auto context = sys::FsContext::open(plan.type.c_str());
  if (!context) return std::unexpected(std::move(context.error()));
  auto options = plan.options;
  options.push_back(cat("uid=", users.uid));
  options.push_back(cat("gid=", users.gid));
  for (const std::string& option : options) {
    auto at = option.find('=');
    if (auto s = context->set(option.substr(0, at).c_str(), option.c_str() + at + 1); !s)
      return std::unexpected(std::move(s.error()));
  }
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  return context->mount(static_cast<sys::MountAttr>(plan.set_attributes));
}

}  // namespace

namespace {

auto dev_of(auto& plan) {
  return std::ranges::find_if(plan.mounts, [](const runtime::MountPlan& mount) {
    return mount.kind == runtime::MountKind::kFilesystem && mount.target == kDevFolder;
  });
}

bool is_elsewhere(const runtime::DevicePlan& device) { return !device.path.starts_with(kDev); }

// A file system as the plan's /dev is to be, with the plan's devices that are there; of others, pipes are left out.
Result<runtime::FdIndex> fill_dev(const runtime::MountPlan& place, const runtime::UsersSpec& users, bool are_hosts,
                                  const runtime::Plan& plan, runtime::FdList& fds) {
  auto dev = make_tmpfs(place, users);
  if (!dev) return fail_with(std::move(dev.error()), kDevFolder);
  for (const auto& device : plan.devices) {
    if (!is_elsewhere(device)) {
      if (auto s = make_device(*dev, device, are_hosts, users); !s)
        return fail_with(std::move(s.error()), cat("device ", quoted(device.path)));
    } else if (!S_ISFIFO(device.mode)) {
      return fail(Code::kUnimplemented, cat("device ", quoted(device.path),
                                            ": a container in a user namespace has its devices in /dev alone"));
    }
  }
  return fds.add(OwnFd(std::move(*dev)));
}

}  // namespace

Status make_dev(const runtime::UsersSpec& users, bool are_hosts, runtime::Plan& plan, runtime::FdList& fds) {
  auto place = dev_of(plan);
  if (place == plan.mounts.end()) return {};  // its own, with what is in it
  auto index = fill_dev(*place, users, are_hosts, plan, fds);
  if (!index) return std::unexpected(std::move(index.error()));
  std::erase_if(plan.devices, [](const runtime::DevicePlan& device) { return !is_elsewhere(device); });
  place->kind = runtime::MountKind::kMade;
  place->source = *index;
  place->options.clear();
  place->set_attributes = 0;
  return {};
}

Result<runtime::FdIndex> make_device_nodes(const runtime::UsersSpec& users, bool are_hosts, const runtime::Plan& plan,
                                           runtime::FdList& fds) {
  auto place = dev_of(plan);
  return place == plan.mounts.end() ? runtime::kNoFd : fill_dev(*place, users, are_hosts, plan, fds);
}

}  // namespace gantry::cri
