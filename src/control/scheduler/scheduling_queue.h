// SPDX-License-Identifier: Apache-2.0
// SchedulingQueue: pods that wait for a node. Those to be looked at come by their priority, and of equal priority who
// has waited longest. One that found no node rests until something happens that may help it, or for five minutes; and
// whoever comes again waits first, for 1 s after the first attempt, twice as long after each further one, up to 10 s.
//
// Times are of a clock that only goes on. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "base/loop.h"
#include "control/scheduler/pod_info.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

class SchedulingQueue {
 public:
  // Is told of each pod that comes to wait, why, and how: "active", "backoff" or "unschedulable"; by the names of
  // upstream's metrics.
  using Entered = std::function<void(std::string_view event, std::string_view queue)>;
  explicit SchedulingQueue(Entered entered = {}) : entered_(std::move(entered)) {}

  // A pod that has none, or is another than before; `may_fit_now`: in what it asks for.
  void put(PodInfoPtr pod, bool may_fit_now, Duration now);
  // It needs no node any more.
  void remove(const std::string& key);

  // The next one, which is out of here until it is refused or tried again; null: nobody's turn has come.
  PodInfoPtr take(Duration now);
  // What was taken: no node is fit for it, these rules said; or it could not be given its node.
  void refuse(const std::string& key, RuleSet by, Duration now);
  void retry(const std::string& key, Duration now);

  // What was refused does not come again before release(), which tells it of what has happened meanwhile; `again`: it
  // comes whatever that was.
  void hold(const std::string& key);
  void release(const std::string& key, bool again, Duration now);

  // Something has happened: who rests and may find a node now comes again.
  using MayHelp = std::function<bool(const PodInfo& pod, RuleSet refused_by)>;
  void wake(std::string_view event, const MayHelp& may_help, Duration now);
  // It may help the pod of this key alone.
  void wake_one(std::string_view event, const std::string& key, Duration now);

  // Of one that was taken: how often, and when for the first time.
  struct Attempts {
    int count = 0;
    Duration first{};
  };
  Attempts attempts_of(const std::string& key) const;
  // How many wait in each way.
  std::size_t active() const { return ready_.size(); }
  std::size_t pausing() const { return due_.size() - resting_.size(); }
  std::size_t resting() const { return resting_.size(); }

  // When somebody's turn comes by time alone.
  std::optional<Duration> next_time() const;
  std::size_t size() const { return entries_.size(); }

 private:
  enum class State : std::uint8_t { kReady, kPausing, kResting, kTaken };
  struct Entry {
    PodInfoPtr pod;
    State state = State::kReady;
    RuleSet refused_by;
    int attempts = 0;
    Duration tried_at{}, first_tried_at{};
    Duration due{};           // of one that pauses or rests
    std::uint64_t order = 0;  // of one that is ready
    bool is_held = false;
    bool is_woken = false;  // while it was held
  };
  using Turn = std::tuple<std::int64_t, std::uint64_t, std::string>;  // less comes first
  static Turn turn_of(const Entry& entry);
  void leave(Entry& entry);
  void make_ready(Entry& entry, std::string_view event);
  void pause(Entry& entry, std::string_view event, Duration now);
  void wake_up(Entry& entry, std::string_view event, Duration now);
  void wait_until(Entry& entry, State state, std::string_view event, Duration due);
  void advance(Duration now);

  Entered entered_;
  std::unordered_map<std::string, Entry> entries_;
  std::set<Turn> ready_;
  std::set<std::pair<Duration, std::string>> due_;
  std::set<std::string> resting_;
  std::uint64_t last_order_ = 0;
};

}  // namespace gantry::control::scheduling
