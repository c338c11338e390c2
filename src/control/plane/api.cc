// SPDX-License-Identifier: Apache-2.0
#include "control/plane/api.h"

#include "base/text.h"
#include "control/admission/service_repair.h"
#include "control/audit/audit_log.h"
#include "control/bootstrap/security.h"
#include "control/bootstrap/system_objects.h"
#include "control/plane/serving.h"
#include "control/resource_metrics/resource_metrics.h"
#include "control/server/actions/pod_binding.h"
#include "control/server/actions/pod_eviction.h"
#include "http/tls.h"
#include "sys/given_files.h"

namespace gantry::control {

namespace {

// All that is stored is read once before the first answer.
constexpr Duration kReadTime = std::chrono::minutes(5);

// What services have of addresses and ports.
struct Services {
  Services(const Ground& ground, bool is_alone)
      : view(ground.kinds, ground.caches, *ground.store), repair(view, wall_clock, is_alone) {}
  ClusterView view;
  ServiceRepair repair;
};

Task<Status> prepare(Loop& home, Ground& ground, Security& security, ServiceRepair& repair) {
  if (Status made = co_await make_system_objects(home, ground.objects, wall_clock); !made) co_return made;
  if (Status ready = co_await ground.caches.wait_ready(home, kReadTime); !ready) co_return ready;
  co_await security.ready();
  co_return co_await repair.start(home);
}

Result<std::shared_ptr<Connector>> make_connector(Ground& ground, std::shared_ptr<http::TlsClient> to_nodes) {
  Result<std::shared_ptr<http::TlsClient>> to_pods = http::TlsClient::make({.verify = false});
  if (!to_pods) return std::unexpected(std::move(to_pods.error()));
  return std::make_shared<Connector>(ground.objects, ground.caches, std::move(to_nodes), *to_pods);
}

// Null without a path.
struct Audit {
  std::unique_ptr<AuditFile> file;
  std::unique_ptr<AuditLog> log;
};
Result<Audit> make_audit(const PlaneOptions& options) {
  Audit audit;
  if (options.audit.path.empty()) return audit;
  AuditPolicy policy = AuditPolicy::standard();
  if (!options.audit_policy_file.empty()) {
    constexpr std::size_t kMaxPolicy = 1 << 20;
    Result<std::string> text = sys::read_given(options.audit_policy_file, kMaxPolicy);
    if (!text) return fail_with(std::move(text.error()), "--audit-policy-file");
    Result<AuditPolicy> parsed = AuditPolicy::parse(*text);
    if (!parsed) return fail_with(std::move(parsed.error()), cat("--audit-policy-file ", options.audit_policy_file));
    policy = std::move(*parsed);
  }
  Result<std::unique_ptr<AuditFile>> file = AuditFile::open(options.audit);
  if (!file) return fail_with(std::move(file.error()), "--audit-log-path");
  audit.file = std::move(*file);
  audit.log = std::make_unique<AuditLog>(std::move(policy), *audit.file, wall_clock);
  return audit;
}

}  // namespace

struct Api::Impl {
  Impl(Ground& ground, const PlaneOptions& options, std::unique_ptr<Security> made,
       std::unique_ptr<Services> made_services, std::shared_ptr<Connector> connector,
       std::shared_ptr<http::TlsClient> to_nodes, Audit made_audit)
      : security(std::move(made)),
        services(std::move(made_services)),
        audit(std::move(made_audit)),
        writer(ground.objects, security->admission(), wall_clock),
        binding(ground.kinds, writer, wall_clock),
        eviction(ground.objects, ground.caches, writer, wall_clock),
        flow(options.flow),
        usage(ground.kinds, ground.caches, std::move(to_nodes), wall_clock, {.resolution = options.metric_resolution},
              &ground.metrics),
        health(*ground.store, ground.caches),
        server({.kinds = ground.kinds,
                .store = *ground.store,
                .caches = ground.caches,
                .admission = security->admission(),
                .authenticators = security->authenticators(),
                .authorizers = security->authorizers(),
                .actions = actions(),
                .connector = std::move(connector),
                .now = wall_clock,
                .version = {.git_version = options.version},
                .pages = security->pages(public_url(options)),
                .sources = usage.sources(),
                .flow = &flow,
                .auditor = audit.log.get(),
                .health = &health,
                .metrics = &ground.metrics}) {
    ground.metrics.add_source([this](metrics::Page* page) { flow.write_metrics(page); });
    if (audit.log != nullptr)
      ground.metrics.add_source([this](metrics::Page* page) { audit.log->write_metrics(page); });
  }

  Actions actions() {
    Actions all = security->actions();
    all.insert({{"bindings", &binding}, {"pods/binding", &binding}, {"pods/eviction", &eviction}});
    return all;
  }

  std::unique_ptr<Security> security;
  std::unique_ptr<Services> services;
  Audit audit;
  ResourceWriter writer;
  PodBinding binding;
  PodEviction eviction;
  FlowControl flow;
  ResourceMetrics usage;
  Health health;
  ApiServer server;
};

Api::Api(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Api::~Api() = default;
ApiServer& Api::server() { return impl_->server; }
Status Api::replace_token_keys(const ClusterIdentity& identity) {
  return impl_->security->replace_token_keys(identity.token_key, identity.token_verifiers);
}
Health& Api::health() { return impl_->health; }

Result<std::unique_ptr<Api>> Api::make(Loop& home, Ground& ground, const PlaneOptions& options,
                                       std::shared_ptr<http::TlsClient> to_nodes) {
  auto security = Security::make({home, ground.kinds, *ground.store, ground.caches, ground.identity.token_key,
                                  wall_clock, ground.identity.token_verifiers});
  if (!security) return std::unexpected(std::move(security.error()));
  auto services = std::make_unique<Services>(ground, options.store.etcd_endpoints.empty());
  if (Status prepared = run_to_end(home, prepare(home, ground, **security, services->repair)); !prepared) {
    return std::unexpected(std::move(prepared.error()));
  }
  Result<std::shared_ptr<Connector>> connector = make_connector(ground, to_nodes);
  if (!connector) return std::unexpected(std::move(connector.error()));
  Result<Audit> audit = make_audit(options);
  if (!audit) return std::unexpected(std::move(audit.error()));
  home.spawn(services->repair.keep(home));
  return std::unique_ptr<Api>(new Api(std::make_unique<Impl>(ground, options, std::move(*security), std::move(services),
                                                             std::move(*connector), std::move(to_nodes),
                                                             std::move(*audit))));
}

}  // namespace gantry::control
