// SPDX-License-Identifier: Apache-2.0
// What becomes of an event before it is written, by the rules of client-go: the same word about the same object is one
// Event that counts; more than ten that differ in their message alone become one, with "(combined from similar events)"
// before the last message; and an object that many are told of has its budget, as a container that fails at every start
// may be told of without end. A value: the caller says what time it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace k8s::io::api::core::v1 {
class Event;
}

namespace gantry::agent {

// The values of the last that were used, by text. Who is not used for long is forgotten for those that are.
template <typename V>
class Recent {
 public:
  explicit Recent(std::size_t most) : most_(most) {}

  // Made when it is not there. Until the next call.
  V& operator[](const std::string& key) {
    if (auto found = places_.find(key); found != places_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    order_.emplace_front(key, V());
    places_[key] = order_.begin();
    if (order_.size() > most_) {
      places_.erase(order_.back().first);
      order_.pop_back();
    }
    return order_.front().second;
  }
  std::size_t size() const { return order_.size(); }

 private:
  using Order = std::list<std::pair<std::string, V>>;
  std::size_t most_;
  Order order_;  // the last used first
  std::unordered_map<std::string, typename Order::iterator> places_;
};

class EventCorrelator {
 public:
  using Event = k8s::io::api::core::v1::Event;
  using TimePoint = std::chrono::steady_clock::time_point;

  enum class Write : std::uint8_t { kNothing, kCreate, kCount };

  // Brings `event`, which has a name and its times, to what is to be written now. With kCount it has the name and the
  // first time of the one that is there.
  Write take(Event* event, TimePoint now);
  // It is there as it stands: those that say the same are counted with it.
  void written(const Event& event);

 private:
  struct Budget {
    double left = 0;
    TimePoint at = TimePoint::min();
  };
  struct Similar {
    std::set<std::string> messages;
    TimePoint at = TimePoint::min();
  };
  struct Known {
    std::string name;
    std::int32_t count = 0;  // 0: none is known
    std::int64_t first = 0;
  };
  bool has_budget(const Event& event, TimePoint now);
  bool is_one_of_many(const Event& event, TimePoint now);

  static constexpr std::size_t kMost = 4096;
  Recent<Budget> budgets_{kMost};
  Recent<Similar> similar_{kMost};
  Recent<Known> known_{kMost};
};

}  // namespace gantry::agent
