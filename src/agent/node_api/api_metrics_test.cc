// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/api_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

PodInfo pod(const std::string& uid, const char* phase) {
  PodInfo info{.uid = uid};
  if (phase == nullptr) return info;
  auto status = std::make_shared<k8s::io::api::core::v1::PodStatus>();
  status->set_phase(phase);
  info.status = std::move(status);
  return info;
}

TEST(ApiMetricsTest, AStartIsFromTheFirstSightUntilItRuns) {
  ApiMetrics metrics;
  const ApiMetrics::TimePoint begin{};
  metrics.see(pod("a", "Pending"), begin);
  metrics.see(pod("earlier", "Running"), begin);
  metrics.see(pod("a", "Pending"), begin + milliseconds(900));
  EXPECT_THAT(metrics.text(), Not(HasSubstr("kubelet_pod_start_duration_seconds_count 1")));
  metrics.see(pod("a", "Running"), begin + milliseconds(1500));
  metrics.see(pod("a", "Running"), begin + milliseconds(9000));
  metrics.see(pod("failed", "Pending"), begin);
  metrics.see(pod("failed", "Failed"), begin + milliseconds(100));
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("kubelet_pod_start_duration_seconds_count 1\n"));
  EXPECT_THAT(text, HasSubstr("kubelet_pod_start_duration_seconds_sum 1.5\n"));
  EXPECT_THAT(text, HasSubstr("kubelet_pod_start_duration_seconds_bucket{le=\"1\"} 0\n"));
  // A pod that has gone is forgotten: another may have its uid.
  metrics.see(pod("a", nullptr), begin);
  metrics.see(pod("a", "Pending"), begin);
  metrics.see(pod("a", "Running"), begin + milliseconds(500));
  EXPECT_THAT(metrics.text(), HasSubstr("kubelet_pod_start_duration_seconds_count 2\n"));
}

TEST(ApiMetricsTest, RequestsAreCountedByWhatTheyAre) {
  ApiMetrics metrics;
  {
    const ApiMetrics::Request one(metrics, "GET", parse_route("/containerLogs/shop/web/app"));
    EXPECT_THAT(metrics.text(), HasSubstr("kubelet_http_inflight_requests{long_running=\"false\",method=\"GET\","
                                          "path=\"containerLogs\",server_type=\"readwrite\"} 1\n"));
  }
  {
    const ApiMetrics::Request one(metrics, "POST", parse_route("/exec/shop/web/app"));
  }
  {
    const ApiMetrics::Request one(metrics, "GET", parse_route("/metrics/cadvisor"));
  }
  {
    const ApiMetrics::Request one(metrics, "INVENTED", parse_route("/invented/path"));
  }
  const std::string text = metrics.text();
  const auto counted = [](const char* is_long, const char* method, const char* path) {
    return std::string("kubelet_http_requests_total{long_running=\"") + is_long + "\",method=\"" + method +
           "\",path=\"" + path + "\",server_type=\"readwrite\"} 1\n";
  };
  EXPECT_THAT(text, HasSubstr(counted("false", "GET", "containerLogs")));
  EXPECT_THAT(text, HasSubstr(counted("true", "POST", "exec")));
  EXPECT_THAT(text, HasSubstr(counted("false", "GET", "metrics/cadvisor")));
  EXPECT_THAT(text, HasSubstr(counted("false", "other", "other")));
  EXPECT_THAT(text, HasSubstr("path=\"containerLogs\",server_type=\"readwrite\"} 0\n"));
}

TEST(ApiMetricsTest, ChecksOfHealth) {
  ApiMetrics metrics;
  metrics.count_checks("/healthz");
  metrics.count_checks("/healthz/ping");
  EXPECT_THAT(metrics.slis(), HasSubstr("kubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 1\n"));
  EXPECT_THAT(metrics.slis(),
              HasSubstr("kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"healthz\"} 2\n"));
  EXPECT_THAT(metrics.slis(), HasSubstr("{name=\"log\",status=\"success\",type=\"healthz\"} 1\n"));
}

}  // namespace
}  // namespace gantry::agent
