// SPDX-License-Identifier: Apache-2.0
// gantry-oci against crun and runc, on one bundle with all that engines give a container by default, and against the
// floor. All take turns in one run, so that a busy machine is busy for all. Prints a table in Markdown: milliseconds,
// ratios, and the most memory that a runtime's process had.
//
//   oci [--runs N] [--crun PATH] [--runc PATH] [--driver cgroupfs|systemd]
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/oci_bundle.h"
#include "bench/start_floor.h"
#include "sys/file.h"
#include "tests/support/world.h"

namespace gantry::bench {
namespace {

const std::string kFolder = "/run/bench";
constexpr int kPeakRuns = 5;
Options g_options;

bool is_systemd() { return g_options.driver == "systemd"; }

class Runtime {
 public:
  Runtime(std::string the_name, std::string the_program) : name(std::move(the_name)), program(std::move(the_program)) {}

  std::string name, program;
  Times run = {}, steps = {};
  long run_peak = 0, steps_peak = 0;  // KiB

  std::vector<std::string> command(const std::string& verb, const std::string& id) const {
    std::vector<std::string> args = {program, "--root", kFolder + "/" + name};
    if (is_systemd()) args.push_back("--systemd-cgroup");
    args.push_back(verb);
    if (verb == "run" || verb == "create") args.insert(args.end(), {"--bundle", kFolder});
    args.push_back(id);
    return args;
  }

  void time_run(const std::string& id) {
    name_scope(id + "r");
    std::int64_t before = now();
    run_program(command("run", id));
    run.push_back(now() - before);
  }

  // The container's process is this process's when its creator has ended, as it is conmon's or a shim's.
  void time_steps(const std::string& id) {
    name_scope(id + "s");
    std::int64_t before = now();
    run_program(command("create", id));
    run_program(command("start", id));
    wait_for_container();
    run_program(command("delete", id));
    steps.push_back(now() - before);
  }

  void weigh_all(const std::string& id) {
    name_scope(id + "r");
    run_peak = std::max(run_peak, weigh(command("run", id)));
    name_scope(id + "s");
    for (const char* verb : {"create", "start"}) steps_peak = std::max(steps_peak, weigh(command(verb, id)));
    wait_for_container();
    steps_peak = std::max(steps_peak, weigh(command("delete", id)));
  }

 private:
  void wait_for_container() const {
    int status = 0;
    if (::wait(&status) < 0 || status != 0)
      give_up(name + ": /bin/true in the container: wait status " + std::to_string(status));
  }

  // systemd forgets a scope some time after its end: each container has one of its own name.
  void name_scope(const std::string& id) const {
    if (is_systemd()) write_oci_config(kFolder, "system.slice:" + name + ":" + id, true);
  }

  static long weigh(std::vector<std::string> args) {
    args.insert(args.begin(), {GANTRY_BIN "/bench/peak", kFolder + "/peak"});
    run_program(args);
    long size = 0;
    std::ifstream(kFolder + "/peak") >> size;
    return size;
  }
};

std::string load_average() {
  std::ifstream file("/proc/loadavg");
  std::string one, five;
  file >> one >> five;
  return one;
}

struct Least {
  Times floor, exec;
};

void print_row(const std::string& name, const Times& times, std::initializer_list<double> others, long peak) {
  double middle = median(times);
  std::printf("| %s | %.2f | %.2f | %.2f |", name.c_str(), quantile(times, 0.25), middle, quantile(times, 0.75));
  for (double other : others) other > 0 ? std::printf(" %.2f |", middle / other) : std::printf(" |");
  peak != 0 ? std::printf(" %.1f |\n", static_cast<double>(peak) / 1024) : std::printf(" |\n");
}

void print_table(const char* title, const std::vector<Runtime>& runtimes, Times Runtime::* times, long Runtime::* peak,
                 const Least& least, int execs) {
  auto of = [&](std::string_view name) {
    auto found = std::ranges::find(runtimes, name, &Runtime::name);
    return found == runtimes.end() ? 0 : median((*found).*times);
  };
  std::printf(
      "\n| %s | lower quartile, ms | median, ms | upper quartile, ms | / crun | / runc | / (floor + %d exec) | peak, "
      "MiB |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n",
      title, execs);
  double sum = median(least.floor) + execs * median(least.exec);
  for (const Runtime& runtime : runtimes)
    print_row(runtime.name, runtime.*times, {of("crun"), of("runc"), sum}, runtime.*peak);
  print_row("floor: clone3, mounts, exec, end", least.floor, {0, 0, 0}, 0);
  print_row("exec: one static program, end", least.exec, {0, 0, 0}, 0);
}

// The path of the cgroup that all is made in. The machine's own gives its controllers on to it.
std::string cgroup_of_all() {
  if (g_options.driver.empty()) return test::cgroup_path();
  run_program({"/bin/sh", "-ec",
               "cd /sys/fs/cgroup; mkdir -p bench; for folder in . bench; do "
               "echo '+cpu +memory +pids' > $folder/cgroup.subtree_control; done"});
  return "/bench";
}

int body() {
  run_program({"/bin/mkdir", "-p", kFolder});
  make_oci_bundle(kFolder);
  std::string parent = cgroup_of_all();
  write_oci_config(kFolder, parent + "/c", !g_options.driver.empty());
  std::string floor = "/sys/fs/cgroup" + parent + "/floor";
  run_program({"/bin/mkdir", floor});
  auto cgroup = must(sys::openat(sys::kCwd, floor.c_str(), O_RDONLY | O_DIRECTORY));
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  std::vector<Runtime> runtimes = {{"gantry-oci", GANTRY_BIN "/gantry-oci"}};
  if (!g_options.crun.empty()) runtimes.push_back({"crun", g_options.crun});
  if (!g_options.runc.empty()) runtimes.push_back({"runc", g_options.runc});
  std::string before = load_average(), rootfs = kFolder + "/rootfs";
  Least least;
  // The first turn finds nothing in any cache, and does not count.
  for (int turn = -1; turn < g_options.runs; ++turn) {
    if (turn == 0) {
      least = {};
      for (Runtime& runtime : runtimes) runtime.run.clear(), runtime.steps.clear();
    }
    auto one = measure_floor(rootfs.c_str(), cgroup.get(), kAlone, 1);
    if (one.empty()) give_up("the floor can't be measured: a mount or the program failed");
    least.floor.push_back(one[0]);
    std::int64_t begin = now();
    run_program({rootfs + "/bin/true"});
    least.exec.push_back(now() - begin);
    std::string id = "t" + std::to_string(turn + 1);
    for (Runtime& runtime : runtimes) runtime.time_run(id);
    for (Runtime& runtime : runtimes) runtime.time_steps(id);
  }
  for (Runtime& runtime : runtimes) {
    for (int i = 0; i < kPeakRuns; ++i) runtime.weigh_all("p" + std::to_string(i));
  }
  std::printf("%d turns of each, interleaved; load average %s before and %s after on %ld processors.\n", g_options.runs,
              before.c_str(), load_average().c_str(), ::sysconf(_SC_NPROCESSORS_ONLN));
  print_table("run of a static true", runtimes, &Runtime::run, &Runtime::run_peak, least, 1);
  print_table("create, start, its end, delete", runtimes, &Runtime::steps, &Runtime::steps_peak, least, 3);
  return 0;
}

}  // namespace
}  // namespace gantry::bench

int main(int argc, char** argv) {
  gantry::bench::g_options = gantry::bench::read_options(argc, argv);
  if (!gantry::bench::g_options.driver.empty()) return gantry::bench::body();
  return gantry::test::run_in_own_world(gantry::bench::body);
}
