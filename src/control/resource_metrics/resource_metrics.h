// SPDX-License-Identifier: Apache-2.0
// ResourceMetrics: the API metrics.k8s.io as a part of the API server: what it answers, and who measures. Each of
// several servers measures for itself: a node's page is cheap, and who asks finds the same on any of them.
#pragma once

#include "control/resource_metrics/node_scraper.h"
#include "control/resource_metrics/usage_sources.h"

namespace gantry::control {

class ResourceMetrics {
 public:
  // See NodeScraper. Begins to measure at once.
  ResourceMetrics(const api::Kinds& kinds, const Caches& caches, std::shared_ptr<http::TlsClient> nodes,
                  std::function<api::Timestamp()> now, NodeScraper::Options options, metrics::Registry* metrics)
      : book_(std::chrono::duration_cast<std::chrono::milliseconds>(options.resolution)),
        node_metrics_({kinds, caches, book_, now}),
        pod_metrics_({kinds, caches, book_, now}),
        scraper_(kinds, caches, std::move(nodes), book_, options, metrics) {}

  ObjectSources sources() {
    return {{"nodes.metrics.k8s.io", &node_metrics_}, {"pods.metrics.k8s.io", &pod_metrics_}};
  }

 private:
  UsageBook book_;
  NodeMetricsSource node_metrics_;
  PodMetricsSource pod_metrics_;
  NodeScraper scraper_;
};

}  // namespace gantry::control
