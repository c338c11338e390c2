// SPDX-License-Identifier: Apache-2.0
// gantryd's side of the shims. Template is the first shim, spawned by posix_spawn, which clones the others; Client is
// the connection to one pod's shim. Both belong to the loop thread, and every call on them is made there.
//
// A Client learns of the shim's end by its pidfd, not by its socket: ended() is the pod's end (see
// docs/architecture.md).
//
// A shim that hangs holds nobody up for ever: what is not answered within kAnswerLimit, or the limit that a call has
// besides, is kDeadlineExceeded, and was perhaps done all the same.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "shim/protocol.h"
#include "sys/process.h"

namespace gantry::shim {

// Launches take milliseconds; on a machine that is very busy, seconds. Somebody with CAP_SYS_PTRACE in the container,
// or in the PID namespace that it joins, can hold one up for ever.
inline constexpr std::chrono::minutes kLaunchLimit{2};
// For all else that a shim is asked, which takes it no time.
inline constexpr std::chrono::seconds kAnswerLimit{30};

class Client {
 public:
  struct Observer {
    // A container ended: its log is complete and its exit record written.
    std::function<void(const ExitedEvent&)> exited;
    // The shim's process is gone; nothing comes after this.
    std::function<void()> ended;
    // A container runs whose start another connection asked for, which has gone. One that came before observe() is
    // lost: ask for state() after it.
    std::function<void(const LaunchedEvent&)> launched = {};
    // The connection ended, and the shim's process has not, as far as is known: the shim cuts off who does not read.
    // What was under way on it has failed; resume() is due.
    std::function<void()> lost = {};
  };

  // Connects to the shim that listens at `name` beneath `dir` (after a restart of gantryd). is_not_found() or is_gone()
  // means that the shim is dead. Every other error says nothing of that (no descriptors left here, a full backlog, no
  // hello within `limit` from a shim that does not get to run): the pod may live, and the call may be made again.
  static Task<Result<std::unique_ptr<Client>>> connect(Loop& loop, FdRef dir, std::string name,
                                                       Duration limit = std::chrono::seconds(10));
  ~Client();

  // Must be set before the first co_await after the Client was made; exits that came before are not lost.
  void observe(Observer observer);

  const std::string& sandbox_id() const;
  pid_t pid() const;
  // The shim's pidfd: names it, also for /proc/PID/ns/net (open, then is_alive()).
  FdRef pidfd() const;
  bool is_alive() const;
  // That the connection has not ended.
  bool is_connected() const;
  // After `lost`: goes on by a connection to the same shim that connect() made, with the observer of this one. What
  // happened in between is in state(). Another shim's is kInvalidArgument.
  Status resume(std::unique_ptr<Client> fresh);
  // A NETLINK_ROUTE socket in the pod's network namespace; once, from a shim with its own network that was just
  // spawned.
  OwnFd take_route_socket();

  // Of a process that another OCI runtime makes, in place of a plan.
  struct ByRuntime {
    RuntimeCall call;  // its mounts' sources: indices into the descriptors that go along
    OwnFd host;        // the host's mount namespace
    OwnFd cgroup;      // for what is executed
    OwnFd console;     // with a terminal: a socket that listens for it
  };

  Task<Status> configure(ConfigureRequest request, OwnFd init_memfd, OwnFd init_cgroup);

  struct StartFds {
    OwnFd plan;                 // make_plan_memfd()
    OwnFd cgroup;               // the container's, a folder
    OwnFd log;                  // O_APPEND; not open: output goes to /dev/null
    std::vector<OwnFd> others;  // what the plan's indices name
    // Hooks that are run before the root is entered, and a detached copy of what the host has mounted, for them.
    std::optional<ContainerHooks> hooks = std::nullopt;
    OwnFd host;
    std::optional<ByRuntime> by_runtime = std::nullopt;
  };
  // Returns when the process has executed its program, or with the reason why not; then nothing of it is left. A launch
  // that is not over within `limit`, or that kill() names, is ended; of one that a shim which hangs has not ended in
  // some seconds this gives up: kDeadlineExceeded.
  Task<Result<StartedAnswer>> start(StartRequest request, StartFds fds, Duration limit = kLaunchLimit);

  // The answer of a start() that another connection, which has gone, asked for; of one that is not over within
  // kLaunchLimit as there. kInvalidArgument: the shim does not know of one.
  Task<Result<StartedAnswer>> join_start(std::string container_id);

  struct ExecFds {
    OwnFd plan;
    OwnFd cgroup;
    OwnFd in, out, err;  // the process's ends; ignored with a terminal. /dev/null becomes a null device of the shim's
    // What the plan's indices name. The shim puts a pidfd of the container's first process behind them: a plan of an
    // exec names it by join_process = others.size().
    std::vector<OwnFd> others;
    std::optional<ByRuntime> by_runtime = std::nullopt;
  };
  // An exec under way. wait() may be called once; the destructor kills what still runs.
  class Exec {
   public:
    ~Exec();
    OwnFd take_terminal();  // with a terminal: the pty master, non-blocking
    pid_t pid() const;
    Task<Result<sys::ExitStatus>> wait();
    void kill();

   private:
    friend class Client;
    struct State;
    explicit Exec(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
  };
  // `limit` as of start().
  Task<Result<std::unique_ptr<Exec>>> exec(std::string container_id, bool terminal, ExecFds fds,
                                           Duration limit = kLaunchLimit);

  struct AttachOptions {
    bool in = false;           // its standard input is wanted too
    bool close_input = false;  // the input ends with this connection to the shim, or by close_input()
    OwnFd out, err;            // write ends of pipes for its output from now on; not open: not wanted
  };
  // A reader of a running container's output. Output that is not read slows the container down; a reader that takes
  // nothing for some seconds (attached_readers.h) is cut off.
  class Attachment {
   public:
    ~Attachment();
    OwnFd take_input();  // with `in`: its pipe's write end or its terminal, non-blocking
    // Returns when the container has ended; all its output is in the pipes then, or on its way, and their end follows.
    // kResourceExhausted: cut off. kCancelled: detach() was called. Once.
    Task<Status> wait();
    void detach();

   private:
    friend class Client;
    struct State;
    explicit Attachment(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
  };
  // kFailedPrecondition when the container does not run or, with `in`, has no standard input.
  Task<Result<std::unique_ptr<Attachment>>> attach(std::string container_id, AttachOptions options);
  // Its standard input ends when all who are attached to it have gone, too. Nothing happens with a terminal.
  Task<Status> close_input(std::string container_id);

  struct Sockets {
    OwnFd v4, v6;  // TCP, not connected, non-blocking
  };
  // Sockets in the pod's network namespace.
  Task<Result<Sockets>> make_sockets();

  Task<Status> signal(std::string container_id, int signal, Duration limit = kAnswerLimit);
  // SIGKILL to everything in the container's cgroup. A launch of it that is under way fails; nobody waits for that
  // here.
  Task<Status> kill(std::string container_id);
  Task<Status> reopen_log(std::string container_id, OwnFd log);
  Task<Status> forget(std::string container_id);
  Task<Status> resize(std::string container_id, std::uint16_t rows, std::uint16_t columns);
  Task<Result<StateAnswer>> state(Duration limit = kAnswerLimit);
  // Kills all that the shim runs and the shim itself; returns when it is gone.
  Task<> shutdown();

 private:
  friend class Template;
  struct Impl;
  // The connection that a shim was spawned with: returns after its hello.
  static Task<Result<std::unique_ptr<Client>>> adopt(Loop& loop, PidFd pidfd, SocketFd socket);
  explicit Client(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

class Template {
 public:
  // `shim` is the sealed memfd of gantry-shim. Should the template's process end, the next spawn() starts it anew.
  static Result<std::unique_ptr<Template>> launch(Loop& loop, FdRef shim);
  ~Template();
  // Our child, until the loop has run.
  pid_t pid() const;

  struct SpawnFds {
    OwnFd cgroup;    // the shim's own, shims/ID
    OwnFd listener;  // its listening socket (sys::listen_unix, SOCK_SEQPACKET)
    OwnFd records;   // its record folder, a detached mount clone
    OwnFd users;     // the pod's user namespace, if it has one
  };
  Task<Result<std::unique_ptr<Client>>> spawn(SpawnRequest request, SpawnFds fds);
  // A new user namespace with these ids, in which nobody is.
  Task<Result<OwnFd>> user_namespace(runtime::oci::IdMappings ids);

 private:
  struct Impl;
  explicit Template(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

// A plan's bytes as the memfd that start and exec take.
Result<OwnFd> make_plan_memfd(std::string_view plan);

// The exit record of a container beneath a shim's record folder; nothing when it has none.
Result<std::optional<ExitedEvent>> read_exit_record(FdRef records, std::string_view container_id);

}  // namespace gantry::shim
