// SPDX-License-Identifier: Apache-2.0
#include "control/store/writer.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"

namespace gantry::control {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t kMaxWaiting = 16384;
constexpr std::size_t kMaxWaitingBytes = 64 << 20;
constexpr std::size_t kMaxBatch = 512;
constexpr std::size_t kMaxBatchBytes = 4 << 20;
constexpr int kMaxExpired = 256;        // removed in one transaction
constexpr std::size_t kSweepStep = 64;  // rows of history looked at in one transaction
// How long a transaction waits for writers that the one before answered, when there were several.
constexpr std::chrono::microseconds kGather{500};
constexpr milliseconds kExpiryPace{1000};
constexpr milliseconds kPause{10'000};
// A log this long has readers that never end between them: the next one waits a moment, so that it can begin anew.
constexpr std::int64_t kLongLog = 6 * Checkpointer::kPages;
constexpr milliseconds kReaderWait{20};
// The log's room comes to be step by step: the next commit's sync has each step to write, too.
constexpr std::int64_t kRoom = 12 << 20;
constexpr std::int64_t kRoomStep = 512 << 10;
constexpr milliseconds kRoomPace{250};

std::size_t size_of(const Write& write) { return write.key.size() + (write.value ? write.value->size() : 0); }

std::int64_t now_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Writer::Writer(db::Connection connection, Checkpointer& checkpointer, WatchHub& hub, Bounds bounds,
               std::int64_t next_expiry, HistoryLimits limits)
    : connection_(std::move(connection)),
      checkpointer_(checkpointer),
      hub_(hub),
      limits_(limits),
      bounds_(bounds),
      next_expiry_(next_expiry),
      next_room_(steady_clock::now() + kRoomPace) {
  if (bounds_.revision > bounds_.compacted) marks_.push_back({steady_clock::now(), bounds_.revision, 0});
  thread_ = std::thread([this] { serve(); });
}

Writer::~Writer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  for (Waiting& waiting : queue_) waiting.answer.give(fail(Code::kCancelled, "store: it is being closed"));
  for (Compaction& each : compactions_) each.answer.give(fail(Code::kCancelled, "store: it is being closed"));
}

void Writer::submit(Write write, Answer<Result<WriteAnswer>> answer) {
  if (write.key.empty() || write.key.size() > kMaxKey || size_of(write) > kMaxKey + kMaxValue) {
    answer.give(invalid_argument("store: a key of " + std::to_string(write.key.size()) + " bytes with a value of " +
                                 std::to_string(write.value ? write.value->size() : 0)));
    return;
  }
  std::size_t size = size_of(write);
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() < kMaxWaiting && queued_bytes_ < kMaxWaitingBytes) {
      queued_bytes_ += size;
      queue_.push_back({std::move(write), std::move(answer)});
      size = 0;
    }
  }
  if (size == 0) {
    wake_.notify_one();
  } else {
    answer.give(fail(Code::kUnavailable, "store: too many writes are waiting"));
  }
}

void Writer::compact(std::int64_t revision, Answer<Status> answer) {
  {
    std::lock_guard lock(mutex_);
    compactions_.push_back({revision, std::move(answer)});
  }
  wake_.notify_one();
}

// ---- The thread

void Writer::serve() {
  // Signals are the loop threads' matter.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    wait_for_work(lock);
    if (stopping_) return;
    auto batch = take_batch();
    auto compactions = std::exchange(compactions_, {});
    lock.unlock();
    commit(batch);
    for (Compaction& each : compactions) each.answer.give(compact_to(each.revision));
    maintain(batch.size());
    lock.lock();
  }
}

void Writer::wait_for_work(std::unique_lock<std::mutex>& lock) {
  auto there = [this] { return stopping_ || !queue_.empty() || !compactions_.empty(); };
  if (auto due = next_maintenance()) {
    wake_.wait_until(lock, *due, there);
  } else {
    wake_.wait(lock, there);
  }
  // Who was answered with others a moment ago comes back with them: a sync is dearer than this wait.
  if (last_batch_ > 1 && !queue_.empty()) {
    wake_.wait_for(lock, kGather, [this] { return stopping_ || queue_.size() >= last_batch_; });
  }
}

std::vector<Writer::Waiting> Writer::take_batch() {
  std::vector<Waiting> batch;
  std::size_t bytes = 0;
  while (!queue_.empty() && batch.size() < kMaxBatch && bytes < kMaxBatchBytes) {
    bytes += size_of(queue_.front().write);
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  return batch;
}

void Writer::commit(std::span<Waiting> batch) {
  if (batch.empty()) return;
  last_batch_ = batch.size();
  std::vector<Decision> decisions;
  std::int64_t now = now_ms();
  auto committed = connection_.write([&](db::Connection& c) -> Status {
    std::int64_t revision = bounds_.revision;
    for (const Waiting& waiting : batch) {
      auto decision = apply_write(c, waiting.write, revision + 1, now);
      if (!decision) return std::unexpected(std::move(decision.error()));
      if (decision->answer.done) ++revision;
      decisions.push_back(std::move(*decision));
    }
    return {};
  });
  if (!committed && batch.size() > 1) {
    for (Waiting& waiting : batch) commit({&waiting, 1});
    return;
  }
  if (!committed) {
    batch.front().answer.give(fail_with(std::move(committed.error()), "write " + batch.front().write.key));
    return;
  }
  std::vector<StoreEvent> events;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (!decisions[i].answer.done) continue;
    if (auto ttl = batch[i].write.ttl) {
      std::int64_t at = now + milliseconds(*ttl).count();
      next_expiry_ = next_expiry_ == 0 ? at : std::min(next_expiry_, at);
    }
    events.push_back(std::move(decisions[i].event));
  }
  note(std::move(events));
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i].answer.give(std::move(decisions[i].answer));
}

// What was committed: watchers first, so that who was answered finds it in every copy of the store.
void Writer::note(std::vector<StoreEvent> events) {
  if (events.empty()) return;
  bounds_.revision = events.back().revision();
  for (const StoreEvent& event : events) {
    bytes_ += static_cast<std::int64_t>(event.previous ? event.previous->value.size() : event.entry->value.size());
  }
  auto now = steady_clock::now();
  if (marks_.empty() || now - marks_.back().time > limits_.age / 16 ||
      bytes_ - marks_.back().bytes > limits_.bytes / 16) {
    marks_.push_back({now, bounds_.revision, bytes_});
  }
  hub_.append(std::move(events));
}

// ---- Between transactions

Writer::Time Writer::expiry_due() const {
  if (next_expiry_ == 0) return Time::max();
  auto left = milliseconds(std::max<std::int64_t>(next_expiry_ - now_ms(), 0));
  // A clock that was set is noticed within the minute.
  return std::max(steady_clock::now() + std::min(left, milliseconds(60'000)), last_expiry_ + kExpiryPace);
}

std::optional<Writer::Time> Writer::next_maintenance() const {
  Time due = expiry_due();
  if (!marks_.empty()) due = std::min(due, marks_.front().time + limits_.age);
  if (bounds_.swept < bounds_.compacted) due = Time{};
  if (room_ < kRoom) due = std::min(due, next_room_);
  due = std::max(due, paused_until_);
  if (due == Time::max()) return std::nullopt;
  return due;
}

void Writer::maintain(std::size_t batch) {
  if (steady_clock::now() >= paused_until_) {
    Status done = remove_expired();
    if (done) done = compact_old();
    if (done) done = sweep_some(batch);
    if (!done) {
      log::warning("store: cleaning up failed, trying again in 10 s", {{"error", done.error().message()}});
      paused_until_ = steady_clock::now() + kPause;
    }
  }
  write_back();
  make_room();
}

Status Writer::remove_expired() {
  std::int64_t now = now_ms();
  if (next_expiry_ == 0 || steady_clock::now() < last_expiry_ + kExpiryPace || now < next_expiry_) return {};
  std::vector<StoreEvent> events;
  auto next = connection_.write([&](db::Connection& c) -> Result<std::int64_t> {
    auto removed = expire(c, bounds_.revision + 1, now, kMaxExpired);
    if (!removed) return std::unexpected(std::move(removed.error()));
    events = std::move(*removed);
    return next_expiry(c);
  });
  if (!next) return fail_with(std::move(next.error()), "remove what has expired");
  next_expiry_ = *next;
  // More of what is due comes at once, after writes that wait.
  if (next_expiry_ == 0 || next_expiry_ > now) last_expiry_ = steady_clock::now();
  note(std::move(events));
  return {};
}

Status Writer::compact_old() {
  std::int64_t revision = 0;
  auto now = steady_clock::now();
  while (!marks_.empty() &&
         (now - marks_.front().time >= limits_.age || bytes_ - marks_.front().bytes > limits_.bytes)) {
    revision = marks_.front().revision;
    marks_.pop_front();
  }
  return revision == 0 ? Status() : compact_to(revision);
}

Status Writer::compact_to(std::int64_t revision) {
  if (revision > bounds_.revision) {
    return fail(Code::kFailedPrecondition, "compact: revision " + std::to_string(revision) +
                                               " is ahead of the store's, " + std::to_string(bounds_.revision));
  }
  if (revision <= bounds_.compacted) return {};
  auto set = connection_.write([&](db::Connection& c) { return set_compacted(c, revision); });
  if (!set) return fail_with(std::move(set.error()), "compact");
  bounds_.compacted = revision;
  return {};
}

Status Writer::sweep_some(std::size_t batch) {
  if (bounds_.swept >= bounds_.compacted) return {};
  // Twice as fast as history is made. A loss of power may bring rows back, which are then swept again.
  auto left =
      connection_.write_lazily([&](db::Connection& c) { return sweep(c, static_cast<int>(kSweepStep + 2 * batch)); });
  if (!left) return fail_with(std::move(left.error()), "forget history");
  bounds_.swept = bounds_.compacted - *left;
  return {};
}

void Writer::write_back() {
  std::int64_t pages = connection_.log_pages();
  if (pages < Checkpointer::kPages) write_back_at_ = Checkpointer::kPages;
  if (checkpointer_.take_done()) {
    // A failure (a full disk, a busy reader) is met again with the next try, at the latest by a write.
    (void)connection_.checkpoint(pages > kLongLog ? kReaderWait : milliseconds::zero());
  } else if (pages >= write_back_at_) {
    write_back_at_ = pages + Checkpointer::kPages;
    checkpointer_.begin();
  }
}

void Writer::make_room() {
  const Time now = steady_clock::now();
  if (room_ >= kRoom || now < next_room_) return;
  room_ += kRoomStep;
  next_room_ = now + kRoomPace;
  // Where that can't be had, all else works.
  (void)connection_.reserve_room(room_);
}

}  // namespace gantry::control
