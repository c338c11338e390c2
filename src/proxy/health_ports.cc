// SPDX-License-Identifier: Apache-2.0
#include "proxy/health_ports.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/client/informer.h"
#include "api/time.h"
#include "base/log.h"
#include "http/listen.h"

namespace gantry::proxy {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kNodePort = 10256;
constexpr Duration kRetry = 10s;
// For how long rules may be older than they should be before load balancers look elsewhere.
constexpr auto kPatience = 60s;
constexpr http::Limits kLimits{.max_header_bytes = 8 << 10, .max_body_bytes = 0, .max_connections = 64};

std::string time_text(HealthPorts::Clock::time_point time) {
  return api::format_rfc3339(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

http::Response json(bool healthy, std::string body) {
  http::Response response{.status = healthy ? 200 : 503, .body = std::move(body)};
  response.headers = {{"Content-Type", "application/json"}, {"X-Content-Type-Options", "nosniff"}};
  return response;
}

}  // namespace

struct HealthPorts::State {
  Checks checks;
  bool leaving = false;
  Clock::time_point updated = Clock::now();
  std::optional<std::chrono::steady_clock::time_point> failing_since;

  bool is_healthy() const {
    return !failing_since || std::chrono::steady_clock::now() - *failing_since < kPatience;
  }

  http::Response answer_node(std::string_view path) const {
    if (path != "/healthz" && path != "/livez") return http::text_response(404, "404 page not found");
    // Whether this program works, and whether the node should be sent anything, are two questions.
    bool eligible = path == "/livez" || !leaving;
    bool healthy = is_healthy();
    auto now = Clock::now();
    return json(healthy && eligible, absl::StrFormat(R"({"lastUpdated": "%s","currentTime": "%s", "nodeEligible": %s})",
                                                     time_text(healthy ? now : updated), time_text(now),
                                                     eligible ? "true" : "false"));
  }

  http::Response answer_service(const std::string& service) const {
    auto it = checks.find(service);
    std::size_t count = it == checks.end() ? 0 : it->second.local_endpoints;
    bool healthy = is_healthy();
    auto [ns, name] = api::split_key(service);  // of characters that need no quoting
    http::Response response =
        json(count > 0 && healthy,
             absl::StrFormat("{\n\t\"service\": {\n\t\t\"namespace\": \"%s\",\n\t\t\"name\": \"%s\"\n\t},\n"
                             "\t\"localEndpoints\": %d,\n\t\"serviceProxyHealthy\": %s\n}",
                             ns, name, count, healthy ? "true" : "false"));
    response.headers.emplace_back("X-Load-Balancing-Endpoint-Weight", absl::StrCat(count));
    return response;
  }
};

struct HealthPorts::Port {
  std::uint16_t number = 0;
  std::string service;  // "": the node's
  bool closed = false;
  std::unique_ptr<http::Server> server;
};

HealthPorts::HealthPorts(Loop& loop) : loop_(loop), state_(std::make_shared<State>()) {
  open(kNodePort, [state = state_](http::Request request) -> Task<http::Reply> {
    http::Reply reply;
    reply.response = state->answer_node(request.path());
    co_return reply;
  });
}

HealthPorts::~HealthPorts() { stop(); }

void HealthPorts::open(std::uint16_t number, http::Handler handler) {
  auto port = std::make_shared<Port>();
  port->number = number;
  port->server = std::make_unique<http::Server>(loop_, std::move(handler), kLimits);
  ports_[number] = port;
  loop_.spawn(serve(std::move(port)));
}

Task<> HealthPorts::serve(std::shared_ptr<Port> port) {
  for (bool said = false;; said = true) {
    auto listener = http::listen_tcp("::", port->number);
    if (!listener) listener = http::listen_tcp("0.0.0.0", port->number);  // a host without IPv6
    if (listener) {
      port->server->serve(std::move(listener->socket));
      co_return;
    }
    if (!said) log::warning("load balancers get no answer yet, retrying", {{"error", listener.error()}});
    co_await loop_.sleep_for(kRetry);
    if (port->closed) co_return;
  }
}

void HealthPorts::set_checks(const Checks& checks) {
  state_->checks = checks;
  std::map<std::uint16_t, std::string> wanted;
  for (const auto& [service, check] : checks) wanted.try_emplace(check.port, service);
  std::erase_if(ports_, [&](auto& entry) {
    auto& [number, port] = entry;
    if (number == kNodePort) return false;
    auto it = wanted.find(number);
    if (it != wanted.end() && it->second == port->service) return false;
    port->closed = true;
    port->server.reset();
    return true;
  });
  for (const auto& [number, service] : wanted) {
    if (ports_.contains(number)) continue;
    open(number, [state = state_, service = service](http::Request) -> Task<http::Reply> {
      http::Reply reply;
      reply.response = state->answer_service(service);
      co_return reply;
    });
    ports_[number]->service = service;
  }
}

void HealthPorts::set_synced(bool failing) {
  if (!failing) {
    state_->failing_since.reset();
    state_->updated = Clock::now();
  } else if (!state_->failing_since) {
    state_->failing_since = std::chrono::steady_clock::now();
  }
}

void HealthPorts::set_leaving(bool leaving) { state_->leaving = leaving; }

void HealthPorts::stop() {
  for (auto& [number, port] : ports_) {
    port->closed = true;
    port->server.reset();
  }
  ports_.clear();
}

}  // namespace gantry::proxy
