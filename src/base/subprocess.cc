// SPDX-License-Identifier: Apache-2.0
#include "base/subprocess.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/loop.h"

namespace gantry {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (const std::string& string : strings) result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

// posix_spawn's two objects, with the calls that fill them. The calls return an errno; it is kept until the end.
class SpawnArguments {
 public:
  SpawnArguments() {
    keep(::posix_spawn_file_actions_init(&actions_));
    keep(::posix_spawnattr_init(&attributes_));
  }
  ~SpawnArguments() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnArguments(const SpawnArguments&) = delete;
  SpawnArguments& operator=(const SpawnArguments&) = delete;

  void start_clean() {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    keep(::posix_spawnattr_setsigmask(&attributes_, &none));
    keep(::posix_spawnattr_setsigdefault(&attributes_, &all));
    keep(::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
  }
  void give(int from, int as) { keep(::posix_spawn_file_actions_adddup2(&actions_, from, as)); }
  void give_null(int as) { keep(::posix_spawn_file_actions_addopen(&actions_, as, "/dev/null", O_RDWR, 0)); }

  int error() const { return error_; }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  void keep(int error) {
    if (error_ == 0) error_ = error;
  }
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
  int error_ = 0;
};

}  // namespace

Result<Process> spawn(const Command& command) {
  if (command.fds.size() > kMaxHandedFds) {
    return invalid_argument("spawn: " + std::to_string(command.fds.size()) + " descriptors, at most " +
                            std::to_string(kMaxHandedFds) + " can be handed over");
  }
  if (command.argv.empty()) return invalid_argument("spawn: no argv[0]");

  // Copies above all the child's numbers, so that no dup2 hits a source that is still needed (a dup2 onto itself would
  // not even clear close-on-exec). They are closed when this returns, and in the child by exec.
  const int first_free = 3 + static_cast<int>(command.fds.size());
  std::vector<OwnFd> copies;
  copies.reserve(command.fds.size() + 4);
  auto copy = [&](FdRef fd) -> Result<int> {
    int number = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, first_free);
    if (number < 0)
      return std::unexpected(Error::from_errno(errno, "spawn " + command.argv[0] + ": fcntl F_DUPFD_CLOEXEC"));
    copies.emplace_back(number);
    return number;
  };

  SpawnArguments arguments;
  arguments.start_clean();
  const FdRef standard[] = {command.input, command.output, command.error};
  for (int number = 0; number < first_free; ++number) {
    FdRef source = number < 3 ? standard[number] : command.fds[static_cast<std::size_t>(number) - 3];
    if (number < 3 && !source.is_open()) {
      arguments.give_null(number);
      continue;
    }
    auto from = copy(source);
    if (!from) return std::unexpected(std::move(from.error()));
    arguments.give(*from, number);
  }
  std::string path = command.path;
  if (command.executable.is_open()) {
    auto from = copy(command.executable);
    if (!from) return std::unexpected(std::move(from.error()));
    path = "/proc/self/fd/" + std::to_string(*from);
  }

  pid_t pid = -1;
  int error = arguments.error();
  if (error == 0) {
    error = ::posix_spawn(&pid, path.c_str(), arguments.actions(), arguments.attributes(),
                          pointers(command.argv).data(), pointers(command.envp).data());
  }
  if (error != 0) return std::unexpected(Error::from_errno(error, "spawn " + command.argv[0] + " (" + path + ")"));
  // It is our child and nobody else reaps it: the number can't have been given to another process yet.
  PidFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
  if (!pidfd.is_open()) {
    auto failure = std::unexpected(Error::from_errno(errno, "spawn " + command.argv[0] + ": pidfd_open"));
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return failure;
  }
  return Process(pid, std::move(pidfd));
}

Process::~Process() {
  if (pidfd_.is_open() && !end_) (void)reap(pidfd_, false);
}

Task<Result<ExitStatus>> Process::wait(Loop& loop) {
  if (end_) co_return *end_;
  if (!pidfd_.is_open()) co_return fail(Code::kFailedPrecondition, "wait: no process");
  Watch watch(loop, pidfd_);
  for (;;) {
    auto end = reap(pidfd_, false);
    if (!end) co_return std::unexpected(std::move(end.error()));
    if (*end) {
      end_ = **end;
      co_return *end_;
    }
    auto ready = co_await watch.readable();
    if (!ready) co_return std::unexpected(std::move(ready.error()));
  }
}

Status Process::kill(int signal) {
  if (end_) return {};
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0U) < 0 && errno != ESRCH) {
    return std::unexpected(Error::from_errno(errno, "pidfd_send_signal to process " + std::to_string(pid_)));
  }
  return {};
}

}  // namespace gantry
