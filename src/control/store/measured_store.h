// SPDX-License-Identifier: Apache-2.0
// MeasuredStore: another Store, whose calls are counted and timed, by the names that upstream's API server has for its
// etcd. Threads are those of the other one.
#pragma once

#include <string_view>

#include "base/metrics.h"
#include "control/store/store.h"

namespace gantry::control {

class MeasuredStore final : public Store {
 public:
  // The registry outlives it.
  MeasuredStore(std::unique_ptr<Store> inner, metrics::Registry& registry);

  Task<Result<GetAnswer>> get(Loop& here, std::string key, std::int64_t revision) override;
  Task<Result<ListAnswer>> list(Loop& here, ListRequest request) override;
  Task<Result<std::int64_t>> count(Loop& here, std::string prefix) override;
  Task<Result<std::int64_t>> current_revision(Loop& here) override;
  Task<Result<StoreCounts>> counts(Loop& here) override;
  Task<Result<WriteAnswer>> write(Loop& here, Write write) override;
  std::unique_ptr<Watcher> watch(Loop& here, std::string prefix, std::int64_t after) override;
  Task<Status> compact(Loop& here, std::int64_t revision) override;

 private:
  class Timed;

  std::unique_ptr<Store> inner_;
  metrics::Family<metrics::Histogram>& duration_;
  metrics::Family<metrics::Counter>& total_;
  metrics::Family<metrics::Counter>& errors_;
};

}  // namespace gantry::control
