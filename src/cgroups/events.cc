// SPDX-License-Identifier: Apache-2.0
// Waiting for cgroup.events. The kernel tells of a change by EPOLLPRI on the open file, until it is read again from its
// beginning. An epoll descriptor turns that, and the timer of the limit, into something that a Watch can wait for;
// inotify would do too, but a user has only 128 of its instances.
#include <functional>

#include "base/loop.h"
#include "cgroups/cgroup.h"
#include "cgroups/driver.h"
#include "cgroups/text.h"
#include "sys/epoll.h"
#include "sys/file.h"

namespace gantry::cgroups {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

Clock::time_point deadline_of(nanoseconds limit) {
  auto now = Clock::now();
  return limit > Clock::time_point::max() - now ? Clock::time_point::max() : now + limit;
}

Result<Cgroup::Events> read_events(FdRef file) {
  char text[512];
  auto size = sys::pread_start(file, text, sizeof(text));
  if (!size) return std::unexpected(std::move(size.error()));
  return parse_events(std::string_view(text, *size));
}

// Returns when `reached` says so of the events. is_not_found() when the cgroup has been removed.
Task<Status> wait_events(Loop& loop, FdRef dir, bool (*reached)(const Cgroup::Events&), Clock::time_point deadline) {
  auto file = sys::openat(dir, "cgroup.events", O_RDONLY);
  if (!file) co_return std::unexpected(std::move(file.error()));
  // The usual case needs no more.
  auto now = read_events(*file);
  if (!now) co_return std::unexpected(std::move(now.error()));
  if (reached(*now)) co_return Status();

  auto epoll = sys::epoll_create();
  if (!epoll) co_return std::unexpected(std::move(epoll.error()));
  if (auto added = sys::epoll_add(*epoll, *file, EPOLLPRI); !added) co_return added;
  OwnFd timer;
  if (deadline != Clock::time_point::max()) {
    auto made = sys::timer_fd(deadline - Clock::now());
    if (!made) co_return std::unexpected(std::move(made.error()));
    timer = std::move(*made);
    if (auto added = sys::epoll_add(*epoll, timer, EPOLLIN); !added) co_return added;
  }
  Watch watch(loop, *epoll);
  for (;;) {
    // Armed above, so a change after this reading makes the watch readable.
    auto events = read_events(*file);
    if (!events) co_return std::unexpected(std::move(events.error()));
    if (reached(*events)) co_return Status();
    if (Clock::now() >= deadline) co_return fail(Code::kDeadlineExceeded, "the time limit has passed");
    if (auto ready = co_await watch.readable(); !ready) co_return ready;
  }
}

Status with_words(Status status, const std::string& words) {
  if (status) return status;
  return fail_with(std::move(status.error()), words);
}

}  // namespace

Task<Status> Cgroup::wait_empty(Loop& loop, nanoseconds limit) const {
  std::string words = "cgroup " + path_ + ": wait until it is empty";
  auto waited =
      co_await wait_events(loop, dir_, [](const Events& events) { return !events.populated; }, deadline_of(limit));
  if (!waited && waited.error().is_not_found()) co_return Status();  // removed: nothing can be in it
  co_return with_words(std::move(waited), words);
}

Task<Status> Cgroup::freeze(Loop& loop, nanoseconds limit) const {
  std::string words = "cgroup " + path_ + ": freeze";
  if (auto ordered = set_frozen(true); !ordered) co_return ordered;
  auto waited =
      co_await wait_events(loop, dir_, [](const Events& events) { return events.frozen; }, deadline_of(limit));
  co_return with_words(std::move(waited), words);
}

Task<Status> Cgroup::thaw(Loop& loop, nanoseconds limit) const {
  std::string words = "cgroup " + path_ + ": thaw";
  if (auto ordered = set_frozen(false); !ordered) co_return ordered;
  auto waited =
      co_await wait_events(loop, dir_, [](const Events& events) { return !events.frozen; }, deadline_of(limit));
  co_return with_words(std::move(waited), words);
}

Task<Status> Cgroup::remove_child(Loop& loop, std::string name, nanoseconds limit) const {
  // An object of its own: this one may be gone when the wait is over.
  auto held = dir_.duplicate();
  if (!held) co_return std::unexpected(std::move(held.error()));
  Cgroup self(DirFd(std::move(*held)), path_);
  auto deadline = deadline_of(limit);
  for (;;) {
    auto child = self.open_child(name);
    if (!child) co_return child.error().is_not_found() ? Status() : std::unexpected(std::move(child.error()));
    auto empty = co_await child->wait_empty(
        loop, deadline == Clock::time_point::max() ? nanoseconds::max() : deadline - Clock::now());
    if (!empty) co_return empty;
    auto removed = self.remove_child(name);
    if (removed || removed.error().code() != Code::kFailedPrecondition) co_return removed;
    // Busy: somebody put a process in between. Only that is worth another round.
    auto events = child->events();
    if (!events || !events->populated) co_return removed;
  }
}

Task<Status> CgroupfsDriver::remove(Loop& loop, std::string path, nanoseconds limit) const {
  auto parts = split_cgroup_path(path);
  if (!parts) co_return std::unexpected(std::move(parts.error()));
  if (parts->empty())
    co_return invalid_argument("remove cgroup \"" + path + "\": the root of the hierarchy can't be removed");
  std::string name = std::move(parts->back());
  std::string above = "/";
  for (std::size_t i = 0; i + 1 < parts->size(); ++i) above.append(i == 0 ? "" : "/").append((*parts)[i]);
  auto parent = hierarchy_->open(above);
  if (!parent) co_return parent.error().is_not_found() ? Status() : std::unexpected(std::move(parent.error()));
  auto child = parent->open_child(name);
  if (!child) co_return child.error().is_not_found() ? Status() : std::unexpected(std::move(child.error()));
  if (auto killed = child->kill(); !killed && !killed.error().is_not_found()) co_return killed;
  co_return co_await parent->remove_child(loop, name, limit);
}

}  // namespace gantry::cgroups
