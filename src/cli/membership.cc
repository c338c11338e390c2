// SPDX-License-Identifier: Apache-2.0
#include "cli/membership.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"

namespace gantry::cli {
namespace {

// The folder of the node's certificates: where `gantry join`, or kubelet, has put the one that the kubeconfig names.
std::string certificate_folder(const GantrydOptions& options, const api::Kubeconfig& kubeconfig) {
  const std::filesystem::path named = kubeconfig.certificate_file;
  if (named.filename() == "kubelet-client-current.pem") return named.parent_path();
  return options.kubelet_root + "/pki";
}

}  // namespace

Result<std::unique_ptr<Membership>> Membership::open(Parts parts) {
  auto kubeconfig = api::read_kubeconfig(parts.options.kubeconfig);
  if (!kubeconfig) return fail_with(std::move(kubeconfig.error()), "the cluster's kubeconfig");
  auto cluster = agent::Cluster::open(parts.loop, *kubeconfig, parts.options.node_name);
  if (!cluster) return fail_with(std::move(cluster.error()), "the cluster's kubeconfig");
  std::unique_ptr<Membership> member(new Membership(parts));
  Membership& self = *member;
  self.ca_ = kubeconfig->tls.ca_pem;
  self.cluster_ = std::move(*cluster);
  const agent::NodeConfig& config = parts.settings.node;
  self.reporter_ = std::make_unique<agent::NodeReporter>(
      *self.cluster_, parts.runtime, parts.runtime, parts.disk, config,
      [&self] { return self.agent_ != nullptr ? self.agent_->pressures() : agent::NodePressures(); },
      [&self] { return self.agent_ != nullptr && self.agent_->is_shutting_down(); });
  self.lease_ = std::make_unique<agent::NodeLease>(*self.cluster_, config.lease_seconds);
  self.local_volumes_ =
      std::make_unique<agent::LocalVolumes>(*self.cluster_, config.local_volumes_dir, config.root_dir + "/pods");
  if (!parts.options.pod_cidr) {
    self.pod_cidrs_ = std::make_unique<agent::PodCidrTeller>(*self.cluster_, parts.runtime, [&self] {
      self.reporter_->look_soon();
      if (self.agent_ != nullptr) self.agent_->look_again();
      if (self.range_taken_) self.range_taken_();
    });
    self.pod_cidrs_->on_in_the_way([&self](std::vector<api::IpNetwork> ranges) {
      if (self.agent_ != nullptr) self.agent_->keep_pods_in(std::move(ranges));
    });
  }
  self.keep_certificates(*kubeconfig);
  return member;
}

// The client's is renewed when the kubeconfig is `gantry join`'s or kubelet's, which name the file that is replaced.
void Membership::keep_certificates(const api::Kubeconfig& kubeconfig) {
  const std::string folder = certificate_folder(parts_.options, kubeconfig);
  const agent::ServerConfig& server = parts_.settings.server;
  if (server.renews_certificate) keep_client_certificate(kubeconfig, folder);
  if (server.served_port() != 0 && server.certificate_file.empty() && server.asks_for_certificate) {
    keep_serving_certificate(folder);
  }
}

void Membership::keep_client_certificate(const api::Kubeconfig& kubeconfig, const std::string& folder) {
  const agent::CertificateStore store(folder, "kubelet-client");
  auto current = store.current();
  if (!current || !*current || (*current)->certificate_pem != kubeconfig.tls.certificate_pem) return;
  agent::Cluster& cluster = *cluster_;
  agent::CertificateKeeper::Options options{.signer = agent::kNodeClientSigner, .store = store};
  options.names = [&cluster] { return agent::node_names(cluster.node_name()); };
  options.changed = [&cluster, kubeconfig](const agent::StoredCertificate& stored) {
    api::Kubeconfig renewed = kubeconfig;
    renewed.tls.certificate_pem = stored.certificate_pem;
    renewed.tls.key_pem = stored.key_pem;
    if (Status used = cluster.replace_credentials(renewed); !used) {
      log::error("the node's new certificate can't be used", {{"error", used.error()}});
    }
  };
  options.asks_first = false;
  client_certificate_ = std::make_unique<agent::CertificateKeeper>(cluster, parts_.disk, std::move(options));
}

void Membership::keep_serving_certificate(const std::string& folder) {
  agent::Cluster& cluster = *cluster_;
  agent::CertificateKeeper::Options options{.signer = agent::kNodeServingSigner,
                                            .store = agent::CertificateStore(folder, "kubelet-server")};
  options.names = [&cluster] { return agent::serving_names(cluster); };
  options.changed = [&api = node_api_](const agent::StoredCertificate& stored) {
    if (api.tls == nullptr) return;
    api.tls_options.certificate_pem = stored.certificate_pem;
    api.tls_options.key_pem = stored.key_pem;
    if (Status used = api.tls->replace(api.tls_options); !used) {
      log::error("the node's new serving certificate can't be used", {{"error", used.error()}});
    }
  };
  serving_certificate_ = std::make_unique<agent::CertificateKeeper>(cluster, parts_.disk, std::move(options));
  cluster.node().on_change([&keeper = *serving_certificate_](const api::Informer::Change& change) {
    if (change.before == nullptr) keeper.look_again();
  });
}

Status Membership::serve_node_api() {
  if (parts_.settings.server.served_port() == 0) return {};
  agent::NodeApiSources sources{.runtime = parts_.runtime,
                                .images = parts_.runtime,
                                .pods = [&agent = *agent_] { return agent.pods(); },
                                .probes = [&agent = *agent_] { return agent.probe_counts(); },
                                .observe = [&agent = *agent_](auto take) { agent.observe(std::move(take)); },
                                .configuration = [&text = parts_.configuration] { return text; },
                                .operations = [&runtime = parts_.runtime, more = more_metrics_] {
                                  return runtime.text() + (more ? more() : std::string());
                                }};
  auto server = start_node_api(parts_.loop, parts_.settings, ca_, *cluster_, std::move(sources), parts_.kept);
  if (!server) return fail_with(std::move(server.error()), "the node API");
  node_api_ = std::move(*server);
  const agent::ServerConfig& config = parts_.settings.server;
  if (!config.certificate_file.empty()) {
    parts_.loop.spawn(follow_certificate_files(parts_.loop, parts_.disk, config.certificate_file, config.key_file,
                                               node_api_));
  }
  return {};
}

// In kubelet's words.
void Membership::watch_oom() {
  auto watcher = agent::OomWatcher::open(parts_.loop, [&events = cluster_->events()](const agent::OomVictim& victim) {
    events.record_node(agent::EventType::kWarning, "SystemOOM",
                       cat("System OOM encountered, victim process: ", victim.process, ", pid: ", victim.pid));
  });
  if (watcher) {
    oom_ = std::move(*watcher);
  } else {
    log::info("no event tells when this machine is out of memory", {{"error", watcher.error()}});
  }
}

Status Membership::start(agent::Agent& agent) {
  agent_ = &agent;
  if (auto served = serve_node_api(); !served) return served;
  agent.on_pressures([&reporter = *reporter_] { reporter.look_soon(); });
  agent.on_shutdown([&reporter = *reporter_] { reporter.look_soon(); });
  cluster_->start();
  reporter_->start();
  lease_->start();
  if (pod_cidrs_) pod_cidrs_->start();
  watch_oom();
  if (client_certificate_) client_certificate_->start();
  if (serving_certificate_) serving_certificate_->start();
  return {};
}

void Membership::stop() {
  node_api_.api.reset();
  if (client_certificate_) client_certificate_->stop();
  if (serving_certificate_) serving_certificate_->stop();
  if (pod_cidrs_) pod_cidrs_->stop();
  oom_.reset();
  lease_->stop();
  reporter_->stop();
  local_volumes_->stop();
  cluster_->stop();
}

}  // namespace gantry::cli
