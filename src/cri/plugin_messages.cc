// SPDX-License-Identifier: Apache-2.0
#include "cri/plugin_messages.h"

#include <utility>

#include "cri/text.h"
#include "nri/nri.pb.h"

namespace gantry::cri {
namespace {

api::ContainerState state_of(ContainerState state) {
  switch (state) {
    case ContainerState::kCreating:
    case ContainerState::kCreated:
    case ContainerState::kStarting:
      return api::CONTAINER_CREATED;
    case ContainerState::kRunning:
      return api::CONTAINER_RUNNING;
    default:
      return api::CONTAINER_STOPPED;
  }
}

void add_namespaces(const Sandbox& sandbox, google::protobuf::RepeatedPtrField<api::LinuxNamespace>& out) {
  if (!sandbox.shim) return;
  SandboxKind kind = sandbox.kind();
  std::string folder = cat("/proc/", sandbox.shim->pid(), "/ns/");
  for (auto [own, type, file] : {std::tuple{kind.own_net, "network", "net"}, std::tuple{kind.own_ipc, "ipc", "ipc"},
                                 std::tuple{kind.own_uts, "uts", "uts"}}) {
    if (!own) continue;
    auto* space = out.Add();
    space->set_type(type);
    space->set_path(folder + file);
  }
}

void fill_command(const Container& container, api::Container& out) {
  const auto& config = container.config;
  if (config.command().empty()) {
    for (const auto& arg : container.image.entrypoint) out.add_args(arg);
  } else {
    for (const auto& arg : config.command()) out.add_args(arg);
  }
  if (!config.args().empty()) {
    for (const auto& arg : config.args()) out.add_args(arg);
  } else if (config.command().empty()) {
    for (const auto& arg : container.image.cmd) out.add_args(arg);
  }
  auto is_replaced = [&](std::string_view entry) {
    std::string_view name = entry.substr(0, entry.find('='));
    return std::ranges::any_of(config.envs(), [&](const auto& env) { return env.key() == name; });
  };
  for (const auto& entry : container.image.env) {
    if (!is_replaced(entry)) out.add_env(entry);
  }
  for (const auto& env : config.envs()) out.add_env(cat(env.key(), "=", env.value()));
}

void fill_mounts(const Container& container, api::Container& out) {
  for (const auto& mount : container.config.mounts()) {
    if (mount.has_image()) continue;
    auto* to = out.add_mounts();
    to->set_destination(mount.container_path());
    to->set_source(mount.host_path());
    to->set_type("bind");
    to->add_options("rbind");
    to->add_options(mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL       ? "rshared"
                    : mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER ? "rslave"
                                                                               : "rprivate");
    to->add_options(mount.readonly() ? "ro" : "rw");
  }
  for (const auto& mount : container.edits.mounts) {
    auto* to = out.add_mounts();
    to->set_destination(mount.container_path);
    to->set_source(mount.host_path);
    to->set_type(mount.type);
    for (const auto& option : mount.options) to->add_options(option);
  }
}

void fill_devices(const Container& container, api::Container& out) {
  auto& linux = *out.mutable_linux();
  for (const auto& device : container.config.devices()) linux.add_devices()->set_path(device.container_path());
  for (const auto& node : container.edits.nodes) {
    auto* to = linux.add_devices();
    to->set_path(node.path);
    if (node.type != 0) to->set_type(std::string(1, node.type));
    to->set_major(node.major.value_or(0));
    to->set_minor(node.minor.value_or(0));
    if (node.mode) to->mutable_file_mode()->set_value(*node.mode);
    if (node.uid) to->mutable_uid()->set_value(*node.uid);
    if (node.gid) to->mutable_gid()->set_value(*node.gid);
  }
  for (const auto& device : container.config.cdi_devices()) out.add_cdi_devices()->set_name(device.name());
}

void fill_security(const v1::LinuxContainerSecurityContext& security, api::LinuxContainer& linux) {
  if (!security.has_seccomp()) return;
  auto& profile = *linux.mutable_seccomp_profile();
  profile.set_profile_type(static_cast<api::SecurityProfile::ProfileType>(security.seccomp().profile_type()));
  profile.set_localhost_ref(security.seccomp().localhost_ref());
}

template <typename List>
void fill_hooks(const std::vector<runtime::Hook>& hooks, List& out) {
  for (const auto& hook : hooks) {
    auto* to = out.Add();
    to->set_path(hook.path);
    for (const auto& arg : hook.args) to->add_args(arg);
    for (const auto& env : hook.env) to->add_env(env);
    if (hook.timeout) to->mutable_timeout()->set_value(*hook.timeout);
  }
}

void fill_hooks(const cdi::Edits& edits, api::Container& out) {
  if (edits.hooks.empty() && edits.other_hooks.empty()) return;
  auto& to = *out.mutable_hooks();
  fill_hooks(edits.hooks, *to.mutable_create_container());
  for (const auto& [kind, hooks] : edits.other_hooks) {
    if (kind == "prestart") fill_hooks(hooks, *to.mutable_prestart());
    if (kind == "createRuntime") fill_hooks(hooks, *to.mutable_create_runtime());
    if (kind == "startContainer") fill_hooks(hooks, *to.mutable_start_container());
    if (kind == "poststart") fill_hooks(hooks, *to.mutable_poststart());
    if (kind == "poststop") fill_hooks(hooks, *to.mutable_poststop());
  }
}

}  // namespace

void fill(const v1::LinuxContainerResources& from, api::LinuxResources& out) {
  auto& cpu = *out.mutable_cpu();
  if (from.cpu_shares() != 0) cpu.mutable_shares()->set_value(static_cast<std::uint64_t>(from.cpu_shares()));
  if (from.cpu_quota() != 0) cpu.mutable_quota()->set_value(from.cpu_quota());
  if (from.cpu_period() != 0) cpu.mutable_period()->set_value(static_cast<std::uint64_t>(from.cpu_period()));
  cpu.set_cpus(from.cpuset_cpus());
  cpu.set_mems(from.cpuset_mems());
  auto& memory = *out.mutable_memory();
  if (from.memory_limit_in_bytes() != 0) memory.mutable_limit()->set_value(from.memory_limit_in_bytes());
  if (from.memory_swap_limit_in_bytes() != 0) memory.mutable_swap()->set_value(from.memory_swap_limit_in_bytes());
  for (const auto& limit : from.hugepage_limits()) {
    auto* to = out.add_hugepage_limits();
    to->set_page_size(limit.page_size());
    to->set_limit(limit.limit());
  }
  *out.mutable_unified() = from.unified();
}

Result<v1::LinuxContainerResources> cri_resources(const api::LinuxResources& from) {
  const auto& memory = from.memory();
  const auto& cpu = from.cpu();
  for (auto [is_set, name] :
       {std::pair{memory.has_kernel(), "memory.kernel"}, std::pair{memory.has_kernel_tcp(), "memory.kernel_tcp"},
        std::pair{memory.has_swappiness(), "memory.swappiness"},
        std::pair{memory.has_disable_oom_killer(), "memory.disable_oom_killer"},
        std::pair{memory.has_use_hierarchy(), "memory.use_hierarchy"},
        std::pair{cpu.has_realtime_runtime(), "cpu.realtime_runtime"},
        std::pair{cpu.has_realtime_period(), "cpu.realtime_period"},
        std::pair{from.has_blockio_class(), "blockio_class"}, std::pair{from.has_rdt_class(), "rdt_class"},
        std::pair{!from.devices().empty(), "devices"}}) {
    if (is_set) return fail(Code::kUnimplemented, cat("linux.resources.", name, ": not supported by this runtime"));
  }
  v1::LinuxContainerResources out;
  out.set_cpu_shares(static_cast<std::int64_t>(cpu.shares().value()));
  out.set_cpu_quota(cpu.quota().value());
  out.set_cpu_period(static_cast<std::int64_t>(cpu.period().value()));
  out.set_cpuset_cpus(cpu.cpus());
  out.set_cpuset_mems(cpu.mems());
  out.set_memory_limit_in_bytes(memory.limit().value());
  out.set_memory_swap_limit_in_bytes(memory.swap().value());
  for (const auto& limit : from.hugepage_limits()) {
    auto* to = out.add_hugepage_limits();
    to->set_page_size(limit.page_size());
    to->set_limit(limit.limit());
  }
  *out.mutable_unified() = from.unified();
  // The CRI has no fields for these.
  if (memory.has_reservation()) (*out.mutable_unified())["memory.low"] = cat(memory.reservation().value());
  if (from.has_pids())
    (*out.mutable_unified())["pids.max"] = from.pids().limit() > 0 ? cat(from.pids().limit()) : "max";
  return out;
}

void fill(const Sandbox& sandbox, api::PodSandbox& out) {
  const auto& metadata = sandbox.status.metadata();
  out.set_id(sandbox.id());
  out.set_name(metadata.name());
  out.set_uid(metadata.uid());
  out.set_namespace_(metadata.namespace_());
  *out.mutable_labels() = sandbox.status.labels();
  *out.mutable_annotations() = sandbox.status.annotations();
  out.set_runtime_handler(sandbox.status.runtime_handler());
  auto& linux = *out.mutable_linux();
  const auto& config = sandbox.config.linux();
  if (config.has_overhead()) fill(config.overhead(), *linux.mutable_pod_overhead());
  if (config.has_resources()) fill(config.resources(), *linux.mutable_pod_resources());
  linux.set_cgroup_parent(config.cgroup_parent());
  linux.set_cgroups_path(sandbox.cgroup);
  add_namespaces(sandbox, *linux.mutable_namespaces());
  if (sandbox.shim) out.set_pid(static_cast<std::uint32_t>(sandbox.shim->pid()));
  const auto& network = sandbox.status.network();
  if (!network.ip().empty()) out.add_ips(network.ip());
  for (const auto& more : network.additional_ips()) out.add_ips(more.ip());
}

void fill(const Container& container, const Sandbox* sandbox, api::Container& out) {
  const auto& status = container.status;
  const auto& config = container.config;
  out.set_id(container.id());
  out.set_pod_sandbox_id(container.sandbox_id);
  out.set_name(status.metadata().name());
  out.set_state(state_of(container.state));
  *out.mutable_labels() = config.labels();
  *out.mutable_annotations() = config.annotations();
  fill_command(container, out);
  fill_mounts(container, out);
  fill_devices(container, out);
  fill_hooks(container.edits, out);
  auto& linux = *out.mutable_linux();
  if (sandbox != nullptr) add_namespaces(*sandbox, *linux.mutable_namespaces());
  if (config.linux().has_resources()) {
    fill(config.linux().resources(), *linux.mutable_resources());
    linux.mutable_oom_score_adj()->set_value(config.linux().resources().oom_score_adj());
  }
  linux.set_cgroups_path(container.cgroup);
  fill_security(config.linux().security_context(), linux);
  out.set_pid(container.state == ContainerState::kRunning ? static_cast<std::uint32_t>(container.pid) : 0);
  out.set_created_at(status.created_at());
  out.set_started_at(status.started_at());
  out.set_finished_at(status.finished_at());
  out.set_exit_code(status.exit_code());
  out.set_status_reason(status.reason());
  out.set_status_message(status.message());
  const auto& user = status.user().linux();
  out.mutable_user()->set_uid(static_cast<std::uint32_t>(user.uid()));
  out.mutable_user()->set_gid(static_cast<std::uint32_t>(user.gid()));
  for (auto group : user.supplemental_groups())
    out.mutable_user()->add_additional_gids(static_cast<std::uint32_t>(group));
  out.mutable_image()->set_name(status.image().image());
  out.mutable_image()->set_digest(status.image_ref());
  out.mutable_image()->set_config_digest(status.image_id());
}

}  // namespace gantry::cri
