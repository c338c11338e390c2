// SPDX-License-Identifier: Apache-2.0
#include "control/admission/namespace_turns.h"

namespace gantry::control {

struct NamespaceTurns::Waiter {
  explicit Waiter(Loop& loop) : here(loop), begins(loop) {}
  Loop& here;
  Event begins;
  bool has_turn = false;  // under the mutex
};

// Among those who wait, until the turn is taken or the task is dropped.
struct NamespaceTurns::Place {
  Place(NamespaceTurns& t, const std::string& n, std::shared_ptr<Waiter> w) : turns(t), ns(n), waiter(std::move(w)) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (waiter == nullptr) return;
    const std::lock_guard lock(turns.mutex_);
    if (waiter->has_turn) {
      turns.pass_on(ns);
    } else {
      turns.waiting_.at(ns).remove(waiter);
    }
  }
  NamespaceTurns& turns;
  const std::string& ns;
  std::shared_ptr<Waiter> waiter;  // null once the turn is somebody else's to end
};

Task<NamespaceTurns::Turn> NamespaceTurns::take(Loop& here, std::string ns) {
  std::shared_ptr<Waiter> waiter;
  {
    const std::lock_guard lock(mutex_);
    const auto [place, is_first] = waiting_.try_emplace(ns);
    if (!is_first) waiter = place->second.emplace_back(std::make_shared<Waiter>(here));
  }
  if (waiter != nullptr) {
    Place place(*this, ns, waiter);
    co_await waiter->begins.wait();
    place.waiter = nullptr;
  }
  co_return Turn(*this, std::move(ns));
}

void NamespaceTurns::end(const std::string& ns) {
  const std::lock_guard lock(mutex_);
  pass_on(ns);
}

void NamespaceTurns::pass_on(const std::string& ns) {
  const auto found = waiting_.find(ns);
  if (found->second.empty()) {
    waiting_.erase(found);
    return;
  }
  const std::shared_ptr<Waiter> next = std::move(found->second.front());
  found->second.pop_front();
  next->has_turn = true;
  // With the mutex held: its loop does not end before its place does.
  next->here.post([next] { next->begins.set(); });
}

}  // namespace gantry::control
