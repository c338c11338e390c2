// SPDX-License-Identifier: Apache-2.0
// What metrics.k8s.io answers: of the nodes and pods that there are, those whose use is known. Any thread.
#pragma once

#include <functional>

#include "api/time.h"
#include "control/resource_metrics/usage_book.h"
#include "control/server/caches.h"
#include "control/server/object_source.h"

namespace gantry::control {

// All must outlive them.
struct UsageSourceParts {
  const api::Kinds& kinds;
  const Caches& caches;
  const UsageBook& book;
  std::function<api::Timestamp()> now;  // the wall clock
};

class NodeMetricsSource final : public ObjectSource {
 public:
  explicit NodeMetricsSource(UsageSourceParts parts) : parts_(std::move(parts)) {}
  Task<Outcome<std::unique_ptr<api::Message>>> get(Call& call) override;
  Task<Outcome<std::vector<std::unique_ptr<api::Message>>>> list(Call& call, const Selection& selection) override;

 private:
  // Null: nothing is known of it.
  std::unique_ptr<api::Message> metrics_of(const api::Kind& wanted, const CachedItem& node) const;
  UsageSourceParts parts_;
};

class PodMetricsSource final : public ObjectSource {
 public:
  explicit PodMetricsSource(UsageSourceParts parts) : parts_(std::move(parts)) {}
  Task<Outcome<std::unique_ptr<api::Message>>> get(Call& call) override;
  Task<Outcome<std::vector<std::unique_ptr<api::Message>>>> list(Call& call, const Selection& selection) override;

 private:
  std::unique_ptr<api::Message> metrics_of(const api::Kind& wanted, const CachedItem& pod) const;
  UsageSourceParts parts_;
};

}  // namespace gantry::control
