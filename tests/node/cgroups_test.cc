// SPDX-License-Identifier: Apache-2.0
// deps: gantry_cgroups
// cgroups on the real kernel, in this program's own folder: processes born in them, the events, freezing, killing,
// removing, the mark, the device filter, and the limits of the controllers that are there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/loop.h"
#include "cgroups/cgroup.h"
#include "cgroups/device_filter.h"
#include "cgroups/driver.h"
#include "cgroups/hierarchy.h"
#include "cgroups/resources.h"
#include "cgroups/stats.h"
#include "sys/bpf.h"
#include "sys/file.h"
#include "sys/process.h"
#include "tests/support/world.h"

namespace gantry::cgroups {
namespace {

using namespace std::chrono_literals;

// Long enough for any machine; a test that waits so long has failed.
constexpr auto kPatience = 60s;

template <typename T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::exit(1);
  }
  return std::move(*result);
}
void must(Status status) { ASSERT_TRUE(status.has_value()) << status.error().message(); }

// The folder that this program has, as the top of a hierarchy: nothing outside it is ever named.
Hierarchy own_part() {
  auto fd = must(sys::openat(test::cgroup_dir(), ".", O_RDONLY | O_DIRECTORY));
  return must(Hierarchy::at(DirFd(std::move(fd)), "/sys/fs/cgroup" + test::cgroup_path()));
}

// A process born in the cgroup, which does `body` and ends with its result.
template <typename Body>
PidFd born_in(const Cgroup& cgroup, Body body) {
  auto cloned = must(sys::clone3(sys::CloneFlag::kClearSighand, cgroup.dir()));
  if (cloned.pid == 0) ::_exit(body());
  return std::move(cloned.pidfd);
}
PidFd sleeper(const Cgroup& cgroup) {
  return born_in(cgroup, [] {
    for (;;) ::pause();
    return 0;
  });
}

template <typename T>
T run(Loop& loop, Task<T> task) {
  std::optional<T> result;
  loop.spawn([](Loop& l, Task<T> inner, std::optional<T>& out) -> Task<> {
    out.emplace(co_await inner);
    l.stop();
  }(loop, std::move(task), result));
  while (!result) loop.run();
  return std::move(*result);
}

class CgroupsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    auto names = hierarchy_.root().children();
    ASSERT_TRUE(names.has_value());
    for (const auto& name : *names) {
      auto child = must(hierarchy_.root().open_child(name));
      must(child.set_frozen(false));
      must(child.kill());
      Loop loop;
      must(run(loop, hierarchy_.root().remove_child(loop, name, kPatience)));
    }
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
  Cgroup make(std::string_view path) { return must(CgroupfsDriver(hierarchy_, "").make(path)).cgroup; }

  Hierarchy hierarchy_ = own_part();
};

TEST_F(CgroupsTest, TheHierarchyIsFoundWhereItIsMounted) {
  auto found = must(Hierarchy::find());
  EXPECT_EQ(found.mount_point(), "/sys/fs/cgroup");
  EXPECT_EQ(found.lacking().empty(), found.describe().ends_with("all controllers"));
  EXPECT_EQ(must(found.open(test::cgroup_path()).value().id()), must(hierarchy_.root().id()));
}

TEST_F(CgroupsTest, EmptyIsWaitedForByEvent) {
  auto cgroup = make("/pod");
  Loop loop;
  must(run(loop, cgroup.wait_empty(loop, kPatience)));
  auto child = sleeper(cgroup);
  EXPECT_TRUE(must(cgroup.events()).populated);
  EXPECT_EQ(must(cgroup.processes()).size(), 1U);
  auto early = run(loop, cgroup.wait_empty(loop, 5ms));
  ASSERT_FALSE(early.has_value());
  EXPECT_TRUE(early.error().is_deadline()) << early.error().message();
  EXPECT_NE(early.error().message().find("/pod"), std::string::npos);

  std::size_t fds = test::count_open_fds();
  loop.spawn([](Loop& l, const Cgroup& c) -> Task<> {
    co_await l.sleep_for(5ms);
    must(c.kill());
  }(loop, cgroup));
  must(run(loop, cgroup.wait_empty(loop, kPatience)));
  EXPECT_FALSE(must(cgroup.events()).populated);
  EXPECT_EQ(must(sys::wait_child_end(child)).signal, SIGKILL);
  EXPECT_EQ(test::count_open_fds(), fds);
}

TEST_F(CgroupsTest, ManyWaitAtOnce) {
  // More than the 128 inotify instances that a user may have.
  constexpr int kMany = 300;
  Loop loop;
  std::vector<PidFd> children;
  std::vector<Cgroup> cgroups;
  int empty = 0;
  for (int i = 0; i < kMany; ++i) {
    cgroups.push_back(make("/many/c" + std::to_string(i)));
    children.push_back(sleeper(cgroups.back()));
  }
  for (const Cgroup& cgroup : cgroups) {
    loop.spawn([](Loop& l, const Cgroup& c, int& n) -> Task<> {
      auto waited = co_await c.wait_empty(l, kPatience);
      EXPECT_TRUE(waited.has_value()) << waited.error().message();
      if (++n == kMany) l.stop();
    }(loop, cgroup, empty));
  }
  loop.post([&] { must(must(hierarchy_.open("/many")).kill()); });
  loop.run();
  EXPECT_EQ(empty, kMany);
}

TEST_F(CgroupsTest, FreezeStopsAndThawContinues) {
  auto cgroup = make("/pod");
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
  OwnFd in(pipe[0]), out(pipe[1]);
  auto child = born_in(cgroup, [&] {
    for (;;) {
      (void)::write(out.get(), "x", 1);
      ::usleep(100);
    }
    return 0;
  });
  auto drain = [&] {
    char buffer[65536];
    ssize_t sum = 0;
    for (ssize_t n; (n = ::read(in.get(), buffer, sizeof(buffer))) > 0;) sum += n;
    return sum;
  };
  Loop loop;
  must(run(loop, cgroup.freeze(loop, kPatience)));
  EXPECT_TRUE(must(cgroup.events()).frozen);
  drain();
  ::usleep(5000);  // nothing to wait for: it is frozen
  EXPECT_EQ(drain(), 0) << "a frozen process wrote";
  must(run(loop, cgroup.thaw(loop, kPatience)));
  EXPECT_FALSE(must(cgroup.events()).frozen);
  Watch watch(loop, in);
  must(run(loop, watch.readable()));
  EXPECT_GT(drain(), 0);
  // A frozen one can be killed.
  must(run(loop, cgroup.freeze(loop, kPatience)));
  must(cgroup.kill());
  must(run(loop, cgroup.wait_empty(loop, kPatience)));
  EXPECT_EQ(must(sys::wait_child_end(child)).signal, SIGKILL);
}

TEST_F(CgroupsTest, KillTakesWhatIsForking) {
  auto cgroup = make("/pod");
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  OwnFd in(ready[0]), out(ready[1]);
  // A chain of processes, each of which forks the next and ends: at no moment does a list of pids hold them all.
  auto child = born_in(cgroup, [&] {
    (void)::write(out.get(), "x", 1);
    for (;;) {
      pid_t next = ::fork();
      if (next != 0) ::_exit(0);
    }
    return 0;
  });
  char byte;
  ASSERT_EQ(::read(in.get(), &byte, 1), 1);
  ASSERT_TRUE(must(cgroup.events()).populated);
  must(cgroup.kill());
  Loop loop;
  must(run(loop, cgroup.wait_empty(loop, kPatience)));
  EXPECT_TRUE(must(cgroup.processes()).empty());
}

TEST_F(CgroupsTest, RemoveWaitsAndTakesTheChildrenAlong) {
  auto inner = make("/pod/container/deeper");
  make("/pod/other");
  auto child = sleeper(inner);
  auto busy = hierarchy_.root().remove_child("pod");
  ASSERT_FALSE(busy.has_value());
  EXPECT_EQ(busy.error().code(), Code::kFailedPrecondition) << busy.error().message();
  Loop loop;
  auto early = run(loop, hierarchy_.root().remove_child(loop, "pod", 5ms));
  EXPECT_TRUE(!early && early.error().is_deadline());
  loop.spawn([](Loop& l, FdRef pidfd) -> Task<> {
    co_await l.sleep_for(5ms);
    must(sys::pidfd_send_signal(pidfd, SIGKILL));
  }(loop, child));
  must(run(loop, hierarchy_.root().remove_child(loop, "pod", kPatience)));
  EXPECT_TRUE(hierarchy_.open("/pod").error().is_not_found());
  must(run(loop, hierarchy_.root().remove_child(loop, "pod", kPatience)));
  // The object of a removed cgroup: empty, and otherwise gone, also when its name is taken again.
  auto again = make("/pod/container/deeper");
  EXPECT_NE(must(again.id()), must(inner.id()));
  must(run(loop, inner.wait_empty(loop, kPatience)));
  EXPECT_TRUE(inner.events().error().is_not_found());
  EXPECT_TRUE(inner.kill().error().is_not_found());
  EXPECT_TRUE(read_stats(inner).error().is_not_found());
}

TEST_F(CgroupsTest, RemoveTakesCgroupsOfAnyDepth) {
  auto pod = make("/pod");
  auto at = *duplicate(pod.dir());
  for (int level = 0; level < 300; ++level) {
    for (const char* name : {"a", "b", "c"}) must(sys::mkdirat(at, name, 0755));
    at = must(sys::openat(at, level % 2 == 0 ? "a" : "c", O_RDONLY | O_DIRECTORY));
  }
  auto child = sleeper(must(hierarchy_.open("/pod/b")));
  EXPECT_EQ(hierarchy_.root().remove_child("pod").error().code(), Code::kFailedPrecondition);
  must(pod.kill());
  std::size_t before = test::count_open_fds();
  {
    Loop loop;  // opens some of its own when it has to wait
    must(run(loop, hierarchy_.root().remove_child(loop, "pod", kPatience)));
  }
  EXPECT_EQ(test::count_open_fds(), before);
  EXPECT_TRUE(hierarchy_.open("/pod").error().is_not_found());
}

TEST_F(CgroupsTest, TheDriverMakesMarksAndRemoves) {
  CgroupfsDriver driver(hierarchy_, "0123456789abcdef");
  auto made = must(driver.make("/kubepods/besteffort/pod1/c1"));
  EXPECT_FALSE(made.existed);
  EXPECT_EQ(made.cgroup.path(), "/kubepods/besteffort/pod1/c1");
  for (const auto& each : made.lacking) EXPECT_FALSE(each.reason.empty()) << each.controller;
  EXPECT_EQ(made.lacking.size(), hierarchy_.lacking().size());
  for (const char* path : {"/kubepods", "/kubepods/besteffort/pod1", "/kubepods/besteffort/pod1/c1"}) {
    EXPECT_EQ(must(must(driver.open(path)).marked_by()), "0123456789abcdef") << path;
  }
  EXPECT_EQ(must(hierarchy_.root().marked_by()), std::nullopt);
  EXPECT_FALSE(must(made.cgroup.is_kept()));
  must(made.cgroup.keep());
  EXPECT_TRUE(must(must(driver.open("/kubepods/besteffort/pod1/c1")).is_kept()));
  auto again = must(CgroupfsDriver(hierarchy_, "another").make("/kubepods/besteffort/pod1/c1"));
  EXPECT_TRUE(again.existed);
  EXPECT_EQ(must(again.cgroup.marked_by()), "0123456789abcdef") << "what is there keeps its mark";

  auto child = sleeper(made.cgroup);
  EXPECT_EQ(driver.remove_empty("/kubepods/besteffort/pod1").error().code(), Code::kFailedPrecondition);
  Loop loop;
  must(run(loop, driver.remove(loop, "/kubepods/besteffort/pod1", kPatience)));
  must(run(loop, driver.remove(loop, "/kubepods/besteffort/pod1", kPatience)));
  EXPECT_EQ(must(sys::wait_child_end(child)).signal, SIGKILL);
  EXPECT_TRUE(driver.open("/kubepods/besteffort/pod1").error().is_not_found());
  EXPECT_TRUE(driver.open("/kubepods/besteffort").has_value());
  EXPECT_EQ(driver.remove_empty("/kubepods").error().code(), Code::kFailedPrecondition) << "a new child is empty, too";
  must(driver.remove_empty("/kubepods/besteffort"));
  must(driver.remove_empty("/kubepods"));
  must(driver.remove_empty("/kubepods"));
  EXPECT_TRUE(run(loop, driver.remove(loop, "/", kPatience)).error().is_invalid());
  EXPECT_TRUE(driver.make("/a/../b").error().is_invalid());
}

TEST_F(CgroupsTest, AMarkThatAKillPreventedIsMadeGood) {
  CgroupfsDriver driver(hierarchy_, "0123456789abcdef", "/given");
  auto mark_of = [&](const char* path) { return must(must(driver.open(path)).marked_by()); };
  // As mkdir leaves them: the given root, one beneath it, and one that nobody gave to us.
  must(sys::mkdirat(hierarchy_.root().dir(), "given", 0755));
  must(sys::mkdirat(hierarchy_.root().dir(), "foreign", 0755));
  must(driver.make("/given"));
  must(driver.make("/foreign"));
  EXPECT_EQ(mark_of("/given"), "0123456789abcdef");
  EXPECT_EQ(mark_of("/foreign"), std::nullopt);
  must(sys::mkdirat(hierarchy_.root().dir(), "given/empty", 0755));
  must(sys::mkdirat(hierarchy_.root().dir(), "given/parent", 0755));
  must(sys::mkdirat(hierarchy_.root().dir(), "given/parent/child", 0755));
  must(sys::mkdirat(hierarchy_.root().dir(), "given/busy", 0755));
  auto child = sleeper(must(driver.open("/given/busy")));
  for (const char* path : {"/given/empty", "/given/parent", "/given/busy"})
    EXPECT_TRUE(must(driver.make(path)).existed);
  EXPECT_EQ(mark_of("/given/empty"), "0123456789abcdef");
  EXPECT_EQ(mark_of("/given/parent"), std::nullopt);
  EXPECT_EQ(mark_of("/given/busy"), std::nullopt);
  must(CgroupfsDriver(hierarchy_, "another", "/given").make("/given/empty"));
  EXPECT_EQ(mark_of("/given/empty"), "0123456789abcdef");
}

TEST_F(CgroupsTest, LimitsOfTheControllersThatAreThere) {
  auto cgroup = make("/pod/c1");
  Resources resources;
  resources.pids = 100;
  resources.memory.limit = 64 << 20;
  resources.hugepages = {{"2MB", 4 << 20}};
  auto lacking = must(apply(cgroup, resources));
  auto stats = must(read_stats(cgroup));
  auto is_listed = [&](const std::string& file) {
    for (const auto& each : lacking) {
      if (each.file == file) return true;
    }
    return false;
  };
  auto here = must(cgroup.controllers());
  auto has = [&](const char* name) { return std::find(here.begin(), here.end(), name) != here.end(); };
  EXPECT_EQ(is_listed("pids.max"), !has("pids"));
  EXPECT_EQ(is_listed("memory.max"), !has("memory"));
  EXPECT_EQ(is_listed("hugetlb.2MB.max"), !has("hugetlb"));
  EXPECT_EQ(stats.pids.has_value(), has("pids"));
  EXPECT_EQ(stats.memory.has_value(), has("memory"));
  if (has("hugetlb")) {
    bool found = false;
    for (const auto& each : stats.hugetlb) found = found || (each.page_size == "2MB" && each.max == 4U << 20);
    EXPECT_TRUE(found);
  }
  // The time that processes took is there without any controller.
  auto child = born_in(cgroup, [] {
    volatile unsigned n = 0;
    while (n < 20'000'000) n = n + 1;
    return 0;
  });
  EXPECT_EQ(must(sys::wait_child_end(child)).code, 0);
  EXPECT_GT(must(read_stats(cgroup)).cpu->usage_usec, 0U);
}

TEST_F(CgroupsTest, TheDeviceFilterIsInForce) {
  auto cgroup = make("/pod");
  // Tells, as bits of its exit code, what it may do with null (1:3) and zero (1:5).
  auto allowed = [&] {
    auto child = born_in(cgroup, [] {
      int code = 0;
      auto opens = [](const char* path, int flags) {
        int fd = ::open(path, flags | O_CLOEXEC);
        return fd >= 0;
      };
      if (opens("/dev/null", O_RDONLY)) code |= 1;
      if (opens("/dev/null", O_WRONLY)) code |= 2;
      if (opens("/dev/zero", O_RDONLY)) code |= 4;
      if (::mknod("/mnt/node", S_IFCHR | 0600, ::makedev(1, 5)) == 0) code |= 8;
      ::unlink("/mnt/node");
      return code;
    });
    return must(sys::wait_child_end(child)).code;
  };
  EXPECT_EQ(allowed(), 15) << "no filter";
  DeviceRule null_read{true, DeviceType::kCharacter, 1, 3, kDeviceRead};
  must(DeviceFilters().set(cgroup, std::vector{null_read}));
  EXPECT_EQ(allowed(), 1);
  must(DeviceFilters().set(cgroup, default_device_rules()));
  EXPECT_EQ(allowed(), 15) << "replaced, not added";
  EXPECT_EQ(must(sys::bpf_prog_query(cgroup.dir(), BPF_CGROUP_DEVICE)).size(), 1U);
  must(DeviceFilters().set(cgroup, {}));
  EXPECT_EQ(allowed(), 0);

  // Somebody else's program stays, and both must allow.
  auto others = must(compile_device_rules(std::vector{null_read}));
  auto program = must(sys::bpf_prog_load(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, "other", others));
  must(sys::bpf_prog_attach(cgroup.dir(), program, BPF_CGROUP_DEVICE));
  must(DeviceFilters().set(cgroup, default_device_rules()));
  EXPECT_EQ(allowed(), 1);
  EXPECT_EQ(must(sys::bpf_prog_query(cgroup.dir(), BPF_CGROUP_DEVICE)).size(), 2U);
  must(sys::bpf_prog_detach(cgroup.dir(), program, BPF_CGROUP_DEVICE));
  EXPECT_EQ(allowed(), 15);
}

// The verifier gives up when a signal comes.
TEST_F(CgroupsTest, AProgramIsLoadedAmongSignals) {
  const auto many =
      must(compile_device_rules(std::vector(200, DeviceRule{true, DeviceType::kBlock, 7, {}, kDeviceRead})));
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
  const itimerval often{{0, 30}, {0, 30}};
  const itimerval never{};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
  std::string refused;
  for (int i = 0; i < 500 && refused.empty(); ++i) {
    auto program = sys::bpf_prog_load(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, "many", many);
    if (!program) refused = program.error().message();
  }
  ASSERT_EQ(::setitimer(ITIMER_REAL, &never, nullptr), 0);
  ASSERT_EQ(::sigaction(SIGALRM, &before, nullptr), 0);
  EXPECT_EQ(refused, "");
}

TEST_F(CgroupsTest, KeptFiltersServeManyCgroups) {
  DeviceFilters filters;
  auto count = [](const Cgroup& cgroup) { return must(sys::bpf_prog_query(cgroup.dir(), BPF_CGROUP_DEVICE)); };
  auto a = make("/a"), b = make("/b");
  must(filters.set(a, default_device_rules()));
  must(filters.set(b, default_device_rules()));
  EXPECT_EQ(count(a), count(b)) << "one program";
  must(filters.set(a, default_device_rules()));
  EXPECT_EQ(count(a), count(b)) << "again changes nothing";
  must(filters.set(a, {}));
  EXPECT_EQ(count(a).size(), 1U);
  EXPECT_NE(count(a), count(b));
  std::size_t fds = test::count_open_fds();
  for (std::uint32_t i = 0; i < 40; ++i) {
    must(filters.set(a, std::vector{DeviceRule{true, DeviceType::kBlock, i, {}, kDeviceAll}}));
  }
  EXPECT_LE(test::count_open_fds(), fds + 14) << "a few are kept";
  EXPECT_EQ(count(a).size(), 1U);
}

TEST_F(CgroupsTest, TheKernelTakesFiltersOfEverySize) {
  auto cgroup = make("/pod");
  std::vector<DeviceRule> rules;
  for (std::uint32_t i = 0; i < kMaxDeviceRules; ++i) {
    rules.push_back({i % 3 != 0, i % 2 == 0 ? DeviceType::kBlock : DeviceType::kCharacter, i, i * 7,
                     static_cast<std::uint8_t>(1 + i % 7)});
  }
  must(DeviceFilters().set(cgroup, rules));
  for (auto& rule : rules) rule.type = DeviceType::kAll, rule.major.reset(), rule.minor.reset();
  must(DeviceFilters().set(cgroup, rules));
  std::size_t fds = test::count_open_fds();
  must(DeviceFilters().set(cgroup, {}));
  EXPECT_EQ(test::count_open_fds(), fds);
}

}  // namespace
}  // namespace gantry::cgroups
