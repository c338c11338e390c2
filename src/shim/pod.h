// SPDX-License-Identifier: Apache-2.0
// One pod's shim: parent and reaper of its containers, keeper of their terminals. Single-threaded; its only waits are
// epoll's. It knows its containers in memory, writes an exit record for each that ended, and answers whoever connects.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "shim/outbox.h"
#include "shim/poller.h"
#include "shim/process.h"
#include "shim/protocol.h"

namespace gantry::shim {

class Connection;

struct PodFds {
  OwnFd listener;
  OwnFd records;     // folder of exit records
  OwnFd log_writer;  // the log writer's socket, non-blocking
  OwnFd null;        // a null device on a read-only mount of the shim's own
  MountFd proc;      // a private procfs instance
  OwnFd users;       // the pod's user namespace, if it has one
};

class Pod {
 public:
  // Running and ended ones: all fit into one answer to kState.
  static constexpr std::size_t kMaxContainers = 150;
  // Readers that a pod's containers have at a time, those among them that the log writer is still to be told of.
  static constexpr std::size_t kMaxAttachments = 512;

  Pod(Poller poller, std::string sandbox_id, PodFds fds);
  ~Pod();

  // Serves `first`, the connection that the pod was spawned with, and all that come. `route` goes out with the first
  // hello. Returns when told to shut down or when the log writer ended.
  void serve(OwnFd first, OwnFd route);

  // ---- for connections and processes ----
  Poller& poller() { return poller_; }
  const PodFds& fds() const { return fds_; }
  void receive(Connection& connection);
  // A process's launch made progress or it ended; process.h says which.
  void launched(Process& process);
  void failed(Process& process, const Error& error);
  void exited(Process& process);

 private:
  class Listener;
  class LogWriter;
  class Strays;

  void accept();
  void greet(Connection& connection, OwnFd route);
  void drop(Connection& connection);
  void handle(Connection& connection, const Message& message, std::vector<OwnFd> fds);
  // The first of a request's descriptors, out of them; without one an error that names `what`.
  static Result<OwnFd> take(std::vector<OwnFd>& fds, const char* what);
  Status configure(const ConfigureRequest& request, std::vector<OwnFd> fds);
  Status write_sysctls(const ConfigureRequest& request) const;
  Status start(Connection& connection, std::uint32_t number, const StartRequest& request, std::vector<OwnFd> fds,
               const runtime::LaunchHooks* hooks = nullptr, bool by_runtime = false);
  Status start_hooked(Connection& connection, std::uint32_t number, const StartRequest& request,
                      std::vector<OwnFd> fds);
  Status exec(Connection& connection, std::uint32_t number, const ExecRequest& request, std::vector<OwnFd> fds,
              bool by_runtime = false);
  Status signal(const SignalRequest& request);
  Status reopen_log(const ContainerReference& reference, std::vector<OwnFd> fds);
  Status forget(const ContainerReference& reference);
  Status resize(const ResizeRequest& request);
  // What they put into `answer` goes out with it.
  Status attach(Connection& connection, const AttachRequest& request, std::vector<OwnFd> fds,
                std::vector<OwnFd>& answer);
  static Status make_sockets(std::vector<OwnFd>& answer);
  Status close_input(const ContainerReference& reference);
  Status need_log_writer(const std::string& container_id) const;
  void detached(const AttachReference& reference, bool cut_off);
  StateAnswer state() const;
  void shutdown();
  void read_log_writer();
  void tell_log_writer(std::uint16_t kind, const std::string& container_id, std::vector<OwnFd> fds);
  void tell_log_writer(std::string packet, std::vector<OwnFd> fds);
  void told_log_writer(const Status& sent);
  void finish(Process& container);
  void broadcast(Kind kind, std::string_view body);
  Status add(std::unique_ptr<Process> process);
  Process* find(const std::string& container_id);
  // Of two that are connected.
  bool is_older(const Connection& one, const Connection& other) const;
  std::size_t count(bool execs) const;
  Result<PidJoin> pid_namespace_for(const StartRequest& request);
  void remove(Process& process);
  // pod_strays.cc: from the first of these on the shim is a subreaper, and has children that it did not make.
  Result<Launching> begin_by_runtime(LaunchFds fds, bool terminal, OwnFd& runtime_cgroup);
  void reap_strays();

  Poller poller_;
  std::string sandbox_id_;
  PodFds fds_;
  std::unique_ptr<Listener> listener_;
  bool is_listening_ = true;
  std::unique_ptr<LogWriter> log_writer_;
  std::list<std::unique_ptr<Connection>> connections_;
  std::list<std::unique_ptr<Process>> processes_;
  // What the log writer, who may wait for a disk, did not take yet.
  Outbox outbox_;
  // Who reads a container's output by way of the log writer, by the number that the log writer knows it by.
  struct Attachment {
    std::uint32_t number = 0;
    Connection* owner = nullptr;
    std::uint32_t attach_id = 0;
  };
  std::vector<Attachment> attachments_;
  std::uint32_t next_attachment_ = 1;
  PidFd init_;
  // With a user namespace: its PID namespace. Who is in there may not look at gantry-init, which joining by its pidfd
  // takes.
  OwnFd init_space_;
  std::unique_ptr<Source> strays_;  // who is told that a child ended
  bool may_have_strays_ = false;
  bool done_ = false;
};

// Somebody who talks to the shim: gantryd, before or after a restart.
class Connection final : public Source {
 public:
  Connection(Pod& pod, OwnFd fd) : pod_(pod), fd_(std::move(fd)) {}
  void on_ready(std::uint32_t events) override;
  // A peer that leaves too much unread is cut off rather than left with a gap: it learns the state anew when it
  // connects again.
  void send(Kind kind, std::uint32_t request, std::string_view body, std::vector<OwnFd> fds = {});
  FdRef fd() const { return fd_; }

 private:
  void went(const Status& sent);

  Pod& pod_;
  OwnFd fd_;
  Outbox outbox_;
};

}  // namespace gantry::shim
