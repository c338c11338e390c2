// SPDX-License-Identifier: Apache-2.0
#include "cli/node_supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cgroups/hierarchy.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::cli {
namespace {

constexpr const char* kCgroupMount = "/sys/fs/cgroup";
constexpr const char* kNotifySocket = "/run/gantry-notify.sock";
constexpr const char* kResolvConf = "/etc/resolv.conf";

std::string cgroup_name(const std::string& node) { return "gantry-node-" + node; }

std::unexpected<Error> failed(const char* call) { return std::unexpected(Error::from_errno(errno, call)); }

// ---- namespaces

Status furnish(const LocalNode& node) {
  if (auto s = sys::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr); !s) return s;
  // resolv.conf is often a link into /run, which is about to be another.
  auto resolv_conf = sys::openat(sys::kCwd, kResolvConf, O_RDONLY);
  if (auto s = sys::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"); !s) return s;
  if (resolv_conf && !sys::openat(sys::kCwd, kResolvConf, O_RDONLY)) {
    if (auto text = sys::read_all(*resolv_conf, 65536)) {
      auto target = sys::readlinkat(sys::kCwd, kResolvConf);
      if (target && target->find("/run/") != std::string::npos) {
        std::string path = target->substr(target->find("/run/"));
        for (std::size_t at = path.find('/', 5); at != std::string::npos; at = path.find('/', at + 1)) {
          (void)sys::mkdirat(sys::kCwd, path.substr(0, at).c_str(), 0755);
        }
        auto file = sys::openat(sys::kCwd, path.c_str(), O_CREAT | O_WRONLY, 0644);
        if (file) (void)sys::write_all(*file, *text);
      }
    }
  }
  auto crictl = sys::openat(sys::kCwd, kCrictlConfig, O_CREAT | O_WRONLY, 0644);
  if (!crictl) return std::unexpected(std::move(crictl.error()));
  if (auto s = sys::write_all(
          *crictl,
          "runtime-endpoint: unix:///run/gantry/gantryd.sock\nimage-endpoint: unix:///run/gantry/gantryd.sock\n");
      !s) {
    return s;
  }
  // sysfs shows the network namespace of who mounted it; over it the pure cgroup v2 view.
  auto cgroups = cgroups::detached_hierarchy();
  if (!cgroups) return std::unexpected(std::move(cgroups.error()));
  if (auto s = sys::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr); !s) return s;
  auto attributes = sys::MountAttr::kNoSuid | sys::MountAttr::kNoDev | sys::MountAttr::kNoExec;
  if (auto s = sys::set_attributes(*cgroups, "", attributes, sys::MountAttr::kReadOnly, sys::Propagation::kPrivate,
                                   sys::Recursive::kNo);
      !s) {
    return s;
  }
  auto place = sys::open_dir(sys::kCwd, kCgroupMount);
  if (!place) return std::unexpected(std::move(place.error()));
  if (auto s = sys::attach(*cgroups, *place); !s) return s;
  if (::sethostname(node.name.data(), node.name.size()) < 0) return failed("sethostname");
  return sys::raise_loopback();
}

// ---- gantryd

Result<OwnFd> listen_for_readiness() {
  OwnFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return failed("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, kNotifySocket);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0)
    return failed("bind the notify socket");
  return socket;
}

Result<sys::Cloned> start_gantryd(const LocalNode& node, FdRef cgroup, FdRef log) {
  std::string state = state_folder(node.name);
  std::vector<std::string> args = {node.gantryd,
                                   "--config=" + state + "/gantryd.yaml",
                                   "--root=" + state + "/lib",
                                   "--kubelet-root=" + state + "/kubelet",
                                   "--manifest-dir=" + state + "/manifests",
                                   "--pod-logs=" + state + "/log/pods",
                                   "--registries=" + state + "/registries",
                                   "--nri-plugins=" + state + "/nri/plugins",
                                   "--nri-config=" + state + "/nri/conf.d",
                                   "--cdi-folders=/etc/cdi,/var/run/cdi," + state + "/cdi",
                                   "--container-logs=" + state + "/log/containers",
                                   "--cgroup-root=/" + cgroup_name(node.name) + "/pods",
                                   "--node-name=" + node.name};
  if (!node.pod_cidr.empty()) args.push_back("--pod-cidr=" + node.pod_cidr);
  args.insert(args.end(), node.options.begin(), node.options.end());
  auto cloned = sys::clone3(sys::CloneFlag::kNone, cgroup);
  if (!cloned || cloned->pid != 0) return cloned;
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setenv("NOTIFY_SOCKET", kNotifySocket, 1);
  int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, 0);
  ::dup2(log.get(), 1);
  ::dup2(log.get(), 2);
  std::vector<char*> argv;
  for (const auto& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::dprintf(2, "execute %s: %s\n", argv[0], std::strerror(errno));
  ::_exit(127);
}

// ---- the supervisor

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kQuickEnd{2};
constexpr std::chrono::seconds kRestartDelay{10};

class NodeSupervisor {
 public:
  NodeSupervisor(const LocalNode& node, OwnFd report) : node_(node), report_(std::move(report)) {}
  Status run();

  void say(const std::string& text) {
    if (report_.is_open()) (void)sys::write_all(report_, text);
    report_.close();
  }

 private:
  Status prepare();
  Status start();
  // Reaps; starts gantryd anew should it have ended. False when it never served.
  bool on_children();
  // Of a try that fails, the next one is run()'s: pods don't end because there was no room for a process just then.
  void restart();
  void stop_gantryd();
  // One that dies at once, again and again, is not helped by haste. Its pods run on meanwhile.
  bool waits_before_start() const { return quick_ends_ >= 5; }

  const LocalNode& node_;
  OwnFd report_, signals_, notify_, cgroup_, log_;
  sys::Cloned gantryd_{0, PidFd()};
  Clock::time_point started_at_;  // when it was last tried
  int quick_ends_ = 0;
};

Status NodeSupervisor::prepare() {
  // Orphans of shims and containers come here to be reaped.
  if (auto s = sys::prctl(PR_SET_CHILD_SUBREAPER, 1); !s) return s;
  (void)sys::set_name("gantry-node");
  ::setsid();
  sigset_t wanted;
  sigemptyset(&wanted);
  for (int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&wanted, signal);
  ::sigprocmask(SIG_SETMASK, &wanted, nullptr);
  signals_ = OwnFd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.is_open()) return failed("signalfd");
  auto log =
      sys::openat(sys::kCwd, (state_folder(node_.name) + "/gantryd.log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  if (!log) return std::unexpected(std::move(log.error()));
  log_ = std::move(*log);
  // Empty at first: whoever fills it has gantryd read it by SIGHUP.
  auto config = sys::openat(sys::kCwd, (state_folder(node_.name) + "/gantryd.yaml").c_str(), O_CREAT | O_WRONLY, 0600);
  if (!config) return std::unexpected(std::move(config.error()));
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, 0);
  ::dup2(null, 1);
  ::dup2(log_.get(), 2);
  ::close(null);
  if (::chdir("/") < 0) return failed("chdir /");
  if (auto s = furnish(node_); !s) return s;
  auto notify = listen_for_readiness();
  if (!notify) return std::unexpected(std::move(notify.error()));
  notify_ = std::move(*notify);
  std::string folder = std::string(kCgroupMount) + "/" + cgroup_name(node_.name);
  for (const std::string& path : {folder, folder + "/gantryd", folder + "/pods"}) {
    if (auto s = sys::mkdirat(sys::kCwd, path.c_str(), 0755); !s) return s;
  }
  auto cgroup = sys::openat(sys::kCwd, (folder + "/gantryd").c_str(), O_RDONLY | O_DIRECTORY);
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  cgroup_ = std::move(*cgroup);
  return {};
}

Status NodeSupervisor::start() {
  started_at_ = Clock::now();
  auto started = start_gantryd(node_, cgroup_, log_);
  if (!started) return fail_with(std::move(started.error()), "start gantryd");
  gantryd_ = std::move(*started);
  return {};
}

bool NodeSupervisor::on_children() {
  bool ended = false;
  int status = 0;
  int each = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &each, WNOHANG)) > 0;) {
    if (pid != gantryd_.pid) continue;
    ended = true;
    status = each;
  }
  if (!ended) return true;
  std::string how = WIFEXITED(status) ? "with code " + std::to_string(WEXITSTATUS(status))
                                      : "by signal " + std::to_string(WTERMSIG(status));
  if (report_.is_open()) {
    say("gantryd ended before it was ready; its log is " + state_folder(node_.name) + "/gantryd.log");
    return false;
  }
  gantryd_.pidfd.close();
  quick_ends_ = Clock::now() - started_at_ < kQuickEnd ? quick_ends_ + 1 : 0;
  ::dprintf(2, "gantryd ended %s; starting it again%s\n", how.c_str(), waits_before_start() ? " in 10 s" : "");
  if (!waits_before_start()) restart();
  return true;
}

void NodeSupervisor::restart() {
  if (auto started = start(); !started) {
    ::dprintf(2, "node %s: %s; trying again in 10 s\n", node_.name.c_str(), started.error().message().c_str());
  }
}

void NodeSupervisor::stop_gantryd() {
  if (!gantryd_.pidfd.is_open()) return;
  (void)sys::pidfd_send_signal(gantryd_.pidfd, SIGTERM);
  pollfd gone{gantryd_.pidfd.get(), POLLIN, 0};
  ::poll(&gone, 1, 10'000);
}

Status NodeSupervisor::run() {
  if (auto s = prepare(); !s) return s;
  if (auto s = start(); !s) return s;
  for (;;) {
    pollfd ready[] = {{signals_.get(), POLLIN, 0}, {notify_.get(), POLLIN, 0}};
    // The ends of pods' orphans wake this too: the wait counts from gantryd's last start.
    bool waiting = !gantryd_.pidfd.is_open();
    auto left = std::chrono::ceil<std::chrono::milliseconds>(started_at_ + kRestartDelay - Clock::now());
    if (waiting && left.count() <= 0) {
      restart();
      continue;
    }
    int happened = ::poll(ready, 2, waiting ? static_cast<int>(left.count()) : -1);
    if (happened < 0 && errno != EINTR) return failed("poll");
    char text[256];
    ssize_t size = ::recv(notify_.get(), text, sizeof(text), 0);
    if (size > 0 && std::string_view(text, static_cast<std::size_t>(size)).find("READY=1") != std::string_view::npos)
      say("ready");
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
      bool stop = info.ssi_signo != SIGCHLD;
      if (!stop && on_children()) continue;
      if (stop) stop_gantryd();
      return remove_node_cgroup(node_.name);
    }
  }
}

}  // namespace

Status remove_node_cgroup(const std::string& name) {
  auto hierarchy = cgroups::Hierarchy::find();
  if (!hierarchy) return std::unexpected(std::move(hierarchy.error()));
  auto folder = hierarchy->root().open_child(cgroup_name(name));
  if (!folder) return folder.error().is_not_found() ? Status() : std::unexpected(std::move(folder.error()));
  if (auto s = folder->kill(); !s) return s;
  auto events = sys::openat(folder->dir(), "cgroup.events", O_RDONLY);
  if (!events) return std::unexpected(std::move(events.error()));
  for (int round = 0; round < 100; ++round) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    // Read through the descriptor that is polled: to the kernel it has changed for as long as nobody has read it.
    char text[256];
    ssize_t size = ::pread(events->get(), text, sizeof(text), 0);
    if (size <= 0 ||
        std::string_view(text, static_cast<std::size_t>(size)).find("populated 1") == std::string_view::npos)
      break;
    pollfd change{events->get(), POLLPRI, 0};
    ::poll(&change, 1, 100);  // an event ends it; the limit is for zombies that only this process can reap
  }
  return hierarchy->root().remove_child(cgroup_name(name));
}

void supervise(const LocalNode& node, OwnFd report) {
  NodeSupervisor supervisor(node, std::move(report));
  auto ended = supervisor.run();
  if (!ended) {
    ::dprintf(2, "node %s: %s\n", node.name.c_str(), ended.error().message().c_str());
    supervisor.say(ended.error().message());
  }
  ::_exit(ended ? 0 : 1);
}

}  // namespace gantry::cli
