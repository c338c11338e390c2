// SPDX-License-Identifier: Apache-2.0
#include "shim/pod.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "shim/init_launch.h"
#include "shim/log_writer.h"
#include "shim/user_namespace.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/pipe.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

// Bounds on what one pod's shim is asked to keep. All its containers, ended ones too, fit into one answer to kState.
constexpr std::size_t kMaxContainerId = 80;
constexpr std::size_t kMaxContainers = 150;
constexpr std::size_t kMaxExecs = 512;
constexpr std::size_t kMaxConnections = 64;
constexpr std::size_t kMaxMessage = 4096;
// What waits for the log writer: a log of each container to reopen, and each of the readers that a pod may have.
constexpr std::size_t kMaxLetters = kMaxContainers + Pod::kMaxAttachments;
// Bytes that wait for a peer that is busy: the ends of all that runs in the pod, many times over.
constexpr std::size_t kMaxUnread = 1U << 20;

std::string encode_failure(const Error& error) {
  return encode(FailedAnswer{static_cast<std::int32_t>(error.code()), as_utf8(error.message(), kMaxMessage)});
}

Result<OwnFd> take(std::vector<OwnFd>& fds, const char* what) {
  if (fds.empty()) return invalid_argument(std::string("shim request: descriptor of ") + what + " was expected");
  OwnFd fd = std::move(fds.front());
  fds.erase(fds.begin());
  return fd;
}

// A null device of the host's could be changed for the whole host through /proc/self/fd. The shim's lies on its own
// read-only mount.
Result<OwnFd> without_host_null(OwnFd fd, FdRef own_null) {
  auto info = sys::fstat(fd);
  if (!info) return std::unexpected(std::move(info.error()));
  if (S_ISCHR(info->st_mode) && info->st_rdev == makedev(1, 3)) return duplicate(own_null);
  return fd;
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
  (void)pod_.poller().change(fd_, outbox_.is_empty() ? EPOLLIN : EPOLLIN | EPOLLOUT, *this);
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
  while (!done_) poller_.wait();
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
  if (!socket) return;
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
    case Kind::kExec:
      status = with.operator()<ExecRequest>([&](auto& r) { return exec(connection, number, r, std::move(fds)); });
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

Status Pod::write_sysctls(const ConfigureRequest& request) const {
  for (const auto& [path, value] : request.sysctls) {
    auto folder =
        sys::openat2(fds_.proc, "sys", O_PATH | O_DIRECTORY, sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
    if (!folder) return std::unexpected(std::move(folder.error()));
    auto file = sys::openat2(*folder, path.c_str(), O_WRONLY, sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
    if (!file) return fail_with(std::move(file.error()), "sysctl " + path);
    if (auto s = sys::write_all(*file, value); !s)
      return fail_with(std::move(s.error()), "sysctl " + path + "=" + value);
  }
  return {};
}

Status Pod::configure(const ConfigureRequest& request, std::vector<OwnFd> fds) {
  if (!request.hostname.empty() && ::sethostname(request.hostname.data(), request.hostname.size()) < 0) {
    return std::unexpected(Error::from_errno(errno, "sethostname " + request.hostname));
  }
  if (!request.sysctls.empty()) {
    // Of an ipc namespace only its root writes them, and none of what is not the pod's.
    auto s = fds_.users.is_open() ? run_as_root_of(fds_.users, [&] { return write_sysctls(request); })
                                  : write_sysctls(request);
    if (!s) return s;
  }
  if (!request.pod_pid || init_.is_open()) return {};
  auto program = take(fds, "gantry-init");
  if (!program) return std::unexpected(std::move(program.error()));
  auto cgroup = take(fds, "gantry-init's cgroup");
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  auto init = launch_init(*program, *cgroup, fds_.null, fds_.users);
  if (!init) return fail_with(std::move(init.error()), "start gantry-init");
  if (fds_.users.is_open()) {
    auto space = sys::openat(fds_.proc, (std::to_string(init->pid) + "/ns/pid").c_str(), O_RDONLY);
    if (!space) return fail_with(std::move(space.error()), "gantry-init's PID namespace");
    init_space_ = std::move(*space);
  }
  init_ = std::move(init->pidfd);
  auto place = sys::open_dir(sys::kCwd, runtime::kStagingProc);
  if (!place) return std::unexpected(std::move(place.error()));
  if (auto s = sys::attach(init->processes, *place); !s) return fail_with(std::move(s.error()), "show its processes");
  return {};
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

Result<PidJoin> Pod::pid_namespace_for(const StartRequest& request) {
  if (request.join_pod_pid) {
    if (!init_.is_open()) return fail(Code::kFailedPrecondition, "the pod has no PID namespace of its own");
    return PidJoin{init_space_.is_open() ? FdRef(init_space_) : FdRef(init_), true};
  }
  if (request.target_container.empty()) return PidJoin();
  Process* target = find(request.target_container);
  if (target == nullptr || target->state != Process::State::kRunning) {
    return fail(Code::kFailedPrecondition, "target container " + request.target_container + " is not running");
  }
  return PidJoin{target->launching.pidfd, false};
}

Status Pod::start_hooked(Connection& connection, std::uint32_t number, const StartRequest& request,
                         std::vector<OwnFd> fds) {
  auto memfd = take(fds, "the hooks");
  if (!memfd) return std::unexpected(std::move(memfd.error()));
  auto host = take(fds, "the host's mounts");
  if (!host) return std::unexpected(std::move(host.error()));
  auto bytes = sys::read_all(*memfd, kMaxHookBytes);
  if (!bytes) return fail_with(std::move(bytes.error()), "the hooks");
  auto wanted = decode<ContainerHooks>(*bytes);
  if (!wanted) return std::unexpected(std::move(wanted.error()));
  runtime::LaunchHooks hooks;
  hooks.is_pods = true;
  hooks.host = *host;
  hooks.root = wanted->root;
  hooks.before_root = [&wanted] {
    std::string state = wanted->state_before + std::to_string(::getpid()) + wanted->state_behind;
    return runtime::run_hooks(wanted->create_container, "createContainer", state);
  };
  return start(connection, number, request, std::move(fds), &hooks);
}

Status Pod::start(Connection& connection, std::uint32_t number, const StartRequest& request, std::vector<OwnFd> fds,
                  const runtime::LaunchHooks* hooks) {
  if (Process* known = find(request.container_id); known != nullptr) {
    if (known->state != Process::State::kLaunching || known->owner != nullptr) {
      return fail(Code::kAlreadyExists, "container " + request.container_id + " was started already");
    }
    // Whoever began this start is gone; who asks again gets its answer.
    known->owner = &connection;
    known->request = number;
    return {};
  }
  if (request.container_id.empty() || request.container_id.size() > kMaxContainerId) {
    return invalid_argument("container id of " + std::to_string(request.container_id.size()) + " bytes: 1 to " +
                            std::to_string(kMaxContainerId) + " were expected");
  }
  if (count(false) >= kMaxContainers) {
    return fail(Code::kResourceExhausted, "the pod has " + std::to_string(kMaxContainers) +
                                              " containers, running and ended ones: remove some that ended");
  }
  LaunchFds launch;
  for (auto [target, what] : {std::pair{&launch.plan, "the plan"}, std::pair{&launch.cgroup, "the cgroup"}}) {
    auto fd = take(fds, what);
    if (!fd) return std::unexpected(std::move(fd.error()));
    *target = std::move(*fd);
  }
  auto log = take(fds, "the log");
  if (!log) return std::unexpected(std::move(log.error()));
  launch.others = std::move(fds);
  auto join = pid_namespace_for(request);
  if (!join) return std::unexpected(std::move(join.error()));

  OwnFd out, err, standard_in;
  if (!request.terminal) {
    auto out_pipe = sys::pipe();
    auto err_pipe = sys::pipe();
    if (!out_pipe) return std::unexpected(std::move(out_pipe.error()));
    if (!err_pipe) return std::unexpected(std::move(err_pipe.error()));
    out = std::move(out_pipe->read_end);
    launch.out = std::move(out_pipe->write_end);
    err = std::move(err_pipe->read_end);
    launch.err = std::move(err_pipe->write_end);
    if (request.open_stdin) {
      auto in_pipe = sys::pipe();
      if (!in_pipe) return std::unexpected(std::move(in_pipe.error()));
      launch.in = std::move(in_pipe->read_end);
      standard_in = std::move(in_pipe->write_end);
    } else {
      auto null = fds_.null.duplicate();
      if (!null) return std::unexpected(std::move(null.error()));
      launch.in = std::move(*null);
    }
  }
  auto cgroup = launch.cgroup.duplicate();
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  auto launching = begin_launch(std::move(launch), *join, hooks);
  if (!launching) return std::unexpected(std::move(launching.error()));
  auto process = std::make_unique<Process>(*this, std::move(*launching), request.container_id, 0, &connection, number);
  process->cgroup = std::move(*cgroup);
  process->log = std::move(*log);
  process->out = std::move(out);
  process->err = std::move(err);
  process->standard_in = std::move(standard_in);
  process->has_terminal = request.terminal;
  return add(std::move(process));
}

// A launch that can't be watched is none.
Status Pod::add(std::unique_ptr<Process> process) {
  auto watched = process->watch_launch();
  if (watched) {
    processes_.push_back(std::move(process));
  } else {
    abandon(process->launching);
  }
  return watched;
}

Status Pod::exec(Connection& connection, std::uint32_t number, const ExecRequest& request, std::vector<OwnFd> fds) {
  Process* container = find(request.container_id);
  if (container == nullptr || container->state != Process::State::kRunning) {
    return fail(Code::kFailedPrecondition, "container " + request.container_id + " is not running");
  }
  if (request.exec_id == 0) return invalid_argument("exec id 0: a number from 1 on was expected");
  if (count(true) >= kMaxExecs) {
    return fail(Code::kResourceExhausted, "the pod runs " + std::to_string(kMaxExecs) + " execs: wait for some to end");
  }
  LaunchFds launch;
  for (auto [target, what] : {std::pair{&launch.plan, "the plan"}, std::pair{&launch.cgroup, "the cgroup"}}) {
    auto fd = take(fds, what);
    if (!fd) return std::unexpected(std::move(fd.error()));
    *target = std::move(*fd);
  }
  if (!request.terminal) {
    for (auto [target, what] :
         {std::pair{&launch.in, "stdin"}, std::pair{&launch.out, "stdout"}, std::pair{&launch.err, "stderr"}}) {
      auto fd = take(fds, what);
      if (fd) fd = without_host_null(std::move(*fd), fds_.null);
      if (!fd) return std::unexpected(std::move(fd.error()));
      *target = std::move(*fd);
    }
  }
  launch.others = std::move(fds);
  // The plan's last descriptor is the container's first process, which the caller has no pidfd of.
  auto joined = container->launching.pidfd.duplicate();
  if (!joined) return std::unexpected(std::move(joined.error()));
  launch.others.push_back(std::move(*joined));
  auto launching = begin_launch(std::move(launch), {});
  if (!launching) return std::unexpected(std::move(launching.error()));
  auto process = std::make_unique<Process>(*this, std::move(*launching), request.container_id, request.exec_id,
                                           &connection, number);
  process->has_terminal = request.terminal;
  return add(std::move(process));
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
  (void)poller_.change(fds_.log_writer, outbox_.is_empty() ? EPOLLIN : EPOLLIN | EPOLLOUT, *log_writer_);
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
