// SPDX-License-Identifier: Apache-2.0
// The process: terminal, limits, folder, ids, capabilities, seccomp, execve, in the order that DESIGN's rules want.
#include "sys/process.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/launch/steps.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/socket.h"

namespace gantry::runtime {
namespace {

constexpr std::uint32_t kTtyGroup = 5;
constexpr int kPtmxMinor = 2;
constexpr int kPtmxMajor = 5;
constexpr int kMemoryMajor = 1, kNullMinor = 3;

std::unexpected<Error> failed(const char* call) { return std::unexpected(Error::from_errno(errno, call)); }

Status move_to(FdRef from, int to) {
  if (::dup2(from.get(), to) < 0) return failed("dup2");
  return {};
}

}  // namespace

Status Launch::open_terminal() {
  terminal_ = flag();
  auto rows = reader_.integer<std::uint16_t>();
  auto columns = reader_.integer<std::uint16_t>();
  if (!terminal_) {
    if (request_.in.is_open()) {
      if (auto s = move_to(request_.in, 0); !s) return s;
    }
    if (auto s = move_to(request_.out, 1); !s) return s;
    if (auto s = move_to(request_.err, 2); !s) return s;
    return take_own_null();
  }
  // The container's own devpts; what lies at that path must be it, not something that a container put there.
  auto master =
      sys::openat2(root_, "dev/pts/ptmx", O_RDWR | O_NOCTTY, sys::Resolve::kInRoot | sys::Resolve::kNoSymlinks);
  if (!master) return fail_with(std::move(master.error()), "terminal");
  auto info = sys::fstat(*master);
  auto filesystem = sys::fstatfs(*master);
  if (!info || !filesystem || filesystem->f_type != DEVPTS_SUPER_MAGIC ||
      info->st_rdev != makedev(kPtmxMajor, kPtmxMinor)) {
    return fail(Code::kFailedPrecondition, "terminal: /dev/pts/ptmx of the container is not a devpts device");
  }
  int unlock = 0;
  if (::ioctl(master->get(), TIOCSPTLCK, &unlock) < 0) return failed("ioctl TIOCSPTLCK");
  OwnFd slave(::ioctl(master->get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.is_open()) return failed("ioctl TIOCGPTPEER");
  if (rows != 0 && columns != 0) {
    winsize size{rows, columns, 0, 0};
    if (::ioctl(master->get(), TIOCSWINSZ, &size) < 0) return failed("ioctl TIOCSWINSZ");
  }
  if (!namespaces_.join) {
    auto console = ensure_target(root_, "dev/console", true, sys::Resolve::kNoSymlinks);
    if (!console) return fail_with(std::move(console.error()), "terminal");
    auto mount = sys::clone_mount(slave, "", sys::Recursive::kNo);
    if (!mount) return fail_with(std::move(mount.error()), "terminal");
    if (auto s = sys::attach(*mount, *console); !s) return fail_with(std::move(s.error()), "terminal");
  }
  char packet[5] = {static_cast<char>(Report::Kind::kTerminal)};
  FdRef fds[] = {*master};
  if (auto s = sys::send_packet(request_.report, std::string_view(packet, sizeof(packet)), fds); !s) return s;
  for (int standard : {0, 1, 2}) {
    if (auto s = move_to(slave, standard); !s) return s;
  }
  // When there is a second process, it is that one's: the terminal would hang up with the first.
  if (!namespaces_.second && ::ioctl(0, TIOCSCTTY, 0) < 0) return failed("ioctl TIOCSCTTY");
  return {};
}

// A null device among the standard streams comes from a mount of the host's, which the container would hold, and which
// no checkpoint can name. Its own one, where it has one, does the same.
Status Launch::take_own_null() {
  if (namespaces_.join) return {};
  auto is_null = [](FdRef fd) {
    auto info = sys::fstat(fd);
    return info && S_ISCHR(info->st_mode) && info->st_rdev == makedev(kMemoryMajor, kNullMinor);
  };
  OwnFd own;
  for (int standard : {0, 1, 2}) {
    if (!is_null(FdRef(standard))) continue;
    if (!own.is_open()) {
      auto place = sys::openat2(root_, "dev/null", O_RDWR, sys::Resolve::kInRoot | sys::Resolve::kNoSymlinks);
      if (!place || !is_null(*place)) return {};
      own = std::move(*place);
    }
    if (auto s = move_to(own, standard); !s) return s;
  }
  return {};
}

// What is written into the procfs of this process: its OOM score, and the AppArmor profile and SELinux label that
// execve takes on, also in a child of this process.
Status Launch::take_on_attributes() {
  if (spaces_.set_oom_score_adj) {
    char text[16];
    int size = std::snprintf(text, sizeof(text), "%d", spaces_.oom_score_adj);
    auto file = open_proc(".", "self/oom_score_adj");
    if (!file) return std::unexpected(std::move(file.error()));
    if (auto s = sys::write_all(*file, std::string_view(text, static_cast<std::size_t>(size))); !s) {
      return fail_with(std::move(s.error()), std::string("oom_score_adj ") + text);
    }
  }
  std::string profile(spaces_.apparmor_profile), label(spaces_.selinux_label);
  auto take_on = [this](const char* path, const std::string& words, const std::string& what) -> Status {
    auto file = open_proc(".", path);
    auto s = file ? sys::write_all(*file, words) : std::unexpected(std::move(file.error()));
    return s ? s : fail_with(std::move(s.error()), what);
  };
  if (!profile.empty()) {
    auto s = take_on("self/attr/apparmor/exec", "exec " + profile, "AppArmor profile \"" + profile + "\"");
    if (!s) return s;
  }
  if (label.empty()) return {};
  return take_on("self/attr/exec", label, "SELinux label \"" + label + "\"");
}

Status Launch::read_limits() {
  limits_ = reader_;
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    reader_.integer<std::int32_t>();
    reader_.integer<std::uint64_t>();
    reader_.integer<std::uint64_t>();
  }
  return {};
}

Status Launch::set_limits() {
  auto count = limits_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && limits_.ok(); ++i) {
    auto resource = limits_.integer<std::int32_t>();
    rlimit limit;
    limit.rlim_cur = limits_.integer<std::uint64_t>();
    limit.rlim_max = limits_.integer<std::uint64_t>();
    if (::prlimit(0, static_cast<__rlimit_resource>(resource), &limit, nullptr) < 0) {
      return std::unexpected(Error::from_errno(errno, "prlimit of resource " + std::to_string(resource)));
    }
  }
  return {};
}

Status Launch::enter_folder(const char* cwd) {
  while (*cwd == '/') ++cwd;
  // Opened within the root, so it is inside it whatever links it is made of; /proc/self/fd/N and its like are refused.
  auto folder = sys::openat2(root_, *cwd == '\0' ? "." : cwd, O_PATH | O_DIRECTORY,
                             sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks);
  if (!folder) return fail_with(std::move(folder.error()), "working directory");
  return sys::fchdir(*folder);
}

Status Launch::own_standard_streams(std::uint32_t uid) {
  // So that the process may open /proc/self/fd/1 anew. What is not a pipe or socket of ours (/dev/null) stays as it is.
  for (int standard : {0, 1, 2}) {
    auto info = sys::fstat(FdRef(standard));
    if (!info) continue;
    if (S_ISCHR(info->st_mode) && major(info->st_rdev) == kMemoryMajor) continue;
    if (S_ISCHR(info->st_mode)) {
      // In a user namespace that has no such group it stays that of the container's devpts.
      if (!sys::fchown(FdRef(standard), uid, kTtyGroup))
        (void)sys::fchown(FdRef(standard), uid, static_cast<gid_t>(-1));
    } else if (S_ISFIFO(info->st_mode)) {
      (void)sys::fchown(FdRef(standard), uid, static_cast<gid_t>(-1));
    }
  }
  return {};
}

Status Launch::drop_bounding(std::uint64_t keep) {
  // What gantryd's own service may have given it.
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return failed("prctl PR_CAP_AMBIENT_CLEAR_ALL");
  for (unsigned capability = 0; capability < 64; ++capability) {
    if ((keep >> capability & 1U) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return {};  // past the kernel's last capability
    return failed("prctl PR_CAPBSET_DROP");
  }
  return {};
}

namespace {

// The kernel says no more than "invalid" of ids that mean nobody in the user namespace.
std::unexpected<Error> failed_ids(const char* field, std::uint32_t id, const char* call) {
  if (errno != EINVAL) return failed(call);
  return fail(Code::kInvalidArgument, std::string("process.user.") + field + ": " + std::to_string(id) +
                                          " is not mapped in the user namespace");
}

}  // namespace

Status Launch::set_ids(std::uint32_t uid, std::uint32_t gid, std::span<const std::uint32_t> groups) {
  static_assert(sizeof(gid_t) == sizeof(std::uint32_t));
  if (keeps_groups_) {
    if (!groups.empty())
      return fail(Code::kFailedPrecondition, "process.user.additionalGids: setgroups is denied in the user namespace");
  } else if (::setgroups(groups.size(), groups.data()) < 0) {
    return errno == EINVAL
               ? fail(Code::kInvalidArgument, "process.user.additionalGids: not all are mapped in the user namespace")
               : failed("setgroups");
  }
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return failed("prctl PR_SET_KEEPCAPS");
  if (::setresgid(gid, gid, gid) < 0) return failed_ids("gid", gid, "setresgid");
  if (::setresuid(uid, uid, uid) < 0) return failed_ids("uid", uid, "setresuid");
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return failed("prctl PR_SET_KEEPCAPS");
  return {};
}

Status Launch::set_capabilities(std::uint64_t effective, std::uint64_t permitted, std::uint64_t inheritable,
                                std::uint64_t ambient) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (unsigned half = 0; half < 2; ++half) {
    unsigned shift = half * 32;
    data[half].effective = static_cast<std::uint32_t>(effective >> shift);
    data[half].permitted = static_cast<std::uint32_t>(permitted >> shift);
    data[half].inheritable = static_cast<std::uint32_t>(inheritable >> shift);
  }
  if (::syscall(SYS_capset, &header, data) < 0) return failed("capset");
  for (unsigned capability = 0; capability < 64 && ambient >> capability != 0; ++capability) {
    if ((ambient >> capability & 1U) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
      return failed("prctl PR_CAP_AMBIENT_RAISE");
  }
  return {};
}

Status Launch::set_schedule() {
  // struct sched_attr, as its first version has it; libc's headers clash with the kernel's.
  struct {
    std::uint32_t size = 48, policy = 0;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0, deadline = 0, period = 0;
  } attributes;
  static_assert(sizeof(attributes) == 48);
  bool set_policy = flag();
  attributes.policy = reader_.integer<std::uint32_t>();
  attributes.flags = reader_.integer<std::uint64_t>();
  attributes.nice = reader_.integer<std::int32_t>();
  attributes.priority = reader_.integer<std::uint32_t>();
  attributes.runtime = reader_.integer<std::uint64_t>();
  attributes.deadline = reader_.integer<std::uint64_t>();
  attributes.period = reader_.integer<std::uint64_t>();
  bool set_io_priority = flag();
  auto io_priority = reader_.integer<std::uint32_t>();
  std::string_view cpus = reader_.string();
  constexpr int kProcess = 1;  // IOPRIO_WHO_PROCESS
  if (!cpus.empty() && ::syscall(SYS_sched_setaffinity, 0, cpus.size(), cpus.data()) < 0)
    return failed("sched_setaffinity");
  if (set_policy && ::syscall(SYS_sched_setattr, 0, &attributes, 0) < 0) return failed("sched_setattr");
  if (set_io_priority && ::syscall(SYS_ioprio_set, kProcess, 0, io_priority) < 0) return failed("ioprio_set");
  return {};
}

Status Launch::load_filter(std::string_view program, std::uint32_t flags) {
  bool listens = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
  if (listens) {
    if (auto s = sys::set_blocking(request_.report); !s) return s;
    if (request_.hooks != nullptr && request_.hooks->shows_listener) (void)sys::prctl(PR_SET_DUMPABLE, 1);
  }
  sock_fprog filter{static_cast<unsigned short>(program.size() / sizeof(sock_filter)),
                    reinterpret_cast<sock_filter*>(const_cast<char*>(program.data()))};
  long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (listener < 0) return failed("seccomp");
  if (listens) return hand_over_listener(static_cast<int>(listener));
  ended(LaunchStep::kSeccomp);
  return {};
}

// The parent takes a copy. By write alone, for which the filter asks nobody; whatever comes behind it may wait for the
// agent, who has the listener by then. When this process had it still, nobody would be told that the agent has gone.
Status Launch::hand_over_listener(int listener) {
  char packet[5] = {static_cast<char>(Report::Kind::kListener)};
  std::memcpy(packet + 1, &listener, sizeof(listener));
  if (auto s = sys::write(request_.report, packet, sizeof(packet)); !s) return std::unexpected(std::move(s.error()));
  auto s = wait_for_byte(request_.report);
  ::close(listener);
  return s;
}

Status Launch::become_user_and_execute() {
  bool set_personality = flag();
  auto domain = reader_.integer<std::uint32_t>();
  if (auto s = set_schedule(); !s) return s;
  auto mask = reader_.integer<std::uint32_t>();
  auto uid = reader_.integer<std::uint32_t>();
  auto gid = reader_.integer<std::uint32_t>();
  auto group_count = reader_.integer<std::uint32_t>();
  std::uint32_t groups[kMaxGroups];
  if (group_count > std::size(groups)) {
    return invalid_argument("process.groups: more than " + std::to_string(std::size(groups)) + " groups");
  }
  for (std::uint32_t i = 0; i < group_count; ++i) groups[i] = reader_.integer<std::uint32_t>();
  auto bounding = reader_.integer<std::uint64_t>();
  auto effective = reader_.integer<std::uint64_t>();
  auto permitted = reader_.integer<std::uint64_t>();
  auto inheritable = reader_.integer<std::uint64_t>();
  auto ambient = reader_.integer<std::uint64_t>();
  bool no_new_privileges = flag();
  auto seccomp_flags = reader_.integer<std::uint32_t>();
  std::string_view program = reader_.string();
  if (!reader_.ok()) return invalid_argument("plan: unreadable process");

  if (set_personality && ::personality(domain) < 0) return failed("personality");
  ::umask(mask);
  if (auto s = own_standard_streams(uid); !s) return s;
  if (no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return failed("prctl PR_SET_NO_NEW_PRIVS");
  if (auto s = drop_bounding(bounding); !s) return s;
  // Without no_new_privs the kernel takes a filter only from CAP_SYS_ADMIN: before the ids change. A profile that
  // denies the calls behind it makes them fail here, by name.
  bool filtered = !no_new_privileges && !program.empty();
  if (filtered) {
    ended(LaunchStep::kProcess);
    if (auto s = load_filter(program, seccomp_flags); !s) return s;
  }
  auto dropped = set_ids(uid, gid, std::span(groups, group_count));
  if (dropped) dropped = set_capabilities(effective, permitted, inheritable, ambient);
  if (dropped && namespaces_.second) dropped = hand_over();
  if (!dropped) {
    return filtered ? fail_with(std::move(dropped.error()), "under the container's seccomp profile") : dropped;
  }
  if (auto s = read_arguments(); !s) return s;
  bool loads_last = no_new_privileges && !program.empty();
  if (!filtered) ended(LaunchStep::kProcess);
  if (loads_last && (seccomp_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0) {
    // The parent, who takes the listener to its agent, is gone behind the gate.
    if (auto s = load_filter(program, seccomp_flags); !s) return s;
    loads_last = false;
  }
  if (start_.is_open()) {
    if (auto s = wait_for_start(); !s) return s;
  } else if (!namespaces_.second) {
    request_.notes->ready = 1;
  }
  if (request_.hooks != nullptr && request_.hooks->before_program) {
    if (auto s = request_.hooks->before_program(); !s) return s;
  }
  if (loads_last) {
    began();
    if (auto s = load_filter(program, seccomp_flags); !s) return s;
  }
  return execute();
}

// Marks all other descriptors to be closed by execve. Before a second process they are closed at once: execve is that
// one's, and it must be born without them. And so they are before a gate: who is executed in the container while it
// waits there, with CAP_SYS_PTRACE, would find them in /proc.
Status Launch::keep_standard_streams() {
  preserved_fds_ = reader_.integer<std::uint32_t>();
  constexpr unsigned kMost = 65536;
  if (preserved_fds_ > kMost) return invalid_argument("plan: too many descriptors are to stay open");
  start_ = fd(reader_.integer<FdIndex>());
  start_report_ = fd(reader_.integer<FdIndex>());
  int first = 3 + static_cast<int>(preserved_fds_);
  if (!namespaces_.second && !start_.is_open()) return sys::close_range(static_cast<unsigned>(first), true);
  // Up, out of each other's way, and then down side by side.
  FdRef* kept[] = {&request_.report, &start_, &start_report_};
  int end = first + static_cast<int>(std::size(kept));
  for (FdRef* each : kept) {
    if (!each->is_open()) continue;
    int up = ::fcntl(each->get(), F_DUPFD_CLOEXEC, end);
    if (up < 0) return failed("fcntl F_DUPFD_CLOEXEC");
    *each = FdRef(up);
  }
  int next = first;
  for (FdRef* each : kept) {
    if (!each->is_open()) continue;
    if (::dup3(each->get(), next, O_CLOEXEC) < 0) return failed("dup3");
    *each = FdRef(next++);
  }
  return sys::close_range(static_cast<unsigned>(next), false);
}

// What is wrong with the program is said to who creates the container, as far as it can be known without executing it.
// From here on the report goes to who starts it.
Status Launch::wait_for_start() {
  auto found = at_program([](const char* path) {
    if (::faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0) return errno == EPERM ? 0 : errno;
    struct stat info{};
    return ::stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? EACCES : 0;
  });
  if (!found && argv_[0] != nullptr) return found;
  if (!namespaces_.second) request_.notes->ready = 1;
  if (start_report_.is_open()) {
    ::close(request_.report.get());
    request_.report = start_report_;
  }
  auto started = wait_for_byte(start_);
  // Now, and not by execve, which ends the report before it: who reads that end is to find that nobody waits here.
  ::close(start_.get());
  return started;
}

// Goes on as a new process in the container's PID namespace, a sibling of this one, which ends.
Status Launch::hand_over() {
  request_.notes->ready = 1;
  long pid = ::syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, nullptr, &request_.notes->pid, nullptr,
                       nullptr);
  if (pid < 0) {
    request_.notes->ready = 0;
    // What the kernel says of a PID namespace whose first process is gone.
    bool has_ended = errno == ENOMEM;
    if (has_ended && namespaces_.join) return fail(Code::kFailedPrecondition, "the container has ended");
    if (has_ended) return pid_namespace_ended();
    return failed("clone");
  }
  if (pid > 0) ::_exit(0);
  request_.notes = nullptr;  // not mapped here
  if (::setsid() < 0 && terminal_) return failed("setsid");
  if (terminal_ && ::ioctl(0, TIOCSCTTY, 0) < 0) return failed("ioctl TIOCSCTTY");
  return {};
}

// Two passes: the strings' places first, then the pointers into the space that the maker left at the end, aligned.
Status Launch::read_arguments() {
  auto read_count = [this] { return reader_.integer<std::uint32_t>(); };
  auto arg_count = read_count();
  PlanReader args = reader_;
  for (std::uint32_t i = 0; i < arg_count && reader_.ok(); ++i) reader_.c_string();
  auto env_count = read_count();
  PlanReader env = reader_;
  for (std::uint32_t i = 0; i < env_count && reader_.ok(); ++i) reader_.c_string();
  std::size_t pointers = (static_cast<std::size_t>(arg_count) + 1 + env_count + 1) * sizeof(char*);
  if (!reader_.ok() || reader_.rest().size() < pointers || request_.plan.size() % sizeof(char*) != 0)
    return invalid_argument("plan: unreadable arguments");
  argv_ = reinterpret_cast<const char**>(request_.plan.data() + request_.plan.size() - pointers);
  envp_ = argv_ + arg_count + 1;
  for (std::uint32_t i = 0; i < arg_count; ++i) argv_[i] = args.c_string();
  for (std::uint32_t i = 0; i < env_count; ++i) envp_[i] = env.c_string();
  argv_[arg_count] = envp_[env_count] = nullptr;
  return {};
}

// Calls `use` with each path at which the program may be, until it gives 0, or an errno that ends the search.
template <typename Use>
Status Launch::at_program(Use use) {
  const char* program = argv_[0];
  if (program == nullptr) return invalid_argument("process: is missing: there is no program to run");
  auto failed_with = [program](int error) {
    return std::unexpected(Error::from_errno(error, std::string("exec: \"") + program + "\""));
  };
  if (std::strchr(program, '/') != nullptr) {
    int error = use(program);
    return error == 0 ? Status() : failed_with(error);
  }
  const char* search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const char** entry = envp_; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "PATH=", 5) == 0) search = *entry + 5;
  }
  bool denied = false;
  for (const char* folder = search;;) {
    const char* end = ::strchrnul(folder, ':');
    char path[PATH_MAX];
    int size = std::snprintf(path, sizeof(path), "%.*s/%s", static_cast<int>(end - folder), folder, program);
    // An empty entry would mean the working directory, which the image or its user controls: it is left out.
    if (end != folder && size > 0 && static_cast<std::size_t>(size) < sizeof(path)) {
      int error = use(path);
      if (error == 0) return {};
      if (error == EACCES) denied = true;
      if (error != ENOENT && error != ENOTDIR && error != EACCES) return failed_with(error);
    }
    if (*end == '\0') break;
    folder = end + 1;
  }
  if (denied) return failed_with(EACCES);
  return not_found(std::string("exec: \"") + program + "\": executable file not found in $PATH");
}

Status Launch::execute() {
  return at_program([this](const char* path) {
    ::execve(path, const_cast<char* const*>(argv_), const_cast<char* const*>(envp_));
    return errno;
  });
}

}  // namespace gantry::runtime
