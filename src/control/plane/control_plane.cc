// SPDX-License-Identifier: Apache-2.0
#include "control/plane/control_plane.h"

#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "control/controllers/manager.h"
#include "control/plane/api.h"
#include "control/plane/controllers.h"
#include "control/plane/ground.h"
#include "control/plane/identity_keeper.h"
#include "control/plane/server_leases.h"
#include "control/plane/serving.h"
#include "control/scheduler/scheduler_metrics.h"
#include "control/server/local_transport.h"

namespace gantry::control {

namespace {

constexpr int kBacklog = 1024;
// What is under way when this is told to end.
constexpr Duration kDrainTime = std::chrono::seconds(10);

// "HOST:PORT"; empty when none is configured.
std::string endpoint_of(const PlaneOptions& options) {
  const std::string& host = options.endpoint.host;
  if (host.empty()) return {};
  const bool is_v6 = host.contains(':');
  return cat(is_v6 ? "[" : "", host, is_v6 ? "]:" : ":",
             options.endpoint.port != 0 ? options.endpoint.port : options.listen.port);
}

Result<ManagerOptions> manager_options(const PlaneOptions& options, const Ground& ground, std::uint16_t port) {
  const std::vector<std::string> names = host_names();
  // Of several over one etcd each is another. A file has one at a time, which knows the lease of its dead forerunner as
  // its own and need not wait for its end.
  Result<std::string> which = options.store.etcd_endpoints.empty() ? std::string("alone") : random_hex(8);
  if (!which) return std::unexpected(std::move(which.error()));
  Result<Certificate> serving = read_certificate(ground.identity.serving.certificate_pem);
  if (!serving) return std::unexpected(std::move(serving.error()));
  return ManagerOptions{.bootstrap = {.service_networks = options.service_networks,
                                      .advertise_address = advertised_address(options),
                                      .port = port,
                                      .root_ca = ground.identity.trusted_pem,
                                      .endpoint = endpoint_of(options)},
                        .root_ca = ground.identity.trusted_pem,
                        .chain = ground.identity.chain_pem,
                        .authority = ground.identity.authority,
                        .own_names = std::move(serving->names),
                        .identity = cat(names.empty() ? "" : names.front(), "_", *which),
                        .cluster_networks = options.cluster_networks,
                        .now = wall_clock,
                        .controllers = options.controllers,
                        .bootstrapped = {}};
}

// Ends the loop, and says so, when there is something to read.
Task<> await_stop(Loop& home, Watch& watch, Event& stopping) {
  (void)co_await watch.readable();
  stopping.set();
  home.stop();
}

// Nobody is sent here any more, then nobody is let in, and who is in gets his answer.
Task<Status> end_serving(Loop& home, Duration delay, http::Listener& listener, Serving& serving) {
  if (delay > Duration::zero()) co_await home.sleep_for(delay);
  listener.socket.close();
  co_await serving.drain(home, kDrainTime);
  co_return Status();
}

}  // namespace

Status run_control_plane(const PlaneOptions& options, FdRef stop) {
  Loop home;
  Event stopping(home);
  Watch watch(home, stop);
  home.spawn(await_stop(home, watch, stopping));
  Result<std::unique_ptr<Ground>> ground = make_ground(home, options, stopping);
  if (!ground && stopping.is_set()) return {};
  if (!ground) return std::unexpected(std::move(ground.error()));
  Result<std::shared_ptr<http::TlsServer>> tls = http::TlsServer::make((*ground)->identity.tls());
  if (!tls) return std::unexpected(std::move(tls.error()));
  Result<std::shared_ptr<http::TlsClient>> to_nodes = http::TlsClient::make((*ground)->identity.tls_to_nodes());
  if (!to_nodes) return std::unexpected(std::move(to_nodes.error()));
  Result<std::unique_ptr<Api>> api = Api::make(home, **ground, options, *to_nodes);
  if (!api) return std::unexpected(std::move(api.error()));
  Result<http::Listener> listener = http::listen_tcp(options.listen.host, options.listen.port, kBacklog);
  if (!listener) return std::unexpected(std::move(listener.error()));

  // The controllers ask as other users do; nobody else is answered until what every cluster has is there.
  LocalTransport everything((*api)->server(), User{.name = "system:apiserver", .groups = {std::string(kMastersGroup)}});
  const auto transport_of = [&server = (*api)->server()](Loop&, const std::string& account) {
    return std::make_unique<LocalTransport>(server, controller_user(account));
  };
  Result<ManagerOptions> manager = manager_options(options, **ground, listener->port);
  if (!manager) return std::unexpected(std::move(manager.error()));
  std::optional<ServerLeases> servers;
  if (!options.store.etcd_endpoints.empty() && !manager->bootstrap.advertise_address.empty()) {
    servers.emplace(*(*ground)->store, manager->bootstrap.advertise_address);
    manager->servers = &*servers;
  }
  api::QueueMetrics queues((*ground)->metrics);
  manager->queues = &queues;
  std::optional<scheduling::SchedulerMetrics> scheduler;
  if (options.with_scheduler) scheduler.emplace((*ground)->metrics);
  manager->more = more_controllers(scheduler ? &*scheduler : nullptr, options.autoscaling);
  manager->bootstrapped = [&home] { home.post([&home] { home.stop(); }); };
  ControllerManager controllers({.bootstrap = &everything, .of = transport_of}, (*ground)->kinds, std::move(*manager));
  if (!stopping.is_set()) home.run();
  if (stopping.is_set()) return {};

  const std::string url = url_of(*listener);
  if (Status written = write_admin_kubeconfig(options.data_dir, admin_kubeconfig((*ground)->identity, url)); !written) {
    return written;
  }
  (*api)->health().set_bootstrapped();
  Result<std::unique_ptr<Serving>> serving = Serving::start((*api)->server(), *listener, *tls);
  if (!serving) return std::unexpected(std::move(serving.error()));
  log::info("serving the API", {{"url", url}, {"kubeconfig", options.data_dir + "/admin.kubeconfig"}});
  log::info("nodes join with a token",
            {{"token", cat("gantry-control token create --print-join-command --data-dir ", options.data_dir)}});
  if ((*ground)->encrypted != nullptr) home.spawn(renew_encryption(home, *(*ground)->encrypted));
  Pool disk(home, 1);
  const auto use = [&](const ClusterIdentity& identity) {
    Status done = (*tls)->replace(identity.tls());
    if (done) done = (*to_nodes)->replace(identity.tls_to_nodes());
    if (done) done = (*api)->replace_token_keys(identity);
    if (done) controllers.replace(identity.trusted_pem, identity.authority, identity.chain_pem);
    return done;
  };
  const auto write = [&options, &url](const ClusterIdentity& identity) {
    return write_admin_kubeconfig(options.data_dir, admin_kubeconfig(identity, url));
  };
  home.spawn(keep_identity(home, disk, identity_options(options), (*ground)->identity, use, write));
  home.run();
  (*api)->health().set_stopping();
  return run_to_end(home, end_serving(home, options.shutdown_delay, *listener, **serving));
}

}  // namespace gantry::control
