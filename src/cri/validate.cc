// SPDX-License-Identifier: Apache-2.0
// Texts, paths, sandboxes; validate_container.cc has the containers.
#include "cri/validate.h"

#include <algorithm>

#include "cgroups/slices.h"
#include "cri/host_ports.h"
#include "cri/make_spec.h"
#include "cri/pod_users.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/text.h"
#include "cri/validate_text.h"

namespace gantry::cri {

Status check_text(std::string_view text, std::string_view field, std::size_t limit) {
  if (text.size() > limit) {
    return invalid_argument(cat(field, " ", quoted(text), ": longer than ", limit, " bytes"));
  }
  if (std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return invalid_argument(cat(field, " ", quoted(text), ": has a control character; give plain text"));
  }
  return {};
}

Status check_object_name(std::string_view text, std::string_view field) {
  if (text.empty()) return invalid_argument(cat(field, ": not given"));
  if (text.find('/') != std::string_view::npos) {
    return invalid_argument(cat(field, " ", quoted(text), ": names have no slash"));
  }
  return check_text(text, field, kMaxNameBytes);
}

Status check_absolute_path(std::string_view path, std::string_view field) {
  if (auto good = check_text(path, field, kMaxPathBytes); !good) return good;
  if (!path.starts_with('/')) {
    return invalid_argument(cat(field, " ", quoted(path), ": give an absolute path"));
  }
  std::string_view rest = path.substr(1);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) return {};
  for (std::string_view part : split(rest, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return invalid_argument(
          cat(field, " ", quoted(path), ": has a part ", quoted(part), "; give the path without such parts"));
    }
    if (part.size() > 255) {
      return invalid_argument(cat(field, " ", quoted(path), ": a part is longer than 255 bytes"));
    }
  }
  return {};
}

Status check_string_map(const StringMap& map, std::string_view field) {
  std::size_t total = 0;
  for (const auto& [key, value] : map) {
    if (key.empty()) return invalid_argument(cat(field, ": has an empty key"));
    if (auto good = check_text(key, cat(field, " key"), kMaxLabelKeyBytes); !good) return good;
    if (value.find('\0') != std::string::npos) {
      return invalid_argument(cat(field, "[", quoted(key), "]: the value has a zero byte"));
    }
    total += key.size() + value.size();
  }
  if (total > kMaxLabelsBytes) {
    return invalid_argument(cat(field, ": ", total, " bytes of keys and values; at most ", kMaxLabelsBytes));
  }
  return {};
}

Status check_selinux(const v1::SELinuxOption& option, std::string_view field) {
  // Without SELinux in the kernel the option has nothing to act on, and Kubernetes sends it to all nodes alike; whether
  // the kernel has it is the caller's to know. Only the texts are checked here.
  for (const auto* text : {&option.user(), &option.role(), &option.type(), &option.level()}) {
    if (auto good = check_text(*text, field, kMaxNameBytes); !good) return good;
  }
  return {};
}

namespace {

Status check_metadata(const v1::PodSandboxMetadata& metadata) {
  if (auto good = check_object_name(metadata.name(), "metadata.name"); !good) return good;
  if (auto good = check_object_name(metadata.namespace_(), "metadata.namespace"); !good) return good;
  return check_object_name(metadata.uid(), "metadata.uid");
}

Status check_hostname(std::string_view name) {
  if (name.empty()) return {};
  if (name.size() > kMaxHostnameBytes || !is_plain(name, "-._")) {
    return invalid_argument(
        cat("hostname ", quoted(name), ": give at most ", kMaxHostnameBytes, " letters, digits, '-', '.' and '_'"));
  }
  return {};
}

Status check_dns_list(const google::protobuf::RepeatedPtrField<std::string>& list, std::string_view field) {
  if (static_cast<std::size_t>(list.size()) > kMaxDnsEntries) {
    return invalid_argument(cat(field, ": ", list.size(), " entries; at most ", kMaxDnsEntries));
  }
  for (const auto& entry : list) {
    if (auto good = check_text(entry, field, kMaxDnsEntryBytes); !good) return good;
    if (entry.empty() || entry.find(' ') != std::string::npos) {
      return invalid_argument(cat(field, " ", quoted(entry), ": give one word an entry"));
    }
  }
  return {};
}

Status check_dns(const v1::DNSConfig& dns) {
  if (auto good = check_dns_list(dns.servers(), "dns_config.servers"); !good) return good;
  if (auto good = check_dns_list(dns.searches(), "dns_config.searches"); !good) return good;
  return check_dns_list(dns.options(), "dns_config.options");
}

Status check_sandbox_namespaces(const v1::NamespaceOption& options) {
  if (options.network() != v1::POD && options.network() != v1::NODE) {
    return invalid_argument("namespace_options.network of a pod: give POD or NODE");
  }
  if (options.ipc() != v1::POD && options.ipc() != v1::NODE) {
    return invalid_argument("namespace_options.ipc of a pod: give POD or NODE");
  }
  if (options.pid() != v1::POD && options.pid() != v1::CONTAINER && options.pid() != v1::NODE) {
    return invalid_argument("namespace_options.pid of a pod: give POD, CONTAINER or NODE");
  }
  auto users = pod_users(options);
  return users ? Status() : std::unexpected(std::move(users.error()));
}

Status check_cgroup_parent(const std::string& parent, cgroups::DriverKind driver) {
  constexpr std::string_view kField = "linux.cgroup_parent";
  if (parent.empty()) return {};
  if (driver == cgroups::DriverKind::kCgroupfs) return check_absolute_path(parent, kField);
  if (auto slice = cgroups::parse_slice(parent); !slice) {
    return invalid_argument(cat(kField, " ", slice.error().message(), "; this node has the systemd cgroup driver"));
  }
  return {};
}

}  // namespace

Status validate_sandbox(const v1::PodSandboxConfig& config, cgroups::DriverKind driver) {
  if (!config.has_metadata()) return invalid_argument("config.metadata: not given");
  if (auto good = check_metadata(config.metadata()); !good) return good;
  if (auto good = check_hostname(config.hostname()); !good) return good;
  if (!config.log_directory().empty()) {
    if (auto good = check_absolute_path(config.log_directory(), "log_directory"); !good) return good;
  }
  if (auto good = check_dns(config.dns_config()); !good) return good;
  if (auto ports = host_ports(config); !ports) return std::unexpected(std::move(ports.error()));
  if (auto good = check_string_map(config.labels(), "labels"); !good) return good;
  if (auto good = check_string_map(config.annotations(), "annotations"); !good) return good;
  if (config.has_windows()) return fail(Code::kUnimplemented, "windows: this node runs Linux; leave it out");
  const auto& linux = config.linux();
  if (auto good = check_cgroup_parent(linux.cgroup_parent(), driver); !good) return good;
  if (auto good = make_resources(linux.resources()); !good) return fail_with(std::move(good.error()), "linux");
  if (auto good = make_resources(linux.overhead()); !good) return fail_with(std::move(good.error()), "linux.overhead");
  if (auto good = check_sandbox_namespaces(linux.security_context().namespace_options()); !good) return good;
  if (auto good = check_selinux(linux.security_context().selinux_options(), "linux.security_context.selinux_options");
      !good) {
    return good;
  }
  if (auto paths = sysctl_paths(config); !paths) return std::unexpected(std::move(paths.error()));
  return {};
}

namespace {

// The namespace that a sysctl belongs to decides whether a pod may set it.
enum class SysctlOwner { kNetwork, kIpc, kHost };

SysctlOwner owner_of(std::string_view path) {
  static constexpr std::string_view kIpc[] = {"kernel/msgmax",      "kernel/msgmnb",          "kernel/msgmni",
                                              "kernel/sem",         "kernel/shmall",          "kernel/shmmax",
                                              "kernel/shmmni",      "kernel/shm_rmid_forced", "kernel/msg_next_id",
                                              "kernel/sem_next_id", "kernel/shm_next_id",     "kernel/auto_msgmni"};
  if (path.starts_with("net/")) return SysctlOwner::kNetwork;
  if (path.starts_with("fs/mqueue/")) return SysctlOwner::kIpc;
  return std::ranges::find(kIpc, path) != std::end(kIpc) ? SysctlOwner::kIpc : SysctlOwner::kHost;
}

// As sysctl(8): what separates first is the separator, and the other of '.' and '/' stands for itself exchanged.
std::string path_of_key(std::string_view key) {
  auto separator = key.find_first_of("./");
  if (separator == std::string_view::npos || key[separator] == '/') return std::string(key);
  std::string path(key);
  for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return path;
}

Status check_sysctl_path(std::string_view path, std::string_view key) {
  bool good = !path.empty() && path.size() <= kMaxNameBytes && is_plain(path, "-._/");
  for (std::string_view part : split(path, '/')) good = good && !part.empty() && part != "." && part != "..";
  if (good) return {};
  return invalid_argument(
      cat("linux.sysctls key ", quoted(key), ": give names separated by dots, such as net.core.somaxconn"));
}

Status check_sysctl_value(std::string_view value, std::string_view key) {
  auto plain = [](char c) { return c == '\t' || (c >= 0x20 && c < 0x7f); };
  if (!value.empty() && value.size() <= kMaxSysctlBytes && std::ranges::all_of(value, plain)) return {};
  return invalid_argument(cat("linux.sysctls[", quoted(key), "] ", quoted(value), ": give one line of 1 to ",
                              kMaxSysctlBytes, " plain characters"));
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> sysctl_paths(const v1::PodSandboxConfig& config) {
  const auto& sysctls = config.linux().sysctls();
  const auto& options = config.linux().security_context().namespace_options();
  if (sysctls.size() > kMaxSysctls) {
    return invalid_argument(cat("linux.sysctls: ", sysctls.size(), " of them; at most ", kMaxSysctls));
  }
  std::vector<std::pair<std::string, std::string>> paths;
  for (const auto& [key, value] : sysctls) {
    std::string path = path_of_key(key);
    if (auto good = check_sysctl_path(path, key); !good) return std::unexpected(std::move(good.error()));
    if (auto good = check_sysctl_value(value, key); !good) return std::unexpected(std::move(good.error()));
    SysctlOwner owner = owner_of(path);
    if (owner == SysctlOwner::kHost) {
      return invalid_argument(cat("linux.sysctls ", quoted(key),
                                  ": belongs to the whole host; a pod sets those of its network (net.*) and "
                                  "ipc (kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*) namespaces"));
    }
    if (owner == SysctlOwner::kNetwork && options.network() == v1::NODE) {
      return invalid_argument(
          cat("linux.sysctls ", quoted(key), ": this pod uses the host's network, whose sysctls it may not set"));
    }
    if (owner == SysctlOwner::kIpc && options.ipc() == v1::NODE) {
      return invalid_argument(
          cat("linux.sysctls ", quoted(key), ": this pod uses the host's ipc namespace, whose sysctls it may not set"));
    }
    paths.emplace_back(std::move(path), value);
  }
  std::ranges::sort(paths);
  for (std::size_t i = 1; i < paths.size(); ++i) {
    if (paths[i].first == paths[i - 1].first) {
      return invalid_argument(cat("linux.sysctls ", quoted(paths[i].first), ": given twice"));
    }
  }
  return paths;
}

}  // namespace gantry::cri
