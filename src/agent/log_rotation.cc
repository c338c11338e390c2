// SPDX-License-Identifier: Apache-2.0
#include "agent/log_rotation.h"

#include <time.h>

#include <atomic>
#include <set>
#include <utility>

#include "agent/log_files.h"
#include "agent/pool_tools.h"
#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

// "20060102-150405", of this machine's time zone as kubelet has it.
std::string stamp_of(std::time_t time) {
  tm parts{};
  ::localtime_r(&time, &parts);
  char text[32];
  return {text, ::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts)};
}

struct Found {
  std::vector<WrittenLog> too_large, missing;
};

Found find_large(const std::string& root, const std::vector<WrittenLog>& logs, std::int64_t max_size) {
  Found found;
  for (const auto& log : logs) {
    auto size = log_size(root, log.path);
    if (!size && size.error().is_not_found()) found.missing.push_back(log);
    if (size && *size >= static_cast<std::uint64_t>(max_size)) found.too_large.push_back(log);
  }
  return found;
}

}  // namespace

struct LogRotation::Impl : std::enable_shared_from_this<Impl> {
  Impl(Loop& l, cri::RuntimeService& r, std::string pod_logs_dir, LogLimits limit,
       std::function<std::vector<WrittenLog>()> is_running)
      : loop(l),
        runtime(r),
        root(std::move(pod_logs_dir)),
        limits(limit),
        running(std::move(is_running)),
        wake(l),
        workers(l, limit.max_workers) {}

  static Task<> run(std::shared_ptr<Impl> self);
  static Task<> look(std::shared_ptr<Impl> self, std::string stamp);
  Task<Status> reopen(std::string container);
  Task<Status> rotate(WrittenLog log, std::string stamp);
  void compress(const std::string& path);

  Loop& loop;
  cri::RuntimeService& runtime;
  const std::string root;
  const LogLimits limits;
  const std::function<std::vector<WrittenLog>()> running;
  Event wake;
  bool stopped = false;
  std::set<std::string> compressing;  // logs, by their paths
  // What waits in the pool when nobody wants it any more is left undone.
  std::shared_ptr<std::atomic<bool>> given_up = std::make_shared<std::atomic<bool>>(false);
  Pool workers;
};

Task<Status> LogRotation::Impl::reopen(std::string container) {
  v1::ReopenContainerLogRequest request;
  request.set_container_id(std::move(container));
  auto reopened = co_await runtime.reopen_container_log(std::move(request));
  if (!reopened) co_return std::unexpected(std::move(reopened.error()));
  co_return Status();
}

Task<Status> LogRotation::Impl::rotate(WrittenLog log, std::string stamp) {
  auto aside = co_await workers.run([root = root, path = log.path, stamp = std::move(stamp), max = limits.max_files] {
    return set_log_aside(root, path, stamp, max);
  });
  if (!aside) co_return std::unexpected(std::move(aside.error()));
  if (auto reopened = co_await reopen(log.container); !reopened) {
    auto back = co_await workers.run(
        [root = root, path = log.path, aside = *aside] { return put_log_back(root, path, aside); });
    if (!back) log::warning("a log could not be put back", {{"log", log.path}, {"error", back.error()}});
    co_return reopened;
  }
  compress(log.path);
  co_return Status();
}

void LogRotation::Impl::compress(const std::string& path) {
  if (!compressing.insert(path).second) return;
  workers.submit([weak = weak_from_this(), &loop = loop, root = root, path, given_up = given_up] {
    if (*given_up) return;
    Status done = compress_older_logs(root, path);
    // Its folder has gone with its pod.
    if (!done && !done.error().is_not_found())
      log::warning("compressing a log", {{"log", path}, {"error", done.error()}});
    loop.post([weak, path] {
      if (auto self = weak.lock()) self->compressing.erase(path);
    });
  });
}

Task<> LogRotation::Impl::look(std::shared_ptr<Impl> self, std::string stamp) {
  auto logs = self->running();
  if (logs.empty()) co_return;
  auto found = co_await self->workers.run(
      [root = self->root, logs = std::move(logs), max = self->limits.max_size] { return find_large(root, logs, max); });
  for (auto& log : found.missing) {
    if (self->stopped) co_return;
    auto reopened = co_await self->reopen(log.container);
    if (!reopened && !reopened.error().is_not_found()) {
      log::warning("a container's log is not there, retrying", {{"log", log.path}, {"error", reopened.error()}});
    }
  }
  for (auto& log : found.too_large) {
    if (self->stopped) co_return;
    const std::string path = log.path;
    auto rotated = co_await self->rotate(std::move(log), stamp);
    if (!rotated) log::warning("rotating a log, retrying", {{"log", path}, {"error", rotated.error()}});
  }
}

Task<> LogRotation::Impl::run(std::shared_ptr<Impl> self) {
  while (!self->stopped) {
    (void)co_await self->wake.wait_for(self->limits.interval);
    if (self->stopped) co_return;
    co_await look(self, stamp_of(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
  }
}

LogRotation::LogRotation(Loop& loop, cri::RuntimeService& runtime, std::string pod_logs_dir, LogLimits limits,
                         std::function<std::vector<WrittenLog>()> running)
    : impl_(std::make_shared<Impl>(loop, runtime, std::move(pod_logs_dir), limits, std::move(running))) {}

LogRotation::~LogRotation() {
  stop();
  finish(impl_->workers, impl_->limits.max_workers);
}

void LogRotation::start() {
  if (impl_->limits.max_size > 0) impl_->loop.spawn(Impl::run(impl_));
}

void LogRotation::stop() {
  impl_->stopped = true;
  *impl_->given_up = true;
  impl_->wake.set();
}

Task<> LogRotation::look(std::string stamp) { return Impl::look(impl_, std::move(stamp)); }

}  // namespace gantry::agent
