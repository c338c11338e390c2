// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/manager.h"

#include <algorithm>
#include <future>
#include <map>
#include <span>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "control/controllers/bootstrap_tokens.h"
#include "control/controllers/certificate_controllers.h"
#include "control/controllers/controller.h"
#include "control/controllers/fenced_transport.h"
#include "control/controllers/ephemeral_volumes.h"
#include "control/controllers/finished_jobs.h"
#include "control/controllers/garbage_collector.h"
#include "control/controllers/leader_election.h"
#include "control/controllers/local_volumes.h"
#include "control/controllers/namespace_controller.h"
#include "control/controllers/namespace_objects.h"
#include "control/controllers/node_ipam.h"
#include "control/controllers/node_lifecycle.h"
#include "control/controllers/node_ttl.h"
#include "control/controllers/pod_gc.h"
#include "control/controllers/quota_controller.h"
#include "control/controllers/role_aggregation.h"
#include "control/controllers/taint_eviction.h"
#include "control/controllers/token_secrets.h"
#include "control/controllers/volume_binder.h"
#include "control/controllers/volume_protection.h"

namespace gantry::control {

namespace {

constexpr char kProgram[] = "gantry-control";
// Upstream has none like it.
constexpr char kLocalVolumeProvisionerName[] = "local-volume-provisioner-controller";
constexpr Duration kPause = std::chrono::milliseconds(200);
constexpr Duration kLongestPause = std::chrono::seconds(5);

Duration steady_clock() { return std::chrono::steady_clock::now().time_since_epoch(); }

// A service account, and the client through which it asks while the lease is held.
struct Asker {
  Asker(Loop& here, std::unique_ptr<api::Transport> made, const api::Kinds& kinds, const LeaderElection& election)
      : transport(std::move(made)),
        fence(here, *transport, [&election] { return election.is_held(); }),
        client(here, fence, kinds, kProgram) {}

  const std::unique_ptr<api::Transport> transport;
  FencedTransport fence;
  api::Client client;
};

struct Term;

struct OwnController {
  std::string_view name;
  const char* account;
  void (*add)(Term& term, const char* account);
};
std::span<const OwnController> own_controllers();

// What works while a lease is held, once. What there is it learns as `account`.
struct Term {
  Term(Loop& here, const ManagerTransports& transports, const api::Kinds& kinds, const ManagerOptions& options,
       const std::string& lease, const std::string& account, const LeaderElection& election)
      : here(here),
        transports(transports),
        kinds(kinds),
        options(options),
        election(election),
        informers(asker(account).client) {
    for (const OwnController& own : own_controllers()) {
      if (lease == kControllersLease && options.controllers.has(own.name)) own.add(*this, own.account);
    }
    for (const MoreController& more : options.more) {
      const bool works = more.lease == lease && (more.name.empty() || options.controllers.has(more.name));
      if (works) controllers.push_back(more.make(parts_of(more.account)));
    }
  }

  Asker& asker(const std::string& account) {
    std::unique_ptr<Asker>& slot = askers[account];
    if (slot == nullptr) slot = std::make_unique<Asker>(here, transports.of(here, account), kinds, election);
    return *slot;
  }
  ControllerParts parts_of(const std::string& account) {
    return {here, asker(account).client, informers, options.now, options.queues};
  }
  template <typename C, typename... More>
  C& add(const std::string& account, More... more) {
    auto made = std::make_unique<C>(parts_of(account), std::move(more)...);
    C& controller = *made;
    controllers.push_back(std::move(made));
    return controller;
  }
  void close() {
    for (const auto& [account, one] : askers) one->fence.close();
  }
  // The informers' memory is given back; what still runs finds nothing, and may ask nothing.
  void stop() {
    close();
    for (const auto& controller : controllers) controller->stop();
    informers.stop_all();
  }

  Loop& here;
  const ManagerTransports& transports;
  const api::Kinds& kinds;
  const ManagerOptions& options;
  const LeaderElection& election;
  std::map<std::string, std::unique_ptr<Asker>> askers;
  api::Informers informers;
  std::vector<std::unique_ptr<Controller>> controllers;
  CertificateSigner* signer = nullptr;
  RootCaController* root_ca = nullptr;
  TokenSecrets* token_secrets = nullptr;
};

template <typename C>
void add_plain(Term& term, const char* account) {
  term.add<C>(account);
}

constexpr OwnController kOwnControllers[] = {
    {"namespace-controller", "namespace-controller", add_plain<NamespaceController>},
    {"garbage-collector-controller", "generic-garbage-collector", add_plain<GarbageCollector>},
    {"serviceaccount-controller", "service-account-controller", add_plain<ServiceAccountController>},
    {"serviceaccount-token-controller", "",
     [](Term& term, const char* account) {
       term.token_secrets = &term.add<TokenSecrets>(account, term.options.root_ca);
     }},
    {"persistentvolumeclaim-protection-controller", "pvc-protection-controller", add_plain<ClaimProtectionController>},
    {"persistentvolume-protection-controller", "pv-protection-controller", add_plain<VolumeProtectionController>},
    {"resourcequota-controller", "resourcequota-controller", add_plain<QuotaController>},
    {"persistentvolume-binder-controller", "persistent-volume-binder", add_plain<VolumeBinder>},
    {kLocalVolumeProvisionerName, "local-volume-provisioner", add_plain<LocalVolumeProvisioner>},
    {"pod-garbage-collector-controller", "pod-garbage-collector", add_plain<PodGc>},
    {"clusterrole-aggregation-controller", "clusterrole-aggregation-controller", add_plain<RoleAggregation>},
    {"ephemeral-volume-controller", "ephemeral-volume-controller", add_plain<EphemeralVolumes>},
    {"ttl-controller", "ttl-controller", add_plain<NodeTtl>},
    {"ttl-after-finished-controller", "ttl-after-finished-controller", add_plain<FinishedJobs>},
    {"node-ipam-controller", "node-controller",
     [](Term& term, const char* account) {
       const ManagerOptions& options = term.options;
       term.add<NodeIpamController>(
           account, NodeNetworks{options.cluster_networks, options.node_prefix_v4, options.node_prefix_v6});
     }},
    {"node-lifecycle-controller", "node-controller",
     [](Term& term, const char* account) {
       term.add<NodeLifecycleController>(account, NodeLifecycleController::Options{.steady = steady_clock});
     }},
    {"taint-eviction-controller", "node-controller",
     [](Term& term, const char* account) { term.add<TaintEvictionController>(account, steady_clock); }},
    {"certificatesigningrequest-approving-controller", "certificate-controller",
     [](Term& term, const char* account) { term.add<CertificateApprover>(account, term.options.own_names); }},
    {"certificatesigningrequest-signing-controller", "certificate-controller",
     [](Term& term, const char* account) {
       if (!term.options.authority) return;
       term.signer = &term.add<CertificateSigner>(account, *term.options.authority, term.options.chain);
     }},
    {"certificatesigningrequest-cleaner-controller", "certificate-controller", add_plain<CertificateCleaner>},
    {"bootstrap-signer-controller", "bootstrap-signer", add_plain<BootstrapSigner>},
    {"token-cleaner-controller", "token-cleaner", add_plain<TokenCleaner>},
    {"root-ca-certificate-publisher-controller", "root-ca-cert-publisher",
     [](Term& term, const char* account) {
       if (!term.options.root_ca.empty()) term.root_ca = &term.add<RootCaController>(account, term.options.root_ca);
     }},
};

std::span<const OwnController> own_controllers() { return kOwnControllers; }

}  // namespace

std::vector<std::string> own_controller_names() {
  std::vector<std::string> names;
  for (const OwnController& own : own_controllers()) names.emplace_back(own.name);
  return names;
}

namespace {

// One lease, and what works while it is held. One is lost or won without the others.
struct Office {
  Office(Loop& here, const ManagerTransports& transports, const api::Kinds& kinds, const ManagerOptions& options,
         std::string lease, std::string account)
      : lease(std::move(lease)),
        account(std::move(account)),
        transport(transports.of(here, this->account)),
        fence(here, *transport),
        client(here, fence, kinds, kProgram),
        election(client, {.name = this->lease, .identity = options.identity}, options.now),
        released(here) {}

  bool is_of_controllers() const { return lease == kControllersLease; }
  // In the log.
  const char* who() const { return is_of_controllers() ? "controllers" : "scheduler"; }

  const std::string lease;
  const std::string account;  // as whom the lease is asked for
  const std::unique_ptr<api::Transport> transport;
  FencedTransport fence;
  api::Client client;
  LeaderElection election;
  Event released;
  bool is_working = false;  // the last of the terms does
  // The last one works; those before it wait for the end of what they asked.
  std::vector<std::unique_ptr<Term>> terms;
};

}  // namespace

struct ControllerManager::Impl {
  Impl(ManagerTransports t, const api::Kinds& kinds, ManagerOptions o)
      : transports(std::move(t)), kinds(kinds), options(std::move(o)) {
    const auto works = [this](const auto& one) { return !one.name.empty() && options.controllers.has(one.name); };
    if (std::ranges::any_of(own_controllers(), works) || std::ranges::any_of(options.more, works)) {
      open(kControllersLease, "");
    }
    for (const MoreController& more : options.more) {
      if (more.lease == kControllersLease) continue;
      const auto is_its = [&](const auto& office) { return office->lease == more.lease; };
      if (std::ranges::none_of(offices, is_its)) open(more.lease, more.account);
    }
  }
  void open(std::string lease, std::string account) {
    offices.push_back(
        std::make_unique<Office>(loop, transports, kinds, options, std::move(lease), std::move(account)));
  }
  // Null: others' work for this server.
  Office* of_controllers() const {
    const bool is_there = !offices.empty() && offices.front()->is_of_controllers();
    return is_there ? offices.front().get() : nullptr;
  }

  Task<> run();
  Task<> work(Office& office);
  Task<> bootstrap();
  Task<Status> publish();
  Task<Status> publish_now();
  Task<> republish();
  void replace(std::string root_ca, Authority authority, std::string chain);
  Task<> keep_published();
  Task<> end();
  Task<> leave();
  Task<> release(Office& office);

  Loop loop;
  const ManagerTransports transports;
  const api::Kinds& kinds;
  ManagerOptions options;
  Event has_left{loop};
  bool is_ending = false;
  int publishing = 0;       // how often, just now
  Event published{loop};   // set when it ends while this is published
  bool has_begun = false;  // the bootstrap objects are there
  bool is_stale = false;   // what is published is not what is to be: nobody worked when it was replaced
  std::vector<std::unique_ptr<Office>> offices;  // first that of the controllers, if there is one
};

Task<> ControllerManager::Impl::bootstrap() {
  Duration pause = kPause;
  api::Client client(loop, *transports.bootstrap, kinds, kProgram);
  const bool makes_volumes = options.controllers.has(kLocalVolumeProvisionerName);
  for (;;) {
    Status done = co_await make_bootstrap_objects(client, options.bootstrap, options.now);
    if (done && makes_volumes) done = co_await make_storage_class(client);
    if (done) done = co_await publish();
    if (done) break;
    log::warning("the objects that every cluster has could not be made, retrying", {{"error", done.error()}});
    co_await loop.sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
  has_begun = true;
  if (options.bootstrapped) options.bootstrapped();
}

// Which API servers there are, this one among them, and how they are found. Of several, who works says the second, and
// each when it starts; if the controllers are others', each. Not when it ends: leave() has the last word.
Task<Status> ControllerManager::Impl::publish() {
  if (is_ending) co_return Status();
  ++publishing;
  Status done = co_await publish_now();
  if (--publishing == 0 && is_ending) published.set();
  co_return done;
}

Task<Status> ControllerManager::Impl::publish_now() {
  Result<std::vector<std::string>> all = std::vector<std::string>{options.bootstrap.advertise_address};
  if (options.bootstrap.advertise_address.empty()) all->clear();
  if (options.servers != nullptr) all = co_await options.servers->renew(loop);
  if (!all) co_return std::unexpected(std::move(all.error()));
  api::Client client(loop, *transports.bootstrap, kinds, kProgram);
  if (!all->empty()) {
    if (Status done = co_await publish_servers(client, options.bootstrap, *all); !done) co_return done;
  }
  if (const Office* own = of_controllers(); has_begun && own != nullptr && !own->is_working) co_return Status();
  co_return co_await publish_cluster_info(client, options.bootstrap, std::move(*all));
}

Task<> ControllerManager::Impl::republish() {
  for (Duration pause = kPause; !is_ending; pause = std::min(pause * 2, kLongestPause)) {
    const Status done = co_await publish();
    if (done) co_return;
    log::warning("the cluster's CAs could not be published, retrying", {{"error", done.error()}});
    co_await loop.sleep_for(pause);
  }
}

void ControllerManager::Impl::replace(std::string root_ca, Authority authority, std::string chain) {
  options.root_ca = root_ca;
  options.bootstrap.root_ca = root_ca;
  options.chain = chain;
  options.authority = authority;
  const Office* own = of_controllers();
  is_stale = own != nullptr && !own->is_working;
  if (is_stale || is_ending) return;
  if (own != nullptr) {
    const Term& term = *own->terms.back();
    if (term.signer != nullptr) term.signer->sign_with(std::move(authority), std::move(chain));
    if (term.token_secrets != nullptr) term.token_secrets->publish(root_ca);
    if (term.root_ca != nullptr) term.root_ca->publish(std::move(root_ca));
  }
  loop.spawn(republish());
}

Task<> ControllerManager::Impl::keep_published() {
  while (!is_ending) {
    co_await loop.sleep_for(kServerRenewal);
    if (is_ending) co_return;
    if (Status done = co_await publish(); !done) {
      log::warning("this API server could not be published, retrying", {{"error", done.error()}});
    }
  }
}

// Clients need not find out that it is gone. Who is alone stays: he comes back.
Task<> ControllerManager::Impl::leave() {
  if (publishing > 0) co_await published.wait();
  Result<std::vector<std::string>> others = co_await options.servers->leave(loop);
  api::Client client(loop, *transports.bootstrap, kinds, kProgram);
  if (others) (void)co_await publish_servers(client, options.bootstrap, std::move(*others));
  has_left.set();
}

Task<> ControllerManager::Impl::run() {
  if (transports.bootstrap != nullptr) co_await bootstrap();
  if (options.servers != nullptr) loop.spawn(keep_published());
  for (const auto& office : offices) loop.spawn(work(*office));
}

Task<> ControllerManager::Impl::work(Office& office) {
  for (;;) {
    co_await office.election.acquire();
    if (is_ending) co_return;
    log::info(cat("the ", office.who(), office.is_of_controllers() ? " work here" : " works here"),
              {{"identity", options.identity}});
    office.terms.push_back(std::make_unique<Term>(loop, transports, kinds, options, office.lease, office.account,
                                                  office.election));
    Term& term = *office.terms.back();
    term.informers.start_all();
    // What is not known yet is waited for by nobody but the controllers.
    loop.spawn([](Term& started) -> Task<> {
      co_await started.informers.wait_synced();
      for (const auto& controller : started.controllers) controller->start();
    }(term));
    office.is_working = true;
    if (office.is_of_controllers() && std::exchange(is_stale, false)) loop.spawn(republish());
    co_await office.election.hold();
    office.is_working = false;
    term.stop();
    if (is_ending) co_return;
    log::warning(cat("the lease of the ", office.who(), " was lost: ",
                     office.is_of_controllers() ? "they have stopped" : "it has stopped"),
                 {{"identity", options.identity}});
  }
}

// Ends in order: nothing new is asked, the leases are given up, what is under way ends.
Task<> ControllerManager::Impl::end() {
  is_ending = true;
  const Duration until = steady_clock() + options.end_limit;
  const auto left = [until] { return std::max(until - steady_clock(), Duration(std::chrono::milliseconds(1))); };
  if (options.servers != nullptr) loop.spawn(leave());
  for (const auto& office : offices) {
    for (const auto& term : office->terms) term->close();
    if (office->terms.empty()) {
      office->fence.close();
    } else {
      loop.spawn(release(*office));
    }
  }
  for (const auto& office : offices) {
    if (!office->terms.empty()) (void)co_await office->released.wait_for(left());
    office->fence.close();
    for (const auto& term : office->terms) {
      for (const auto& [account, asker] : term->askers) (void)co_await asker->fence.wait_idle(left());
    }
    (void)co_await office->fence.wait_idle(left());
  }
  if (options.servers != nullptr) (void)co_await has_left.wait_for(left());
  loop.stop();
}

Task<> ControllerManager::Impl::release(Office& office) {
  co_await office.election.release();
  office.released.set();
}

ControllerManager::ControllerManager(ManagerTransports transports, const api::Kinds& kinds, ManagerOptions options) {
  std::promise<Impl*> started;
  std::future<Impl*> impl = started.get_future();
  thread_ = std::thread([transports = std::move(transports), &kinds, options = std::move(options),
                         started = std::move(started)]() mutable {
    Impl impl(std::move(transports), kinds, std::move(options));
    impl.loop.post([&impl] { impl.loop.spawn(impl.run()); });
    started.set_value(&impl);
    impl.loop.run();
  });
  impl_ = impl.get();
}

void ControllerManager::replace(std::string root_ca, Authority authority, std::string chain) {
  impl_->loop.post([impl = impl_, root_ca = std::move(root_ca), authority = std::move(authority),
                    chain = std::move(chain)]() mutable {
    impl->replace(std::move(root_ca), std::move(authority), std::move(chain));
  });
}

ControllerManager::~ControllerManager() {
  impl_->loop.post([impl = impl_] { impl->loop.spawn(impl->end()); });
  thread_.join();
}

}  // namespace gantry::control
