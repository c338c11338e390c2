// SPDX-License-Identifier: Apache-2.0
#include "cli/local_node.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "cgroups/hierarchy.h"
#include "cli/node_supervisor.h"
#include "sys/file.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

constexpr const char* kRunFolder = "/run/gantry-nodes";
constexpr const char* kStateFolder = "/var/lib/gantry-nodes";
constexpr int kStopSeconds = 30;

Status check_name(const std::string& name) {
  bool good = !name.empty() && name.size() <= 32 && name.front() != '-' && name.back() != '-';
  for (char c : name) good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
  if (good) return {};
  return invalid_argument("node name \"" + name + "\": 1 to 32 lower-case letters, digits and dashes were expected");
}

Status make_folder(const std::string& path) {
  auto made = sys::mkdirat(sys::kCwd, path.c_str(), 0700);
  if (!made && !made.error().is_already_exists()) return made;
  return {};
}

// The node's file, locked against others who start or stop it. Who stops another node, or this one, may remove the
// folder or the file meanwhile, and then it is made anew.
Result<OwnFd> lock_node(const std::string& name) {
  if (auto s = check_name(name); !s) return std::unexpected(std::move(s.error()));
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    if (auto s = make_folder(kRunFolder); !s) return std::unexpected(std::move(s.error()));
    auto file = sys::openat(sys::kCwd, (std::string(kRunFolder) + "/" + name).c_str(), O_RDWR | O_CREAT, 0600);
    if (!file && file.error().is_not_found()) continue;
    if (!file) return file;
    if (::flock(file->get(), LOCK_EX | LOCK_NB) < 0) {
      if (errno == EWOULDBLOCK) break;
      return std::unexpected(Error::from_errno(errno, "flock " + name));
    }
    auto info = sys::fstat(*file);
    if (!info) return std::unexpected(std::move(info.error()));
    if (info->st_nlink > 0) return file;
  }
  return fail(Code::kUnavailable, "node " + name + ": another gantry command is starting or stopping it");
}

struct Supervisor {
  pid_t pid;
  PidFd pidfd;
};

// The supervisor that the node's file names, if it lives: the pid alone may be another's by now.
Result<std::optional<Supervisor>> find_supervisor(FdRef file) {
  std::string text(64, '\0');
  ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  pid_t pid = 0;
  unsigned long long start = 0;
  if (std::sscanf(text.c_str(), "%d %llu", &pid, &start) != 2) return std::optional<Supervisor>();
  auto pidfd = sys::pidfd_open(pid);
  if (!pidfd) return std::optional<Supervisor>();
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  if (!proc) return std::unexpected(std::move(proc.error()));
  auto now = sys::start_time_of(*proc, pid);
  if (!now || *now != start) return std::optional<Supervisor>();
  return std::optional(Supervisor{pid, std::move(*pidfd)});
}

Result<std::optional<Supervisor>> find_supervisor(const std::string& name) {
  if (auto s = check_name(name); !s) return std::unexpected(std::move(s.error()));
  auto file = sys::openat(sys::kCwd, (std::string(kRunFolder) + "/" + name).c_str(), O_RDONLY);
  if (!file && file.error().is_not_found()) return std::optional<Supervisor>();
  if (!file) return std::unexpected(std::move(file.error()));
  return find_supervisor(*file);
}

Status make_state(const std::string& name) {
  if (auto s = make_folder(kStateFolder); !s) return s;
  std::string state = state_folder(name);
  if (auto s = make_folder(state); !s) return s;
  for (const char* part : {"/lib", "/kubelet", "/manifests", "/log", "/log/pods", "/log/containers"}) {
    if (auto s = make_folder(state + part); !s) return s;
  }
  return {};
}

}  // namespace

std::string state_folder(const std::string& name) { return std::string(kStateFolder) + "/" + name; }

Result<bool> is_local_node_running(const std::string& name) {
  auto supervisor = find_supervisor(name);
  if (!supervisor) return std::unexpected(std::move(supervisor.error()));
  return supervisor->has_value();
}

Result<bool> start_local_node(const LocalNode& node) {
  auto file = lock_node(node.name);
  if (!file) return std::unexpected(std::move(file.error()));
  auto running = find_supervisor(*file);
  if (!running) return std::unexpected(std::move(running.error()));
  if (*running) return false;
  // What a supervisor that was killed left behind would be in the new one's way.
  if (auto s = remove_node_cgroup(node.name); !s) return std::unexpected(std::move(s.error()));
  if (auto s = make_state(node.name); !s) return std::unexpected(std::move(s.error()));

  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) < 0) return std::unexpected(Error::from_errno(errno, "pipe2"));
  OwnFd reader(ready[0]), writer(ready[1]);
  auto supervisor = sys::clone3(
      sys::CloneFlag::kNewMount | sys::CloneFlag::kNewNet | sys::CloneFlag::kNewIpc | sys::CloneFlag::kNewUts, FdRef());
  if (!supervisor) return fail_with(std::move(supervisor.error()), "node " + node.name + ": make its namespaces");
  if (supervisor->pid == 0) {
    reader.close();
    file->close();
    supervise(node, std::move(writer));
  }
  writer.close();
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  auto start = sys::start_time_of(*proc, supervisor->pid);
  if (!start) return std::unexpected(std::move(start.error()));
  std::string text = std::to_string(supervisor->pid) + " " + std::to_string(*start) + "\n";
  if (auto s = sys::ftruncate(*file, 0); !s) return std::unexpected(std::move(s.error()));
  if (::pwrite(file->get(), text.data(), text.size(), 0) < 0)
    return std::unexpected(Error::from_errno(errno, "write node file"));

  // One line: "ready", or why not.
  auto said = sys::read_all(reader, 4096);
  if (!said) return std::unexpected(std::move(said.error()));
  if (*said == "ready") return true;
  return fail(Code::kUnavailable, "node " + node.name + ": " + (said->empty() ? "its supervisor ended" : *said));
}

Result<bool> stop_local_node(const std::string& name) {
  auto file = lock_node(name);
  if (!file) return std::unexpected(std::move(file.error()));
  auto supervisor = find_supervisor(*file);
  if (!supervisor) return std::unexpected(std::move(supervisor.error()));
  if (*supervisor) {
    if (auto s = sys::pidfd_send_signal((*supervisor)->pidfd, SIGTERM); !s)
      return std::unexpected(std::move(s.error()));
    pollfd gone{(*supervisor)->pidfd.get(), POLLIN, 0};
    if (::poll(&gone, 1, kStopSeconds * 1000) == 0) {
      return fail(Code::kDeadlineExceeded, "node " + name + ": its supervisor, process " +
                                               std::to_string((*supervisor)->pid) + ", has not ended within " +
                                               std::to_string(kStopSeconds) + " s");
    }
  }
  if (auto s = remove_node_cgroup(name); !s) return std::unexpected(std::move(s.error()));
  (void)sys::unlinkat(sys::kCwd, (std::string(kRunFolder) + "/" + name).c_str(), 0);
  (void)sys::unlinkat(sys::kCwd, kRunFolder, AT_REMOVEDIR);
  return supervisor->has_value();
}

Status exec_in_local_node(const std::string& name, const std::vector<std::string>& command) {
  auto supervisor = find_supervisor(name);
  if (!supervisor) return std::unexpected(std::move(supervisor.error()));
  if (!*supervisor) return not_found("node " + name + " is not running; start it with: gantry node start " + name);
  using sys::CloneFlag;
  auto joined = sys::setns((*supervisor)->pidfd,
                           CloneFlag::kNewMount | CloneFlag::kNewNet | CloneFlag::kNewIpc | CloneFlag::kNewUts);
  if (!joined) return fail_with(std::move(joined.error()), "enter node " + name);
  // crictl finds the node's runtime by it.
  ::setenv("CRI_CONFIG_FILE", kCrictlConfig, 0);
  std::vector<char*> argv;
  for (const auto& arg : command) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  return std::unexpected(Error::from_errno(errno, "execute " + command[0]));
}

}  // namespace gantry::cli
