// SPDX-License-Identifier: Apache-2.0
// NodeScraper: asks each node that there is for /metrics/resource, again and again, and writes into a UsageBook what it
// uses. It goes the way on which logs are fetched (server/connect): to the address that the Node object says, with the
// API server's certificate, and to nobody but that node. On a thread of its own, which sleeps between two rounds; a
// node that does not answer, answers too late or too much, twice in a row, has no metrics, and the others go on.
#pragma once

#include <chrono>
#include <memory>
#include <thread>

#include "base/loop.h"
#include "base/metrics.h"
#include "control/resource_metrics/usage_book.h"
#include "control/server/caches.h"
#include "http/tls.h"

namespace gantry::control {

class NodeScraper {
 public:
  struct Options {
    Duration resolution = std::chrono::seconds(15);  // from one round to the next
    Duration limit = std::chrono::seconds(10);       // of an answer
    std::size_t at_once = 16;                        // nodes
    std::size_t max_bytes = 16 << 20;                // of an answer
  };
  // All must outlive it. `nodes`: whom the API server is to nodes. `metrics`: null counts nothing.
  NodeScraper(const api::Kinds& kinds, const Caches& caches, std::shared_ptr<http::TlsClient> nodes, UsageBook& book,
              Options options, metrics::Registry* metrics);
  ~NodeScraper();
  NodeScraper(const NodeScraper&) = delete;
  NodeScraper& operator=(const NodeScraper&) = delete;

 private:
  struct Impl;
  Impl* impl_ = nullptr;  // made on the thread, and ends on it
  std::thread thread_;
};

}  // namespace gantry::control
