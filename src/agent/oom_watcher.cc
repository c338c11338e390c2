// SPDX-License-Identifier: Apache-2.0
#include "agent/oom_watcher.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "base/task.h"
#include "sys/file.h"

namespace gantry::agent {
namespace {

constexpr std::size_t kMaxRecord = 8192;  // the kernel's CONSOLE_EXT_LOG_MAX
constexpr int kRecordsAtOnce = 64;        // then others have their turn

}  // namespace

// "3,1290,52348,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,
// task=stress,pid=812,uid=0". Of a cgroup that is out of memory it has "oom_memcg=" in the place of "global_oom".
std::optional<OomVictim> system_oom_victim(std::string_view record) {
  const auto prefix = record.find(';');
  if (prefix == std::string_view::npos) return std::nullopt;
  // Facility 0: the kernel itself. Whoever may write into the log is taken for a user.
  unsigned priority = 8;
  std::from_chars(record.data(), record.data() + prefix, priority);
  std::string_view line = record.substr(prefix + 1);
  line = line.substr(0, line.find('\n'));
  if (priority >= 8 || !line.starts_with("oom-kill:")) return std::nullopt;
  constexpr std::string_view kTask = ",task=", kPid = ",pid=";
  const auto global = line.find(",global_oom,"), task = line.rfind(kTask), pid = line.rfind(kPid);
  if (global == std::string_view::npos || task == std::string_view::npos || pid == std::string_view::npos) {
    return std::nullopt;
  }
  if (task < global || pid < task + kTask.size()) return std::nullopt;
  const auto name = task + kTask.size();
  OomVictim victim{.process = std::string(line.substr(name, pid - name))};
  const std::string_view number = line.substr(pid + kPid.size());
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), victim.pid);
  return error == std::errc() ? std::optional(std::move(victim)) : std::nullopt;
}

struct OomWatcher::Impl {
  Impl(Loop& loop, OwnFd fd, Killed k) : log(std::move(fd)), watch(loop, log), killed(std::move(k)) {}

  static Task<> run(std::shared_ptr<Impl> self);

  OwnFd log;
  Watch watch;
  Killed killed;
  bool stopped = false;
};

Task<> OomWatcher::Impl::run(std::shared_ptr<Impl> self) {
  std::array<char, kMaxRecord> record;
  while (!self->stopped) {
    auto ready = co_await self->watch.readable();
    if (self->stopped) co_return;
    if (!ready) {
      log::info("no event tells when this machine is out of memory", {{"error", ready.error()}});
      co_return;
    }
    for (int i = 0; i < kRecordsAtOnce && !self->stopped; ++i) {
      auto size = sys::read(self->log, record.data(), record.size());
      // Records that were overwritten before they were read: the next call has those after them.
      if (!size && size.error().sys() == EPIPE) continue;
      if (!size && size.error().is_would_block()) break;
      if (!size || *size == 0) {
        if (!size) log::warning("the kernel's log can't be read any more", {{"error", size.error()}});
        co_return;
      }
      if (auto victim = system_oom_victim({record.data(), *size})) self->killed(*victim);
    }
  }
}

OomWatcher::OomWatcher(Loop& loop, OwnFd log, Killed killed)
    : impl_(std::make_shared<Impl>(loop, std::move(log), std::move(killed))) {
  loop.spawn(Impl::run(impl_));
}

OomWatcher::~OomWatcher() {
  impl_->stopped = true;
  impl_->watch.cancel();
}

Result<std::unique_ptr<OomWatcher>> OomWatcher::open(Loop& loop, Killed killed) {
  auto log = sys::openat(sys::kCwd, "/dev/kmsg", O_RDONLY | O_NONBLOCK);
  if (!log) return std::unexpected(std::move(log.error()));
  // The end, in the place of a position: the device knows no other.
  if (::lseek(log->get(), 0, SEEK_END) < 0) return std::unexpected(Error::from_errno(errno, "seek in /dev/kmsg"));
  return std::make_unique<OomWatcher>(loop, std::move(*log), std::move(killed));
}

}  // namespace gantry::agent
