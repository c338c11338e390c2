// SPDX-License-Identifier: Apache-2.0
#include "shim/client.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "base/text.h"
#include "shim/channel.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::shim {

// ---- Client

struct Client::Exec::State {
  explicit State(Loop& loop) : done(loop) {}
  std::shared_ptr<Channel> channel;
  Loop* loop = nullptr;
  std::uint32_t id = 0;
  pid_t pid = 0;
  OwnFd terminal;
  Event done;
  bool waited = false;
  Result<sys::ExitStatus> status = fail(Code::kUnavailable, "the shim ended before the exec did");
};

struct Client::Attachment::State {
  State(Loop& loop, std::string container, std::weak_ptr<Impl> client, std::uint32_t number)
      : done(loop), container_id(std::move(container)), impl(std::move(client)), id(number) {}
  Event done;
  std::string container_id;
  std::weak_ptr<Impl> impl;
  std::uint32_t id;
  OwnFd input;
  Status status = fail(Code::kUnavailable, "the shim ended");

  void finish(Status how) {
    if (done.is_set()) return;
    status = std::move(how);
    done.set();
  }
};

// A launch that the shim was asked for.
struct Launching {
  explicit Launching(Loop& l) : loop(l), over(l) {}
  Loop& loop;
  Event over;  // it has been answered, or is not wanted any more
  bool is_ending = false;
  std::optional<Result<Channel::Answer>> answer;
};

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  explicit Impl(Loop& l) : loop(l), hello_came(l), ended(l) {}

  void receive(Kind kind, std::string_view body, std::vector<OwnFd> fds) {
    if (kind == Kind::kHello) {
      if (auto event = decode<HelloEvent>(body)) hello = std::move(*event);
      if (!fds.empty()) route = std::move(fds[0]);
      hello_came.set();
    } else if (kind == Kind::kExited) {
      auto event = decode<ExitedEvent>(body);
      if (!event) return;
      std::erase_if(attachments, [&](auto& entry) {
        if (entry.second->container_id != event->container_id) return false;
        entry.second->finish({});
        return true;
      });
      // A copy: the observer may end the client, and itself with it.
      if (auto exited = observer.exited) {
        exited(*event);
      } else {
        early.push_back(std::move(*event));
      }
    } else if (kind == Kind::kLaunched) {
      auto event = decode<LaunchedEvent>(body);
      if (auto launched = observer.launched; event && launched) launched(*event);
    } else if (kind == Kind::kDetached) {
      auto reference = decode<AttachReference>(body);
      auto found = reference ? attachments.find(reference->attach_id) : attachments.end();
      if (found == attachments.end()) return;
      auto attachment = std::move(found->second);
      attachments.erase(found);
      attachment->finish(fail(Code::kResourceExhausted,
                              "the container's output was not read fast enough; attach again to see what comes next"));
    } else if (kind == Kind::kExecExited) {
      auto event = decode<ExecExitedEvent>(body);
      auto found = event ? execs.find(event->exec_id) : execs.end();
      if (found == execs.end()) return;
      auto exec = std::move(found->second);
      execs.erase(found);
      exec->status = sys::ExitStatus{event->code, event->signal};
      exec->done.set();
    }
  }

  // Holds the pidfd's watch until the shim ends or the client goes.
  static Task<> watch_end(std::shared_ptr<Impl> impl) {
    auto gone = co_await impl->pid_watch->readable();
    if (!gone) co_return;
    impl->alive = false;
    impl->finish_sessions();
    impl->channel->close();
    impl->hello_came.set();
    impl->ended.set();
    if (auto gone_too = std::move(impl->observer.ended)) gone_too();
  }
  void finish_sessions() {
    for (auto& [id, exec] : std::exchange(execs, {})) exec->done.set();
    for (auto& [id, attachment] : std::exchange(attachments, {})) attachment->done.set();
  }

  // The connection ended. If that is the shim's own end, watch_end() tells of it. Execs end with their connection.
  void lose() {
    is_lost = true;
    hello_came.set();
    if (!alive) return;
    constexpr const char* kWhy = "the connection to the shim ended";
    for (auto& [id, exec] : execs) exec->status = fail(Code::kUnavailable, kWhy);
    for (auto& [id, attachment] : attachments) attachment->status = fail(Code::kUnavailable, kWhy);
    finish_sessions();
    if (auto lost = observer.lost) lost();
  }

  std::shared_ptr<Launching> start_of(const std::string& container_id) {
    auto launching = std::make_shared<Launching>(loop);
    std::erase_if(starts, [](const auto& entry) { return entry.second.expired(); });
    starts[container_id] = launching;
    return launching;
  }

  void start_watching(PidFd process, SocketFd socket) {
    pidfd = std::move(process);
    auto weak = weak_from_this();
    channel = Channel::open(
        loop, std::move(socket),
        [weak](Kind kind, std::string_view body, std::vector<OwnFd> fds) {
          if (auto self = weak.lock()) self->receive(kind, body, std::move(fds));
        },
        [weak] {
          if (auto self = weak.lock()) self->lose();
        });
    pid_watch.emplace(loop, pidfd);
    loop.spawn(watch_end(shared_from_this()));
  }

  Loop& loop;
  std::shared_ptr<Channel> channel;
  PidFd pidfd;
  std::optional<Watch> pid_watch;
  bool alive = true, is_lost = false;
  HelloEvent hello;
  OwnFd route;
  Event hello_came;
  Event ended;
  Observer observer;
  std::vector<ExitedEvent> early;
  std::map<std::uint32_t, std::shared_ptr<Exec::State>> execs;
  std::uint32_t next_exec = 1;
  std::map<std::uint32_t, std::shared_ptr<Attachment::State>> attachments;
  std::uint32_t next_attachment = 1;
  std::map<std::string, std::weak_ptr<Launching>> starts;  // by container
};

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Client::~Client() {
  impl_->observer = {};
  impl_->pid_watch.reset();
  impl_->channel->close();
  impl_->finish_sessions();
  impl_->ended.set();
}

Task<Result<std::unique_ptr<Client>>> Client::connect(Loop& loop, FdRef dir, std::string name, Duration limit) {
  std::string shim = "shim at " + name;
  auto socket = sys::connect_unix(dir, name.c_str(), SOCK_SEQPACKET);
  if (!socket) co_return fail_with(std::move(socket.error()), shim);
  // Who made the socket listen is the shim's creator; the one who says hello is the shim. Its pidfd is verified by the
  // connection itself: as long as that is open, the pid in the hello can't have been given to another.
  auto impl = std::make_shared<Impl>(loop);
  auto weak = std::weak_ptr(impl);
  auto channel = Channel::open(
      loop, std::move(*socket),
      [weak](Kind kind, std::string_view body, std::vector<OwnFd> fds) {
        if (auto self = weak.lock()) self->receive(kind, body, std::move(fds));
      },
      [weak] {
        if (auto self = weak.lock()) self->lose();
      });
  impl->channel = channel;
  if (!co_await impl->hello_came.wait_for(limit)) {
    channel->close();
    co_return fail(Code::kDeadlineExceeded, shim + ": no hello in time");
  }
  Result<PidFd> pidfd = fail(Code::kInternal, "its hello names no process");
  if (impl->hello.pid > 0) pidfd = sys::pidfd_open(impl->hello.pid);
  if (!channel->is_open()) {
    // A shim that lives may have cut the connection, as it does when it has too many; a dead one does not listen.
    auto again = sys::connect_unix(dir, name.c_str(), SOCK_SEQPACKET);
    if (!again) co_return fail_with(std::move(again.error()), shim);
    co_return fail(Code::kUnavailable, shim + ": it listens, but closed the connection");
  }
  if (!pidfd) {
    channel->close();
    co_return fail_with(std::move(pidfd.error()), shim);
  }
  impl->pidfd = std::move(*pidfd);
  impl->pid_watch.emplace(loop, impl->pidfd);
  loop.spawn(Impl::watch_end(impl));
  co_return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Task<Result<std::unique_ptr<Client>>> Client::adopt(Loop& loop, PidFd pidfd, SocketFd socket) {
  auto impl = std::make_shared<Impl>(loop);
  impl->start_watching(std::move(pidfd), std::move(socket));
  if (!co_await impl->hello_came.wait_for(kLaunchLimit)) co_return fail(Code::kDeadlineExceeded, "no hello in time");
  if (!impl->alive || !impl->channel->is_open())
    co_return fail(Code::kUnavailable, "the shim ended before it was ready");
  co_return std::unique_ptr<Client>(new Client(std::move(impl)));
}

void Client::observe(Observer observer) {
  impl_->observer = std::move(observer);
  auto early = std::move(impl_->early);
  impl_->early.clear();
  // A copy: the observer may end the client.
  auto exited = impl_->observer.exited;
  for (const auto& event : early) {
    if (exited) exited(event);
  }
  if (auto lost = impl_->observer.lost; lost && impl_->is_lost && impl_->alive) lost();
}

Status Client::resume(std::unique_ptr<Client> fresh) {
  if (fresh->pid() != pid() || fresh->sandbox_id() != sandbox_id())
    return invalid_argument(cat("process ", fresh->pid(), " answers in the place of shim ", pid()));
  auto observer = std::exchange(impl_->observer, {});
  std::swap(impl_, fresh->impl_);
  observe(std::move(observer));
  return {};
}

const std::string& Client::sandbox_id() const { return impl_->hello.sandbox_id; }
pid_t Client::pid() const { return impl_->hello.pid; }
FdRef Client::pidfd() const { return impl_->pidfd; }
bool Client::is_alive() const { return impl_->alive; }
bool Client::is_connected() const { return impl_->channel->is_open(); }
OwnFd Client::take_route_socket() { return std::move(impl_->route); }

namespace {

Task<Status> plain_request(std::shared_ptr<Channel> channel, Kind kind, std::string body, std::vector<OwnFd> fds,
                           Duration limit = kAnswerLimit) {
  auto answer = co_await channel->request(kind, std::move(body), std::move(fds), Kind::kDone, limit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return Status();
}

}  // namespace

Task<Status> Client::configure(ConfigureRequest request, OwnFd init_memfd, OwnFd init_cgroup) {
  std::vector<OwnFd> fds;
  if (request.pod_pid) {
    fds.push_back(std::move(init_memfd));
    fds.push_back(std::move(init_cgroup));
  }
  return plain_request(impl_->channel, Kind::kConfigure, encode(request), std::move(fds));
}

namespace {

struct Words {
  Kind kind;
  std::string body;
};

// After what was asked to end was killed.
constexpr std::chrono::seconds kEndLimit{10};

Task<> ask(std::shared_ptr<Launching> launching, Task<Result<Channel::Answer>> request) {
  launching->answer = co_await std::move(request);
  launching->over.set();
}

Task<> tell(std::shared_ptr<Channel> channel, Words words) {
  (void)co_await channel->request(words.kind, std::move(words.body), {}, Kind::kDone, kAnswerLimit);
}

// Ends with the answer, or some time after the launch was ended: at `limit`, or when it is not wanted any more.
Task<Result<Channel::Answer>> launch(std::shared_ptr<Launching> launching, std::shared_ptr<Channel> channel,
                                     Words request, std::vector<OwnFd> fds, Words kill, Duration limit) {
  Loop& loop = launching->loop;
  auto answer =
      channel->request(request.kind, std::move(request.body), std::move(fds), Kind::kStarted, limit + 2 * kEndLimit);
  loop.spawn(ask(launching, std::move(answer)));
  bool is_late = !co_await launching->over.wait_for(limit) && !launching->answer;
  if (!launching->answer) {
    launching->is_ending = true;
    launching->over.reset();
    loop.spawn(tell(channel, std::move(kill)));
    (void)co_await launching->over.wait_for(kEndLimit);
  }
  if (launching->answer && (*launching->answer || !is_late)) co_return std::move(*launching->answer);
  if (!is_late) co_return fail(Code::kDeadlineExceeded, "the launch was to be ended, and the shim does not answer");
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit).count();
  co_return fail(Code::kDeadlineExceeded, cat("the launch was not over within ", seconds, " s and was ended",
                                              launching->answer ? "" : "; the shim does not answer"));
}

}  // namespace

namespace {

// Its call becomes the plan, and what is every call's comes before the others.
Status put_call(Client::ByRuntime& by, OwnFd& plan, std::vector<OwnFd>& others) {
  std::string bytes = encode(by.call);
  if (bytes.size() > kMaxRuntimeCallBytes) {
    return fail(Code::kResourceExhausted,
                cat("the call of the OCI runtime has ", bytes.size(), " bytes: at most ", kMaxRuntimeCallBytes));
  }
  auto memfd = sys::memfd_of("call", bytes);
  if (!memfd) return std::unexpected(std::move(memfd.error()));
  plan = std::move(*memfd);
  std::vector<OwnFd> all;
  for (OwnFd* fd : {&by.host, &by.cgroup, &by.console}) {
    if (fd->is_open()) all.push_back(std::move(*fd));
  }
  std::ranges::move(others, std::back_inserter(all));
  others = std::move(all);
  return {};
}

}  // namespace

Task<Result<StartedAnswer>> Client::start(StartRequest request, StartFds fds, Duration limit) {
  std::vector<OwnFd> all;
  Kind kind = fds.by_runtime ? Kind::kStartByRuntime : fds.hooks ? Kind::kStartHooked : Kind::kStart;
  if (fds.by_runtime) {
    if (auto put = put_call(*fds.by_runtime, fds.plan, fds.others); !put)
      co_return std::unexpected(std::move(put.error()));
  }
  if (fds.hooks) {
    std::string bytes = encode(*fds.hooks);
    if (bytes.size() > kMaxHookBytes) {
      co_return fail(Code::kResourceExhausted, cat("hooks of ", bytes.size(), " bytes: at most ", kMaxHookBytes));
    }
    auto memfd = sys::memfd_of("hooks", bytes);
    if (!memfd) co_return std::unexpected(std::move(memfd.error()));
    all.push_back(std::move(*memfd));
    all.push_back(std::move(fds.host));
  }
  all.push_back(std::move(fds.plan));
  all.push_back(std::move(fds.cgroup));
  if (!fds.log.is_open()) {
    auto null = sys::openat(sys::kCwd, "/dev/null", O_WRONLY);
    if (!null) co_return std::unexpected(std::move(null.error()));
    fds.log = std::move(*null);
  }
  all.push_back(std::move(fds.log));
  for (auto& fd : fds.others) all.push_back(std::move(fd));
  SignalRequest kill{request.container_id, SIGKILL, true};
  auto launching = impl_->start_of(request.container_id);
  auto answer = co_await launch(launching, impl_->channel, {kind, encode(request)}, std::move(all),
                                {Kind::kSignal, encode(kill)}, limit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return decode<StartedAnswer>(answer->body);
}

Task<Result<StartedAnswer>> Client::join_start(std::string container_id) {
  SignalRequest kill{container_id, SIGKILL, true};
  auto launching = impl_->start_of(container_id);
  StartRequest request{.container_id = std::move(container_id)};
  auto answer = co_await launch(launching, impl_->channel, {Kind::kStart, encode(request)}, {},
                                {Kind::kSignal, encode(kill)}, kLaunchLimit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return decode<StartedAnswer>(answer->body);
}

Task<Result<std::unique_ptr<Client::Exec>>> Client::exec(std::string container_id, bool terminal, ExecFds fds,
                                                         Duration limit) {
  auto impl = impl_;
  Kind kind = fds.by_runtime ? Kind::kExecByRuntime : Kind::kExec;
  if (fds.by_runtime) {
    if (auto put = put_call(*fds.by_runtime, fds.plan, fds.others); !put)
      co_return std::unexpected(std::move(put.error()));
  }
  auto state = std::make_shared<Exec::State>(impl->loop);
  state->channel = impl->channel;
  state->loop = &impl->loop;
  state->id = impl->next_exec++;
  std::vector<OwnFd> all;
  all.push_back(std::move(fds.plan));
  all.push_back(std::move(fds.cgroup));
  if (!terminal) {
    all.push_back(std::move(fds.in));
    all.push_back(std::move(fds.out));
    all.push_back(std::move(fds.err));
  }
  for (auto& fd : fds.others) all.push_back(std::move(fd));
  impl->execs[state->id] = state;
  // From here on whoever drops this task, or what it returns, ends the exec.
  std::unique_ptr<Exec> exec(new Exec(state));
  ExecRequest request{state->id, std::move(container_id), terminal};
  auto answer = co_await launch(std::make_shared<Launching>(impl->loop), impl->channel, {kind, encode(request)},
                                std::move(all), {Kind::kKillExec, encode(ExecReference{state->id})}, limit);
  if (!answer) {
    // It may run all the same, when its terminal found no room here.
    if (answer.error().is_resource()) exec->kill();
    impl->execs.erase(state->id);
    state->done.set();
    co_return std::unexpected(std::move(answer.error()));
  }
  if (auto started = decode<StartedAnswer>(answer->body)) state->pid = started->pid;
  if (!answer->fds.empty()) state->terminal = std::move(answer->fds[0]);
  co_return std::move(exec);
}

Task<Status> Client::signal(std::string container_id, int signal, Duration limit) {
  return plain_request(impl_->channel, Kind::kSignal, encode(SignalRequest{std::move(container_id), signal, false}), {},
                       limit);
}
Task<Status> Client::kill(std::string container_id) {
  auto found = impl_->starts.find(container_id);
  auto launching = found == impl_->starts.end() ? nullptr : found->second.lock();
  if (launching && !launching->answer) {
    if (!launching->is_ending) launching->over.set();
    co_return Status();
  }
  co_return co_await plain_request(impl_->channel, Kind::kSignal,
                                   encode(SignalRequest{std::move(container_id), SIGKILL, true}), {});
}
Task<Status> Client::reopen_log(std::string container_id, OwnFd log) {
  std::vector<OwnFd> fds;
  fds.push_back(std::move(log));
  return plain_request(impl_->channel, Kind::kReopenLog, encode(ContainerReference{std::move(container_id)}),
                       std::move(fds));
}
Task<Status> Client::forget(std::string container_id) {
  constexpr std::chrono::seconds kLimit{5};  // what it was sent is done also when nobody waits for that
  return plain_request(impl_->channel, Kind::kForget, encode(ContainerReference{std::move(container_id)}), {}, kLimit);
}
Task<Status> Client::resize(std::string container_id, std::uint16_t rows, std::uint16_t columns) {
  return plain_request(impl_->channel, Kind::kResize, encode(ResizeRequest{std::move(container_id), rows, columns}),
                       {});
}

Task<Result<StateAnswer>> Client::state(Duration limit) {
  auto channel = impl_->channel;
  auto answer = co_await channel->request(Kind::kState, "", {}, Kind::kStateIs, limit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return decode<StateAnswer>(answer->body);
}

Task<> Client::shutdown() {
  auto impl = impl_;
  if (!impl->alive) co_return;
  // One that has closed the connection can't be told; its end is the pod's all the same.
  if (!impl->channel->send(Kind::kShutdown, "")) (void)sys::pidfd_send_signal(impl->pidfd, SIGKILL);
  co_await impl->ended.wait();
}

// ---- Attachment

Task<Result<std::unique_ptr<Client::Attachment>>> Client::attach(std::string container_id, AttachOptions options) {
  auto impl = impl_;
  auto state = std::make_shared<Attachment::State>(impl->loop, container_id, impl, impl->next_attachment++);
  AttachRequest request{
      state->id,          std::move(container_id), options.in, options.out.is_open(), options.err.is_open(),
      options.close_input};
  std::vector<OwnFd> fds;
  for (OwnFd* fd : {&options.out, &options.err}) {
    if (fd->is_open()) fds.push_back(std::move(*fd));
  }
  // Before the answer: the container may end, and say so, as soon as the shim has it.
  impl->attachments[state->id] = state;
  auto answer =
      co_await impl->channel->request(Kind::kAttach, encode(request), std::move(fds), Kind::kDone, kAnswerLimit);
  if (!answer) {
    impl->attachments.erase(state->id);
    co_return std::unexpected(std::move(answer.error()));
  }
  if (!answer->fds.empty()) state->input = std::move(answer->fds[0]);
  co_return std::unique_ptr<Attachment>(new Attachment(std::move(state)));
}

Client::Attachment::Attachment(std::shared_ptr<State> state) : state_(std::move(state)) {}
Client::Attachment::~Attachment() {
  if (auto impl = state_->impl.lock()) impl->attachments.erase(state_->id);
}
OwnFd Client::Attachment::take_input() { return std::move(state_->input); }

Task<Status> Client::Attachment::wait() {
  auto state = state_;
  co_await state->done.wait();
  co_return state->status;
}

// The shim learns it from the pipes.
void Client::Attachment::detach() { state_->finish(fail(Code::kCancelled, "detached")); }

Task<Status> Client::close_input(std::string container_id) {
  return plain_request(impl_->channel, Kind::kCloseInput, encode(ContainerReference{std::move(container_id)}), {});
}

Task<Result<Client::Sockets>> Client::make_sockets() {
  auto channel = impl_->channel;
  auto answer = co_await channel->request(Kind::kSockets, "", {}, Kind::kDone, kAnswerLimit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if (answer->fds.size() != 2) co_return fail(Code::kInternal, "the shim gave no sockets");
  co_return Sockets{std::move(answer->fds[0]), std::move(answer->fds[1])};
}

// ---- Exec

Client::Exec::Exec(std::shared_ptr<State> state) : state_(std::move(state)) {}

Client::Exec::~Exec() {
  if (!state_->done.is_set()) kill();
}

OwnFd Client::Exec::take_terminal() { return std::move(state_->terminal); }
pid_t Client::Exec::pid() const { return state_->pid; }

Task<Result<sys::ExitStatus>> Client::Exec::wait() {
  auto state = state_;
  co_await state->done.wait();
  co_return state->status;
}

void Client::Exec::kill() {
  state_->loop->spawn([](std::shared_ptr<Channel> channel, std::uint32_t id) -> Task<> {
    (void)co_await channel->request(Kind::kKillExec, encode(ExecReference{id}), {}, Kind::kDone, kAnswerLimit);
  }(state_->channel, state_->id));
}

// ---- helpers

Result<OwnFd> make_plan_memfd(std::string_view plan) { return sys::memfd_of("plan", plan); }

Result<std::optional<ExitedEvent>> read_exit_record(FdRef records, std::string_view container_id) {
  auto bytes = sys::read_file(records, exit_record_name(container_id).c_str(), kMaxPacket);
  if (!bytes) {
    if (bytes.error().is_not_found()) return std::optional<ExitedEvent>();
    return std::unexpected(std::move(bytes.error()));
  }
  auto message = decode_packet(*bytes);
  if (!message) return std::unexpected(std::move(message.error()));
  auto event = decode<ExitedEvent>(message->body);
  if (!event) return std::unexpected(std::move(event.error()));
  return std::optional(std::move(*event));
}

}  // namespace gantry::shim
