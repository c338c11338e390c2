// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/config.h"

#include <sys/personality.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "runtime/oci/config_parts.h"

namespace gantry::runtime::oci {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 64;

void read_version(const Fields& config, std::string& version) {
  if (!config.text("ociVersion", version)) return config.missing("ociVersion", "a version such as 1.2.0");
  // Within major version 1 every minor one is compatible with all that were before it.
  bool is_semantic = std::ranges::count(version.substr(0, version.find_first_of("-+")), '.') == 2;
  if (!version.starts_with("1.") || !is_semantic) {
    config.refuse("ociVersion", cat(quoted(version), " is not supported: 1.0.0 to 1.2 were expected"));
  }
}

std::vector<Hook> read_hooks(const Fields& hooks, const char* kind) {
  std::vector<Hook> out;
  hooks.objects(kind, [&](const Fields& entry) {
    Hook hook;
    if (!entry.text("path", hook.path)) entry.missing("path", "an absolute path");
    if (!hook.path.empty() && hook.path[0] != '/')
      entry.refuse("path", cat(quoted(hook.path), " is wrong: an absolute path was expected"));
    entry.texts("args", hook.args);
    entry.texts("env", hook.env);
    entry.number("timeout", hook.timeout, 1, 86400);
    out.push_back(std::move(hook));
  });
  return out;
}

void read_all_hooks(const Fields& config, Hooks& out) {
  auto hooks = config.object("hooks");
  if (!hooks) return;
  out.prestart = read_hooks(*hooks, "prestart");
  out.create_runtime = read_hooks(*hooks, "createRuntime");
  out.create_container = read_hooks(*hooks, "createContainer");
  out.start_container = read_hooks(*hooks, "startContainer");
  out.poststart = read_hooks(*hooks, "poststart");
  out.poststop = read_hooks(*hooks, "poststop");
}

void read_mounts(const Fields& config, std::vector<Mount>& out) {
  config.objects("mounts", [&](const Fields& entry) {
    Mount mount;
    if (!entry.text("destination", mount.destination) || mount.destination.empty()) {
      entry.missing("destination", "a path in the container");
    }
    entry.text("type", mount.type);
    entry.text("source", mount.source);
    entry.texts("options", mount.options);
    read_id_mappings(entry, mount.ids);
    out.push_back(std::move(mount));
  });
}

void read_root(const Fields& config, Config& out) {
  auto root = config.object("root");
  if (!root) return config.missing("root", "an object with a path");
  if (!root->text("path", out.root_path) || out.root_path.empty()) root->missing("path", "the root folder");
  root->flag("readonly", out.root_read_only);
}

void read_config(const Fields& fields, Config& config) {
  read_version(fields, config.oci_version);
  for (const char* other : {"solaris", "windows", "vm", "zos"})
    fields.unsupported(other, "is for another platform: this runtime makes Linux containers");
  read_root(fields, config);
  if (auto process = fields.object("process")) {
    config.process.emplace();
    read_process(*process, *config.process);
  }
  fields.text("hostname", config.hostname);
  fields.text("domainname", config.domainname);
  read_mounts(fields, config.mounts);
  read_all_hooks(fields, config.hooks);
  fields.entries("annotations", [&](const std::string& name, const std::string& value) {
    if (name.empty()) fields.refuse("annotations", "has an empty name");
    config.annotations[name] = value;
  });
  auto linux_fields = fields.object("linux");
  if (!linux_fields) return fields.missing("linux", "an object with the container's namespaces");
  read_linux(*linux_fields, config.linux_);
  bool has_uts = config.linux_.of(NamespaceKind::kUts).is_listed;
  for (auto [name, value] : {std::pair("hostname", &config.hostname), std::pair("domainname", &config.domainname)}) {
    if (value->empty()) continue;
    if (!has_uts) fields.refuse(name, "needs a UTS namespace in linux.namespaces: it would be the host's");
    if (value->size() > 64) fields.refuse(name, cat("has ", value->size(), " bytes: the kernel takes 64"));
  }
}

template <typename Read>
Status parse(std::string_view text, std::string_view what, Read read) {
  if (text.size() > kMaxConfigBytes) {
    return fail(Code::kResourceExhausted,
                cat(what, " has more than ", kMaxConfigBytes, " bytes, which is the most that is taken"));
  }
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code error;
  json::value document = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return invalid_argument(cat(what, " is not JSON: ", error.message()));
  if (!document.is_object()) return invalid_argument(cat(what, ": a JSON object was expected"));
  Status problem;
  read(Fields(document.get_object(), "", problem));
  return problem;
}

}  // namespace

const char* to_string(NamespaceKind kind) {
  constexpr const char* kNames[kNamespaceKinds] = {"pid", "network", "mount", "ipc", "uts", "cgroup", "user", "time"};
  return kNames[static_cast<std::size_t>(kind)];
}

Result<Config> parse_config(std::string_view text) {
  Config config;
  auto s = parse(text, "config.json", [&](const Fields& fields) { read_config(fields, config); });
  if (!s) return std::unexpected(std::move(s.error()));
  return config;
}

Result<Linux> parse_resources(std::string_view text) {
  Linux out;
  auto s = parse(text, "the resources", [&](const Fields& fields) { read_resources(fields, out); });
  if (!s) return std::unexpected(std::move(s.error()));
  return out;
}

Process idle_process() {
  Process process;
  process.cwd = "/";
  return process;
}

Result<Process> parse_process(std::string_view text) {
  Process process;
  auto s = parse(text, "the process", [&](const Fields& fields) { read_process(fields, process); });
  if (!s) return std::unexpected(std::move(s.error()));
  return process;
}

}  // namespace gantry::runtime::oci
