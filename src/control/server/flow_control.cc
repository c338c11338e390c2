// SPDX-License-Identifier: Apache-2.0
#include "control/server/flow_control.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "control/server/node_users.h"

namespace gantry::control {

namespace {

constexpr std::string_view kWords = "too many requests, please try again later";
constexpr std::int64_t kRetryAfter = 1;  // seconds
constexpr std::size_t kShare = 4;        // a quarter
constexpr std::size_t kSystem = 0, kWorkload = 1, kExempt = 2;
constexpr std::array<std::string_view, 3> kLevels = {"system", "workload", "exempt"};
constexpr std::array<std::string_view, 2> kKinds = {"readOnly", "mutating"};

std::size_t level_of(const RequestFacts& facts) {
  const RequestInfo& info = *facts.info;
  const User& user = *facts.acting;
  const bool is_probe =
      info.path.starts_with("/healthz") || info.path.starts_with("/livez") || info.path.starts_with("/readyz");
  if (facts.is_own || user.is_in(kMastersGroup) || (!info.is_resource && is_probe)) return kExempt;
  const bool is_program = user.name == "system:kube-scheduler" || user.name == "system:kube-controller-manager" ||
                          user.is_in("system:serviceaccounts:kube-system");
  return user.is_in(kNodesGroup) || is_program ? kSystem : kWorkload;
}

}  // namespace

struct FlowControl::Waiter {
  Waiter(Loop& loop) : here(loop), granted(loop) {}
  Loop& here;
  Event granted;
  bool has_seat = false;
};

// The requests of one user in one pool.
struct FlowControl::Flow {
  std::size_t seats = 0;
  std::list<std::shared_ptr<Waiter>> waiting;
  bool is_in_ring = false;
};

// The seats of one class. All under State::mutex.
struct FlowControl::Pool {
  std::size_t size = 0;
  std::size_t of_user = 0;
  std::size_t longest_queue = 0;
  std::size_t taken = 0;
  std::size_t queued = 0;
  std::uint64_t dispatched = 0;
  std::uint64_t rejected_full = 0;
  std::uint64_t rejected_late = 0;
  std::unordered_map<std::string, Flow> flows;  // those with seats or waiters
  std::list<std::string> ring;                  // whose turn it is: those who wait and may have another seat

  bool has_room(const Flow& flow) const { return taken < size && flow.seats < of_user; }
  void take(Flow& flow) {
    ++taken;
    ++flow.seats;
    ++dispatched;
  }
  // Puts the user at the end of the ring, or forgets him.
  void settle(const std::string& user, Flow& flow) {
    if (!flow.waiting.empty() && flow.seats < of_user) {
      if (!std::exchange(flow.is_in_ring, true)) ring.push_back(user);
    } else if (flow.waiting.empty() && flow.seats == 0 && !flow.is_in_ring) {
      flows.erase(user);
    }
  }
  // Gives seats that are free to those whose turn it is.
  void serve() {
    while (taken < size && !ring.empty()) {
      const std::string user = std::move(ring.front());
      ring.pop_front();
      Flow& flow = flows.at(user);
      flow.is_in_ring = false;
      if (!flow.waiting.empty() && has_room(flow)) {
        std::shared_ptr<Waiter> next = std::move(flow.waiting.front());
        flow.waiting.pop_front();
        --queued;
        take(flow);
        next->has_seat = true;
        next->here.post([next] { next->granted.set(); });
      }
      settle(user, flow);
    }
  }
  void leave(const std::string& user) {
    Flow& flow = flows.at(user);
    --taken;
    --flow.seats;
    settle(user, flow);
    serve();
  }
};

struct FlowControl::State {
  explicit State(const Limits& l) : limits(l) {
    const std::size_t sizes[] = {l.reading, l.mutating};
    for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
      const std::size_t system = std::max<std::size_t>(1, sizes[kind] / kShare);
      pools[kSystem][kind].size = system;
      pools[kWorkload][kind].size = std::max<std::size_t>(1, sizes[kind] - std::min(system, sizes[kind]));
    }
    for (auto& level : pools) {
      for (Pool& pool : level) {
        pool.of_user = std::max<std::size_t>(1, pool.size / kShare);
        pool.longest_queue = l.queue;
      }
    }
  }

  const Limits limits;
  mutable std::mutex mutex;
  std::array<std::array<Pool, 2>, 2> pools;                   // by level and kind
  std::unordered_map<std::string, std::size_t> long_running;  // by user
  std::uint64_t rejected_long_running = 0;
  std::array<std::atomic<std::int64_t>, 2> exempt{};  // under way

  static Seat make_seat(const std::shared_ptr<State>& state, Pool& pool, const std::string& user) {
    return Seat(nullptr, [state, &pool, user](void*) {
      const std::lock_guard lock(state->mutex);
      pool.leave(user);
    });
  }
};

// A place in a queue: whoever drops the task leaves it.
struct FlowControl::Waiting {
  std::shared_ptr<State> state;
  Pool& pool;
  std::string user;
  std::shared_ptr<Waiter> waiter;

  Waiting(std::shared_ptr<State> s, Pool& p, std::string u, std::shared_ptr<Waiter> w)
      : state(std::move(s)), pool(p), user(std::move(u)), waiter(std::move(w)) {}
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    if (waiter == nullptr) return;
    const std::lock_guard lock(state->mutex);
    if (waiter->has_seat) {
      pool.leave(user);
    } else {
      give_up();
    }
  }

  // Under the mutex, without a seat.
  void give_up() {
    Flow& flow = pool.flows.at(user);
    flow.waiting.remove(waiter);
    --pool.queued;
    pool.settle(user, flow);
  }
  // The seat, if there is one; either way nothing waits any more.
  Seat finish() {
    const std::lock_guard lock(state->mutex);
    Seat seat;
    if (waiter->has_seat) {
      seat = State::make_seat(state, pool, user);
    } else {
      give_up();
      ++pool.rejected_late;
    }
    waiter = nullptr;
    return seat;
  }
};

FlowControl::FlowControl(Limits limits) : state_(std::make_shared<State>(limits)) {}
FlowControl::~FlowControl() = default;

Task<Outcome<FlowControl::Seat>> FlowControl::enter(Loop& here, const RequestFacts& facts) {
  const std::size_t level = level_of(facts);
  const std::size_t kind = facts.info->is_resource && !only_reads(*facts.info) ? 1 : 0;
  std::shared_ptr<State> state = state_;
  if (level == kExempt) {
    state->exempt[kind].fetch_add(1, std::memory_order_relaxed);
    co_return Seat(nullptr, [state, kind](void*) { state->exempt[kind].fetch_sub(1, std::memory_order_relaxed); });
  }
  Pool& pool = state->pools[level][kind];
  const std::string& user = facts.acting->name;
  std::shared_ptr<Waiter> waiter;
  {
    const std::lock_guard lock(state->mutex);
    Flow& flow = pool.flows[user];
    if (flow.waiting.empty() && pool.ring.empty() && pool.has_room(flow)) {
      pool.take(flow);
      co_return State::make_seat(state, pool, user);
    }
    if (flow.waiting.size() >= state->limits.queue_of_user || pool.queued >= pool.longest_queue) {
      ++pool.rejected_full;
      pool.settle(user, flow);
      co_return fail(too_many_requests(std::string(kWords), kRetryAfter));
    }
    waiter = std::make_shared<Waiter>(here);
    flow.waiting.push_back(waiter);
    ++pool.queued;
    pool.settle(user, flow);
    pool.serve();
  }
  Waiting waiting(state, pool, user, waiter);
  (void)co_await waiter->granted.wait_for(state->limits.wait);
  Seat seat = waiting.finish();
  if (seat.use_count() == 0) co_return fail(too_many_requests(std::string(kWords), kRetryAfter));
  co_return seat;
}

Outcome<FlowControl::Seat> FlowControl::begin_long_running(const RequestFacts& facts) {
  if (level_of(facts) == kExempt) return Seat();
  const std::string& user = facts.acting->name;
  const std::lock_guard lock(state_->mutex);
  std::size_t& count = state_->long_running[user];
  if (count >= state_->limits.long_running_of_user) {
    ++state_->rejected_long_running;
    return fail(too_many_requests("too many watches and sessions of one user, please try again later", kRetryAfter));
  }
  ++count;
  return Seat(nullptr, [state = state_, user](void*) {
    const std::lock_guard inner(state->mutex);
    const auto found = state->long_running.find(user);
    if (--found->second == 0) state->long_running.erase(found);
  });
}

void FlowControl::write_metrics(metrics::Page* page) const {
  const std::lock_guard lock(state_->mutex);
  const auto& pools = state_->pools;
  const auto number = [](auto value) { return static_cast<double>(value); };
  page->begin("apiserver_current_inflight_requests", "Requests whose answers are being made.", "gauge");
  for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
    const double exempt = number(state_->exempt[kind].load(std::memory_order_relaxed));
    const double taken = number(pools[kSystem][kind].taken + pools[kWorkload][kind].taken);
    page->sample("apiserver_current_inflight_requests", {{"request_kind", kKinds[kind]}}, exempt + taken);
  }
  const auto each = [&](std::string_view name, std::string_view help, std::string_view type, auto member) {
    page->begin(name, help, type);
    for (std::size_t level = 0; level < pools.size(); ++level) {
      for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
        page->sample(name, {{"priority_level", kLevels[level]}, {"request_kind", kKinds[kind]}},
                     number(pools[level][kind].*member));
      }
    }
  };
  each("apiserver_flowcontrol_current_executing_requests", "Seats that are taken.", "gauge", &Pool::taken);
  each("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat.", "gauge", &Pool::queued);
  each("apiserver_flowcontrol_dispatched_requests_total", "Seats that were given.", "counter", &Pool::dispatched);
  constexpr std::string_view kRejected = "apiserver_flowcontrol_rejected_requests_total";
  page->begin(kRejected, "Requests that were answered 429.", "counter");
  for (std::size_t level = 0; level < pools.size(); ++level) {
    std::uint64_t full = 0, late = 0;
    for (const Pool& pool : pools[level]) {
      full += pool.rejected_full;
      late += pool.rejected_late;
    }
    page->sample(kRejected, {{"priority_level", kLevels[level]}, {"reason", "queue-full"}}, number(full));
    page->sample(kRejected, {{"priority_level", kLevels[level]}, {"reason", "time-out"}}, number(late));
  }
  page->sample(kRejected, {{"priority_level", "all"}, {"reason", "long-running"}},
               number(state_->rejected_long_running));
}

}  // namespace gantry::control
