// SPDX-License-Identifier: Apache-2.0
#include "control/plane/settings.h"

#include <charconv>
#include <optional>

#include "api/kind_parts.h"
#include "api/names.h"
#include "base/duration.h"
#include "base/text.h"
#include "control/plane/controllers.h"

namespace gantry::control {

namespace {

using Values = std::span<const std::string>;

struct HostPort {
  std::string host;  // without brackets
  std::optional<std::uint16_t> port;
  bool is_numeric = false;
};

// "0.0.0.0:6443", "[::]:6443", "cluster.example.org:6443"; the port may be left out.
std::optional<HostPort> parse_host_port(std::string_view text) {
  HostPort parsed;
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && !text.ends_with(']')) {
    const std::string_view port = text.substr(colon + 1);
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size()) return std::nullopt;
    parsed.port = number;
    text = text.substr(0, colon);
  }
  const bool has_brackets = text.starts_with('[') && text.ends_with(']');
  if (has_brackets) text = text.substr(1, text.size() - 2);
  const Result<api::IpAddress> numeric = api::parse_ip(text);
  parsed.is_numeric = numeric.has_value();
  if ((numeric && numeric->is_v6) != has_brackets) return std::nullopt;
  parsed.host = text;
  return parsed;
}

template <ListenAddress PlaneOptions::* kMember>
bool set_listen(PlaneOptions& options, Values values) {
  std::optional<HostPort> parsed = parse_host_port(values[0]);
  if (!parsed || !parsed->is_numeric || !parsed->port) return false;
  options.*kMember = {.host = std::move(parsed->host), .port = *parsed->port};
  return true;
}

bool set_endpoint(PlaneOptions& options, Values values) {
  options.endpoint = {.host = {}, .port = 0};
  if (values[0].empty()) return true;
  std::optional<HostPort> parsed = parse_host_port(values[0]);
  if (!parsed || (!parsed->is_numeric && !api::check_dns1123_subdomain(parsed->host).empty())) return false;
  options.endpoint = {.host = std::move(parsed->host), .port = parsed->port.value_or(0)};
  return true;
}

bool set_advertise_address(PlaneOptions& options, Values values) {
  if (!values[0].empty() && !api::parse_ip(values[0])) return false;
  options.advertise_address = values[0];
  return true;
}

bool set_data_dir(PlaneOptions& options, Values values) {
  options.data_dir = values[0];
  return !values[0].empty();
}

// Node and Service addresses are numbered in them, so they have some room.
bool parse_networks(Values texts, std::vector<api::IpNetwork>* networks) {
  constexpr int kLeast = 16;
  networks->clear();
  for (const std::string& text : texts) {
    Result<api::IpNetwork> network = api::parse_network(text);
    if (!network || network->size() < kLeast) return false;
    networks->push_back(*network);
  }
  return networks->size() == 1 || (networks->size() == 2 && (*networks)[0].base.is_v6 != (*networks)[1].base.is_v6);
}

bool set_service_networks(PlaneOptions& options, Values values) {
  return parse_networks(values, &options.service_networks);
}
bool set_cluster_networks(PlaneOptions& options, Values values) {
  return parse_networks(values, &options.cluster_networks);
}

// "sqlite", "sqlite:PATH", "etcd:URL,URL".
bool set_store(PlaneOptions& options, Values values) {
  constexpr std::string_view kSqlite = "sqlite:";
  constexpr std::string_view kEtcd = "etcd:";
  options.store.sqlite_path.clear();
  options.store.etcd_endpoints.clear();
  if (values.empty()) return false;
  const std::string_view first = values[0];
  if (first.starts_with(kEtcd)) {
    for (std::string_view url : values) {
      if (options.store.etcd_endpoints.empty()) url.remove_prefix(kEtcd.size());
      if (!url.starts_with("https://") && !url.starts_with("http://")) return false;
      options.store.etcd_endpoints.emplace_back(url);
    }
    return true;
  }
  if (values.size() != 1) return false;
  if (first == "sqlite") return true;
  options.store.sqlite_path = first.starts_with(kSqlite) ? first.substr(kSqlite.size()) : "";
  return !options.store.sqlite_path.empty();
}

// A file's name; whether it can be read is seen when it is.
template <std::string StoreOptions::* kMember>
bool set_store_file(PlaneOptions& options, Values values) {
  options.store.*kMember = values[0];
  return true;
}

template <std::string PlaneOptions::* kMember>
bool set_file(PlaneOptions& options, Values values) {
  options.*kMember = values[0];
  return true;
}

bool set_scheduler(PlaneOptions& options, Values values) {
  options.with_scheduler = values[0] == "true";
  return options.with_scheduler || values[0] == "false";
}

bool set_controllers(PlaneOptions& options, Values values) {
  options.controllers = ControllerChoice({values.begin(), values.end()});
  return !values.empty() && options.controllers.is_of(controller_names());
}

const std::string& expected_controllers() {
  static const std::string text =
      cat("*, -*, or these, or these with - before them: ", api::joined(controller_names(), ", "));
  return text;
}

// A whole number from 1 on.
bool parse_count(Values values, std::size_t* count) {
  const std::string& text = values[0];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *count);
  return error == std::errc() && end == text.data() + text.size() && *count > 0 && *count <= 100'000;
}

template <std::size_t FlowControl::Limits::* kMember>
bool set_limit(PlaneOptions& options, Values values) {
  return parse_count(values, &(options.flow.*kMember));
}

// Seconds, as "20s" or "5m0s", of which there are at least and at most so many.
bool parse_seconds(Values values, int least, int most, std::chrono::seconds* seconds) {
  const Result<std::chrono::milliseconds> parsed = parse_duration(values[0]);
  if (!parsed || parsed->count() % 1000 != 0) return false;
  *seconds = std::chrono::duration_cast<std::chrono::seconds>(*parsed);
  return seconds->count() >= least && seconds->count() <= most;
}

template <Duration PlaneOptions::* kMember, int kLeast, int kMost>
bool set_seconds(PlaneOptions& options, Values values) {
  std::chrono::seconds seconds{};
  const bool read = parse_seconds(values, kLeast, kMost, &seconds);
  options.*kMember = seconds;
  return read;
}

template <autoscaling::Seconds autoscaling::Settings::* kMember, int kLeast>
bool set_autoscaling(PlaneOptions& options, Values values) {
  constexpr int kMost = 24 * 3600;
  return parse_seconds(values, kLeast, kMost, &(options.autoscaling.*kMember));
}

bool set_autoscaling_tolerance(PlaneOptions& options, Values values) {
  const std::string& text = values[0];
  double& tolerance = options.autoscaling.tolerance;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tolerance);
  return error == std::errc() && end == text.data() + text.size() && tolerance >= 0 && tolerance <= 1;
}

bool set_audit_path(PlaneOptions& options, Values values) {
  options.audit.path = values[0];
  return true;
}
bool set_audit_size(PlaneOptions& options, Values values) {
  std::size_t megabytes = 0;
  if (!parse_count(values, &megabytes)) return false;
  options.audit.max_bytes = megabytes << 20;
  return true;
}
bool set_audit_backups(PlaneOptions& options, Values values) { return parse_count(values, &options.audit.max_backups); }
bool set_audit_age(PlaneOptions& options, Values values) {
  std::size_t days = 0;
  if (values[0] != "0" && !parse_count(values, &days)) return false;
  options.audit.max_age = std::chrono::hours(24) * static_cast<int>(days);
  return true;
}

constexpr char kSeconds[] = "whole seconds, up to a day, as 15s or 5m0s";
constexpr char kCount[] = "a number from 1 to 100000";
constexpr char kNetworks[] = "one network of 16 addresses or more, or one of IPv4 and one of IPv6";

const Setting kSettings[] = {
    {"dataDir", "data-dir", "/var/lib/gantry-control", "the folder for all that is kept", "a folder", false,
     set_data_dir},
    {"listen", "listen", "0.0.0.0:6443", "where the API is served, ADDRESS:PORT", "ADDRESS:PORT", false,
     set_listen<&PlaneOptions::listen>},
    {"store", "store", "sqlite",
     "where objects are kept: sqlite (store.db in the data folder), sqlite:PATH or etcd:URL,URL",
     "sqlite, sqlite:PATH or etcd:URL,URL with https:// or http://", true, set_store},
    {"etcdCAFile", "etcd-cafile", "", "PEM: the CA of etcd's certificates; without it the system's", "a file", false,
     set_store_file<&StoreOptions::etcd_ca_file>},
    {"etcdCertFile", "etcd-certfile", "", "PEM: the certificate that etcd is shown", "a file", false,
     set_store_file<&StoreOptions::etcd_certificate_file>},
    {"etcdKeyFile", "etcd-keyfile", "", "PEM: its key", "a file", false, set_store_file<&StoreOptions::etcd_key_file>},
    {"encryptionProviderConfig", "encryption-provider-config", "",
     "an EncryptionConfiguration: which resources are encrypted in the store, with which keys", "a file", false,
     set_file<&PlaneOptions::encryption_config_file>},
    {"advertiseAddress", "advertise-address", "",
     "where nodes and pods reach the API; without it the first address of this host", "an IP address", false,
     set_advertise_address},
    {"controlPlaneEndpoint", "control-plane-endpoint", "",
     "where nodes and clients find one of the servers; without it one of the servers' addresses",
     "HOST or HOST:PORT, a DNS name or an IP address", false, set_endpoint},
    {"serviceCIDR", "service-cidr", "10.96.0.0/12", "the addresses of services, one network a family", kNetworks, true,
     set_service_networks},
    {"clusterCIDR", "cluster-cidr", "10.244.0.0/16", "the addresses of pods, one network a family", kNetworks, true,
     set_cluster_networks},
    {"scheduler", "scheduler", "true", "pods get their nodes here; false: from another scheduler, such as upstream's",
     "true or false", false, set_scheduler},
    {"controllers", "controllers", "*",
     "which controllers work: * all of them, -* none, NAME that one, -NAME not that one",
     expected_controllers(), true, set_controllers},
    {"kubeconfig", "kubeconfig", "",
     "the scheduler and the controllers alone, for the API server that this file names, as the user that it names",
     "a file", false, set_file<&PlaneOptions::kubeconfig>},
    {"healthListen", "health-listen", "127.0.0.1:10257",
     "with --kubeconfig: where /healthz and /metrics are served, over plain HTTP and to everybody", "ADDRESS:PORT",
     false, set_listen<&PlaneOptions::health_listen>},
    {"horizontalPodAutoscalerSyncPeriod", "horizontal-pod-autoscaler-sync-period", "15s",
     "how often the size of each autoscaled workload is thought over", kSeconds, false,
     set_autoscaling<&autoscaling::Settings::sync_period, 1>},
    {"horizontalPodAutoscalerDownscaleStabilization", "horizontal-pod-autoscaler-downscale-stabilization", "5m0s",
     "a workload has as many pods as were ever needed in this time", kSeconds, false,
     set_autoscaling<&autoscaling::Settings::downscale_stabilization, 0>},
    {"horizontalPodAutoscalerCPUInitializationPeriod", "horizontal-pod-autoscaler-cpu-initialization-period", "5m0s",
     "how long after its start a pod's CPU counts only while it is ready", kSeconds, false,
     set_autoscaling<&autoscaling::Settings::cpu_initialization_period, 0>},
    {"horizontalPodAutoscalerInitialReadinessDelay", "horizontal-pod-autoscaler-initial-readiness-delay", "30s",
     "a pod that became unready this soon after its start was never ready", kSeconds, false,
     set_autoscaling<&autoscaling::Settings::initial_readiness_delay, 0>},
    {"horizontalPodAutoscalerTolerance", "horizontal-pod-autoscaler-tolerance", "0.1",
     "how far from its target a metric may be before the size changes", "a number from 0 to 1", false,
     set_autoscaling_tolerance},
    {"metricResolution", "metric-resolution", "15s",
     "how often nodes are asked what they and their pods use, for metrics.k8s.io", "1 to 600 seconds, as 15s", false,
     set_seconds<&PlaneOptions::metric_resolution, 1, 600>},
    {"maxRequestsInflight", "max-requests-inflight", "400", "how many reading requests are served at once", kCount,
     false, set_limit<&FlowControl::Limits::reading>},
    {"maxMutatingRequestsInflight", "max-mutating-requests-inflight", "200",
     "how many writing requests are served at once", kCount, false, set_limit<&FlowControl::Limits::mutating>},
    {"auditLogPath", "audit-log-path", "", "the file in which requests are recorded; without it none are", "a file",
     false, set_audit_path},
    {"auditPolicyFile", "audit-policy-file", "",
     "what is recorded: a Policy of audit.k8s.io/v1; without it every request's metadata", "a file", false,
     set_file<&PlaneOptions::audit_policy_file>},
    {"auditLogMaxSize", "audit-log-maxsize", "100", "MiB after which the file is put aside", kCount, false,
     set_audit_size},
    {"auditLogMaxBackup", "audit-log-maxbackup", "10", "how many of those are kept", kCount, false, set_audit_backups},
    {"auditLogMaxAge", "audit-log-maxage", "0", "days after which those are removed; 0: never", "a number of days",
     false, set_audit_age},
    {"shutdownDelayDuration", "shutdown-delay-duration", "0s",
     "how long this goes on serving after it was told to end, while /readyz says so", "seconds, as 20s", false,
     set_seconds<&PlaneOptions::shutdown_delay, 0, 600>},
};

}  // namespace

std::span<const Setting> settings() { return kSettings; }

Result<PlaneOptions> read_settings(const SettingValues& values,
                                   const std::function<std::string(const Setting&)>& name_of) {
  PlaneOptions options;
  for (const Setting& setting : kSettings) {
    std::vector<std::string> fallback;
    if (!setting.is_list || !setting.fallback.empty()) fallback.emplace_back(setting.fallback);
    const auto given = values.find(setting.field);
    const Values used = given != values.end() ? given->second : fallback;
    if ((!setting.is_list && used.size() != 1) || !setting.set(options, used)) {
      return invalid_argument(cat(name_of(setting), " is ", quoted(api::joined({used.begin(), used.end()}), 200),
                                  "; expected ", setting.expected));
    }
  }
  return options;
}

}  // namespace gantry::control
