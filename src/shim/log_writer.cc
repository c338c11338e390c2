// SPDX-License-Identifier: Apache-2.0
#include "shim/log_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "shim/attached_readers.h"
#include "shim/log_line.h"
#include "shim/poller.h"
#include "shim/process.h"
#include "shim/protocol.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

constexpr std::size_t kReadSize = 32768;
// Records are put together in this much room, whatever is read: a byte that ends a line makes at most kRecordHead of
// them, and a begun line ends before. Slices of what was read are taken while the next one's would fit.
constexpr std::size_t kRecordsSize = 65536;
constexpr std::size_t kSlice = 256;
constexpr std::size_t kRecordHead = 48;
constexpr std::size_t kRecordsFull = kRecordsSize - kSlice * kRecordHead - kMaxLine;
// When a container has ended, more than this can only come from a writer outside of it, and is not waited for.
constexpr std::size_t kDrainLimit = 64U << 20;

class Writer;

// A container's log file and what could not be written to it yet, which begins with a whole record.
struct Log {
  std::string container_id;
  OwnFd file;
  std::string pending;
  bool drained = false;
};

class Pipe final : public Source {
 public:
  Pipe(Writer& writer, std::shared_ptr<Log> log, OwnFd fd, bool is_err)
      : writer_(writer),
        log_(std::move(log)),
        fd_(std::move(fd)),
        is_err_(is_err),
        stream_(is_err ? "stderr" : "stdout") {}
  void on_ready(std::uint32_t events) override;
  // Reads once; false at the end of the stream or when nothing is there.
  bool read_once();

  FdRef fd() const { return fd_; }
  const std::shared_ptr<Log>& log() const { return log_; }
  bool ended() const { return ended_; }
  void finish();

 private:
  Writer& writer_;
  std::shared_ptr<Log> log_;
  OwnFd fd_;
  bool is_err_;
  LogStream stream_;
  bool ended_ = false;
};

class Writer {
 public:
  Writer(Poller poller, OwnFd shim)
      : poller_(std::move(poller)),
        shim_(*this, std::move(shim)),
        retry_(*this),
        readers_(poller_, {.gone = [this](std::uint32_t number, bool cut_off) { say_gone(number, cut_off); },
                           .taken = [this](const std::string& id) { update_pauses(id); }}) {
    records_.reserve(kRecordsSize);
  }
  int run();

  char* buffer() { return buffer_; }
  // Empty; what is put there goes to a log by write_records().
  std::string& records() { return records_; }
  void write_records(Log& log);
  void give_readers(const Log& log, bool is_err, std::string_view bytes);
  void end(Pipe& pipe);
  // The shim has written something that was not read yet.
  bool has_letters() const;

 private:
  void write(Log& log, std::string_view records);

  class Shim final : public Source {
   public:
    Shim(Writer& writer, OwnFd fd) : writer_(writer), fd_(std::move(fd)) {}
    void on_ready(std::uint32_t) override { writer_.receive(fd_); }
    Writer& writer_;
    OwnFd fd_;
  };
  class Retry final : public Source {
   public:
    explicit Retry(Writer& writer) : writer_(writer) {}
    void on_ready(std::uint32_t) override { writer_.retry_pending(); }
    Writer& writer_;
    OwnFd fd_;
  };

  void receive(FdRef socket);
  void handle(const Message& message, std::vector<OwnFd> fds);
  void add(const std::string& container_id, std::vector<OwnFd> fds);
  void drain(const std::string& container_id);
  void attach(const AttachRequest& request, std::vector<OwnFd> fds);
  void say_gone(std::uint32_t number, bool cut_off);
  void retry_pending();
  void set_paused(const Log& log, bool paused);
  void update_pauses(const std::string& container_id);
  void arm_retry();

  Poller poller_;
  Shim shim_;
  Retry retry_;
  AttachedReaders readers_;
  bool shim_open_ = true;
  std::vector<std::shared_ptr<Log>> logs_;
  std::list<Pipe> pipes_;
  std::string records_;
  char buffer_[kReadSize];
};

bool Pipe::read_once() {
  auto count = sys::read(fd_, writer_.buffer(), kReadSize);
  if (!count) {
    if (count.error().is_would_block()) return false;
    ended_ = true;  // EIO: the last process of a terminal closed it
    return false;
  }
  if (*count == 0) {
    ended_ = true;
    return false;
  }
  auto time = now();
  std::string_view bytes(writer_.buffer(), *count);
  writer_.give_readers(*log_, is_err_, bytes);
  while (!bytes.empty()) {
    std::string_view slice = bytes.substr(0, kSlice);
    bytes.remove_prefix(slice.size());
    stream_.add(slice, time, writer_.records());
    if (bytes.empty() || writer_.records().size() > kRecordsFull) writer_.write_records(*log_);
  }
  return true;
}

void Pipe::finish() {
  stream_.finish(now(), writer_.records());
  writer_.write_records(*log_);
}

void Pipe::on_ready(std::uint32_t) {
  // What the shim has said comes before what the container said since: a reader was promised that. The pipe stays
  // ready.
  if (writer_.has_letters()) return;
  read_once();
  if (ended_) writer_.end(*this);
}

// Takes a begun record off the end of a file, so that it is not torn apart when the log is rotated meanwhile. Returns
// how many of its `begun` bytes are gone: all or none.
std::size_t take_back(FdRef file, std::size_t begun) {
  auto info = sys::fstat(file);
  if (!info || !S_ISREG(info->st_mode) || info->st_size < static_cast<off_t>(begun)) return 0;
  return sys::ftruncate(file, info->st_size - static_cast<off_t>(begun)) ? begun : 0;
}

// One write(2) for all records of a read, or a few, so that a reader of the file rarely sees a begun record. What the
// file does not take is kept, and its container's pipes rest until it is written.
void Writer::write(Log& log, std::string_view records) {
  if (records.empty()) return;
  if (!log.pending.empty()) {
    log.pending += records;
    return;
  }
  std::string_view rest = records;
  while (!rest.empty()) {
    auto count = sys::write(log.file, rest.data(), rest.size());
    if (!count) break;
    rest.remove_prefix(*count);
  }
  if (rest.empty()) return;
  std::size_t written = records.size() - rest.size();
  std::size_t whole = written == 0 ? 0 : records.rfind('\n', written - 1) + 1;
  written -= take_back(log.file, written - whole);
  log.pending = records.substr(written);
  set_paused(log, true);
}

void Writer::write_records(Log& log) {
  write(log, records_);
  records_.clear();
}

void Writer::give_readers(const Log& log, bool is_err, std::string_view bytes) {
  readers_.give(log.container_id, is_err, bytes);
  if (readers_.holds(log.container_id)) set_paused(log, true);
}

void Writer::update_pauses(const std::string& container_id) {
  for (const auto& log : logs_) {
    if (log->container_id == container_id) set_paused(*log, !log->pending.empty() || readers_.holds(container_id));
  }
}

void Writer::set_paused(const Log& log, bool paused) {
  for (Pipe& pipe : pipes_) {
    if (pipe.log().get() == &log) (void)poller_.change(pipe.fd(), paused ? 0 : EPOLLIN, pipe);
  }
  if (paused) arm_retry();
}

// The kernel tells nobody that a file system has room again, nor that a reader reads nothing: the one timer in this
// process asks, while there is need.
void Writer::arm_retry() {
  if (!retry_.fd_.is_open()) {
    retry_.fd_ = OwnFd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    (void)poller_.add(retry_.fd_, EPOLLIN, retry_);
  }
  itimerspec in_a_second{{0, 0}, {1, 0}};
  ::timerfd_settime(retry_.fd_.get(), 0, &in_a_second, nullptr);
}

void Writer::retry_pending() {
  std::uint64_t expirations;
  (void)sys::read(retry_.fd_, &expirations, sizeof(expirations));
  readers_.tick();
  for (const auto& log : logs_) {
    bool was_held = !log->pending.empty() || readers_.holds(log->container_id);
    std::string records = std::move(log->pending);
    log->pending.clear();
    write(*log, records);
    if (was_held) set_paused(*log, !log->pending.empty() || readers_.holds(log->container_id));
  }
  if (readers_.any_waiting()) arm_retry();
  std::erase_if(logs_, [](const auto& log) { return log->drained && log->pending.empty(); });
}

void Writer::end(Pipe& pipe) {
  pipe.finish();
  poller_.remove(pipe.fd());
  pipes_.remove_if([&](const Pipe& other) { return &other == &pipe; });
}

void Writer::add(const std::string& container_id, std::vector<OwnFd> fds) {
  auto log = std::make_shared<Log>(container_id, std::move(fds[0]), std::string());
  logs_.push_back(log);
  for (std::size_t i = 1; i < fds.size() && i < 3; ++i) {
    int flags = ::fcntl(fds[i].get(), F_GETFL);
    (void)::fcntl(fds[i].get(), F_SETFL, flags | O_NONBLOCK);
    pipes_.emplace_back(*this, log, std::move(fds[i]), i == 2);
    (void)poller_.add(pipes_.back().fd(), EPOLLIN, pipes_.back());
  }
}

void Writer::drain(const std::string& container_id) {
  for (auto pipe = pipes_.begin(); pipe != pipes_.end();) {
    if (pipe->log()->container_id != container_id) {
      ++pipe;
      continue;
    }
    std::size_t seen = 0;
    while (seen < kDrainLimit && pipe->read_once()) seen += kReadSize;
    pipe->finish();
    poller_.remove(pipe->fd());
    pipe = pipes_.erase(pipe);
  }
  readers_.finish(container_id);
  if (readers_.any_waiting()) arm_retry();
  // A file that still takes nothing keeps its rest here; the log goes when it is written, or with the pod.
  for (const auto& log : logs_) log->drained |= log->container_id == container_id;
  std::erase_if(logs_, [](const auto& log) { return log->drained && log->pending.empty(); });
}

void Writer::attach(const AttachRequest& request, std::vector<OwnFd> fds) {
  std::size_t next = 0;
  auto take = [&](bool wanted) { return wanted && next < fds.size() ? std::move(fds[next++]) : OwnFd(); };
  OwnFd out = take(request.out), err = take(request.err);
  bool is_open = std::ranges::any_of(
      logs_, [&](const auto& log) { return log->container_id == request.container_id && !log->drained; });
  // Its pipes are lost when no descriptor was free here for them.
  bool is_lost = out.is_open() != request.out || err.is_open() != request.err;
  if (!is_open || is_lost) return say_gone(request.attach_id, is_lost);
  readers_.add(request.attach_id, request.container_id, std::move(out), std::move(err));
}

void Writer::say_gone(std::uint32_t number, bool cut_off) {
  auto kind = static_cast<Kind>(cut_off ? kLogCutOff : kLogDetached);
  (void)sys::send_packet(shim_.fd_, encode_packet(kind, 0, encode(AttachReference{number})), {});
}

void Writer::handle(const Message& message, std::vector<OwnFd> fds) {
  if (static_cast<std::uint16_t>(message.header.kind) == kLogAttach) {
    if (auto request = decode<AttachRequest>(message.body)) attach(*request, std::move(fds));
    return;
  }
  auto reference = decode<ContainerReference>(message.body);
  if (!reference) return;
  switch (static_cast<std::uint16_t>(message.header.kind)) {
    case kLogAdd:
      if (fds.size() >= 2) add(reference->container_id, std::move(fds));
      break;
    case kLogReopen:
      for (const auto& log : logs_) {
        if (log->container_id == reference->container_id && !fds.empty()) log->file = std::move(fds[0]);
      }
      retry_pending();
      break;
    case kLogDrain:
      drain(reference->container_id);
      (void)sys::send_packet(shim_.fd_, encode_packet(static_cast<Kind>(kLogDrained), 0, encode(*reference)), {});
      break;
    default:
      break;
  }
}

void Writer::receive(FdRef socket) {
  char packet[1024];
  auto received = sys::receive_packet(socket, packet);
  if (!received && !received.error().is_gone()) return;
  if (!received || received->size == 0) {
    // The shim is gone. What the containers still write is still theirs to be read.
    poller_.remove(socket);
    shim_open_ = false;
    return;
  }
  auto message = decode_packet(std::string_view(packet, received->size));
  if (message) handle(*message, std::move(received->fds));
}

bool Writer::has_letters() const {
  pollfd asked{shim_.fd_.get(), POLLIN, 0};
  return shim_open_ && ::poll(&asked, 1, 0) == 1 && (asked.revents & POLLIN) != 0;
}

int Writer::run() {
  if (!poller_.add(shim_.fd_, EPOLLIN, shim_)) return 1;
  auto is_pending = [](const auto& log) { return !log->pending.empty(); };
  while (shim_open_ || !pipes_.empty() || std::ranges::any_of(logs_, is_pending)) poller_.wait();
  return 0;
}

}  // namespace

void run_log_writer(OwnFd shim) {
  (void)sys::set_name("gantry-log");
  // A reader that goes is an error of a write, and no more.
  ::signal(SIGPIPE, SIG_IGN);
  auto poller = Poller::make();
  if (!poller) ::_exit(1);
  Writer writer(std::move(*poller), std::move(shim));
  ::_exit(writer.run());
}

}  // namespace gantry::shim
