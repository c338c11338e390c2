// SPDX-License-Identifier: Apache-2.0
#include "agent/shutdown/shutdown_lock.h"

#include <utility>

#include "agent/shutdown/logind.h"
#include "agent/shutdown/logind_delay.h"
#include "base/log.h"
#include "base/text.h"

namespace gantry::agent {
namespace {

using std::chrono::steady_clock;

// Logind reads its configuration some time after it was told to, and nothing says when.
constexpr std::chrono::milliseconds kLook{100};
constexpr int kLooks = 100;

std::int64_t seconds(Duration duration) { return std::chrono::floor<std::chrono::seconds>(duration).count(); }

}  // namespace

struct ShutdownLock::Impl {
  Impl(Loop& l, Pool& d, Options o, Heard h)
      : loop(l), disk(d), options(std::move(o)), heard(std::move(h)), again(options.again), stopping(l) {}

  static Task<> run(std::shared_ptr<Impl> self);
  static Task<Status> keep(std::shared_ptr<Impl> self);
  Task<Status> take(Logind& logind);
  Task<Status> raise_delay(Logind& logind);

  Loop& loop;
  Pool& disk;
  const Options options;
  const Heard heard;
  Backoff again;
  Logind* logind = nullptr;  // while there is a connection
  OwnFd lock;
  bool is_told = false;  // that it can't be had, as long as that is so
  Event stopping;
};

Task<Status> ShutdownLock::Impl::raise_delay(Logind& bus) {
  auto delay = co_await bus.longest_delay();
  if (!delay) co_return std::unexpected(std::move(delay.error()));
  if (*delay >= options.delay) co_return Status();
  auto written = co_await disk.run(
      [folder = options.logind_folder, wanted = options.delay] { return write_logind_delay(folder, wanted); });
  if (!written) co_return written;
  if (auto told = co_await bus.reload(); !told) co_return told;
  for (int looks = 0; looks < kLooks && !stopping.is_set(); ++looks) {
    delay = co_await bus.longest_delay();
    if (!delay) co_return std::unexpected(std::move(delay.error()));
    if (*delay >= options.delay) co_return Status();
    (void)co_await stopping.wait_for(kLook);
  }
  co_return fail(Code::kFailedPrecondition, cat("logind waits ", seconds(*delay), " s and not ", seconds(options.delay),
                                                " s: InhibitDelayMaxSec is said elsewhere"));
}

Task<Status> ShutdownLock::Impl::take(Logind& bus) {
  auto taken = co_await bus.inhibit();
  // After the lock: a shutdown that began before it is seen here, and one that begins after it waits for it.
  auto preparing = co_await bus.is_preparing();
  if (stopping.is_set()) co_return Status();
  if (!preparing) co_return std::unexpected(std::move(preparing.error()));
  if (taken) lock = std::move(*taken);
  heard(*preparing);
  if (*preparing) co_return Status();  // None is given to anybody then.
  if (!taken) co_return std::unexpected(std::move(taken.error()));
  // Only now: it may take a while, and a lock of a shorter delay is better than none.
  const auto raised = co_await raise_delay(bus);
  if (!raised && !stopping.is_set()) {
    log::warning("pods may have less time to end before a shutdown than they should", {{"error", raised.error()}});
  }
  co_return Status();
}

// As long as the connection lasts. An error: it could not be had, or not for long.
Task<Status> ShutdownLock::Impl::keep(std::shared_ptr<Impl> self) {
  auto connected = Logind::connect(self->loop, self->options.bus_address);
  if (!connected) co_return std::unexpected(std::move(connected.error()));
  const std::unique_ptr<Logind> bus = std::move(*connected);
  self->logind = bus.get();
  Status done = co_await self->take(*bus);
  if (done && !self->stopping.is_set()) {
    self->again.succeeded("");
    self->is_told = false;
    if (self->lock.is_open()) {
      log::info("a shutdown of this machine waits for the node's pods", {{"seconds", seconds(self->options.delay)}});
    }
  }
  while (done && !self->stopping.is_set()) {
    const auto word = co_await bus->next();
    if (!word || self->stopping.is_set()) break;
    if (*word == Logind::Word::kShutdown) {
      self->heard(true);
    } else {
      if (*word == Logind::Word::kCancelled) self->heard(false);
      done = co_await self->take(*bus);
    }
  }
  self->logind = nullptr;
  if (done && !self->stopping.is_set()) done = fail(Code::kUnavailable, "the system bus has gone");
  co_return done;
}

Task<> ShutdownLock::Impl::run(std::shared_ptr<Impl> self) {
  while (!self->stopping.is_set()) {
    Status kept = co_await keep(self);
    if (self->stopping.is_set()) co_return;
    if (!kept && !std::exchange(self->is_told, true)) {
      log::warning("a shutdown of this machine would not wait for the node's pods, retrying",
                   {{"error", kept.error()}});
    }
    const auto now = steady_clock::now();
    (void)co_await self->stopping.wait_for(self->again.failed("", now) - now);
  }
}

ShutdownLock::ShutdownLock(Loop& loop, Pool& disk, Options options, Heard heard)
    : impl_(std::make_shared<Impl>(loop, disk, std::move(options), std::move(heard))) {}

ShutdownLock::~ShutdownLock() { stop(); }

void ShutdownLock::start() { impl_->loop.spawn(Impl::run(impl_)); }

void ShutdownLock::release() { impl_->lock.close(); }

void ShutdownLock::stop() {
  if (impl_->stopping.is_set()) return;
  impl_->stopping.set();
  impl_->lock.close();
  if (impl_->logind != nullptr) impl_->logind->close();
}

}  // namespace gantry::agent
