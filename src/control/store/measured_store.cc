// SPDX-License-Identifier: Apache-2.0
#include "control/store/measured_store.h"

namespace gantry::control {

namespace {

constexpr std::string_view kRegistry = "/registry/";

// "/registry/pods/default/web-0" is of "pods": the first word of a key is one of few, and no client can invent one.
std::string_view type_of(std::string_view key) {
  if (!key.starts_with(kRegistry)) return "";
  key.remove_prefix(kRegistry.size());
  return key.substr(0, key.find('/'));
}

std::string_view operation_of(const Write& write) {
  if (!write.value) return "delete";
  return write.expected == kAbsent ? "create" : "update";
}

}  // namespace

// One call, from its making to finish().
class MeasuredStore::Timed {
 public:
  Timed(MeasuredStore& store, std::string_view operation, std::string_view key)
      : store_(store), operation_(operation), type_(type_of(key)), began_(std::chrono::steady_clock::now()) {}

  void finish(bool done) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began_;
    store_.duration_.at({operation_, type_}).observe(took.count());
    store_.total_.at({operation_, type_}).add();
    if (!done) store_.errors_.at({operation_, type_}).add();
  }

 private:
  MeasuredStore& store_;
  std::string_view operation_;
  std::string type_;
  std::chrono::steady_clock::time_point began_;
};

MeasuredStore::MeasuredStore(std::unique_ptr<Store> inner, metrics::Registry& registry)
    : inner_(std::move(inner)),
      duration_(registry.histograms("etcd_request_duration_seconds",
                                    "How long the store took, by operation and the first word of the key.",
                                    {"operation", "type"})),
      total_(registry.counters("etcd_requests_total", "Calls of the store.", {"operation", "type"})),
      errors_(
          registry.counters("etcd_request_errors_total", "Calls of the store that failed.", {"operation", "type"})) {}

Task<Result<GetAnswer>> MeasuredStore::get(Loop& here, std::string key, std::int64_t revision) {
  Timed timed(*this, "get", key);
  Result<GetAnswer> answer = co_await inner_->get(here, std::move(key), revision);
  timed.finish(answer.has_value());
  co_return answer;
}

Task<Result<ListAnswer>> MeasuredStore::list(Loop& here, ListRequest request) {
  Timed timed(*this, "list", request.prefix);
  Result<ListAnswer> answer = co_await inner_->list(here, std::move(request));
  timed.finish(answer.has_value());
  co_return answer;
}

Task<Result<std::int64_t>> MeasuredStore::count(Loop& here, std::string prefix) {
  Timed timed(*this, "count", prefix);
  Result<std::int64_t> answer = co_await inner_->count(here, std::move(prefix));
  timed.finish(answer.has_value());
  co_return answer;
}

Task<Result<std::int64_t>> MeasuredStore::current_revision(Loop& here) {
  Timed timed(*this, "revision", {});
  Result<std::int64_t> answer = co_await inner_->current_revision(here);
  timed.finish(answer.has_value());
  co_return answer;
}

Task<Result<StoreCounts>> MeasuredStore::counts(Loop& here) { return inner_->counts(here); }

Task<Result<WriteAnswer>> MeasuredStore::write(Loop& here, Write write) {
  Timed timed(*this, operation_of(write), write.key);
  Result<WriteAnswer> answer = co_await inner_->write(here, std::move(write));
  timed.finish(answer.has_value());
  co_return answer;
}

std::unique_ptr<Watcher> MeasuredStore::watch(Loop& here, std::string prefix, std::int64_t after) {
  return inner_->watch(here, std::move(prefix), after);
}

Task<Status> MeasuredStore::compact(Loop& here, std::int64_t revision) { return inner_->compact(here, revision); }

}  // namespace gantry::control
