// SPDX-License-Identifier: Apache-2.0
#include "control/audit/audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "sys/file.h"

namespace gantry::control {

namespace {

Result<OwnFd> open_file(const std::string& path) {
  return sys::openat(sys::kCwd, path.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0600);
}

// Whether the last line has no end: who wrote it died, or his disk was full.
Result<bool> is_torn(const std::string& path, const struct stat& state) {
  if (!S_ISREG(state.st_mode) || state.st_size == 0) return false;
  const Result<OwnFd> file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK);
  if (!file && file.error().is_privilege()) return false;  // who may only write it can't look
  if (!file) return std::unexpected(file.error());
  char last = '\n';
  const Result<std::size_t> size = sys::pread(*file, &last, 1, static_cast<std::uint64_t>(state.st_size) - 1);
  if (!size) return std::unexpected(size.error());
  return last != '\n';
}

// "2026-11-22T09:20:07.123" with dashes for colons, as upstream names them.
std::string time_of_name() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  std::array<char, 64> text;
  const std::size_t size = ::strftime(text.data(), text.size(), "%Y-%m-%dT%H-%M-%S", &parts);
  std::string millis = std::to_string(1000 + now.tv_nsec / 1'000'000);
  return cat(std::string_view(text.data(), size), ".", millis.substr(1));
}

struct Names {
  std::filesystem::path folder;
  std::string prefix;     // "audit-"
  std::string extension;  // ".log"
};
Names names_of(const std::string& path) {
  const std::filesystem::path file(path);
  const std::filesystem::path folder = file.parent_path().empty() ? "." : file.parent_path();
  return {folder, file.stem().string() + "-", file.extension().string()};
}

}  // namespace

struct AuditFile::Waiter {
  explicit Waiter(Loop& loop) : here(loop), woken(loop) {}
  Loop& here;
  Event woken;
};

// Among those who wait for room, until it is destroyed.
struct AuditFile::Place {
  Place(AuditFile& f, std::shared_ptr<Waiter> w) : file(f), waiter(std::move(w)) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    const std::lock_guard lock(file.mutex_);
    file.waiters_.remove(waiter);
  }
  AuditFile& file;
  std::shared_ptr<Waiter> waiter;
};

Result<std::unique_ptr<AuditFile>> AuditFile::open(Options options) {
  Result<OwnFd> file = open_file(options.path);
  if (!file) return std::unexpected(std::move(file.error()));
  const Result<struct stat> state = sys::fstat(*file);
  if (!state) return std::unexpected(state.error());
  const Result<bool> torn = is_torn(options.path, *state);
  if (!torn) return std::unexpected(torn.error());
  return std::unique_ptr<AuditFile>(
      new AuditFile(std::move(options), std::move(*file), static_cast<std::uint64_t>(state->st_size), *torn));
}

AuditFile::AuditFile(Options options, OwnFd file, std::uint64_t size, bool torn)
    : options_(std::move(options)), file_(std::move(file)), size_(size), is_torn_(torn), thread_([this] { serve(); }) {}

AuditFile::~AuditFile() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Task<> AuditFile::put(Loop& here, std::string line) {
  for (;;) {
    std::shared_ptr<Waiter> waiter;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty() || waiting_.size() + line.size() < options_.max_waiting_bytes) {
        waiting_ += line;
        waiting_ += '\n';
        ++lines_;
        wake_.notify_one();
        co_return;
      }
      if (!std::exchange(is_late_, true)) {
        log::warning("the audit log is slower than requests come: they wait for it", {{"path", options_.path}});
      }
      waiter = waiters_.emplace_back(std::make_shared<Waiter>(here));
    }
    const Place place(*this, waiter);
    co_await waiter->woken.wait();
  }
}

void AuditFile::serve() {
  std::string batch;
  for (;;) {
    std::size_t lines = 0;
    {
      std::unique_lock lock(mutex_);
      if (waiting_.empty()) is_late_ = false;
      wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      batch.clear();
      batch.swap(waiting_);
      lines = std::exchange(lines_, 0);
      for (const auto& waiter : waiters_) waiter->here.post([waiter] { waiter->woken.set(); });
    }
    if (size_ > 0 && size_ + batch.size() > options_.max_bytes) {
      if (Status rotated = rotate(); !rotated) {
        log::error("the audit log can't be put aside, writing on", {{"error", rotated.error()}});
      }
    }
    if (is_torn_) batch.insert(batch.begin(), '\n');
    (append(batch) ? written_ : lost_).fetch_add(lines, std::memory_order_relaxed);
  }
}

bool AuditFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const Result<std::size_t> size = sys::write(file_, bytes.data(), bytes.size());
    if (!size) {
      if (!std::exchange(is_failing_, true)) {
        log::error("records for the audit log are lost", {{"path", options_.path}, {"error", size.error()}});
      }
      return false;
    }
    size_ += *size;
    if (*size > 0) is_torn_ = bytes[*size - 1] != '\n';
    bytes.remove_prefix(*size);
  }
  if (std::exchange(is_failing_, false)) {
    log::warning("the audit log is written again", {{"lost", lost_.load(std::memory_order_relaxed)}});
  }
  return true;
}

Status AuditFile::rotate() {
  const Names names = names_of(options_.path);
  const std::string aside = (names.folder / cat(names.prefix, time_of_name(), names.extension)).string();
  // When it is gone somebody else put it aside, or this did and could not open the next one.
  if (::rename(options_.path.c_str(), aside.c_str()) < 0 && errno != ENOENT) {
    return std::unexpected(Error::from_errno(errno, cat("rename ", gantry::quoted(options_.path))));
  }
  Result<OwnFd> file = open_file(options_.path);
  if (!file) return std::unexpected(std::move(file.error()));
  file_ = std::move(*file);
  size_ = 0;
  is_torn_ = false;
  remove_old();
  return {};
}

void AuditFile::remove_old() const {
  const Names names = names_of(options_.path);
  std::vector<std::filesystem::path> aside;
  std::error_code error;
  for (std::filesystem::directory_iterator it(names.folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    // Its own: the time in between has 23 characters.
    constexpr std::size_t kTimeSize = 23;
    const bool is_own = name.starts_with(names.prefix) && name.ends_with(names.extension) &&
                        name.size() == names.prefix.size() + kTimeSize + names.extension.size();
    if (is_own) aside.push_back(it->path());
  }
  std::ranges::sort(aside, std::greater());  // the newest first
  const auto now = std::filesystem::file_time_type::clock::now();
  for (std::size_t i = 0; i < aside.size(); ++i) {
    const auto age = now - std::filesystem::last_write_time(aside[i], error);
    const bool is_old = !error && options_.max_age > std::chrono::hours(0) && age > options_.max_age;
    if (i >= options_.max_backups || is_old) std::filesystem::remove(aside[i], error);
  }
}

}  // namespace gantry::control
