// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/api_metrics.h"

#include <algorithm>
#include <array>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

using std::chrono::steady_clock;

// Kubelet's buckets.
constexpr double kStarts[] = {0.5, 1,   2,   3,   4,   5,   6,   8,   10,   20,   30,   45,  60,
                              120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600};
constexpr std::array<std::string_view, 3> kChecks = {"log", "ping", "syncloop"};

double seconds(steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string_view known_method(std::string_view method) {
  for (const std::string_view one : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    if (method == one) return one;
  }
  return "other";
}

// Without the names that are in it.
std::string path_of(const std::optional<Route>& route) {
  if (!route) return "other";
  const std::string_view path = std::string_view(route->path).substr(1);
  return std::string(route->is_of_pod() ? path.substr(0, path.find('/')) : path);
}

}  // namespace

ApiMetrics::ApiMetrics()
    : requests_(registry_.counters("kubelet_http_requests_total",
                                   "Number of the http requests received since the server started",
                                   {"long_running", "method", "path", "server_type"})),
      seconds_(registry_.histograms("kubelet_http_requests_duration_seconds",
                                    "Duration in seconds to serve http requests",
                                    {"long_running", "method", "path", "server_type"})),
      under_way_(registry_.gauges("kubelet_http_inflight_requests", "Number of the inflight http requests",
                                  {"long_running", "method", "path", "server_type"})),
      starts_(registry_
                  .histograms("kubelet_pod_start_duration_seconds",
                              "Duration in seconds from kubelet seeing a pod for the first time to the pod starting "
                              "to run",
                              {}, kStarts)
                  .at({})),
      checked_(checks_.counters("kubernetes_healthchecks_total", "This metric records the results of all healthcheck.",
                                {"name", "status", "type"})) {}

ApiMetrics::Request::Request(ApiMetrics& metrics, std::string_view method, const std::optional<Route>& route)
    : metrics_(metrics),
      method_(known_method(method)),
      path_(path_of(route)),
      is_long_(route && route->is_stream() ? "true" : "false"),
      begun_(steady_clock::now()) {
  metrics_.under_way_.at({is_long_, method_, path_, "readwrite"}).add(1);
}

ApiMetrics::Request::~Request() {
  metrics_.under_way_.at({is_long_, method_, path_, "readwrite"}).add(-1);
  metrics_.requests_.at({is_long_, method_, path_, "readwrite"}).add();
  metrics_.seconds_.at({is_long_, method_, path_, "readwrite"}).observe(seconds(steady_clock::now() - begun_));
}

void ApiMetrics::see(const PodInfo& pod, TimePoint now) {
  if (!pod.status) {
    seen_.erase(pod.uid);
    return;
  }
  const bool waits = pod.status->phase() == "Pending" || pod.status->phase().empty();
  std::optional<TimePoint>& since = seen_.try_emplace(pod.uid, waits ? std::optional(now) : std::nullopt).first->second;
  if (waits || !since) return;
  if (pod.status->phase() == "Running") starts_.observe(seconds(now - *since));
  since.reset();
}

void ApiMetrics::count_checks(std::string_view path) {
  for (const std::string_view name : kChecks) {
    if (path == "/healthz" || path.ends_with(name)) checked_.at({name, "success", "healthz"}).add();
  }
}

std::string ApiMetrics::slis() const {
  constexpr char kName[] = "kubernetes_healthcheck";
  metrics::Page page;
  page.begin(kName, "This metric records the result of a single healthcheck.", "gauge");
  for (const std::string_view name : kChecks) page.sample(kName, {{"name", name}, {"type", "healthz"}}, 1);
  return page.take() + checks_.text();
}

}  // namespace gantry::agent
