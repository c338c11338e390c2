// SPDX-License-Identifier: Apache-2.0
#include "runtime/launch/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <chrono>
#include <optional>

#include "base/text.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::runtime {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxWords = 1024;

struct Running {
  pid_t pid = 0;
  PidFd pidfd;
  OwnFd errors;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& each : strings) out.push_back(const_cast<char*>(each.c_str()));
  out.push_back(nullptr);
  return out;
}

Result<Running> spawn(const Program& program) {
  auto errors = sys::pipe();
  if (!errors) return std::unexpected(std::move(errors.error()));
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  const FdRef given[] = {program.in, program.out, program.err.is_open() ? program.err : FdRef(errors->write_end)};
  for (int number : {0, 1, 2}) {
    if (given[number].is_open()) {
      ::posix_spawn_file_actions_adddup2(&actions, given[number].get(), number);
    } else {
      ::posix_spawn_file_actions_addopen(&actions, number, "/dev/null", number == 0 ? O_RDONLY : O_WRONLY, 0);
    }
  }
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  ::posix_spawn_file_actions_addchdir_np(&actions, program.folder.c_str());
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  // A group of its own, so that all of it can be ended.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> args = program.args;
  if (args.empty()) args.push_back(program.path);
  pid_t pid = 0;
  int error = ::posix_spawn(&pid, program.path.c_str(), &actions, &attributes, pointers(args).data(),
                            pointers(program.env).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return std::unexpected(Error::from_errno(error, "execute it"));
  auto pidfd = sys::pidfd_open(pid);
  if (!pidfd) return std::unexpected(std::move(pidfd.error()));
  return Running{pid, std::move(*pidfd), std::move(errors->read_end)};
}

// What it says until it ends. False when its time is up first.
bool listen(const Running& running, std::optional<Clock::time_point> deadline, std::string& words) {
  bool hears = true;
  for (;;) {
    int left = -1;
    if (deadline) {
      auto rest = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
      if (rest <= 0) return false;
      left = static_cast<int>(rest);
    }
    pollfd entries[] = {{running.pidfd.get(), POLLIN, 0}, {hears ? running.errors.get() : -1, POLLIN, 0}};
    (void)::poll(entries, 2, left);
    // What it said is heard to the end; what others say, to whom it has left the pipe, is not.
    bool is_over = entries[1].revents == 0 || words.size() >= kMaxWords;
    if (entries[0].revents != 0 && is_over) return true;
    if (entries[1].revents == 0) continue;
    char text[512];
    auto size = sys::read(running.errors, text, sizeof(text));
    if (!size || *size == 0) {
      hears = false;
    } else if (words.size() < kMaxWords) {
      words.append(text, *size);
    }
  }
}

}  // namespace

Status run_program(const Program& program) {
  auto running = spawn(program);
  if (!running) return std::unexpected(std::move(running.error()));
  std::optional<Clock::time_point> deadline;
  if (program.timeout) deadline = Clock::now() + std::chrono::seconds(*program.timeout);
  std::string words;
  bool is_done = listen(*running, deadline, words);
  if (!is_done) {
    ::kill(-running->pid, SIGKILL);                         // our child's group: nobody has waited for it
    (void)sys::pidfd_send_signal(running->pidfd, SIGKILL);  // it may have left that
  }
  auto status = sys::wait_child_end(running->pidfd);
  if (!is_done) return fail(Code::kDeadlineExceeded, cat("it was not done within ", *program.timeout, " s"));
  if (!status) return std::unexpected(std::move(status.error()));
  if (status->code == 0) return {};
  std::string said = words.empty() ? "" : cat(": ", as_utf8(trimmed(words), kMaxWords));
  if (status->signal != 0) return fail(Code::kAborted, cat("it was ended by signal ", status->signal, said));
  return fail(Code::kAborted, cat("it ended with ", status->code, said));
}

}  // namespace gantry::runtime
