// SPDX-License-Identifier: Apache-2.0
#include "agent/node_object.h"

#include <algorithm>
#include <array>

#include "api/codec.h"
#include "api/local_volumes.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::agent {

namespace {

namespace core = k8s::io::api::core::v1;
using api::Quantity;
using api::Value;

constexpr std::size_t kMaxImageNames = 5;

Quantity parsed(const std::string& text) {
  auto quantity = Quantity::parse(text);
  return quantity ? *quantity : Quantity();
}

Quantity kibibytes(std::uint64_t bytes) {
  return Quantity(static_cast<std::int64_t>(bytes / 1024 * 1024), Quantity::Format::kBinarySi);
}

std::uint64_t threshold_bytes(const NodeConfig& config, const std::string& signal, std::uint64_t whole) {
  const auto found = config.eviction_hard.find(signal);
  if (found == config.eviction_hard.end()) return 0;
  if (!found->second.amount.empty()) return static_cast<std::uint64_t>(parsed(found->second.amount).value());
  return static_cast<std::uint64_t>(static_cast<double>(whole) * found->second.percent / 100);
}

// ---- what it has, and what pods may have of it

using Amounts = google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>;

void put(Amounts* amounts, const std::string& name, std::string text) { (*amounts)[name].set_string(std::move(text)); }

Quantity reserved(const NodeConfig& config, const std::string& name) {
  Quantity sum;
  for (const auto* part : {&config.system_reserved, &config.kube_reserved}) {
    if (const auto found = part->find(name); found != part->end()) sum.add(parsed(found->second));
  }
  return sum;
}

std::string left_of(Quantity whole, const Quantity& taken) {
  whole.subtract(taken);
  return whole.is_negative() ? Quantity(0, whole.format()).to_string() : whole.to_string();
}

void set_amounts(core::NodeStatus* status, const NodeConfig& config, const NodeState& state) {
  Amounts* capacity = status->mutable_capacity();
  Amounts* allocatable = status->mutable_allocatable();
  const NodeMachine& machine = state.machine;
  const Quantity cpus(machine.cpus);
  put(capacity, "cpu", cpus.to_string());
  put(allocatable, "cpu", left_of(cpus, reserved(config, "cpu")));

  std::uint64_t memory = machine.memory;
  Quantity held = reserved(config, "memory");
  held.add(Quantity(static_cast<std::int64_t>(threshold_bytes(config, "memory.available", memory)),
                    Quantity::Format::kBinarySi));
  for (const auto& [name, bytes] : machine.hugepages) {
    put(capacity, name, Quantity(static_cast<std::int64_t>(bytes), Quantity::Format::kBinarySi).to_string());
    put(allocatable, name, (*capacity)[name].string());
    held.add(Quantity(static_cast<std::int64_t>(bytes), Quantity::Format::kBinarySi));
  }
  put(capacity, "memory", kibibytes(memory).to_string());
  put(allocatable, "memory", left_of(kibibytes(memory), held));

  const std::uint64_t disk = state.readings.node.capacity;
  Quantity disk_held = reserved(config, "ephemeral-storage");
  disk_held.add(Quantity(static_cast<std::int64_t>(threshold_bytes(config, "nodefs.available", disk))));
  put(capacity, "ephemeral-storage", kibibytes(disk).to_string());
  put(allocatable, "ephemeral-storage", left_of(Quantity(static_cast<std::int64_t>(disk / 1024 * 1024)), disk_held));

  std::int64_t pods = config.max_pods;
  if (config.pods_per_core > 0) pods = std::min(pods, config.pods_per_core * machine.cpus);
  put(capacity, "pods", Quantity(pods).to_string());
  put(allocatable, "pods", Quantity(pods).to_string());
}

// ---- how it is

struct Words {
  bool is_true;
  std::string reason, message;
};

void set_condition(core::NodeStatus* status, const std::string& type, const Words& words, api::Timestamp now) {
  auto* conditions = status->mutable_conditions();
  auto found = std::ranges::find(*conditions, type, [](const auto& one) { return one.type(); });
  const bool is_new = found == conditions->end();
  core::NodeCondition* condition = is_new ? conditions->Add() : &*found;
  const std::string said = words.is_true ? "True" : "False";
  if (is_new || condition->status() != said) condition->mutable_last_transition_time()->set_seconds(now.seconds);
  condition->set_type(type);
  condition->set_status(said);
  condition->set_reason(words.reason);
  condition->set_message(words.message);
  condition->mutable_last_heartbeat_time()->set_seconds(now.seconds);
}

void set_conditions(core::NodeStatus* status, const NodeState& state, const NodePressures& pressures,
                    api::Timestamp now) {
  set_condition(status, "MemoryPressure",
                pressures.memory
                    ? Words{true, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"}
                    : Words{false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"},
                now);
  set_condition(status, "DiskPressure",
                pressures.disk ? Words{true, "KubeletHasDiskPressure", "kubelet has disk pressure"}
                               : Words{false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
                now);
  set_condition(status, "PIDPressure",
                pressures.pids ? Words{true, "KubeletHasInsufficientPID", "kubelet has insufficient PID available"}
                               : Words{false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"},
                now);
  Words ready{true, "KubeletReady", "kubelet is posting ready status"};
  if (!state.not_ready.empty()) {
    ready = {false, "KubeletNotReady", ""};
    for (const auto& why : state.not_ready) ready.message += (ready.message.empty() ? "" : ", ") + why;
    if (state.not_ready.size() > 1) ready.message = "[" + ready.message + "]";
  }
  set_condition(status, "Ready", ready, now);
}

void set_info(core::NodeStatus* status, const NodeConfig& config, const NodeState& state) {
  core::NodeSystemInfo* info = status->mutable_node_info();
  const NodeMachine& machine = state.machine;
  info->set_machine_id(machine.machine_id);
  info->set_system_uuid(machine.system_uuid);
  info->set_boot_id(machine.boot_id);
  info->set_kernel_version(machine.kernel_version);
  info->set_os_image(machine.os_image);
  info->set_container_runtime_version(state.runtime_version);
  info->set_kubelet_version(config.version);
  info->set_operating_system("linux");
  info->set_architecture(machine.architecture);
  if (machine.swap > 0) info->mutable_swap()->set_capacity(static_cast<std::int64_t>(machine.swap));
}

void set_runtime(core::NodeStatus* status, const NodeConfig& config, const NodeState& state) {
  status->clear_images();
  for (const auto& image : state.images) {
    if (status->images_size() >= static_cast<int>(config.max_images)) break;
    auto* said = status->add_images();
    for (std::size_t i = 0; i < std::min(image.names.size(), kMaxImageNames); ++i) said->add_names(image.names[i]);
    said->set_size_bytes(image.size);
  }
  status->clear_runtime_handlers();
  for (const auto& handler : state.handlers) {
    auto* said = status->add_runtime_handlers();
    said->set_name(handler.name);
    said->mutable_features()->set_recursive_read_only_mounts(handler.recursive_read_only_mounts);
    said->mutable_features()->set_user_namespaces(handler.user_namespaces);
  }
  status->mutable_features()->set_supplemental_groups_policy(state.supplemental_groups_policy);
}

// Without the times at which conditions were last looked at.
Value without_heartbeats(Node node) {
  for (auto& condition : *node.mutable_status()->mutable_conditions()) condition.clear_last_heartbeat_time();
  return api::encode(node);
}

bool is_ours(const Value& condition) {
  constexpr std::array<std::string_view, 4> kOurs = {"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"};
  return std::ranges::find(kOurs, condition.text_at("type")) != kOurs.end();
}

bool is_same_status(const Node& there, const Node& wanted) {
  const Value before = without_heartbeats(there), after = without_heartbeats(wanted);
  const Value* old = before.find("status");
  return old != nullptr && *old == *after.find("status");
}

}  // namespace

void set_status(Node* node, const NodeConfig& config, const NodeState& state, const NodePressures& pressures,
                api::Timestamp now) {
  core::NodeStatus* status = node->mutable_status();
  status->clear_addresses();
  for (const auto& address : config.addresses) {
    auto* said = status->add_addresses();
    said->set_type("InternalIP");
    said->set_address(address);
  }
  auto* hostname = status->add_addresses();
  hostname->set_type("Hostname");
  hostname->set_address(config.name);
  set_amounts(status, config, state);
  set_conditions(status, state, pressures, now);
  set_info(status, config, state);
  set_runtime(status, config, state);
  if (config.port != 0) status->mutable_daemon_endpoints()->mutable_kubelet_endpoint()->set_port(config.port);
}

std::vector<NodeWord> node_words(const Node& before, const Node& after) {
  std::vector<NodeWord> words;
  const std::string& boot = after.status().node_info().boot_id();
  const std::string& earlier = before.status().node_info().boot_id();
  const std::string& name = after.metadata().name();
  if (!earlier.empty() && earlier != boot)
    words.push_back({"Rebooted", cat("Node ", name, " has been rebooted, boot id: ", boot)});
  struct Turn {
    const char *type, *on, *off;
  };
  constexpr std::array<Turn, 4> kTurns = {{
      {"MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
      {"DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure"},
      {"PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID"},
      {"Ready", "NodeReady", "NodeNotReady"},
  }};
  const auto status_of = [](const Node& node, std::string_view type) -> std::string {
    for (const auto& condition : node.status().conditions()) {
      if (condition.type() == type) return condition.status();
    }
    return "";
  };
  for (const auto& turn : kTurns) {
    const std::string now = status_of(after, turn.type);
    if (now.empty() || now == status_of(before, turn.type)) continue;
    const char* reason = now == "True" ? turn.on : turn.off;
    words.push_back({reason, cat("Node ", name, " status is now: ", reason)});
  }
  return words;
}

Node new_node(const NodeConfig& config, const NodeState& state, const NodePressures& pressures, api::Timestamp now) {
  Node node;
  node.mutable_metadata()->set_name(config.name);
  auto& labels = *node.mutable_metadata()->mutable_labels();
  labels["kubernetes.io/hostname"] = config.name;
  for (const char* prefix : {"", "beta."}) {
    labels[cat(prefix, "kubernetes.io/os")] = "linux";
    labels[cat(prefix, "kubernetes.io/arch")] = state.machine.architecture;
  }
  for (const auto& [key, value] : config.labels) labels[key] = value;
  (*node.mutable_metadata()->mutable_annotations())["volumes.kubernetes.io/controller-managed-attach-detach"] = "true";
  if (!config.local_volumes_dir.empty()) {
    (*node.mutable_metadata()->mutable_annotations())[api::kLocalVolumesFolder] = config.local_volumes_dir;
  }
  for (const auto& taint : config.taints) {
    auto* said = node.mutable_spec()->add_taints();
    said->set_key(taint.key);
    said->set_value(taint.value);
    said->set_effect(taint.effect);
  }
  if (!config.schedulable) {
    auto* said = node.mutable_spec()->add_taints();
    said->set_key("node.kubernetes.io/unschedulable");
    said->set_effect("NoSchedule");
    node.mutable_spec()->set_unschedulable(true);
  }
  if (!config.provider_id.empty()) node.mutable_spec()->set_provider_id(config.provider_id);
  set_status(&node, config, state, pressures, now);
  return node;
}

std::optional<Value> registration_patch(const Node& there, const Node& wanted) {
  Value metadata{Value::Object()};
  const auto add = [&metadata](const char* field, const auto& has, const auto& asked) {
    Value lacking{Value::Object()};
    for (const auto& [key, value] : asked) {
      const auto found = has.find(key);
      if (found == has.end() || found->second != value) lacking[key] = value;
    }
    if (!lacking.as_object()->empty()) metadata[field] = std::move(lacking);
  };
  add("labels", there.metadata().labels(), wanted.metadata().labels());
  add("annotations", there.metadata().annotations(), wanted.metadata().annotations());
  Value patch{Value::Object()};
  if (!metadata.as_object()->empty()) patch["metadata"] = std::move(metadata);
  if (there.spec().provider_id().empty() && !wanted.spec().provider_id().empty()) {
    patch["spec"] = Value::object({{"providerID", wanted.spec().provider_id()}});
  }
  if (patch.as_object()->empty()) return std::nullopt;
  return patch;
}

std::optional<Value> status_patch(const Node& there, const Node& wanted, bool heartbeat) {
  if (!heartbeat && is_same_status(there, wanted)) return std::nullopt;
  const Value before = api::encode(there), after = api::encode(wanted);
  const Value* old = before.find("status");
  const Value* now = after.find("status");
  Value status{Value::Object()};
  for (const auto& [key, value, position] : *now->as_object()) {
    const Value* had = old == nullptr ? nullptr : old->find(key);
    if (had != nullptr && *had == value) continue;
    status[key] = value;
    // Merged by type, else: one that is gone would stay.
    if (key == "conditions") std::erase_if(*status[key].as_list(), [](const Value& one) { return !is_ours(one); });
    if (key == "addresses") status[key].as_list()->push_back(Value::object({{"$patch", "replace"}}));
  }
  if (old != nullptr) {
    for (const char* list : {"images", "runtimeHandlers"}) {
      if (old->find(list) != nullptr && now->find(list) == nullptr) status[list] = nullptr;
    }
  }
  return Value::object({{"metadata", Value::object({{"uid", there.metadata().uid()}})}, {"status", std::move(status)}});
}

}  // namespace gantry::agent
