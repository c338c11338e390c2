// SPDX-License-Identifier: Apache-2.0
#include "agent/kubelet_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "agent/field_values.h"
#include "agent/server_fields.h"
#include "agent/user_ranges.h"
#include "api/quantity.h"
#include "base/text.h"

namespace gantry::agent {

namespace {

using api::Value;

constexpr std::int64_t kMaxCount = 1'000'000;
constexpr std::size_t kMostPeriods = 100;
constexpr std::int64_t kMostPids = 1 << 22;  // the kernel's own
constexpr std::int64_t kMostImages = std::numeric_limits<std::int32_t>::max();

// ---- a value, or why it is none

Status take_amounts(const Value& value, std::string_view field, std::map<std::string, std::string>* out) {
  const auto* object = value.as_object();
  if (object == nullptr) return wrong_field(field, "an object was expected");
  for (const auto& [name, amount, position] : *object) {
    const std::string* text = amount.as_string();
    auto quantity = text == nullptr ? invalid_argument("a quantity was expected") : api::Quantity::parse(*text);
    if (!quantity || quantity->is_negative())
      return wrong_field(cat(field, ".", name), "a quantity of 0 or more was expected");
    (*out)[name] = *text;
  }
  return {};
}

Result<EvictionThreshold> parse_threshold(std::string_view text) {
  if (!text.ends_with('%')) {
    auto quantity = api::Quantity::parse(text);
    if (!quantity || quantity->is_negative()) return invalid_argument("a quantity or a percentage was expected");
    return EvictionThreshold{.amount = std::string(text)};
  }
  text.remove_suffix(1);
  EvictionThreshold threshold;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threshold.percent);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (!is_number || !(threshold.percent >= 0 && threshold.percent <= 100)) {
    return invalid_argument("0% to 100% were expected");
  }
  return threshold;
}

// As with kubelet, who names one names all: the defaults are gone then.
Status take_thresholds(const Value& value, std::string_view field, std::map<std::string, EvictionThreshold>* out) {
  constexpr std::array<std::string_view, 6> kSignals = {"memory.available",  "nodefs.available",   "nodefs.inodesFree",
                                                        "imagefs.available", "imagefs.inodesFree", "pid.available"};
  const auto* object = value.as_object();
  if (object == nullptr) return wrong_field(field, "an object was expected");
  std::map<std::string, EvictionThreshold> all;
  for (const auto& [name, amount, position] : *object) {
    const std::string place = cat(field, ".", name);
    if (std::ranges::find(kSignals, name) == kSignals.end()) {
      return wrong_field(place, "is no signal that is known here");
    }
    const std::string* text = amount.as_string();
    auto threshold = text == nullptr ? invalid_argument("a text was expected") : parse_threshold(*text);
    if (!threshold) return wrong_field(place, threshold.error().message());
    // Either says that the signal does not count.
    if (*text == "0%" || *text == "100%") continue;
    all[name] = std::move(*threshold);
  }
  *out = std::move(all);
  return {};
}

Status take_periods(const Value& value, std::string_view field, std::map<std::string, Duration>* out) {
  const auto* object = value.as_object();
  if (object == nullptr) return wrong_field(field, "an object was expected");
  std::map<std::string, Duration> all;
  for (const auto& [name, period, position] : *object) {
    const std::string place = cat(field, ".", name);
    Duration& one = all[name];
    if (auto taken = take_duration(period, place, &one); !taken) return taken;
    if (one <= Duration::zero()) return wrong_field(place, "more than 0 was expected");
  }
  *out = std::move(all);
  return {};
}

Status take_taints(const Value& value, std::string_view field, std::vector<NodeTaint>* out) {
  const auto* list = value.as_list();
  if (list == nullptr) return wrong_field(field, "a list was expected");
  std::vector<NodeTaint> taints;
  for (const Value& one : *list) {
    NodeTaint taint{one.text_at("key"), one.text_at("value"), one.text_at("effect")};
    const bool is_effect =
        taint.effect == "NoSchedule" || taint.effect == "PreferNoSchedule" || taint.effect == "NoExecute";
    if (taint.key.empty() || !is_effect) {
      return wrong_field(cat(field, "[", taints.size(), "]"),
                         "a key, and an effect NoSchedule, PreferNoSchedule or NoExecute were expected");
    }
    taints.push_back(std::move(taint));
  }
  *out = std::move(taints);
  return {};
}

constexpr MemberField<ShutdownPeriod> kShutdownPeriod[] = {
    {"priority",
     [](const Value& value, std::string_view field, ShutdownPeriod& to) -> Status {
       std::int64_t priority = 0;
       auto taken = take_number(value, field, INT32_MIN, INT32_MAX, &priority);
       to.priority = static_cast<std::int32_t>(priority);
       return taken;
     }},
    {"shutdownGracePeriodSeconds",
     [](const Value& value, std::string_view field, ShutdownPeriod& to) -> Status {
       std::int64_t seconds = 0;
       auto taken = take_number(value, field, 0, std::chrono::seconds(kLongestTime).count(), &seconds);
       to.period = std::chrono::seconds(seconds);
       return taken;
     }},
};

Status take_shutdown_periods(const Value& value, std::string_view field, std::vector<ShutdownPeriod>* out) {
  const auto* list = value.as_list();
  if (list == nullptr || list->size() > kMostPeriods)
    return wrong_field(field, cat("a list of up to ", kMostPeriods, " was expected"));
  std::vector<ShutdownPeriod> periods;
  for (const Value& one : *list) {
    ShutdownPeriod period;
    auto taken = take_members<ShutdownPeriod>(one, cat(field, "[", periods.size(), "]"), kShutdownPeriod, period);
    if (!taken) return taken;
    periods.push_back(period);
  }
  *out = std::move(periods);
  return {};
}

Status take_enforced(const Value& value, std::string_view field, bool* pods) {
  std::vector<std::string> names;
  if (auto taken = take_texts(value, field, &names); !taken) return taken;
  bool found = false;
  for (const auto& name : names) {
    if (name != "pods" && name != "none") {
      return wrong_field(field, cat(quoted(name), " is not enforced here, \"pods\" and \"none\" are"));
    }
    found |= name == "pods";
  }
  if (found && names.size() > 1) return wrong_field(field, "\"pods\" or \"none\" were expected, and once");
  *pods = found;
  return {};
}

constexpr MemberField<BackoffLimits> kCrashLoop[] = {
    {"maxContainerRestartPeriod",
     [](const Value& value, std::string_view field, BackoffLimits& to) -> Status {
       if (auto taken = take_duration(value, field, &to.longest); !taken) return taken;
       if (to.longest < std::chrono::seconds(1) || to.longest > std::chrono::seconds(300)) {
         return wrong_field(field, "1s to 300s were expected");
       }
       to.initial = std::min(to.initial, to.longest);
       return {};
     }},
};

constexpr MemberField<std::uint32_t> kUserNamespaces[] = {
    {"idsPerPod",
     [](const Value& value, std::string_view field, std::uint32_t& to) -> Status {
       std::int64_t ids = 0;
       auto taken = take_number(value, field, UserRanges::kUnit, std::int64_t{1} << 31, &ids);
       if (!taken) return taken;
       if (ids % UserRanges::kUnit != 0) {
         return wrong_field(field, cat("a multiple of ", UserRanges::kUnit, " was expected"));
       }
       to = static_cast<std::uint32_t>(ids);
       return {};
     }},
};

Status take_verification(const Value& value, std::string_view field, VerificationPolicy* out) {
  std::string name;
  if (auto taken = take_text(value, field, &name); !taken || name.empty()) return taken;
  const auto policy = parse_verification(name);
  if (!policy) return wrong_field(field, policy.error().message());
  *out = *policy;
  return {};
}

Status take_listed_images(const Value& value, std::string_view field, std::vector<std::string>* out) {
  std::vector<std::string> patterns;
  if (auto taken = take_texts(value, field, &patterns); !taken) return taken;
  for (const auto& pattern : patterns) {
    if (auto good = check_listed(pattern); !good) return wrong_field(field, good.error().message());
  }
  *out = std::move(patterns);
  return {};
}

Status take_cgroup_driver(const Value& value, std::string_view field, cgroups::DriverKind* out) {
  std::string name;
  if (auto taken = take_text(value, field, &name); !taken || name.empty()) return taken;
  if (name != "cgroupfs" && name != "systemd") return wrong_field(field, "cgroupfs or systemd were expected");
  *out = name == "systemd" ? cgroups::DriverKind::kSystemd : cgroups::DriverKind::kCgroupfs;
  return {};
}

Status take_endpoint(const Value& value, std::string_view field, std::string* out) {
  std::string endpoint;
  if (auto taken = take_text(value, field, &endpoint); !taken || endpoint.empty()) return taken;
  constexpr std::string_view kUnix = "unix://";
  if (endpoint.starts_with(kUnix)) endpoint.erase(0, kUnix.size());
  if (!endpoint.starts_with('/') || endpoint.ends_with('/')) return wrong_field(field, "unix:///PATH was expected");
  *out = std::move(endpoint);
  return {};
}

// ---- the fields

constexpr KubeletField kFields[] = {
    {"maxPods",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, 0, kMaxCount, &to.node.max_pods);
     }},
    {"podsPerCore",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, 0, kMaxCount, &to.node.pods_per_core);
     }},
    {"nodeLeaseDurationSeconds",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       std::int64_t seconds = 0;
       if (auto taken = take_number(value, field, 0, 24 * 3600, &seconds); !taken || seconds == 0) return taken;
       to.node.lease_seconds = static_cast<std::int32_t>(seconds);
       return {};
     }},
    {"nodeStatusMaxImages",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       std::int64_t number = 0;
       auto taken = take_number(value, field, -1, kMostImages, &number);
       if (taken) to.node.max_images = static_cast<std::size_t>(number < 0 ? kMostImages : number);
       return taken;
     }},
    {"nodeStatusUpdateFrequency",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_duration(value, field, &to.node.status_update);
     }},
    {"nodeStatusReportFrequency",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_duration(value, field, &to.node.status_report);
     }},
    {"evictionPressureTransitionPeriod",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_duration(value, field, &to.agent.eviction.transition);
     }},
    {"registerNode",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.node.registers);
     }},
    {"registerWithTaints",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_taints(value, field, &to.node.taints);
     }},
    {"systemReserved",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_amounts(value, field, &to.node.system_reserved);
     }},
    {"kubeReserved",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_amounts(value, field, &to.node.kube_reserved);
     }},
    {"evictionHard",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_thresholds(value, field, &to.node.eviction_hard);
     }},
    {"providerID",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_text(value, field, &to.node.provider_id);
     }},
    {"staticPodPath",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_path(value, field, &to.agent.manifest_dir);
     }},
    {"podLogsDir",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_path(value, field, &to.agent.pod_logs_dir);
     }},
    {"resolvConf",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_path(value, field, &to.agent.resolv_conf);
     }},
    {"imageMinimumGCAge",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_duration(value, field, &to.agent.image_gc.min_age);
     }},
    {"imageMaximumGCAge",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_duration(value, field, &to.agent.image_gc.max_age);
     }},
    {"imageGCHighThresholdPercent",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_percent(value, field, &to.agent.image_gc.high_percent);
     }},
    {"imageGCLowThresholdPercent",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_percent(value, field, &to.agent.image_gc.low_percent);
     }},
    {"containerLogMaxSize",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_bytes(value, field, &to.agent.logs.max_size);
     }},
    {"containerLogMaxFiles",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_size(value, field, 2, 1000, &to.agent.logs.max_files);
     }},
    {"containerLogMaxWorkers",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_size(value, field, 1, 64, &to.agent.logs.max_workers);
     }},
    {"containerLogMonitorInterval",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       if (auto taken = take_duration(value, field, &to.agent.logs.interval); !taken) return taken;
       if (to.agent.logs.interval >= std::chrono::seconds(3)) return {};
       return wrong_field(field, "3s or more were expected");
     }},
    {"serializeImagePulls",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.agent.pull_limits.serial.emplace());
     }},
    {"maxParallelImagePulls",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_size(value, field, 1, kMaxCount, &to.agent.pull_limits.at_once.emplace());
     }},
    {"eventRecordQPS",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, 0, kMaxCount, &to.agent.event_rate.per_second);
     }},
    {"eventBurst",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, 0, kMaxCount, &to.agent.event_rate.burst);
     }},
    {"crashLoopBackOff",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_members<BackoffLimits>(value, field, kCrashLoop, to.agent.crash);
     }},
    {"syncFrequency", nullptr},
    {"fileCheckFrequency", nullptr},
    {"httpCheckFrequency", nullptr},
    {"staticPodURL", nullptr},
    {"staticPodURLHeader", nullptr},
    {"registryPullQPS",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, 0, kMaxCount, &to.agent.pull_rate.per_second);
     }},
    {"registryBurst",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, 0, kMaxCount, &to.agent.pull_rate.burst);
     }},
    {"imagePullCredentialsVerificationPolicy",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_verification(value, field, &to.agent.verification.policy);
     }},
    {"preloadedImagesVerificationAllowlist",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_listed_images(value, field, &to.agent.verification.listed);
     }},
    {"enableContentionProfiling", nullptr},
    {"oomScoreAdj", nullptr},
    {"clusterDomain",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_text(value, field, &to.agent.cluster_domain);
     }},
    {"clusterDNS",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_addresses(value, field, &to.agent.cluster_dns);
     }},
    {"streamingConnectionIdleTimeout", nullptr},
    {"volumeStatsAggPeriod", nullptr},
    {"kubeletCgroups", nullptr},
    {"systemCgroups", nullptr},
    {"cgroupRoot", nullptr},
    {"cgroupsPerQOS", nullptr},
    {"cgroupDriver",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_cgroup_driver(value, field, &to.agent.cgroup_driver);
     }},
    {"cpuManagerPolicy", nullptr},
    {"singleProcessOOMKill",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.agent.single_process_oom_kill);
     }},
    {"cpuManagerPolicyOptions", nullptr},
    {"cpuManagerReconcilePeriod", nullptr},
    {"memoryManagerPolicy", nullptr},
    {"topologyManagerPolicy", nullptr},
    {"topologyManagerScope", nullptr},
    {"topologyManagerPolicyOptions", nullptr},
    {"qosReserved", nullptr},
    {"runtimeRequestTimeout", nullptr},
    {"hairpinMode", nullptr},
    {"podCIDR", nullptr},
    {"podPidsLimit",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, -1, kMostPids, &to.agent.pod_pids_limit);
     }},
    {"runOnce", nullptr},
    {"cpuCFSQuota",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.agent.limits_cpu);
     }},
    {"cpuCFSQuotaPeriod",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       Duration period = to.agent.cpu_period;
       if (auto taken = take_duration(value, field, &period); !taken) return taken;
       if (period < std::chrono::milliseconds(1) || period > std::chrono::seconds(1)) {
         return wrong_field(field, "1ms to 1s were expected");
       }
       to.agent.cpu_period = std::chrono::floor<std::chrono::microseconds>(period);
       return {};
     }},
    {"maxOpenFiles", nullptr},
    {"contentType", nullptr},
    {"kubeAPIQPS", nullptr},
    {"kubeAPIBurst", nullptr},
    {"evictionSoft",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_thresholds(value, field, &to.agent.eviction.soft);
     }},
    {"evictionSoftGracePeriod",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_periods(value, field, &to.agent.eviction.soft_grace);
     }},
    {"evictionMaxPodGracePeriod",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_number(value, field, 0, kMaxCount, &to.agent.eviction.max_pod_grace_seconds);
     }},
    {"evictionMinimumReclaim",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_thresholds(value, field, &to.agent.eviction.minimum_reclaim);
     }},
    {"mergeDefaultEvictionSettings",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.merges_eviction_defaults);
     }},
    {"enableControllerAttachDetach", nullptr},
    {"protectKernelDefaults", nullptr},
    {"makeIPTablesUtilChains", nullptr},
    {"iptablesMasqueradeBit", nullptr},
    {"iptablesDropBit", nullptr},
    {"featureGates", nullptr},
    {"failSwapOn", nullptr},
    {"failCgroupV1", nullptr},
    {"memorySwap", nullptr},
    {"configMapAndSecretChangeDetectionStrategy", nullptr},
    {"reservedSystemCPUs", nullptr},
    {"showHiddenMetricsForVersion", nullptr},
    {"systemReservedCgroup", nullptr},
    {"kubeReservedCgroup", nullptr},
    {"enforceNodeAllocatable",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_enforced(value, field, &to.agent.reserve.is_enforced);
     }},
    {"allowedUnsafeSysctls",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_texts(value, field, &to.agent.allowed_unsafe_sysctls);
     }},
    {"defaultPodSysctls", nullptr},
    {"volumePluginDir", nullptr},
    {"kernelMemcgNotification", nullptr},
    {"logging", nullptr},
    {"enableSystemLogHandler", nullptr},
    {"enableSystemLogQuery", nullptr},
    {"shutdownGracePeriod",
     [](const Value& value, std::string_view field,
        KubeletSettings& to) -> Status { return take_duration(value, field, &to.agent.shutdown.all); }},
    {"shutdownGracePeriodCriticalPods",
     [](const Value& value, std::string_view field,
        KubeletSettings& to) -> Status { return take_duration(value, field, &to.agent.shutdown.critical); }},
    {"shutdownGracePeriodByPodPriority",
     [](const Value& value, std::string_view field,
        KubeletSettings& to) -> Status { return take_shutdown_periods(value, field, &to.agent.shutdown.by_priority); }},
    {"reservedMemory", nullptr},
    {"enableProfilingHandler", nullptr},
    {"enableDebugFlagsHandler", nullptr},
    {"seccompDefault",
     [](const Value& value, std::string_view field,
        KubeletSettings& to) -> Status { return take_flag(value, field, &to.agent.seccomp_by_default); }},
    {"memoryThrottlingFactor", nullptr},
    {"memoryReservationPolicy", nullptr},
    {"tracing", nullptr},
    {"localStorageCapacityIsolation", nullptr},
    {"containerRuntimeEndpoint",
     [](const Value& value, std::string_view field,
        KubeletSettings& to) -> Status { return take_endpoint(value, field, &to.runtime_endpoint); }},
    {"imageServiceEndpoint",
     [](const Value& value, std::string_view field,
        KubeletSettings& to) -> Status { return take_endpoint(value, field, &to.image_endpoint); }},
    {"userNamespaces",
     [](const Value& value, std::string_view field, KubeletSettings& to)
         -> Status { return take_members<std::uint32_t>(value, field, kUserNamespaces, to.agent.ids_per_pod); }},
};

}  // namespace

Result<bool> take_field(std::string_view name, const Value& value, KubeletSettings* settings) {
  const auto find = [name](std::span<const KubeletField> fields) -> const KubeletField* {
    const auto found = std::ranges::find(fields, name, &KubeletField::name);
    return found == fields.end() ? nullptr : &*found;
  };
  const KubeletField* field = find(kFields);
  if (field == nullptr) field = find(server_fields());
  if (field == nullptr) return wrong_field(name, "is no field of KubeletConfiguration");
  if (field->take == nullptr || (field->counts != nullptr && !field->counts(value))) return false;
  if (auto taken = field->take(value, name, *settings); !taken) return std::unexpected(std::move(taken.error()));
  return true;
}

Status check_fields(const KubeletSettings& settings) {
  if (auto good = check_server_fields(settings.server); !good) return good;
  const auto& images = settings.agent.image_gc;
  if (images.low_percent >= images.high_percent) {
    return wrong_field("imageGCLowThresholdPercent",
                 cat("less than imageGCHighThresholdPercent was expected, which is ", images.high_percent));
  }
  if (auto good = check(settings.agent.shutdown); !good) return good;
  const PullLimits& pulls = settings.agent.pull_limits;
  if (pulls.serial.value_or(false) && pulls.at_once.value_or(1) > 1) {
    return wrong_field("maxParallelImagePulls", "1 was expected, as serializeImagePulls is true");
  }
  const PullVerification& verification = settings.agent.verification;
  if (!verification.listed.empty() && verification.policy != VerificationPolicy::kNotOfListed) {
    return wrong_field("preloadedImagesVerificationAllowlist",
                       "NeverVerifyAllowlistedImages was expected beside it, as imagePullCredentialsVerificationPolicy");
  }
  for (const auto& [signal, threshold] : settings.agent.eviction.soft) {
    if (!settings.agent.eviction.soft_grace.contains(signal)) {
      return wrong_field(cat("evictionSoft.", signal), "a grace period in evictionSoftGracePeriod was expected");
    }
  }
  return {};
}

}  // namespace gantry::agent
