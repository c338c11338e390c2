// SPDX-License-Identifier: Apache-2.0
#include "agent/volume_calls.h"

#include <algorithm>
#include <list>
#include <utility>

#include "base/hanging_calls.h"

namespace gantry::agent {

struct VolumeCalls::Impl : std::enable_shared_from_this<Impl> {
  struct Entry {
    std::shared_ptr<Call> call;
    std::set<std::string> keys;
    Work work;  // until it runs
    std::function<void()> done;
    bool runs = false;
  };
  using Entries = std::list<Entry>;  // in the order in which they came

  Impl(Loop& of, std::size_t limit, Duration leave) : loop(of), most(limit), calls(of, leave) {}

  bool may_run(const Entry& entry) const;
  void advance();
  void run(Entry& entry);
  void conclude(const Call* call, VolumeOutcome outcome);

  Loop& loop;
  const std::size_t most;
  std::size_t running = 0;
  Entries entries;
  HangingCalls calls;
};

bool VolumeCalls::Impl::may_run(const Entry& entry) const {
  return std::ranges::none_of(entries, [&](const Entry& other) {
    return other.runs && std::ranges::any_of(entry.keys, [&](const auto& key) { return other.keys.contains(key); });
  });
}

void VolumeCalls::Impl::advance() {
  for (auto& entry : entries) {
    if (running >= most) return;
    if (!entry.runs && may_run(entry)) run(entry);
  }
}

void VolumeCalls::Impl::run(Entry& entry) {
  entry.runs = true;
  ++running;
  const Call* call = entry.call.get();
  auto conclude = [weak = weak_from_this(), call](VolumeOutcome outcome) {
    return [weak, call, outcome = std::move(outcome)]() mutable {
      if (auto self = weak.lock()) self->conclude(call, std::move(outcome));
    };
  };
  auto begun = calls.begin([conclude, work = std::move(entry.work)]() mutable -> HangingCalls::Conclude {
    return conclude(work());
  });
  if (!begun) loop.post(conclude(VolumeOutcome{.status = std::move(begun)}));
}

void VolumeCalls::Impl::conclude(const Call* call, VolumeOutcome outcome) {
  auto entry = std::ranges::find(entries, call, [](const Entry& one) { return one.call.get(); });
  if (entry == entries.end()) return;
  entry->call->is_done = true;
  entry->call->outcome = std::move(outcome);
  auto done = std::move(entry->done);
  entries.erase(entry);
  --running;
  advance();
  done();
}

VolumeCalls::VolumeCalls(Loop& loop, std::size_t most, Duration leave)
    : impl_(std::make_shared<Impl>(loop, most, leave)) {}

VolumeCalls::~VolumeCalls() { close(); }

std::shared_ptr<VolumeCalls::Call> VolumeCalls::begin(std::set<std::string> keys, Work work,
                                                      std::function<void()> done) {
  auto call = std::make_shared<Call>();
  impl_->entries.push_back({.call = call, .keys = std::move(keys), .work = std::move(work), .done = std::move(done)});
  impl_->advance();
  return call;
}

bool VolumeCalls::give_up(const Call& call) {
  return std::erase_if(impl_->entries, [&](const auto& entry) { return entry.call.get() == &call && !entry.runs; }) > 0;
}

void VolumeCalls::close() {
  impl_->entries.clear();
  impl_->calls.close();
}

}  // namespace gantry::agent
