// SPDX-License-Identifier: Apache-2.0
#include "shim/pod.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "shim/log_writer.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

// Bounds on what one pod's shim is asked to keep.
constexpr std::size_t kMaxConnections = 64;
constexpr std::size_t kMaxMessage = 4096;
// What waits for the log writer: a log of each container to reopen, and each of the readers that a pod may have.
constexpr std::size_t kMaxLetters = Pod::kMaxContainers + Pod::kMaxAttachments;
// How long nobody is accepted when no descriptor is free, unless something happens.
constexpr int kPauseMs = 1000;
// Bytes that wait for a peer that is busy: the ends of all that runs in the pod, many times over.
constexpr std::size_t kMaxUnread = 1U << 20;

std::string encode_failure(const Error& error) {
  return encode(FailedAnswer{static_cast<std::int32_t>(error.code()), as_utf8(error.message(), kMaxMessage)});
}

std::string packet_of(std::uint16_t kind, const std::string& container_id) {
  return encode_packet(static_cast<Kind>(kind), 0, encode(ContainerReference{container_id}));
}

}  // namespace

class Pod::Listener final : public Source {
 public:
  explicit Listener(Pod& pod) : pod_(pod) {}
  void on_ready(std::uint32_t) override { pod_.accept(); }

 private:
  Pod& pod_;
};

class Pod::LogWriter final : public Source {
 public:
  explicit LogWriter(Pod& pod) : pod_(pod) {}
  void on_ready(std::uint32_t events) override {
    if ((events & EPOLLOUT) != 0) pod_.told_log_writer(pod_.outbox_.flush(pod_.fds_.log_writer));
    if ((events & ~EPOLLOUT) != 0) pod_.read_log_writer();
  }

 private:
  Pod& pod_;
};

void Connection::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) went(outbox_.flush(fd_));
  if ((events & ~EPOLLOUT) != 0) pod_.receive(*this);
}

void Connection::send(Kind kind, std::uint32_t request, std::string_view body, std::vector<OwnFd> fds) {
  went(outbox_.send(fd_, encode_packet(kind, request, body), std::move(fds)));
}

void Connection::went(const Status& sent) {
  if (!sent || outbox_.bytes() > kMaxUnread) {
    outbox_ = {};
    ::shutdown(fd_.get(), SHUT_RDWR);
  }
  if (auto events = outbox_.new_events()) (void)pod_.poller().change(fd_, *events, *this);
}

Pod::Pod(Poller poller, std::string sandbox_id, PodFds fds)
    : poller_(std::move(poller)),
      sandbox_id_(std::move(sandbox_id)),
      fds_(std::move(fds)),
      listener_(std::make_unique<Listener>(*this)),
      log_writer_(std::make_unique<LogWriter>(*this)) {}

Pod::~Pod() = default;

void Pod::serve(OwnFd first, OwnFd route) {
  if (!poller_.add(fds_.listener, EPOLLIN, *listener_) || !poller_.add(fds_.log_writer, EPOLLIN, *log_writer_)) return;
  connections_.push_back(std::make_unique<Connection>(*this, std::move(first)));
  greet(*connections_.back(), std::move(route));
  while (!done_) {
    const bool is_paused = !is_listening_;
    poller_.wait(is_paused ? kPauseMs : -1);
    // What was closed was closed on the way through here, or is another process's.
    if (is_paused) is_listening_ = poller_.change(fds_.listener, EPOLLIN, *listener_).has_value();
    if (may_have_strays_) reap_strays();
  }
}

void Pod::greet(Connection& connection, OwnFd route) {
  (void)poller_.add(connection.fd(), EPOLLIN, connection);
  HelloEvent hello{sandbox_id_, static_cast<std::int32_t>(::getpid())};
  std::vector<OwnFd> fds;
  if (route.is_open()) fds.push_back(std::move(route));
  connection.send(Kind::kHello, 0, encode(hello), std::move(fds));
}

void Pod::accept() {
  auto socket = sys::accept(fds_.listener);
  if (!socket) {
    // Who waits to be accepted would wake us again and again.
    if (socket.error().is_resource()) is_listening_ = !poller_.change(fds_.listener, 0, *listener_).has_value();
    return;
  }
  auto peer = sys::peer_credentials(*socket);
  // The folder's mode keeps others out already; this holds when somebody loosens it.
  if (!peer || peer->uid != 0) return;
  if (connections_.size() >= kMaxConnections) return;
  connections_.push_back(std::make_unique<Connection>(*this, std::move(*socket)));
  greet(*connections_.back(), OwnFd());
}

void Pod::drop(Connection& connection) {
  poller_.remove(connection.fd());
  for (auto& process : processes_) {
    if (process->input_owner == &connection) process->standard_in.close();
    if (process->owner != &connection) continue;
    process->owner = nullptr;
    // Nobody is left who reads what an exec says.
    if (process->is_exec()) (void)process->kill();
  }
  // Their pipes close with their other ends, which that peer has.
  std::erase_if(attachments_, [&](const Attachment& attachment) { return attachment.owner == &connection; });
  connections_.remove_if([&](const auto& other) { return other.get() == &connection; });
}

void Pod::receive(Connection& connection) {
  char packet[kMaxPacket];
  auto received = sys::receive_packet(connection.fd(), packet);
  if (!received && (received.error().is_would_block() || received.error().is_resource())) return;
  if (!received || received->size == 0) return drop(connection);
  auto message = decode_packet(std::string_view(packet, received->size));
  if (!message) return drop(connection);
  if (received->fds_lost) {
    Error error(Code::kResourceExhausted, "no descriptor is free in the shim for those of the request");
    return connection.send(Kind::kFailed, message->header.request, encode_failure(error));
  }
  handle(connection, *message, std::move(received->fds));
}

void Pod::handle(Connection& connection, const Message& message, std::vector<OwnFd> fds) {
  std::uint32_t number = message.header.request;
  // Decodes the body and gives it to `serve`; nothing back means that the answer comes later.
  auto with = [&]<typename Request>(auto serve) -> Status {
    auto request = decode<Request>(message.body);
    if (!request) return std::unexpected(std::move(request.error()));
    return serve(*request);
  };
  Status status;
  std::vector<OwnFd> answer;
  switch (message.header.kind) {
    case Kind::kConfigure:
      status = with.operator()<ConfigureRequest>([&](auto& r) { return configure(r, std::move(fds)); });
      break;
    case Kind::kStart:
      status = with.operator()<StartRequest>([&](auto& r) { return start(connection, number, r, std::move(fds)); });
      if (status) return;
      break;
    case Kind::kStartHooked:
      status =
          with.operator()<StartRequest>([&](auto& r) { return start_hooked(connection, number, r, std::move(fds)); });
      if (status) return;
      break;
    case Kind::kStartByRuntime:
      status = with.operator()<StartRequest>(
          [&](auto& r) { return start(connection, number, r, std::move(fds), nullptr, true); });
      if (status) return;
      break;
    case Kind::kExec:
    case Kind::kExecByRuntime:
      status = with.operator()<ExecRequest>([&](auto& r) {
        return exec(connection, number, r, std::move(fds), message.header.kind == Kind::kExecByRuntime);
      });
      if (status) return;
      break;
    case Kind::kSignal:
      status = with.operator()<SignalRequest>([&](auto& r) { return signal(r); });
      break;
    case Kind::kKillExec:
      status = with.operator()<ExecReference>([&](auto& r) -> Status {
        for (auto& process : processes_) {
          if (process->is_exec() && process->owner == &connection && process->exec_id == r.exec_id) {
            return process->kill();
          }
        }
        return {};
      });
      break;
    case Kind::kReopenLog:
      status = with.operator()<ContainerReference>([&](auto& r) { return reopen_log(r, std::move(fds)); });
      break;
    case Kind::kForget:
      status = with.operator()<ContainerReference>([&](auto& r) { return forget(r); });
      break;
    case Kind::kResize:
      status = with.operator()<ResizeRequest>([&](auto& r) { return resize(r); });
      break;
    case Kind::kAttach:
      status = with.operator()<AttachRequest>([&](auto& r) { return attach(connection, r, std::move(fds), answer); });
      break;
    case Kind::kCloseInput:
      status = with.operator()<ContainerReference>([&](auto& r) { return close_input(r); });
      break;
    case Kind::kSockets:
      status = make_sockets(answer);
      break;
    case Kind::kState:
      return connection.send(Kind::kStateIs, number, encode(state()));
    case Kind::kShutdown:
      return shutdown();
    default:
      status =
          fail(Code::kUnimplemented, "shim message of kind " + std::to_string(static_cast<int>(message.header.kind)) +
                                         ": unknown to this shim");
  }
  if (status) return connection.send(Kind::kDone, number, "", std::move(answer));
  connection.send(Kind::kFailed, number, encode_failure(status.error()));
}

Result<OwnFd> Pod::take(std::vector<OwnFd>& fds, const char* what) {
  if (fds.empty()) return invalid_argument(std::string("shim request: descriptor of ") + what + " was expected");
  OwnFd fd = std::move(fds.front());
  fds.erase(fds.begin());
  return fd;
}

bool Pod::is_older(const Connection& one, const Connection& other) const {
  if (&one == &other) return false;
  auto first =
      std::ranges::find_if(connections_, [&](const auto& each) { return each.get() == &one || each.get() == &other; });
  return first != connections_.end() && first->get() == &one;
}

std::size_t Pod::count(bool execs) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(processes_, [&](const auto& process) { return process->is_exec() == execs; }));
}

Process* Pod::find(const std::string& container_id) {
  for (auto& process : processes_) {
    if (!process->is_exec() && process->container_id == container_id) return process.get();
  }
  return nullptr;
}

void Pod::launched(Process& process) {
  if (!process.is_exec()) {
    std::vector<OwnFd> fds;
    fds.push_back(std::move(process.log));
    if (process.has_terminal) {
      if (auto copy = process.terminal.duplicate()) fds.push_back(std::move(*copy));
    } else {
      fds.push_back(std::move(process.out));
      fds.push_back(std::move(process.err));
    }
    tell_log_writer(kLogAdd, process.container_id, std::move(fds));
  }
  if (process.owner == nullptr) {
    if (process.is_exec()) return (void)process.kill();
    // Whoever has connected since was told nothing of it.
    LaunchedEvent event{process.container_id, process.launching.pid, process.exit.started_at};
    return broadcast(Kind::kLaunched, encode(event));
  }
  StartedAnswer answer{process.launching.pid, process.exit.started_at};
  std::vector<OwnFd> fds;
  if (process.is_exec() && process.has_terminal) fds.push_back(std::move(process.terminal));
  process.owner->send(Kind::kStarted, process.request, encode(answer), std::move(fds));
}

void Pod::failed(Process& process, const Error& error) {
  if (process.owner != nullptr) {
    process.owner->send(Kind::kFailed, process.request, encode_failure(error));
  }
  remove(process);
}

void Pod::remove(Process& process) {
  processes_.remove_if([&](const auto& other) { return other.get() == &process; });
}

void Pod::exited(Process& process) {
  if (process.is_exec()) {
    if (process.owner != nullptr) {
      ExecExitedEvent event{process.exec_id, process.exit.code, process.exit.signal};
      process.owner->send(Kind::kExecExited, 0, encode(event));
    }
    return remove(process);
  }
  // The log is complete when the writer says so; what is in the pipes was written before the end.
  process.terminal_peer.close();
  tell_log_writer(kLogDrain, process.container_id, {});
}

void Pod::tell_log_writer(std::uint16_t kind, const std::string& container_id, std::vector<OwnFd> fds) {
  tell_log_writer(packet_of(kind, container_id), std::move(fds));
}

// None is left out: a container whose letter is lost has no log, or no end.
void Pod::tell_log_writer(std::string packet, std::vector<OwnFd> fds) {
  told_log_writer(outbox_.send(fds_.log_writer, std::move(packet), std::move(fds)));
}

void Pod::told_log_writer(const Status& sent) {
  if (!sent) return shutdown();
  if (auto events = outbox_.new_events()) (void)poller_.change(fds_.log_writer, *events, *log_writer_);
}

void Pod::read_log_writer() {
  char packet[1024];
  auto received = sys::receive_packet(fds_.log_writer, packet);
  if (!received && !received.error().is_gone()) return;
  if (!received || received->size == 0) {
    // Without it nothing reads what the containers say; the pod ends as with its shim.
    return shutdown();
  }
  auto message = decode_packet(std::string_view(packet, received->size));
  if (!message) return;
  auto kind = static_cast<std::uint16_t>(message->header.kind);
  if (kind == kLogDetached || kind == kLogCutOff) {
    if (auto reader = decode<AttachReference>(message->body)) detached(*reader, kind == kLogCutOff);
    return;
  }
  if (kind != kLogDrained) return;
  auto reference = decode<ContainerReference>(message->body);
  if (!reference) return;
  Process* container = find(reference->container_id);
  if (container != nullptr && container->state == Process::State::kEnding) finish(*container);
}

void Pod::finish(Process& container) {
  container.state = Process::State::kExited;
  container.terminal.close();
  container.standard_in.close();
  container.cgroup.close();
  std::string body = encode(container.exit);
  // On tmpfs; a rename makes it whole or absent, whenever this process is killed.
  std::string name = exit_record_name(container.container_id);
  std::string begun = name + ".new";
  auto file = sys::openat(fds_.records, begun.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_NOFOLLOW, 0600);
  if (file && sys::write_all(*file, encode_packet(Kind::kExited, 0, body))) {
    (void)sys::renameat2(fds_.records, begun.c_str(), fds_.records, name.c_str(), 0);
  }
  broadcast(Kind::kExited, body);
}

void Pod::broadcast(Kind kind, std::string_view body) {
  for (auto& connection : connections_) connection->send(kind, 0, body);
}

Status Pod::signal(const SignalRequest& request) {
  Process* container = find(request.container_id);
  if (container == nullptr) return not_found("container " + request.container_id + " is not known to its shim");
  // The end of a process is no error for who wants it to end.
  if (request.all && container->cgroup.is_open()) {
    if (container->state == Process::State::kLaunching) (void)container->kill();
    auto killed = sys::write_file(container->cgroup, "cgroup.kill", "1");
    return killed || !killed.error().is_not_found() ? killed : Status();
  }
  if (container->state != Process::State::kRunning && container->state != Process::State::kLaunching) return {};
  auto sent = sys::pidfd_send_signal(container->launching.pidfd, request.all ? SIGKILL : request.signal);
  if (!sent && sent.error().is_gone()) return {};
  return sent;
}

// It takes letters while no disk holds it up.
Status Pod::need_log_writer(const std::string& container_id) const {
  if (outbox_.size() < kMaxLetters) return {};
  return fail(Code::kUnavailable, "the disk that the log of " + container_id + " is on does not answer");
}

Status Pod::reopen_log(const ContainerReference& reference, std::vector<OwnFd> fds) {
  Process* container = find(reference.container_id);
  if (container == nullptr) return not_found("container " + reference.container_id + " is not known to its shim");
  auto log = take(fds, "the log");
  if (!log) return std::unexpected(std::move(log.error()));
  if (container->state == Process::State::kLaunching) {
    container->log = std::move(*log);
    return {};
  }
  if (auto s = need_log_writer(reference.container_id); !s) return s;
  fds.clear();
  fds.push_back(std::move(*log));
  tell_log_writer(kLogReopen, reference.container_id, std::move(fds));
  return {};
}

Status Pod::forget(const ContainerReference& reference) {
  Process* container = find(reference.container_id);
  if (container == nullptr) return {};
  if (container->state != Process::State::kExited) {
    return fail(Code::kFailedPrecondition, "container " + reference.container_id + " has not ended");
  }
  remove(*container);
  auto removed = sys::unlinkat(fds_.records, exit_record_name(reference.container_id).c_str(), 0);
  if (!removed && !removed.error().is_not_found()) return removed;
  return {};
}

Status Pod::resize(const ResizeRequest& request) {
  Process* container = find(request.container_id);
  if (container == nullptr || !container->terminal.is_open()) {
    return fail(Code::kFailedPrecondition, "container " + request.container_id + " has no terminal");
  }
  winsize size{request.rows, request.columns, 0, 0};
  if (::ioctl(container->terminal.get(), TIOCSWINSZ, &size) < 0)
    return std::unexpected(Error::from_errno(errno, "ioctl TIOCSWINSZ"));
  return {};
}

StateAnswer Pod::state() const {
  StateAnswer answer;
  answer.sandbox_id = sandbox_id_;
  answer.pod_pid = init_.is_open();
  for (const auto& process : processes_) {
    if (process->is_exec() || process->state == Process::State::kLaunching) continue;
    bool exited = process->state == Process::State::kExited;
    answer.containers.push_back({process->container_id, exited ? 0 : process->launching.pid, exited, process->exit});
  }
  return answer;
}

void Pod::shutdown() {
  for (auto& process : processes_) {
    if (process->cgroup.is_open()) (void)sys::write_file(process->cgroup, "cgroup.kill", "1");
    if (process->launching.pidfd.is_open()) (void)process->kill();
  }
  if (init_.is_open()) (void)sys::pidfd_send_signal(init_, SIGKILL);
  done_ = true;
}

}  // namespace gantry::shim
