// SPDX-License-Identifier: Apache-2.0
#include "runtime/launch/run_hooks.h"

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

Result<Running> spawn_hook(const Hook& hook, const std::string& state) {
  // In a file without a name: a hook that does not read it keeps nobody waiting.
  auto input = sys::memfd_of("state", state);
  if (!input) return std::unexpected(std::move(input.error()));
  auto errors = sys::pipe();
  if (!errors) return std::unexpected(std::move(errors.error()));
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, input->get(), 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, errors->write_end.get(), 2);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  ::posix_spawn_file_actions_addchdir_np(&actions, "/");
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  // A group of its own, so that all of it can be ended.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> args = hook.args;
  if (args.empty()) args.push_back(hook.path);
  pid_t pid = 0;
  int error =
      ::posix_spawn(&pid, hook.path.c_str(), &actions, &attributes, pointers(args).data(), pointers(hook.env).data());
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

Status run_to_its_end(const Hook& hook, const std::string& state) {
  auto running = spawn_hook(hook, state);
  if (!running) return std::unexpected(std::move(running.error()));
  std::optional<Clock::time_point> deadline;
  if (hook.timeout) deadline = Clock::now() + std::chrono::seconds(*hook.timeout);
  std::string words;
  bool is_done = listen(*running, deadline, words);
  if (!is_done) {
    ::kill(-running->pid, SIGKILL);                         // our child's group: nobody has waited for it
    (void)sys::pidfd_send_signal(running->pidfd, SIGKILL);  // it may have left that
  }
  auto status = sys::wait_child_end(running->pidfd);
  if (!is_done) return fail(Code::kDeadlineExceeded, cat("it was not done within ", *hook.timeout, " s"));
  if (!status) return std::unexpected(std::move(status.error()));
  if (status->code == 0) return {};
  std::string said = words.empty() ? "" : cat(": ", as_utf8(trimmed(words), kMaxWords));
  if (status->signal != 0) return fail(Code::kAborted, cat("it was ended by signal ", status->signal, said));
  return fail(Code::kAborted, cat("it ended with ", status->code, said));
}

}  // namespace

Status run_hook(const std::vector<Hook>& hooks, std::size_t index, std::string_view kind, const std::string& state) {
  auto s = run_to_its_end(hooks[index], state);
  return s ? s : fail_with(std::move(s.error()), cat("hooks.", kind, "[", index, "] ", hooks[index].path));
}

Status run_hooks(const std::vector<Hook>& hooks, std::string_view kind, const std::string& state) {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    if (auto s = run_hook(hooks, i, kind, state); !s) return s;
  }
  return {};
}

}  // namespace gantry::runtime
