// SPDX-License-Identifier: Apache-2.0
#include "cli/kubelet_settings.h"

#include <utility>

#include "api/json.h"
#include "base/layout.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/plan/build_plan.h"

namespace gantry::cli {
namespace {

agent::KubeletSettings settings_of_this_node(const GantrydOptions& options, const std::string& node_ip,
                                             const std::string& version, const runtime::HostFacts& host) {
  agent::KubeletSettings settings;
  agent::AgentConfig& agent = settings.agent;
  agent.root_dir = options.kubelet_root;
  agent.local_volumes_dir = options.local_volumes.empty() ? options.root + "/local-volumes" : options.local_volumes;
  agent.container_logs_dir = options.container_logs;
  agent.node_name = options.node_name;
  agent.host_ip = node_ip;
  agent.masked_paths = runtime::default_masked_paths(host);
  agent.read_only_paths = runtime::default_read_only_paths();
  agent.cgroup_root = options.cgroup_root;
  // On the nodes of a cluster one manifest may be there many times.
  if (!options.kubeconfig.empty()) agent.name_suffix = "-" + options.node_name;
  // As gantry-control has it; gantryd itself answers for it.
  if (!options.kubeconfig.empty() && options.dns) agent.cluster_domain = "cluster.local";
  agent::NodeConfig& node = settings.node;
  node.name = options.node_name;
  node.addresses = {node_ip};
  node.version = version;
  node.root_dir = options.kubelet_root;
  node.local_volumes_dir = agent.local_volumes_dir;
  return settings;
}

void apply_options(const GantrydOptions& options, agent::ServerConfig& server) {
  if (options.node_api_address) server.address = *options.node_api_address;
  if (options.node_api_port == 0) server.is_on = false;
  if (options.node_api_port.value_or(0) != 0) server.port = *options.node_api_port;
  if (!options.client_ca_file.empty()) server.client_ca_file = options.client_ca_file;
  if (!options.tls_cert_file.empty()) {
    server.certificate_file = options.tls_cert_file;
    server.key_file = options.tls_key_file;
  }
}

Status apply_options(const GantrydOptions& options, agent::AgentConfig& agent) {
  if (options.cgroup_driver) agent.cgroup_driver = *options.cgroup_driver;
  if (options.manifest_dir) agent.manifest_dir = *options.manifest_dir;
  if (options.pod_logs) agent.pod_logs_dir = *options.pod_logs;
  agent::ImageGcLimits& images = agent.image_gc;
  images.high_percent = options.image_gc_high_percent.value_or(images.high_percent);
  images.low_percent = options.image_gc_low_percent.value_or(images.low_percent);
  images.min_age = options.image_gc_min_age.value_or(images.min_age);
  images.max_age = options.image_gc_max_age.value_or(images.max_age);
  if (images.low_percent < images.high_percent) return {};
  return invalid_argument(cat("--image-gc-low-threshold ", images.low_percent,
                              ": give less than --image-gc-high-threshold, which is ", images.high_percent));
}

std::string own_socket(const GantrydOptions& options) { return Layout(options.run, options.root).socket(); }

}  // namespace

Status take_runtime_settings(GantrydOptions* options) {
  agent::KubeletSettings settings;
  if (options->agent) {
    auto said = agent::read_kubelet_config(options->kubelet_config, options->kubelet_config_dir, &settings);
    if (!said) return fail_with(std::move(said.error()), "the kubelet's configuration");
  }
  if (!options->cgroup_driver) options->cgroup_driver = settings.agent.cgroup_driver;
  if (options->runtime_endpoint.empty()) options->runtime_endpoint = std::move(settings.runtime_endpoint);
  if (options->image_endpoint.empty()) options->image_endpoint = std::move(settings.image_endpoint);
  const std::string own = own_socket(*options);
  // /var/run is /run.
  const auto is_own = [&own](std::string_view path) {
    if (path.starts_with("/var/run/")) path.remove_prefix(4);
    return path == own;
  };
  if (is_own(options->runtime_endpoint)) options->runtime_endpoint.clear();
  if (is_own(options->image_endpoint)) options->image_endpoint.clear();
  if (options->runtime_endpoint.empty() && !options->image_endpoint.empty()) {
    return invalid_argument(cat("imageServiceEndpoint ", options->image_endpoint,
                                ": another's images go with another's runtime, in containerRuntimeEndpoint"));
  }
  if (options->cgroup_driver == cgroups::DriverKind::kSystemd && options->systemd_scope.empty()) {
    options->systemd_scope = "gantry-pods.scope";
  }
  return {};
}

Result<KubeletSettingsInForce> read_kubelet_settings(const GantrydOptions& options, const std::string& node_ip,
                                                     const std::string& version, const runtime::HostFacts& host) {
  KubeletSettingsInForce out{.settings = settings_of_this_node(options, node_ip, version, host), .document = {}};
  auto said = agent::read_kubelet_config(options.kubelet_config, options.kubelet_config_dir, &out.settings);
  if (!said) return fail_with(std::move(said.error()), "the kubelet's configuration");
  for (const auto& field : said->ignored) {
    log::warning("a field of the kubelet's configuration has no effect here", {{"field", field}});
  }
  if (auto applied = apply_options(options, out.settings.agent); !applied) {
    return std::unexpected(std::move(applied.error()));
  }
  apply_options(options, out.settings.server);
  out.settings.runtime_endpoint = options.runtime_endpoint.empty() ? own_socket(options) : options.runtime_endpoint;
  out.settings.image_endpoint = options.image_endpoint;
  out.settings.node.port = out.settings.server.served_port();
  out.document = api::write_json(agent::effective_config(*said, out.settings));
  return out;
}

}  // namespace gantry::cli
