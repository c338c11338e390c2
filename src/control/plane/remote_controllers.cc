// SPDX-License-Identifier: Apache-2.0
#include "control/plane/remote_controllers.h"

#include "api/client/kubeconfig.h"
#include "api/client/remote_transport.h"
#include "api/kinds/all.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "control/controllers/manager.h"
#include "control/identity/cluster_identity.h"
#include "control/plane/controllers.h"
#include "control/plane/ground.h"
#include "control/scheduler/scheduler_metrics.h"
#include "http/listen.h"
#include "http/server.h"

namespace gantry::control {

namespace {

constexpr http::Limits kLimits{.max_header_bytes = 8 << 10, .max_body_bytes = 0, .max_connections = 64};

// Those of the server's own, which no node may have.
AlternativeNames names_of(const std::string& host) {
  AlternativeNames names;
  (api::parse_ip(host) ? names.ips : names.dns).push_back(host);
  return names;
}

Result<ManagerOptions> manager_options(const PlaneOptions& options, const api::Kubeconfig& config) {
  const std::vector<std::string> names = host_names();
  Result<std::string> which = random_hex(8);
  if (!which) return std::unexpected(std::move(which.error()));
  Result<api::ServerAddress> server = api::parse_server(config.server);
  if (!server) return std::unexpected(std::move(server.error()));
  return ManagerOptions{.bootstrap = {},
                        .root_ca = config.tls.ca_pem,
                        .chain = {},
                        .authority = std::nullopt,
                        .own_names = names_of(server->host),
                        .identity = cat(names.empty() ? "" : names.front(), "_", *which),
                        .cluster_networks = options.cluster_networks,
                        .now = wall_clock,
                        .controllers = options.controllers,
                        .bootstrapped = {}};
}

http::Response answer(const metrics::Registry& registry, const http::Request& request) {
  const std::string_view path = request.path();
  const bool is_health = path == "/healthz" || path == "/livez" || path == "/readyz";
  if (!is_health && path != "/metrics") return http::text_response(404, "404 page not found");
  if (request.method != "GET" && request.method != "HEAD") return http::text_response(405, "405: Method Not Allowed");
  if (is_health) return http::text_response(200, "ok");
  return {.headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
          .body = registry.text(),
          .shared_body = nullptr};
}

Task<> await_stop(Loop& home, Watch& watch) {
  (void)co_await watch.readable();
  home.stop();
}

}  // namespace

Status run_remote_controllers(const PlaneOptions& options, FdRef stop) {
  Loop home;
  Watch watch(home, stop);
  home.spawn(await_stop(home, watch));
  Result<api::Kubeconfig> config = api::read_kubeconfig(options.kubeconfig);
  if (!config) return std::unexpected(std::move(config.error()));
  // What is wrong with it is said now, and not by each controller.
  if (auto tried = api::RemoteTransport::make(home, *config); !tried) {
    return fail_with(std::move(tried.error()), options.kubeconfig);
  }
  Result<http::Listener> listener = http::listen_tcp(options.health_listen.host, options.health_listen.port);
  if (!listener) return fail_with(std::move(listener.error()), "--health-listen");
  Result<ManagerOptions> manager = manager_options(options, *config);
  if (!manager) return std::unexpected(std::move(manager.error()));

  metrics::Registry registry;
  registry.add_source(metrics::write_process_metrics);
  add_build_info(registry, options.version);
  api::QueueMetrics queues(registry);
  manager->queues = &queues;
  std::optional<scheduling::SchedulerMetrics> scheduler;
  if (options.with_scheduler) scheduler.emplace(registry);
  manager->more = more_controllers(scheduler ? &*scheduler : nullptr, options.autoscaling);
  const api::Kinds kinds(api::all_kinds());
  const auto transport_of = [&config](Loop& here, const std::string&) -> std::unique_ptr<api::Transport> {
    return std::move(*api::RemoteTransport::make(here, *config));
  };
  ControllerManager controllers({.bootstrap = nullptr, .of = transport_of}, kinds, std::move(*manager));
  http::Server pages(
      home,
      [&registry](http::Request request) -> Task<http::Reply> {
        http::Reply reply;
        reply.response = answer(registry, request);
        co_return reply;
      },
      kLimits);
  log::info("the controllers are another API server's",
            {{"server", config->server},
             {"health", cat("http://", listener->host, ":", listener->port, "/healthz")}});
  pages.serve(std::move(listener->socket));
  home.run();
  return {};
}

}  // namespace gantry::control
