// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/node_api.h"

#include "agent/node_api/api_metrics.h"
#include "agent/node_api/logs.h"
#include "agent/node_api/measurer.h"
#include "agent/node_api/pod_lists.h"
#include "agent/node_api/routes.h"
#include "agent/node_api/streams.h"
#include "agent/node_api/summary.h"
#include "api/json.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "http/query.h"
#include "http/server.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;
using Kind = Route::Kind;

constexpr char kJson[] = "application/json";
constexpr char kMetrics[] = "text/plain; version=0.0.4; charset=utf-8";
// A command's words and a script among them are in the query.
constexpr std::size_t kMaxHeader = 128 << 10;
// No request has a body that is read.
constexpr std::size_t kMaxBody = 64 << 10;
// Whoever follows a log may look at it for a while before he goes on reading; kubelet gives him as long.
constexpr auto kResponseTime = std::chrono::hours(4);

http::Reply answer(const char* type, std::string body) {
  http::Reply reply;
  reply.response.headers = {{"Content-Type", type}};
  reply.response.body = std::move(body);
  return reply;
}

http::Reply refuse(int status, std::string_view text) { return {http::text_response(status, text), {}, {}}; }

http::Reply refuse(const Error& error) {
  return refuse(error.is_not_supported() ? 501 : 500, cat("Internal Error: ", error.message()));
}

}  // namespace

struct NodeApi::Impl : std::enable_shared_from_this<Impl> {
  Impl(Loop& loop, NodeApiSources s, NodeApiOptions o)
      : sources(std::move(s)),
        options(std::move(o)),
        gate(sources.tokens, sources.access, options.rules),
        logs(loop, sources.runtime, options.pod_logs_dir),
        streams(loop, sources.runtime),
        measurer(loop, sources.runtime, sources.images, {options.node_name, {options.root_dir, options.pod_logs_dir}}) {}

  Task<http::Reply> handle(http::Request request);
  Task<http::Reply> serve(std::optional<Route> route, http::Request request);
  Task<http::Reply> serve_pod(Route route, http::Query query, http::Request request);
  Task<http::Reply> serve_node(Route route, http::Query query);
  Task<http::Reply> running_pods();

  NodeApiSources sources;
  NodeApiOptions options;
  Gate gate;
  ContainerLogs logs;
  PodStreams streams;
  Measurer measurer;
  ApiMetrics metrics;
  std::unique_ptr<http::Server> server;
};

Task<http::Reply> NodeApi::Impl::handle(http::Request request) {
  auto route = parse_route(request.path());
  const ApiMetrics::Request counted(metrics, request.method, route);
  co_return co_await serve(std::move(route), std::move(request));
}

Task<http::Reply> NodeApi::Impl::serve(std::optional<Route> route, http::Request request) {
  // What is there is told only to those who may know it.
  auto refused = co_await gate.refuse(
      request, actions_of(request.method, route ? route->path : std::string(), route && route->is_stream()));
  if (refused) co_return http::Reply{std::move(*refused), {}, {}};
  if (!route) co_return refuse(404, "404 page not found");
  if (!options.enters_containers && (route->is_of_pod() || route->kind == Kind::kRunningPods)) {
    co_return refuse(405, "Debug endpoints are disabled.");
  }
  bool is_read = request.method == "GET" || request.method == "HEAD";
  if (!is_read && !(route->is_stream() && request.method == "POST")) co_return refuse(405, "405: Method Not Allowed");
  auto query = http::Query::parse(request.query());
  if (!query) co_return refuse(400, query.error().message());
  if (route->is_of_pod()) co_return co_await serve_pod(std::move(*route), std::move(*query), std::move(request));
  co_return co_await serve_node(std::move(*route), std::move(*query));
}

Task<http::Reply> NodeApi::Impl::serve_pod(Route route, http::Query query, http::Request request) {
  auto pods = sources.pods();
  const PodInfo* found = find_pod(pods, route.pod);
  if (found == nullptr) co_return refuse(404, cat("pod ", quoted(route.pod.name), " not found"));
  PodInfo pod = *found;
  switch (route.kind) {
    case Kind::kLogs:
      co_return co_await logs.serve(std::move(pod), std::move(route.pod), std::move(query));
    case Kind::kExec:
      co_return co_await streams.exec(std::move(pod), std::move(route.pod), std::move(query), std::move(request));
    case Kind::kAttach:
      co_return co_await streams.attach(std::move(pod), std::move(route.pod), std::move(query), std::move(request));
    default:
      co_return co_await streams.port_forward(std::move(pod), std::move(query), std::move(request));
  }
}

Task<http::Reply> NodeApi::Impl::running_pods() {
  v1::ListPodSandboxRequest of_pods;
  of_pods.mutable_filter()->mutable_state()->set_state(v1::SANDBOX_READY);
  auto sandboxes = co_await sources.runtime.list_pod_sandbox(std::move(of_pods));
  if (!sandboxes) co_return refuse(sandboxes.error());
  v1::ListContainersRequest of_containers;
  of_containers.mutable_filter()->mutable_state()->set_state(v1::CONTAINER_RUNNING);
  auto containers = co_await sources.runtime.list_containers(std::move(of_containers));
  if (!containers) co_return refuse(containers.error());
  co_return answer(kJson, running_pod_list(*sandboxes, *containers));
}

Task<http::Reply> NodeApi::Impl::serve_node(Route route, http::Query query) {
  switch (route.kind) {
    case Kind::kPods:
      co_return answer(kJson, pod_list(sources.pods()));
    case Kind::kRunningPods:
      co_return co_await running_pods();
    case Kind::kConfiguration:
      if (!sources.configuration) co_return refuse(404, "there is no configuration");
      co_return answer(kJson, cat(R"({"kubeletconfig":)", sources.configuration(), "}"));
    case Kind::kSummary: {
      auto only = query.flag("only_cpu_and_memory");
      if (!only) co_return refuse(400, only.error().message());
      auto summary = co_await measurer.summary(sources.pods(), *only);
      if (!summary) co_return refuse(summary.error());
      co_return answer(kJson, cat(*summary, "\n"));
    }
    case Kind::kResourceMetrics:
      co_return answer(kMetrics, co_await measurer.resource_metrics(sources.pods()));
    case Kind::kCadvisorMetrics: {
      auto page = co_await measurer.cadvisor_metrics();
      if (!page) co_return refuse(page.error());
      co_return answer(kMetrics, std::move(*page));
    }
    case Kind::kAgentMetrics:
      co_return answer(kMetrics, agent_metrics(options.node_name, sources.pods()) + metrics.text() +
                                     (sources.operations ? sources.operations() : std::string()));
    case Kind::kIndicators:
      co_return answer(kMetrics, metrics.slis());
    case Kind::kProbeMetrics:
      co_return answer(kMetrics, probe_metrics(sources.probes ? sources.probes() : std::vector<CountedProbe>()));
    default:
      metrics.count_checks(route.path);
      co_return refuse(200, "ok");
  }
}

NodeApi::NodeApi(Loop& loop, NodeApiSources sources, NodeApiOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(sources), std::move(options))) {
  if (impl_->sources.observe) {
    impl_->sources.observe([weak = std::weak_ptr(impl_)](const PodInfo& pod) {
      if (auto impl = weak.lock()) impl->metrics.see(pod, std::chrono::steady_clock::now());
    });
  }
  // The handler holds what it uses as long as it runs, and the server no more than a way to it.
  auto handler = [weak = std::weak_ptr(impl_)](http::Request request) -> Task<http::Reply> {
    auto impl = weak.lock();
    if (!impl) co_return refuse(503, "the node API has stopped");
    co_return co_await impl->handle(std::move(request));
  };
  impl_->server = std::make_unique<http::Server>(loop, handler,
                                                 http::Limits{.max_header_bytes = kMaxHeader,
                                                              .max_body_bytes = kMaxBody,
                                                              .max_connections = impl_->options.max_connections,
                                                              .response_time = kResponseTime});
}

NodeApi::~NodeApi() { impl_->server.reset(); }

void NodeApi::serve(SocketFd listener, std::shared_ptr<http::TlsServer> tls) {
  impl_->server->serve(std::move(listener), std::move(tls));
}

Task<> NodeApi::drain(Duration limit) { return impl_->server->drain(limit); }

}  // namespace gantry::agent
