// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "agent/container_spec.h"
#include "agent/expansion.h"
#include "agent/names.h"
#include "agent/pod_resources.h"
#include "agent/pod_security.h"
#include "agent/pod_spec_to_cri.h"
#include "api/codec.h"
#include "api/json.h"
#include "api/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/downward_api.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

using Values = std::map<std::string, std::string>;

// ---- environment

Result<std::string> field_value(const core::Pod& pod, const NodeFacts& node, const std::vector<std::string>& ips,
                                const std::string& path) {
  if (auto text = volumes::metadata_field(pod, path)) return std::move(*text);
  if (path == "spec.nodeName") return node.node_name;
  if (path == "spec.serviceAccountName") return pod.spec().service_account_name();
  if (path == "status.hostIP" || path == "status.hostIPs") return node.host_ip;
  if (path == "status.podIP") return ips.empty() ? std::string() : ips.front();
  if (path == "status.podIPs") return absl::StrJoin(ips, ",");
  return invalid_argument(
      absl::StrCat("fieldPath ", api::quoted(path), ": an environment variable can not be taken from it"));
}

// What the kernel and shells can do with: not empty, printable, and no '='.
bool is_variable_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~' && c != '='; });
}

void add_from(const EnvObjects::Data& data, const std::string& prefix, Values& values) {
  for (const auto& [key, value] : data) {
    // kubelet leaves out those that can't be names, too.
    if (is_variable_name(prefix + key)) values[prefix + key] = value;
  }
}

Values env_from(const core::Container& container, const EnvObjects& objects) {
  Values values;
  for (const auto& source : container.env_from()) {
    const bool is_secret = source.has_secret_ref();
    const auto& name = is_secret ? source.secret_ref().local_object_reference().name()
                                 : source.config_map_ref().local_object_reference().name();
    const auto& all = is_secret ? objects.secrets : objects.config_maps;
    if (auto found = all.find(name); found != all.end()) add_from(found->second, source.prefix(), values);
  }
  return values;
}

// Nothing: the reference is optional and leads nowhere, and then there is no variable.
template <typename Selector>
Result<std::optional<std::string>> key_value(const std::map<std::string, EnvObjects::Data>& objects,
                                             const Selector& selector, const char* kind,
                                             const std::string& namespace_) {
  const std::string& name = selector.local_object_reference().name();
  if (auto object = objects.find(name); object != objects.end()) {
    if (auto value = object->second.find(selector.key()); value != object->second.end()) return value->second;
  }
  if (selector.optional()) return std::nullopt;
  return fail(Code::kNotFound,
              absl::StrCat("couldn't find key ", selector.key(), " in ", kind, " ", namespace_, "/", name));
}

Result<std::optional<std::string>> variable_value(const core::Pod& pod, const core::Container& container,
                                                  const core::EnvVar& variable, const NodeFacts& node,
                                                  const ContainerInputs& inputs, const Values& before) {
  const auto& source = variable.value_from();
  const auto& namespace_ = pod.metadata().namespace_();
  if (source.has_config_map_key_ref()) {
    return key_value(inputs.env.config_maps, source.config_map_key_ref(), "ConfigMap", namespace_);
  }
  if (source.has_secret_key_ref()) {
    return key_value(inputs.env.secrets, source.secret_key_ref(), "Secret", namespace_);
  }
  if (source.has_resource_field_ref()) {
    auto amount = api::resource_field(pod, &container, source.resource_field_ref(), inputs.allocatable);
    if (!amount) return fail_with(std::move(amount.error()), absl::StrCat("env ", variable.name()));
    return std::move(*amount);
  }
  if (!source.has_field_ref()) return expand(variable.value(), before);
  auto field = field_value(pod, node, inputs.pod_ips, source.field_ref().field_path());
  if (!field) return fail_with(std::move(field.error()), absl::StrCat("env ", variable.name()));
  return std::move(*field);
}

// Later variables see earlier ones and those of services, but not those of envFrom; of two with the same name the last
// counts, in the place of the first. Returned is what a command sees: all of them.
Result<Values> set_env(const core::Pod& pod, const core::Container& container, const NodeFacts& node,
                       const ContainerInputs& inputs, v1::ContainerConfig& out) {
  Values all = env_from(container, inputs.env);
  Values own = inputs.services;
  all.insert(own.begin(), own.end());
  std::map<std::string, v1::KeyValue*> places;
  const auto set = [&](const std::string& name, const std::string& value) {
    auto& place = places[name];
    if (place == nullptr) place = out.add_envs();
    place->set_key(name);
    place->set_value(value);
  };
  for (const auto& [name, value] : all) set(name, value);
  for (const auto& variable : container.env()) {
    auto value = variable_value(pod, container, variable, node, inputs, own);
    if (!value) return std::unexpected(std::move(value.error()));
    if (!*value) continue;
    set(variable.name(), **value);
    all[variable.name()] = own[variable.name()] = **value;
  }
  return all;
}

// ---- mounts

Status add_mounts(const core::Container& container, const ContainerInputs& inputs, v1::ContainerConfig& out) {
  for (int i = 0; i < container.volume_mounts_size(); ++i) {
    const auto& mount = container.volume_mounts(i);
    auto volume = inputs.volumes.find(mount.name());
    if (volume == inputs.volumes.end()) {
      return invalid_argument(absl::StrCat("volumeMounts: the pod has no volume ", api::quoted(mount.name())));
    }
    auto& to = *out.add_mounts();
    const auto part = inputs.sub_paths.find(i);
    const bool is_part = part != inputs.sub_paths.end();
    if (volume->second.image.empty()) {
      to.set_host_path(is_part ? part->second : volume->second.path);
    } else {
      to.mutable_image()->set_image(volume->second.image);
      if (is_part) to.set_image_sub_path(part->second);
    }
    to.set_container_path(mount.mount_path().starts_with('/') ? mount.mount_path() : "/" + mount.mount_path());
    to.set_readonly(mount.read_only() || volume->second.is_read_only);
    auto recursive = is_recursively_read_only(mount, inputs.recursive_read_only);
    if (!recursive) return std::unexpected(std::move(recursive.error()));
    to.set_recursive_read_only(*recursive);
    if (mount.mount_propagation() == "HostToContainer") to.set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
    if (mount.mount_propagation() == "Bidirectional") to.set_propagation(v1::PROPAGATION_BIDIRECTIONAL);
  }
  for (const auto& device : container.volume_devices()) {
    auto volume = inputs.volumes.find(device.name());
    if (volume == inputs.volumes.end() || !volume->second.is_device) {
      return invalid_argument(absl::StrCat("volumeDevices: the pod has no device ", api::quoted(device.name())));
    }
    auto& to = *out.add_devices();
    to.set_host_path(volume->second.path);
    to.set_container_path(device.device_path());
    to.set_permissions(volume->second.is_read_only ? "r" : "mrw");
  }
  if (!inputs.hosts.empty()) {
    auto& hosts = *out.add_mounts();
    hosts.set_host_path(inputs.hosts);
    hosts.set_container_path("/etc/hosts");
  }
  if (inputs.termination_log.empty()) return {};
  auto& log = *out.add_mounts();
  log.set_host_path(inputs.termination_log);
  log.set_container_path(container.termination_message_path());
  return {};
}

// As kubelet does, all of them.
void map_mounts(const v1::UserNamespace& users, v1::ContainerConfig& out) {
  for (auto& mount : *out.mutable_mounts()) {
    *mount.mutable_uidmappings() = users.uids();
    *mount.mutable_gidmappings() = users.gids();
  }
}

// ---- names

void set_names(const core::Pod& pod, const core::Container& container, const ContainerInputs& inputs,
               v1::ContainerConfig& out) {
  out.mutable_metadata()->set_name(container.name());
  out.mutable_metadata()->set_attempt(inputs.attempt);
  auto& labels = *out.mutable_labels();
  labels[kPodNameLabel] = pod.metadata().name();
  labels[kPodNamespaceLabel] = pod.metadata().namespace_();
  labels[kPodUidLabel] = pod.metadata().uid();
  labels[kContainerNameLabel] = container.name();
  auto& annotations = *out.mutable_annotations();
  annotations[kContainerHashAnnotation] = container_hash(container);
  annotations[kRestartCountAnnotation] = absl::StrCat(inputs.attempt);
  annotations[kTerminationPathAnnotation] = container.termination_message_path();
  annotations[kTerminationPolicyAnnotation] = container.termination_message_policy();
  annotations[kGracePeriodAnnotation] = absl::StrCat(pod.spec().termination_grace_period_seconds());
  if (container.ports_size() == 0) return;
  api::Value::List ports;
  for (const auto& port : container.ports()) ports.push_back(api::encode(port));
  annotations[kPortsAnnotation] = api::write_json(api::Value(std::move(ports)));
}

Status set_stop_signal(const core::Container& container, v1::ContainerConfig& out) {
  if (!container.lifecycle().has_stop_signal()) return {};
  std::string name = absl::StrCat(
      "SIGNAL_", absl::StrReplaceAll(container.lifecycle().stop_signal(), {{"+", "PLUS"}, {"-", "MINUS"}}));
  v1::Signal signal = v1::SIGNAL_RUNTIME_DEFAULT;
  if (!v1::Signal_Parse(name, &signal)) {
    return invalid_argument(absl::StrCat("lifecycle.stopSignal ", api::quoted(container.lifecycle().stop_signal()),
                                         ": no signal of Linux's"));
  }
  out.set_stop_signal(signal);
  return {};
}

}  // namespace

Result<std::map<int, std::string>> sub_paths_of(const core::Pod& pod, const core::Container& container,
                                                const NodeFacts& node, const ContainerInputs& inputs) {
  std::map<int, std::string> paths;
  std::optional<Values> values;
  for (int i = 0; i < container.volume_mounts_size(); ++i) {
    const auto& mount = container.volume_mounts(i);
    if (!mount.sub_path().empty()) paths[i] = mount.sub_path();
    if (mount.sub_path_expr().empty()) continue;
    if (!values) {
      v1::ContainerConfig unused;
      auto all = set_env(pod, container, node, inputs, unused);
      if (!all) return std::unexpected(std::move(all.error()));
      values = std::move(*all);
    }
    std::set<std::string> missing;
    paths[i] = expand(mount.sub_path_expr(), *values, &missing);
    if (!missing.empty()) return invalid_argument(absl::StrCat("missing value for ", absl::StrJoin(missing, ", ")));
  }
  return paths;
}

Result<v1::ContainerConfig> container_config(const core::Pod& pod, const core::Container& container,
                                             const NodeFacts& node, const ContainerInputs& inputs) {
  v1::ContainerConfig config;
  set_names(pod, container, inputs, config);
  // By its id: the image that was looked at is the one that runs, whatever its name means by then.
  config.mutable_image()->set_image(inputs.image == nullptr ? container.image() : inputs.image->id());
  config.mutable_image()->set_user_specified_image(container.image());
  auto values = set_env(pod, container, node, inputs, config);
  if (!values) return std::unexpected(std::move(values.error()));
  for (const auto& word : container.command()) config.add_command(expand(word, *values));
  for (const auto& word : container.args()) config.add_args(expand(word, *values));
  config.set_working_dir(container.working_dir());
  if (auto added = add_mounts(container, inputs, config); !added) return std::unexpected(std::move(added.error()));
  config.set_log_path(container_log_path(container.name(), inputs.attempt));
  config.set_stdin(container.stdin());
  config.set_stdin_once(container.stdin_once());
  config.set_tty(container.tty());
  if (auto set = set_stop_signal(container, config); !set) return std::unexpected(std::move(set.error()));
  auto& linux = *config.mutable_linux();
  set_resources(pod, container, node.resources, *linux.mutable_resources());
  if (node.kills_whole_containers) (*linux.mutable_resources()->mutable_unified())["memory.oom.group"] = "1";
  auto secured = set_container_security(pod, container, inputs.image, node, inputs.users,
                                        *linux.mutable_security_context());
  if (!secured) return std::unexpected(std::move(secured.error()));
  map_mounts(linux.security_context().namespace_options().userns_options(), config);
  if (!inputs.target_id.empty()) {
    auto& namespaces = *linux.mutable_security_context()->mutable_namespace_options();
    namespaces.set_pid(v1::TARGET);
    namespaces.set_target_id(inputs.target_id);
  }
  return config;
}

}  // namespace gantry::agent
