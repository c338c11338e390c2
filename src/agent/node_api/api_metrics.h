// SPDX-License-Identifier: Apache-2.0
// What the node API counts itself, by kubelet's names: its requests, the checks of health that it was asked for, and
// how long pods took to run. Loop thread. Owner: the node API.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/agent.h"
#include "agent/node_api/routes.h"
#include "base/metrics.h"

namespace gantry::agent {

class ApiMetrics {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  ApiMetrics();

  // A request, until it is answered or, of a session, until it began. `route` is null for what is none.
  class Request {
   public:
    Request(ApiMetrics& metrics, std::string_view method, const std::optional<Route>& route);
    ~Request();
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

   private:
    ApiMetrics& metrics_;
    std::string method_, path_;
    std::string_view is_long_;
    std::chrono::steady_clock::time_point begun_;
  };

  // As Agent::observe has it: a pod of now, or, without a status, one that has gone.
  void see(const PodInfo& pod, TimePoint now);
  // `path` was asked for, one of /healthz.
  void count_checks(std::string_view path);

  // The requests and the starts of pods.
  std::string text() const { return registry_.text(); }
  // What service level indicators are made of, /metrics/slis.
  std::string slis() const;

 private:
  using Counters = metrics::Family<metrics::Counter>;
  metrics::Registry registry_, checks_;
  Counters& requests_;
  metrics::Family<metrics::Histogram>& seconds_;
  metrics::Family<metrics::Gauge>& under_way_;
  metrics::Histogram& starts_;
  Counters& checked_;
  std::map<std::string, std::optional<TimePoint>> seen_;  // by uid; nothing: it runs, or ran before it was seen
};

}  // namespace gantry::agent
