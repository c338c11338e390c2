// SPDX-License-Identifier: Apache-2.0
#include "control/admission/namespace_turns.h"

namespace gantry::control {

Task<NamespaceTurns::Turn> NamespaceTurns::take(Loop& here, std::string ns) {
  std::shared_ptr<Event> begins;
  {
    const std::lock_guard lock(mutex_);
    const auto [place, is_first] = waiting_.try_emplace(ns);
    if (!is_first) {
      begins = std::make_shared<Event>(here);
      place->second.push_back({&here, begins});
    }
  }
  if (begins != nullptr) co_await begins->wait();
  co_return Turn(*this, std::move(ns));
}

void NamespaceTurns::end(const std::string& ns) {
  Waiter next{};
  {
    const std::lock_guard lock(mutex_);
    const auto found = waiting_.find(ns);
    if (found->second.empty()) {
      waiting_.erase(found);
      return;
    }
    next = std::move(found->second.front());
    found->second.pop_front();
  }
  next.loop->post([begins = std::move(next.begins)] { begins->set(); });
}

}  // namespace gantry::control
