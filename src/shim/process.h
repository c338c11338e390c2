// SPDX-License-Identifier: Apache-2.0
// One process that the shim started: a container's first, or an exec's. Its life: launching, running, ending (a
// container whose first process is gone, while its cgroup empties and its log is completed), exited.
#pragma once

#include <cstdint>
#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "shim/launcher.h"
#include "shim/poller.h"
#include "shim/protocol.h"

namespace gantry::shim {

class Pod;
class Connection;

class Process {
 public:
  enum class State { kLaunching, kRunning, kEnding, kExited };

  // A container has an exec_id of 0.
  Process(Pod& pod, Launching launching, std::string container_id, std::uint32_t exec_id, Connection* owner,
          std::uint32_t request);
  ~Process();

  Status watch_launch();
  // SIGKILL, also when the launch is about to go on as another process, or has and its report never ends.
  Status kill();
  // Kills everything in the cgroup and waits, by the kernel's event, until it is empty; then pod.exited() is called.
  void begin_ending();

  bool is_exec() const { return exec_id != 0; }

  Pod& pod;
  Launching launching;
  std::string container_id;
  std::uint32_t exec_id;
  // Who asked for the start and is still owed an answer; an exec also ends with it.
  Connection* owner;
  std::uint32_t request;
  State state = State::kLaunching;
  OwnFd cgroup;                       // a container's
  OwnFd runtime_cgroup;               // until the launch is over: of the OCI runtime that makes it, if one does
  OwnFd terminal;                     // pty master
  OwnFd terminal_peer;                // a container's: its slave, so that the master sees no end before the container's
  OwnFd standard_in;                  // kept open for the container
  Connection* input_owner = nullptr;  // with whose end standard_in closes
  OwnFd log, out, err;                // until the launch is over: then the log writer's
  bool has_terminal = false;
  ExitedEvent exit;

 private:
  class Report final : public Source {
   public:
    explicit Report(Process& p) : process(p) {}
    void on_ready(std::uint32_t) override { process.on_report(); }
    Process& process;
  };
  class End final : public Source {
   public:
    explicit End(Process& p) : process(p) {}
    void on_ready(std::uint32_t) override {
      process.launching.report.is_open() ? process.on_launcher_end() : process.on_end();
    }
    Process& process;
  };
  class Empty final : public Source {
   public:
    explicit Empty(Process& p) : process(p) {}
    void on_ready(std::uint32_t) override { process.on_cgroup_event(); }
    Process& process;
    OwnFd fd;
  };

  void on_report();
  void on_launcher_end();
  void follow(Result<std::optional<LaunchProgress>> progress);
  Status take_terminal(OwnFd master);
  std::optional<Error> conclude_launch(const Result<std::optional<LaunchProgress>>& progress);
  void on_end();
  void on_cgroup_event();
  void end_runtime();
  void reap();
  bool is_populated() const;

  Report report_{*this};
  End end_{*this};
  Empty empty_{*this};
  std::optional<Error> launch_error_;
  bool killed_on_the_way_ = false;
  bool kill_ = false;
};

std::int64_t now();

}  // namespace gantry::shim
