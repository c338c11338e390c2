// SPDX-License-Identifier: Apache-2.0
#include "cri/verbose.h"

#include <google/protobuf/util/json_util.h>

#include "cri/text.h"
#include "cri/verbose_parts.h"

namespace gantry::cri {

namespace json = boost::json;

json::value json_of(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_enums_as_ints = true;
  std::string text;
  boost::system::error_code error;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return nullptr;
  auto value = json::parse(text, error);
  return error ? json::value(nullptr) : value;
}

namespace {

json::array list_of(const auto& texts) {
  json::array list;
  for (const auto& text : texts) list.emplace_back(std::string_view(text));
  return list;
}

struct OwnNamespaces {
  std::string_view type;
  std::string_view file;  // of /proc/PID/ns; empty: not told
  bool own;
};

json::array namespaces(std::int32_t pid, std::initializer_list<OwnNamespaces> all) {
  json::array list;
  for (const auto& each : all) {
    if (!each.own) continue;
    json::object one{{"type", each.type}};
    if (pid > 0 && !each.file.empty()) one["path"] = cat("/proc/", pid, "/ns/", each.file);
    list.push_back(std::move(one));
  }
  return list;
}

json::array mounts(const v1::ContainerStatus& status) {
  json::array list;
  for (const auto& mount : status.mounts()) {
    std::string_view propagation = mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL       ? "rshared"
                                   : mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER ? "rslave"
                                                                                              : "rprivate";
    std::string_view access = !mount.readonly() ? "rw" : mount.recursive_read_only() ? "rro" : "ro";
    list.push_back(json::object{{"destination", mount.container_path()},
                                {"type", "bind"},
                                {"source", mount.host_path()},
                                {"options", json::array{"rbind", propagation, access}}});
  }
  return list;
}

json::object process_of(const Container& container) {
  const auto& config = container.config;
  json::object process{{"terminal", config.tty()}};
  if (container.process) {  // as it was resolved; of an earlier gantryd's container not before the first exec
    process["args"] = list_of(container.process->args);
    process["cwd"] = std::string_view(container.process->cwd);
    json::array groups;
    for (auto group : container.process->groups) groups.emplace_back(group);
    process["user"] = json::object{
        {"uid", container.process->uid}, {"gid", container.process->gid}, {"additionalGids", std::move(groups)}};
    process["noNewPrivileges"] = container.process->no_new_privileges;
    return process;
  }
  json::array args =
      list_of(config.command().empty() ? container.image.entrypoint
                                       : std::vector<std::string>(config.command().begin(), config.command().end()));
  if (config.args().empty() && config.command().empty()) {
    for (const auto& word : container.image.cmd) args.emplace_back(word);
  }
  for (const auto& word : config.args()) args.emplace_back(word);
  process["args"] = std::move(args);
  process["cwd"] = config.working_dir().empty() ? container.image.working_dir : config.working_dir();
  return process;
}

json::value config_of(const Container& container) {
  if (!container.has_config) return nullptr;
  v1::ContainerConfig config = container.config;
  for (auto& variable : *config.mutable_envs()) variable.clear_value();
  return json_of(config);
}

}  // namespace

std::string verbose_info(const Sandbox& sandbox) {
  const bool lives = sandbox.shim && sandbox.shim->is_alive();
  const std::int32_t pid = lives ? sandbox.shim->pid() : 0;
  const SandboxKind kind = sandbox.kind();
  json::object spec{{"hostname", sandbox.config.hostname()},
                    {"linux", json::object{{"cgroupsPath", sandbox.cgroup},
                                           {"namespaces", namespaces(pid, {{"network", "net", kind.own_net},
                                                                           {"ipc", "ipc", kind.own_ipc},
                                                                           {"uts", "uts", kind.own_uts}})}}}};
  json::object info{{"pid", pid},
                    {"processStatus", lives ? "running" : "deleted"},
                    {"netNamespaceClosed", !lives},
                    {"cgroup", sandbox.cgroup},
                    {"hostname", sandbox.config.hostname()},
                    {"runtimeHandler", sandbox.status.runtime_handler()},
                    {"config", sandbox.has_config ? json_of(sandbox.config) : json::value(nullptr)},
                    {"runtimeSpec", std::move(spec)},
                    {"warnings", list_of(sandbox.warnings)}};
  return json::serialize(info);
}

json::object runtime_spec_of(const Container& container, std::int32_t shim_pid) {
  const auto& options = container.config.linux().security_context().namespace_options();
  auto linux = json::object{{"cgroupsPath", container.cgroup},
                            {"namespaces", namespaces(shim_pid, {{"pid", "", options.pid() != v1::NODE},
                                                                 {"mount", "", true},
                                                                 {"cgroup", "", true},
                                                                 {"network", "net", options.network() != v1::NODE},
                                                                 {"ipc", "ipc", options.ipc() != v1::NODE},
                                                                 {"uts", "uts", options.network() != v1::NODE}})},
                            {"resources", json_of(container.config.linux().resources())}};
  return {{"process", process_of(container)},
          {"root", json::object{{"readonly", container.config.linux().security_context().readonly_rootfs()}}},
          {"mounts", mounts(container.status)},
          {"linux", std::move(linux)}};
}

std::string verbose_info(const Container& container, std::int32_t shim_pid) {
  json::object info{{"sandboxID", container.sandbox_id},
                    {"pid", container.pid},
                    {"removing", container.state == ContainerState::kRemoving},
                    {"cgroup", container.cgroup},
                    {"privileged", container.config.linux().security_context().privileged()},
                    {"snapshotKey", container.id()},
                    {"snapshotter", "overlayfs"},
                    {"config", config_of(container)},
                    {"runtimeSpec", runtime_spec_of(container, shim_pid)},
                    {"warnings", list_of(container.warnings)}};
  return json::serialize(info);
}

}  // namespace gantry::cri
