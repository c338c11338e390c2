// SPDX-License-Identifier: Apache-2.0
// The configuration in force, of kubelet_config.h.
#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/kubelet_config.h"
#include "base/duration.h"
#include "base/text.h"

namespace gantry::agent {

namespace {

using api::Value;

Value text(Duration duration) { return format_duration(duration); }

Value number(std::size_t count) { return static_cast<std::int64_t>(count); }

Value list(const std::vector<std::string>& texts) {
  Value::List all;
  for (const auto& one : texts) all.emplace_back(one);
  return all;
}

Value map(const std::map<std::string, std::string>& texts) {
  Value::Object all;
  for (const auto& [name, one] : texts) all.emplace_back(name, one);
  return all;
}

// "5%", "12.5%", or the quantity.
Value map(const std::map<std::string, EvictionThreshold>& thresholds) {
  Value::Object all;
  for (const auto& [signal, threshold] : thresholds) {
    all.emplace_back(signal, threshold.amount.empty() ? absl::StrCat(threshold.percent, "%") : threshold.amount);
  }
  return all;
}

Value map(const std::map<std::string, Duration>& periods) {
  Value::Object all;
  for (const auto& [name, period] : periods) all.emplace_back(name, text(period));
  return all;
}

Value list(const std::vector<NodeTaint>& taints) {
  Value::List all;
  for (const NodeTaint& taint : taints) {
    Value one = Value::object({{"key", taint.key}});
    if (!taint.value.empty()) one["value"] = taint.value;
    one["effect"] = taint.effect;
    all.push_back(std::move(one));
  }
  return all;
}

Value list(const std::vector<ShutdownPeriod>& periods) {
  Value::List all;
  for (const ShutdownPeriod& one : periods) {
    const std::int64_t seconds = std::chrono::floor<std::chrono::seconds>(one.period).count();
    all.push_back(Value::object({{"priority", std::int64_t{one.priority}}, {"shutdownGracePeriodSeconds", seconds}}));
  }
  return all;
}

// What TLS may use is as it was said: there is nothing else that changes it.
void tell_server(const ServerConfig& server, Value& out) {
  out["enableServer"] = server.is_on;
  out["address"] = server.address;
  out["port"] = std::int64_t{server.port};
  if (!server.certificate_file.empty()) {
    out["tlsCertFile"] = server.certificate_file;
    out["tlsPrivateKeyFile"] = server.key_file;
  }
  out["rotateCertificates"] = server.renews_certificate;
  out["serverTLSBootstrap"] = server.asks_for_certificate;
  Value authentication = Value::object(
      {{"anonymous", Value::object({{"enabled", server.gate.takes_anonymous}})},
       {"webhook",
        Value::object({{"enabled", server.gate.takes_tokens}, {"cacheTTL", text(server.gate.tokens)}})}});
  if (!server.client_ca_file.empty()) {
    authentication["x509"] = Value::object({{"clientCAFile", server.client_ca_file}});
  }
  out["authentication"] = std::move(authentication);
  out["authorization"] =
      Value::object({{"mode", server.gate.asks_for_rights ? "Webhook" : "AlwaysAllow"},
                     {"webhook", Value::object({{"cacheAuthorizedTTL", text(server.gate.authorized)},
                                                {"cacheUnauthorizedTTL", text(server.gate.unauthorized)}})}});
  out["enableDebuggingHandlers"] = server.enters_containers;
  out["healthzBindAddress"] = server.health_address;
  out["healthzPort"] = std::int64_t{server.health_port};
}

void tell_node(const NodeConfig& node, Value& out) {
  out["maxPods"] = node.max_pods;
  out["podsPerCore"] = node.pods_per_core;
  out["nodeLeaseDurationSeconds"] = std::int64_t{node.lease_seconds};
  out["nodeStatusMaxImages"] = number(node.max_images);
  out["nodeStatusUpdateFrequency"] = text(node.status_update);
  out["nodeStatusReportFrequency"] = text(node.status_report);
  out["registerNode"] = node.registers;
  if (!node.taints.empty()) out["registerWithTaints"] = list(node.taints);
  if (!node.system_reserved.empty()) out["systemReserved"] = map(node.system_reserved);
  if (!node.kube_reserved.empty()) out["kubeReserved"] = map(node.kube_reserved);
  if (!node.provider_id.empty()) out["providerID"] = node.provider_id;
}

void tell_eviction(const EvictionConfig& eviction, bool merges_defaults, Value& out) {
  out["evictionHard"] = map(eviction.hard);
  if (!eviction.soft.empty()) out["evictionSoft"] = map(eviction.soft);
  if (!eviction.soft_grace.empty()) out["evictionSoftGracePeriod"] = map(eviction.soft_grace);
  if (!eviction.minimum_reclaim.empty()) out["evictionMinimumReclaim"] = map(eviction.minimum_reclaim);
  out["evictionMaxPodGracePeriod"] = eviction.max_pod_grace_seconds;
  out["evictionPressureTransitionPeriod"] = text(eviction.transition);
  out["mergeDefaultEvictionSettings"] = merges_defaults;
}

void tell_agent(const AgentConfig& agent, Value& out) {
  out["staticPodPath"] = agent.manifest_dir;
  out["podLogsDir"] = agent.pod_logs_dir;
  out["resolvConf"] = agent.resolv_conf;
  if (!agent.cluster_domain.empty()) out["clusterDomain"] = agent.cluster_domain;
  if (!agent.cluster_dns.empty()) out["clusterDNS"] = list(agent.cluster_dns);
  if (!agent.allowed_unsafe_sysctls.empty()) out["allowedUnsafeSysctls"] = list(agent.allowed_unsafe_sysctls);
  out["cgroupDriver"] = agent.cgroup_driver == cgroups::DriverKind::kSystemd ? "systemd" : "cgroupfs";
  out["cpuCFSQuota"] = agent.limits_cpu;
  out["cpuCFSQuotaPeriod"] = text(agent.cpu_period);
  out["seccompDefault"] = agent.seccomp_by_default;
  out["enforceNodeAllocatable"] = list(std::vector<std::string>{agent.reserve.is_enforced ? "pods" : "none"});
  out["podPidsLimit"] = agent.pod_pids_limit;
  out["userNamespaces"] = Value::object({{"idsPerPod", std::int64_t{agent.ids_per_pod}}});
  out["singleProcessOOMKill"] = agent.single_process_oom_kill;
  out["imageMinimumGCAge"] = text(agent.image_gc.min_age);
  out["imageMaximumGCAge"] = text(agent.image_gc.max_age);
  out["imageGCHighThresholdPercent"] = agent.image_gc.high_percent;
  out["imageGCLowThresholdPercent"] = agent.image_gc.low_percent;
  out["containerLogMaxSize"] = cat(agent.logs.max_size);
  out["containerLogMaxFiles"] = number(agent.logs.max_files);
  out["containerLogMaxWorkers"] = number(agent.logs.max_workers);
  out["containerLogMonitorInterval"] = text(agent.logs.interval);
  out["serializeImagePulls"] = agent.pull_limits.most() == 1;
  // Absent, as with kubelet, where there is no limit.
  if (agent.pull_limits.most() > 0) out["maxParallelImagePulls"] = number(agent.pull_limits.most());
  out["registryPullQPS"] = agent.pull_rate.per_second;
  out["registryBurst"] = agent.pull_rate.burst;
  out["imagePullCredentialsVerificationPolicy"] = std::string(to_string(agent.verification.policy));
  if (!agent.verification.listed.empty()) {
    out["preloadedImagesVerificationAllowlist"] = list(agent.verification.listed);
  }
  out["eventRecordQPS"] = agent.event_rate.per_second;
  out["eventBurst"] = agent.event_rate.burst;
  out["shutdownGracePeriod"] = text(agent.shutdown.all);
  out["shutdownGracePeriodCriticalPods"] = text(agent.shutdown.critical);
  if (!agent.shutdown.by_priority.empty()) out["shutdownGracePeriodByPodPriority"] = list(agent.shutdown.by_priority);
  out["crashLoopBackOff"] = Value::object({{"maxContainerRestartPeriod", text(agent.crash.longest)}});
}

}  // namespace

Value effective_config(const KubeletConfig& said, const KubeletSettings& settings) {
  Value::Object kept;
  for (const auto& member : *said.document.as_object()) {
    const bool is_field = member.key != "apiVersion" && member.key != "kind" && !member.value.is_null();
    if (is_field && !std::ranges::binary_search(said.ignored, member.key)) kept.push_back(member);
  }
  Value out(std::move(kept));
  tell_server(settings.server, out);
  tell_node(settings.node, out);
  tell_eviction(settings.agent.eviction, settings.merges_eviction_defaults, out);
  tell_agent(settings.agent, out);
  if (!settings.runtime_endpoint.empty()) out["containerRuntimeEndpoint"] = "unix://" + settings.runtime_endpoint;
  if (!settings.image_endpoint.empty()) out["imageServiceEndpoint"] = "unix://" + settings.image_endpoint;
  return out;
}

}  // namespace gantry::agent
