// SPDX-License-Identifier: Apache-2.0
#include "cli/gantryd_options.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "base/duration.h"
#include "base/text.h"
#include "cri/remote/remote_runtime.h"
#include "sys/hostname.h"

namespace gantry::cli {
namespace {

// A checker for CLI11: what Result's error says, or nothing.
template <typename Parse>
auto checked(Parse parse) {
  return [parse](const std::string& text) -> std::string {
    auto value = parse(text);
    return value ? "" : value.error().message();
  };
}

Status absolute(const std::string& path) {
  if (path.starts_with('/') && path.find("/../") == std::string::npos && !path.ends_with("/..")) return {};
  return invalid_argument("\"" + path + "\": give an absolute path");
}

std::optional<netns::RouteMode> route_mode(const std::string& name) {
  if (name == "direct") return netns::RouteMode::kDirect;
  if (name == "vxlan") return netns::RouteMode::kVxlan;
  if (name == "auto") return netns::RouteMode::kAuto;
  return std::nullopt;
}

}  // namespace

std::optional<GantrydOptions> parse_gantryd_options(int argc, char** argv, int& exit_code) {
  GantrydOptions options;
  std::string pod_cidr, cluster_cidr, log_level = "info", cgroup_driver, image_min_age, image_max_age,
                                      device_ownership = "security-context", network = "builtin", pod_routes = "auto";
  unsigned cni_limit = 60;
  std::vector<std::string> modules = {"cri", "agent", "proxy", "dns"};
  int registration_seconds = 5, request_seconds = 2;
  CLI::App app("gantryd: the node daemon of Gantry", "gantryd");
  app.add_option("--config", options.config,
                 cat("gantryd.yaml: runtime handlers (default: ", kConfigFile, ", when it is there)"))
      ->check(checked(absolute));
  app.add_option("--root", options.root, "data that outlives a boot: images, database")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--run", options.run, "sockets and records of this boot, on tmpfs")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--cgroup-root", options.cgroup_root, "the cgroup for shims and for pods without a cgroup_parent")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option(
         "--cgroup-driver", cgroup_driver,
         "who makes the cgroups of pods: cgroupfs (gantryd alone) or systemd (a scope for each, in the slice that "
         "cgroup_parent names; --systemd-scope is gantry-pods.scope then, when none is given) (default: cgroupDriver, "
         "else cgroupfs)")
      ->check(CLI::IsMember({"cgroupfs", "systemd"}));
  app.add_option("--systemd-scope", options.systemd_scope,
                 "a scope of systemd in place of --cgroup-root; it is asked for and outlives gantryd")
      ->check(checked([](const std::string& name) -> Status {
        if (name.ends_with(".scope") && name.find('/') == std::string::npos) return {};
        return invalid_argument("\"" + name + "\": give a unit's name that ends in .scope");
      }));
  app.add_option("--pod-cidr", pod_cidr,
                 cat("addresses of this node's pods (default: on a node of a cluster those that its Node has there, "
                     "else those that a CRI client names, else ",
                     kAlonePodCidr, ")"))
      ->check(checked(netns::Cidr::parse));
  app.add_option("--cluster-cidr", cluster_cidr,
                 "addresses of all nodes' pods, which pods reach under their own (default: those of the cluster's "
                 "nodes)")
      ->check(checked(netns::Cidr::parse));
  app.add_option("--pod-routes", pod_routes,
                 "how pods of other nodes are reached, the same on all of them: direct (by their node's address, where "
                 "that is on a link of this one), vxlan, auto (direct, else vxlan) or none (as the host's own routes "
                 "say)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "direct", "vxlan", "none"}));
  app.add_option(
         "--network", network,
         "the pods' network: builtin or cni (the plugins of --cni-config-folder); changed only when no pod runs")
      ->capture_default_str()
      ->check(CLI::IsMember({"builtin", "cni"}));
  app.add_option("--cni-config-folder", options.cni.config_folder, "folder of CNI configurations; the first one counts")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--cni-plugin-folders", options.cni.plugin_folders, "folders of CNI plugins, with commas between them")
      ->delimiter(',')
      ->capture_default_str()
      ->check(checked(absolute))
      ->check(checked([](const std::string& path) -> Status {
        if (path.find(':') == std::string::npos) return {};
        return invalid_argument("\"" + path + "\": CNI_PATH has colons between folders, so that none can have one");
      }));
  app.add_option("--cni-netns-folder", options.cni.netns_folder,
                 "where pods' network namespaces get a name, for CNI plugins and `ip netns`")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--cni-plugin-timeout", cni_limit, "seconds after which a CNI plugin is killed")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  app.add_option("--modules", modules,
                 "what runs: cri, agent, and on a node of a cluster proxy (its Services) and dns (their names)")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember({"cri", "agent", "proxy", "dns"}));
  const auto endpoint = [](std::string& text) {
    auto path = cri::parse_endpoint(text);
    if (!path) return path.error().message();
    text = std::move(*path);
    return std::string();
  };
  auto* runtime_endpoint =
      app.add_option("--runtime-endpoint", options.runtime_endpoint,
                     "unix:///PATH of another CRI runtime: this gantryd is an agent alone, which lives on that; its "
                     "cgroup driver counts, or --cgroup-driver where it does not tell (default: "
                     "containerRuntimeEndpoint, else this one)")
          ->transform(CLI::Validator(endpoint, "unix:///PATH"));
  app.add_option("--image-service-endpoint", options.image_endpoint,
                 "that of its images (default: imageServiceEndpoint, else the same)")
      ->transform(CLI::Validator(endpoint, "unix:///PATH"))
      ->needs(runtime_endpoint);
  app.add_option("--pool-size", options.pool_size, "sandboxes that wait ready-made")
      ->capture_default_str()
      ->check(CLI::Range(0, 64));
  app.add_option("--streaming-address", options.streaming_address, "loopback address for exec sessions")
      ->capture_default_str();
  app.add_option("--streaming-port", options.streaming_port, "its port; 0: any free one")->capture_default_str();
  app.add_flag("--require-controllers", options.require_controllers,
               "refuse containers whose limits this host can't enforce");
  app.add_option("--cdi-folders", options.cdi_folders,
                 "folders of CDI specifications, with commas between them; a later one counts more")
      ->delimiter(',')
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--device-ownership", device_ownership,
                 "whose a container's devices are: run_as_user's (security-context) or as on the host (host)")
      ->capture_default_str()
      ->check(CLI::IsMember({"security-context", "host"}));
  app.add_flag("--restore-images", options.restores_images,
               "restore containers from images that are checkpoints, with the privileges that their processes had: for "
               "nodes on which all who make pods are trusted with root");
  app.add_option("--nri-socket", options.plugins.socket,
                 "where plugins of the Node Resource Interface connect; \"\" for nowhere")
      ->capture_default_str()
      ->check(checked([](const std::string& path) { return path.empty() ? Status() : absolute(path); }));
  app.add_option("--nri-plugins", options.plugins.plugins_folder, "folder of plugins that gantryd starts itself")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--nri-config", options.plugins.config_folder, "folder of their configurations, NAME.conf")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--nri-registration-timeout", registration_seconds, "seconds within which a plugin has to register")
      ->capture_default_str()
      ->check(CLI::Range(1, 600));
  app.add_option("--nri-request-timeout", request_seconds, "seconds within which it has to answer, else it is dropped")
      ->capture_default_str()
      ->check(CLI::Range(1, 600));
  app.add_option("--registries", options.registries,
                 "folder with HOST[:PORT]/hosts.toml of registries, as containerd has it")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--pull-patience", options.pull_patience,
                 "seconds without progress after which a registry is given up")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  app.add_option("--image-credential-provider-config", options.provider_config,
                 "kubelet's CredentialProviderConfig: programs that know registries' passwords (default: "
                 "credential-providers.yaml of --registries, when it is there)")
      ->check(checked(absolute));
  app.add_option("--image-credential-provider-bin-dir", options.provider_folder,
                 "folder of those programs (default: credential-providers of --registries)")
      ->check(checked(absolute));
  app.add_option("--log-level", log_level, "debug, info, warning or error")
      ->capture_default_str()
      ->check(checked(log::parse_level));
  app.add_option("--node-name", options.node_name, "this node's name (default: the hostname)");
  app.add_option("--node-ip", options.node_ip,
                 "the node's address, as pods are told it (default: that of the default route, else the pods' gateway)")
      ->check(checked(netns::IpAddress::parse));
  app.add_option(
         "--kubeconfig", options.kubeconfig,
         "the API server of the cluster that this is a node of, and the node's credentials there (default: "
         "kubeconfig of gantryd.yaml, or the file kubeconfig beside that, which `gantry join` writes; without one it "
         "stands alone)")
      ->check(checked(absolute));
  app.add_option("--node-api-address", options.node_api_address,
                 "the address of the node API, with a kubeconfig (default: address, else 0.0.0.0)")
      ->check(checked(netns::IpAddress::parse));
  app.add_option("--node-api-port", options.node_api_port,
                 "its port (default: port, else 10250); 0: it is not served, as with enableServer: false");
  app.add_option("--client-ca-file", options.client_ca_file,
                 "CAs of the certificates of its clients (default: authentication.x509.clientCAFile, else that of the "
                 "kubeconfig)")
      ->check(checked(absolute));
  auto* certificate =
      app.add_option("--tls-cert-file", options.tls_cert_file,
                     "its certificate and those up to its CA (default: tlsCertFile, else one that the cluster signs)")
          ->check(checked(absolute));
  auto* key =
      app.add_option("--tls-private-key-file", options.tls_key_file, "the key of that")->check(checked(absolute));
  certificate->needs(key);
  key->needs(certificate);
  app.add_option(
         "--kubelet-config", options.kubelet_config,
         "a KubeletConfiguration: how the agent works, alone or in a cluster; fields without an effect here are "
         "logged")
      ->check(checked(absolute));
  app.add_option("--kubelet-config-dir", options.kubelet_config_dir, "folder of *.conf that change it, in their order")
      ->check(checked(absolute));
  app.add_option("--manifest-dir", options.manifest_dir,
                 "folder of pod manifests to run (default: staticPodPath, else /etc/gantry/manifests)")
      ->check(checked(absolute));
  app.add_option("--kubelet-root", options.kubelet_root,
                 "the agent's folder: pods with their volumes, seccomp profiles, config.json of registries")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--local-volumes", options.local_volumes,
                 "folder of the persistent volumes that claims of the class gantry-local get here (default: "
                 "local-volumes in --root)")
      ->check(checked(absolute));
  app.add_option("--pod-logs", options.pod_logs, "folder of the pods' logs (default: podLogsDir, else /var/log/pods)")
      ->check(checked(absolute));
  app.add_option("--container-logs", options.container_logs, "folder of links to them")
      ->capture_default_str()
      ->check(checked(absolute));
  app.add_option("--image-gc-high-threshold", options.image_gc_high_percent,
                 "percent of the images' disk at which unused ones are removed, 100 for never (default: "
                 "imageGCHighThresholdPercent, else 85)")
      ->check(CLI::Range(0, 100));
  app.add_option("--image-gc-low-threshold", options.image_gc_low_percent,
                 "percent to which this is done (default: imageGCLowThresholdPercent, else 80)")
      ->check(CLI::Range(0, 100));
  app.add_option("--minimum-image-ttl-duration", image_min_age,
                 "how long an image stays at least (default: imageMinimumGCAge, else 2m)")
      ->check(checked(parse_duration));
  app.add_option("--maximum-image-ttl-duration", image_max_age,
                 "how long an image that is not used stays (default: imageMaximumGCAge, else 0s: for ever)")
      ->check(checked(parse_duration));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error);
    return std::nullopt;
  }
  if (!cgroup_driver.empty()) {
    options.cgroup_driver = cgroup_driver == "systemd" ? cgroups::DriverKind::kSystemd : cgroups::DriverKind::kCgroupfs;
  }
  options.uses_cni = network == "cni";
  options.cni.limit = std::chrono::seconds(cni_limit);
  options.plugins.registration_limit = std::chrono::seconds(registration_seconds);
  options.plugins.request_limit = std::chrono::seconds(request_seconds);
  options.owns_devices = device_ownership == "security-context";
  // All were checked.
  if (!image_min_age.empty()) options.image_gc_min_age = *parse_duration(image_min_age);
  if (!image_max_age.empty()) options.image_gc_max_age = *parse_duration(image_max_age);
  if (!pod_cidr.empty()) options.pod_cidr = *netns::Cidr::parse(pod_cidr);
  if (!cluster_cidr.empty()) options.cluster_cidr = *netns::Cidr::parse(cluster_cidr);
  options.pod_routes = route_mode(pod_routes);
  options.log_level = *log::parse_level(log_level);
  const auto is_on = [&modules](std::string_view name) { return std::ranges::find(modules, name) != modules.end(); };
  options.agent = is_on("agent");
  options.proxy = is_on("proxy");
  options.dns = is_on("dns");
  if (options.node_name.empty()) options.node_name = sys::hostname();
  if (options.node_name.empty()) options.node_name = "localhost";
  return options;
}

}  // namespace gantry::cli
