// SPDX-License-Identifier: Apache-2.0
// Starting a container in a ready sandbox, against `crun run` and `runc run` of the same spec, and against the floor.
// All in one run, taking turns, so that a busy machine is busy for all. Prints medians in milliseconds and ratios.
//
//   start [--runs N] [--crun PATH] [--runc PATH]
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/start_floor.h"
#include "runtime/plan/plan.h"
#include "shim/client.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/socket.h"
#include "tests/support/world.h"

namespace gantry::bench {
namespace {

constexpr const char* kRootfs = "/run/bench/bundle/rootfs";

Options g_options;

// The spec that all sides run: the mounts, devices and paths of `crun spec`, /bin/true, no seccomp.
runtime::Plan plan() {
  runtime::Plan plan;
  plan.namespaces.new_pid = true;
  plan.namespaces.new_cgroup = true;
  plan.root.rootfs = 0;
  auto filesystem = [](const char* type, const char* target, std::vector<std::string> options,
                       std::uint64_t attributes) {
    runtime::MountPlan mount;
    mount.type = type;
    mount.target = target;
    mount.options = std::move(options);
    mount.set_attributes = attributes;
    return mount;
  };
  constexpr std::uint64_t kAll = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV;
  plan.mounts = {filesystem("proc", "/proc", {}, 0),
                 filesystem("tmpfs", "/dev", {"mode=755", "size=65536k"}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME),
                 filesystem("devpts", "/dev/pts", {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
                            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC),
                 filesystem("tmpfs", "/dev/shm", {"mode=1777", "size=65536k"}, kAll),
                 filesystem("mqueue", "/dev/mqueue", {}, kAll),
                 filesystem("sysfs", "/sys", {}, kAll | MOUNT_ATTR_RDONLY),
                 filesystem("cgroup2", "/sys/fs/cgroup", {}, kAll | MOUNT_ATTR_RDONLY)};
  auto device = [](const char* path, unsigned major, unsigned minor) {
    return runtime::DevicePlan{path, S_IFCHR | 0666, major, minor, 0, 0};
  };
  plan.devices = {device("/dev/null", 1, 3),   device("/dev/zero", 1, 5),    device("/dev/full", 1, 7),
                  device("/dev/random", 1, 8), device("/dev/urandom", 1, 9), device("/dev/tty", 5, 0)};
  plan.links = {{"/dev/fd", "/proc/self/fd"},
                {"/dev/stdin", "/proc/self/fd/0"},
                {"/dev/stdout", "/proc/self/fd/1"},
                {"/dev/stderr", "/proc/self/fd/2"},
                {"/dev/ptmx", "pts/ptmx"}};
  plan.masked_paths = {"/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
                       "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                       "/sys/firmware",       "/proc/scsi"};
  plan.read_only_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  plan.process.args = {"/bin/true"};
  plan.process.env = {"PATH=/usr/bin:/bin"};
  // CAP_AUDIT_WRITE, CAP_KILL, CAP_NET_BIND_SERVICE, as `crun spec` has them.
  std::uint64_t capabilities = 1ULL << 29 | 1ULL << 5 | 1ULL << 10;
  plan.process.capabilities = {capabilities, capabilities, capabilities, 0, 0};
  plan.process.no_new_privileges = true;
  plan.process.rlimits = {{7 /* RLIMIT_NOFILE */, 1024, 1024}};
  return plan;
}

class Gantry {
 public:
  Gantry() {
    run_ = must(sys::open_dir(sys::kCwd, "/run/bench"));
    auto program = must(sys::openat(sys::kCwd, GANTRY_BIN "/gantry-shim", O_RDONLY));
    template_ = must(shim::Template::launch(loop_, must(sys::sealed_memfd("gantry-shim", program))));
    plan_ = must(runtime::encode_plan(plan(), 1));
  }

  static OwnFd make_cgroup(const char* name) {
    if (auto s = sys::mkdirat(test::cgroup_dir(), name, 0755); !s) give_up(s.error().message());
    return must(sys::openat(test::cgroup_dir(), name, O_RDONLY | O_DIRECTORY));
  }

  void run(Task<> task) {
    loop_.spawn([](Loop& loop, Task<> inner) -> Task<> {
      co_await inner;
      loop.stop();
    }(loop_, std::move(task)));
    loop_.run();
  }

  Task<> make_sandbox() {
    shim::Template::SpawnFds fds;
    fds.cgroup = make_cgroup("shim");
    fds.listener = must(sys::listen_unix(run_, "shim.sock", SOCK_SEQPACKET, 16));
    fds.records = must(sys::clone_mount(run_, "records", sys::Recursive::kNo));
    shim::SpawnRequest request;
    request.sandbox_id = "bench";
    client_ = must(co_await template_->spawn(std::move(request), std::move(fds)));
    client_->observe({[this](const shim::ExitedEvent& event) {
                        if (event.code != 0) give_up("/bin/true ended with " + std::to_string(event.code));
                        ended_.set();
                      },
                      [] {}});
  }

  // One container: started, ended, forgotten.
  Task<> start_one(int number) {
    std::string id = "c" + std::to_string(number);
    ended_.reset();
    std::int64_t before = now();
    shim::Client::StartFds fds;
    fds.plan = must(shim::make_plan_memfd(plan_));
    fds.cgroup = make_cgroup(id.c_str());
    fds.others.push_back(must(sys::clone_mount(run_, "bundle/rootfs", sys::Recursive::kNo)));
    shim::StartRequest request;
    request.container_id = id;
    (void)must(co_await client_->start(std::move(request), std::move(fds)));
    started.push_back(now() - before);
    co_await ended_.wait();
    (void)co_await client_->forget(id);
    if (auto s = sys::unlinkat(test::cgroup_dir(), id.c_str(), AT_REMOVEDIR); !s) give_up(s.error().message());
    whole.push_back(now() - before);
  }

  Task<> end() { return client_->shutdown(); }
  pid_t shim_pid() const { return client_->pid(); }

  Times started, whole;

 private:
  Loop loop_;
  DirFd run_;
  std::unique_ptr<shim::Template> template_;
  std::unique_ptr<shim::Client> client_;
  Event ended_{loop_};
  std::string plan_;
};

std::int64_t run_peer(const std::string& program, const std::string& root, int number) {
  std::string id = "bench-" + std::to_string(number);
  std::int64_t before = now();
  run_program({program, "--root", root, "run", "--bundle", "/run/bench/bundle", id});
  return now() - before;
}

// config.json of the same spec, joining the same sandbox's network, ipc and uts namespaces.
void write_config(pid_t sandbox) {
  std::string ns = "/proc/" + std::to_string(sandbox) + "/ns/";
  std::ofstream out("/run/bench/bundle/config.json");
  out << R"({"ociVersion":"1.0.0","process":{"terminal":false,"user":{"uid":0,"gid":0},"args":["/bin/true"],)"
      << R"("env":["PATH=/usr/bin:/bin"],"cwd":"/","noNewPrivileges":true,"rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}],)";
  out << R"("capabilities":{)";
  const char* separator = "";
  for (const char* set : {"bounding", "effective", "permitted"}) {
    out << separator << '"' << set << R"(":["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"])";
    separator = ",";
  }
  out << R"(}},"root":{"path":"rootfs","readonly":false},"mounts":[)"
      << R"({"destination":"/proc","type":"proc","source":"proc"},)"
      << R"({"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},)"
      << R"({"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},)"
      << R"({"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},)"
      << R"({"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},)"
      << R"({"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]},)"
      << R"({"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","relatime","ro"]}],)"
      << R"("linux":{"cgroupsPath":")" << test::cgroup_path()
      << R"(/peer","namespaces":[{"type":"pid"},{"type":"mount"},{"type":"cgroup"},)"
      << R"({"type":"network","path":")" << ns << R"(net"},{"type":"ipc","path":")" << ns
      << R"(ipc"},{"type":"uts","path":")" << ns
      << R"(uts"}],"maskedPaths":["/proc/acpi","/proc/asound","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list",)"
      << R"("/proc/timer_stats","/proc/sched_debug","/sys/firmware","/proc/scsi"],)"
      << R"("readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]}})";
}

void report(const char* name, const Times& times, double floor, double crun) {
  if (times.empty()) return;
  double middle = median(times);
  std::printf("%-38s %8.3f %8.3f", name, middle, quantile(times, 0.99));
  if (floor > 0) std::printf(" %9.2f", middle / floor);
  if (crun > 0) std::printf(" %9.2f", middle / crun);
  std::printf("\n");
}

int body() {
  if (std::system("mkdir -p /run/bench/records /run/bench/bundle/rootfs/bin && cd /run/bench/bundle/rootfs && "
                  "mkdir -p proc dev sys tmp && cp /bin/busybox bin/true") != 0) {
    give_up("preparing the root folder failed");
  }
  Gantry gantry;
  OwnFd floor_cgroup = Gantry::make_cgroup("floor");
  gantry.run(gantry.make_sandbox());
  write_config(gantry.shim_pid());
  Times floor, crun, runc;
  int turns = std::max(1, g_options.runs / 10);
  for (int turn = 0; turn < turns; ++turn) {
    gantry.run([](Gantry& g, int from) -> Task<> {
      for (int i = 0; i < 10; ++i) co_await g.start_one(from + i);
    }(gantry, turn * 10));
    auto some = measure_floor(kRootfs, floor_cgroup.get(), kJoining, 10);
    if (some.empty()) give_up("the floor can't be measured: a mount or the program failed");
    floor.insert(floor.end(), some.begin(), some.end());
    for (int i = 0; i < 5; ++i) {
      if (!g_options.crun.empty()) crun.push_back(run_peer(g_options.crun, "/run/bench/crun", turn * 10 + i));
      if (!g_options.runc.empty()) runc.push_back(run_peer(g_options.runc, "/run/bench/runc", turn * 10 + i));
    }
  }
  gantry.run(gantry.end());
  double floor_median = median(floor), crun_median = median(crun);
  std::printf("%-38s %8s %8s %9s %9s\n", "", "p50 ms", "p99 ms", "/ floor", "/ crun");
  report("floor: clone3, mounts, exec", floor, floor_median, crun_median);
  report("gantry: start, until executed", gantry.started, floor_median, crun_median);
  report("gantry: start, end, exit recorded", gantry.whole, floor_median, crun_median);
  report("crun run", crun, floor_median, crun_median);
  report("runc run", runc, floor_median, crun_median);
  return 0;
}

}  // namespace
}  // namespace gantry::bench

int main(int argc, char** argv) {
  gantry::bench::g_options = gantry::bench::read_options(argc, argv);
  return gantry::test::run_in_own_world(gantry::bench::body);
}
