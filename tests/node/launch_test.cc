// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// What a process is when the program begins, and what an image or a container can do to the launch that makes it: the
// attacks published against other runtimes, tried on this one. The plans are those that the daemon makes.
#include <signal.h>
#include <sys/resource.h>

#include <map>

#include "runtime/plan/build_plan.h"
#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t bit(unsigned capability) { return std::uint64_t{1} << capability; }
constexpr unsigned kSetUid = 7, kNetBindService = 10, kSysChroot = 18;

// "Uid:", "CapEff:" and so on of a /proc/PID/status.
std::map<std::string, std::string> status_fields(const std::string& text) {
  std::map<std::string, std::string> fields;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::size_t value = line.find_first_not_of(" \t", colon + 1);
    if (line.back() == ' ') line.pop_back();
    fields[line.substr(0, colon)] = value == std::string::npos ? "" : line.substr(value);
  }
  return fields;
}

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

class LaunchTest : public ShimTest {
 public:
  void SetUp() override {
    ShimTest::SetUp();
    ASSERT_EQ(shell("mkdir /run/t/canary && echo untouched > /run/t/canary/file && mkdir /run/t/canary/null"), 0);
    host_ = *runtime::read_host_facts();
  }
  void TearDown() override {
    EXPECT_EQ(shell("cd /run/t/canary && test \"$(cat file)\" = untouched && test \"$(echo *)\" = 'file null' && "
                    "test -z \"$(ls -A null)\""),
              0)
        << "something reached the host's canary";
    ShimTest::TearDown();
  }

  // A container as the daemon starts it: default mounts, devices, capabilities, masked and read-only paths.
  runtime::Plan default_plan(std::vector<std::string> command, runtime::ContainerSpec spec = {}) {
    spec.root.rootfs = 0;
    spec.command = std::move(command);
    runtime::ImageProcess image;
    image.env = {"PATH=/bin"};
    runtime::FdList fds;
    EXPECT_TRUE(fds.add(std::move(*sys::openat(sys::kCwd, "/dev/null", O_RDONLY))).has_value());
    auto plan = runtime::plan_container(spec, image, host_, runtime::UserDatabase(), seccomp_, fds);
    EXPECT_TRUE(plan.has_value()) << plan.error().message();
    return plan ? *plan : runtime::Plan();
  }
  runtime::Plan default_shell(std::string script, runtime::ContainerSpec spec = {}) {
    return default_plan({"sh", "-c", std::move(script)}, std::move(spec));
  }

  runtime::SeccompPlan profile(const std::string& syscalls, const std::string& action) {
    auto made = seccomp_.profile(
        R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[)" + syscalls + R"(],"action":")" + action + "\"}]}",
        "test", ~0ULL);
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return made ? *made : runtime::SeccompPlan();
  }

  // A bind mount of the host's /run/t/volume.
  static runtime::MountPlan volume(const char* target) {
    runtime::MountPlan mount;
    mount.kind = runtime::MountKind::kBind;
    mount.target = target;
    mount.source = 1;
    return mount;
  }
  // With clones of that folder as descriptors 1 and 2.
  Task<Result<StartedAnswer>> start_with_volume(Client& client, std::string id, const runtime::Plan& plan) {
    Client::StartFds fds;
    fds.plan = std::move(*make_plan_memfd(*runtime::encode_plan(plan, 3)));
    fds.cgroup = make_cgroup(id);
    fds.log = std::move(*sys::openat(run_, (id + ".log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0640));
    for (const char* folder : {"root", "volume", "volume"}) {
      fds.others.push_back(std::move(*sys::clone_mount(run_, folder, sys::Recursive::kNo)));
    }
    StartRequest request;
    request.container_id = id;
    return client.start(std::move(request), std::move(fds));
  }

  void with_pod(Task<> (*body)(LaunchTest&, Client&, Ends&)) {
    ShimTest::with_pod(
        [body](ShimTest& t, Client& client, Ends& ends) { return body(static_cast<LaunchTest&>(t), client, ends); });
  }

  runtime::HostFacts host_;
  runtime::SeccompCache seccomp_;
};

TEST_F(LaunchTest, OnlyThreeDescriptorsReachTheProgram) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    // The shell's own, as its child sees them.
    auto ran = co_await t.run_container(client, ends, "c1", t.default_shell("busybox ls /proc/$$/fd; true"));
    EXPECT_EQ(ran.out, "0\n1\n2\n") << ran.error << ran.err;
    (void)co_await t.start(client, "c2", t.default_shell("busybox sleep 1000"));
    auto executed = co_await t.execute(client, "c2", exec_plan({"sh", "-c", "busybox ls /proc/$$/fd; true"}));
    EXPECT_EQ(executed.output, "0\n1\n2\n") << executed.error;
    auto plan = exec_plan({"sh", "-c", "busybox ls /proc/$$/fd; true"});
    plan.process.terminal = true;
    executed = co_await t.execute(client, "c2", plan);
    EXPECT_EQ(executed.output, "0  1  2\r\n") << executed.error;
  });
}

TEST_F(LaunchTest, AWorkingDirectoryOfDescriptorsIsRefused) {
  with_pod([](LaunchTest& t, Client& client, Ends&) -> Task<> {
    (void)co_await t.start(client, "c1", t.default_shell("busybox sleep 1000"));
    for (int number = 0; number < 200; ++number) {
      std::string cwd = "/proc/self/fd/" + std::to_string(number);
      auto exec = exec_plan({"busybox", "pwd"});
      exec.process.cwd = cwd;
      auto executed = co_await t.execute(client, "c1", exec);
      EXPECT_TRUE(executed.error.starts_with("working directory: ")) << cwd << executed.error << executed.output;
      auto plan = t.default_plan({"busybox", "pwd"});
      plan.process.cwd = cwd;
      auto started = co_await t.start(client, "c2", plan);
      EXPECT_FALSE(started.has_value()) << cwd;
      if (!started) EXPECT_TRUE(started.error().message().starts_with("working directory: "));
    }
    // By the shim's /proc, by the image's links, and one that is made on the way.
    EXPECT_EQ(shell("ln -s /proc/self/fd/7 /run/t/root/workdir; ln -s /run/t/canary /run/t/root/made"), 0);
    for (const char* cwd : {"/workdir", "/proc/self/root/..", "/proc/1/cwd", "/proc/self/task/1/fd/9"}) {
      auto plan = t.default_plan({"busybox", "pwd"});
      plan.process.cwd = cwd;
      EXPECT_FALSE((co_await t.start(client, "c3", plan)).has_value()) << cwd;
    }
  });
  // A link to a place that is not there leads within the container's root.
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    auto plan = t.default_plan({"busybox", "pwd"});
    plan.process.cwd = "/made/below";
    auto ran = co_await t.run_container(client, ends, "c1", plan);
    EXPECT_EQ(ran.out, "/run/t/canary/below\n") << ran.error;
    struct stat info;
    EXPECT_EQ(::stat("/run/t/root/run/t/canary/below", &info), 0);
  });
}

TEST_F(LaunchTest, ARootWhoseMountTargetsAreLinksIsRefused) {
  with_pod([](LaunchTest& t, Client& client, Ends&) -> Task<> {
    int mounts = static_cast<int>(test::count_mounts());
    EXPECT_EQ(shell("cd /run/t/root && ln -s /run/t/canary hop && mkdir -p run/t/canary"), 0);
    for (std::string target : {"proc", "sys", "dev"}) {
      for (const char* link : {"/run/t/canary", "../canary", "../../../run/t/canary", "hop", "/", ".", "nowhere"}) {
        EXPECT_EQ(shell("cd /run/t/root && rm -rf proc sys dev && ln -s " + std::string(link) + " " + target), 0);
        auto started = co_await t.start(client, "c1", t.default_shell("busybox true"));
        EXPECT_FALSE(started.has_value()) << target << " -> " << link;
        if (!started)
          EXPECT_TRUE(started.error().message().starts_with("mount /" + target + ": ")) << started.error().message();
      }
      // What is no folder either.
      EXPECT_EQ(shell("cd /run/t/root && rm -rf proc sys dev && echo > " + target), 0);
      EXPECT_FALSE((co_await t.start(client, "c1", t.default_shell("busybox true"))).has_value());
      EXPECT_EQ(shell("cd /run/t/root && rm -rf proc sys dev"), 0);
    }
    EXPECT_EQ(static_cast<int>(test::count_mounts()), mounts);
  });
}

TEST_F(LaunchTest, MountsAndDevicesOnLinksStayWithinTheRoot) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    EXPECT_EQ(
        shell("cd /run/t/root && mkdir etc && ln -s /run/t/canary/file etc/hosts && "
              "ln -s ../../../../run/systemd/resolve/stub.conf etc/resolv.conf && ln -s resolv.conf etc/again && "
              "ln -s /run/t/canary data && ln -s loop etc/loop && ln -s /run/t/canary opt && echo ours > ../ours"),
        0);
    auto bind = [](const char* target) {
      runtime::MountPlan mount;
      mount.kind = runtime::MountKind::kBind;
      mount.target = target;
      mount.target_is_file = true;
      mount.source = 1;
      return mount;
    };
    int number = 0;
    for (const char* target : {"/etc/hosts", "/etc/resolv.conf", "/etc/again", "/data/below/file"}) {
      auto plan = t.default_shell("busybox cat " + std::string(target));
      plan.mounts.push_back(bind(target));
      Client::StartFds fds;
      fds.plan = std::move(*make_plan_memfd(*runtime::encode_plan(plan, 2)));
      std::string id = "c" + std::to_string(++number);
      fds.cgroup = t.make_cgroup(id);
      fds.log = std::move(*sys::openat(t.run_, (id + ".log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0640));
      fds.others.push_back(std::move(*sys::clone_mount(t.run_, "root", sys::Recursive::kNo)));
      fds.others.push_back(std::move(*sys::clone_mount(t.run_, "ours", sys::Recursive::kNo)));
      StartRequest request;
      request.container_id = id;
      auto started = co_await client.start(std::move(request), std::move(fds));
      EXPECT_TRUE(started.has_value()) << target << ": " << started.error().message();
      if (!started) continue;
      (void)co_await ends.of(id);
      EXPECT_EQ(log_content("/run/t/" + id + ".log", "stdout"), "ours\n") << target;
    }
    // A chain of links that lead nowhere ends in words.
    auto plan = t.default_shell("busybox true");
    plan.mounts.push_back(bind("/etc/loop"));
    plan.mounts.back().source = 0;
    auto looped = co_await t.start(client, "loop", plan);
    EXPECT_FALSE(looped.has_value());

    runtime::ContainerSpec spec;
    spec.devices = {{"/opt/null", S_IFCHR | 0666, 1, 3, 5, 6}};
    auto ran =
        co_await t.run_container(client, ends, "dev", t.default_shell("busybox stat -c '%t:%T %u %g' /opt/null", spec));
    EXPECT_EQ(ran.out, "1:3 5 6\n") << ran.error << ran.err;
    EXPECT_EQ(shell("cd /run/t/root && mkdir x && ln -s /run/t/canary/new x/null"), 0);
    spec.devices = {{"/x/null", S_IFCHR | 0666, 1, 3, 0, 0}};
    ran = co_await t.run_container(client, ends, "dev2", t.default_shell("busybox true", spec));
    EXPECT_TRUE(ran.error.starts_with("device /x/null: ")) << ran.error;
  });
}

// CVE-2019-16884 and its kin: a volume that covers what the launch itself writes to.
TEST_F(LaunchTest, WhatCoversProcIsNeverWrittenTo) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    // The place of the container's root while it is put together.
    EXPECT_EQ(shell("echo untouched > /run/t/root/victim && mkdir -p /run/t/volume/ipv4 && "
                    "ln -s /r/victim /run/t/volume/oom_score_adj && echo untouched > /run/t/volume/ipv4/ip_forward"),
              0);
    auto plan = t.default_shell("busybox true");
    plan.process.oom_score_adj = 321;
    plan.process.set_oom_score_adj = true;
    plan.mounts.push_back(volume("/proc/1"));
    auto started = co_await t.start_with_volume(client, "score", plan);
    EXPECT_FALSE(started.has_value());
    if (!started) EXPECT_EQ(started.error().message(), "openat2 self/oom_score_adj: Invalid cross-device link");
    EXPECT_EQ(slurp("/run/t/root/victim"), "untouched\n");

    plan = t.default_shell("busybox true");
    plan.sysctls = {{"net/ipv4/ip_forward", "0"}};
    plan.mounts.push_back(volume("/proc/sys/net"));
    started = co_await t.start_with_volume(client, "sysctl", plan);
    EXPECT_FALSE(started.has_value());
    EXPECT_EQ(slurp("/run/t/volume/ipv4/ip_forward"), "untouched\n");

    // Neither needs a procfs in the container.
    plan = t.default_shell("echo runs");
    plan.process.oom_score_adj = 321;
    plan.process.set_oom_score_adj = true;
    plan.sysctls = {{"net/ipv4/ip_forward", "1"}};
    std::erase_if(plan.mounts, [](const auto& mount) { return mount.target == "/proc"; });
    plan.masked_paths.clear();
    plan.read_only_paths.clear();
    auto ran = co_await t.run_container(client, ends, "bare", plan);
    EXPECT_EQ(ran.out, "runs\n") << ran.error;
  });
}

TEST_F(LaunchTest, AVolumeThatALinkLeadsIntoTheKernelsFileSystemsIsRefused) {
  with_pod([](LaunchTest& t, Client& client, Ends&) -> Task<> {
    EXPECT_EQ(shell("mkdir /run/t/volume && ln -s hop /run/t/root/data && mkdir -p /run/t/root/proc"), 0);
    for (const char* place : {"/proc", "/proc/self", "/proc/self/task", "/proc/sys", "/proc/1/../sys/kernel", "/sys",
                              "/sys/kernel", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/made"}) {
      EXPECT_EQ(shell("cd /run/t/root && rm -f hop && ln -s " + std::string(place) + " hop"), 0);
      auto plan = t.default_shell("busybox true");
      plan.mounts.push_back(volume("/data"));
      auto started = co_await t.start_with_volume(client, "c1", plan);
      EXPECT_FALSE(started.has_value()) << place;
      if (!started) {
        EXPECT_TRUE(started.error().message().starts_with("mount /data: a link in the image leads into /"))
            << place << ": " << started.error().message();
      }
    }
    // Neither a device nor a link of ours lands in a volume, whatever the way.
    EXPECT_EQ(shell("cd /run/t/root && rm -f hop && ln -s /volume hop"), 0);
    for (const char* device : {"/data/null", "/volume/null", "/dev/volume/null"}) {
      runtime::ContainerSpec spec;
      spec.devices = {{device, S_IFCHR | 0666, 1, 3, 0, 0}};
      auto plan = t.default_shell("busybox true", spec);
      plan.mounts.push_back(volume("/volume"));
      plan.mounts.push_back(volume("/dev/volume"));
      plan.mounts.back().source = 2;
      auto started = co_await t.start_with_volume(client, "c2", plan);
      EXPECT_FALSE(started.has_value()) << device;
    }
    EXPECT_EQ(shell("test -z \"$(ls -A /run/t/volume)\""), 0);
    // What the API itself names there is no link's doing.
    auto plan = t.default_shell("busybox true");
    for (const char* target : {"/dev/volume", "/sys/fs/cgroup"}) {
      plan.mounts.push_back(volume(target));
      plan.mounts.back().source = target[1] == 'd' ? 1 : 2;
    }
    EXPECT_TRUE((co_await t.start_with_volume(client, "c3", plan)).has_value());
  });
}

TEST_F(LaunchTest, MaskedAndReadOnlyPathsHold) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    // The image's own null, which other runtimes bound over what they mask.
    EXPECT_EQ(shell("mkdir -p /run/t/root/dev && ln -s /proc/sys/kernel/core_pattern /run/t/root/dev/null"), 0);
    std::string paths;
    for (const auto& path : runtime::default_masked_paths(t.host_)) paths += " " + path;
    auto ran = co_await t.run_container(
        client, ends, "c1",
        t.default_shell(
            "for p in" + paths +
            "; do [ -e $p ] || continue; "
            "if [ -d $p ]; then [ -z \"$(ls -A $p)\" ] || echo seen $p; mkdir $p/x 2>/dev/null && echo made $p/x; "
            "else [ -z \"$(busybox head -c 10 $p)\" ] || echo read $p; "
            "[ \"$(busybox stat -c %t:%T $p)\" = 1:3 ] || echo no null $p; echo x > $p; fi; "
            "busybox chmod 0777 $p 2>/dev/null && echo chmod $p; busybox chown 1:1 $p 2>/dev/null && echo chown $p; "
            "busybox touch $p 2>/dev/null && echo touch $p; n=$((n+1)); done; echo $n paths; cat /dev/null"));
    EXPECT_NE(ran.out, "0 paths\n");
    EXPECT_EQ(ran.out.substr(ran.out.find(' ')), " paths\n") << ran.out << ran.err << ran.error;

    std::string files;
    ran = co_await t.run_container(
        client, ends, "c2",
        t.default_shell("for p in /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern /proc/sysrq-trigger "
                        "/proc/sys/vm/drop_caches "
                        "/proc/irq/default_smp_affinity; do [ -e $p ] && (: >> $p) 2>/dev/null && echo wrote $p; done; "
                        "mkdir /proc/sys/x 2>/dev/null && echo made; busybox mount -o remount,rw /proc/sys 2>/dev/null "
                        "&& echo remounted; true"));
    EXPECT_EQ(ran.out, "") << ran.error;
  });
}

// CVE-2018-10892: which files of /proc and /sys container root can open for writing.
TEST_F(LaunchTest, WhatIsWritableInProcAndSysIsKnown) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    auto ran = co_await t.run_container(
        client, ends, "c1",
        t.default_shell(
            "busybox find /proc -xdev -type f -perm /222 -not -path '/proc/[0-9]*' 2>/dev/null | "
            "while read p; do (: >> $p) 2>/dev/null && echo $p; done; "
            "for p in /sys/kernel/mm/transparent_hugepage/enabled /sys/power/state /sys/kernel/uevent_helper; do "
            "(: >> $p) 2>/dev/null && echo $p; done; mkdir /sys/fs/cgroup/x 2>/dev/null && echo /sys/fs/cgroup; "
            "true"));
    std::istringstream lines(ran.out);
    std::string line;
    while (std::getline(lines, line)) {
      // Pressure files take triggers of whoever opens them; the others, where they are, want CAP_SYS_ADMIN.
      bool known = line.starts_with("/proc/pressure/") || line == "/proc/mtrr" || line == "/proc/slabinfo";
      EXPECT_TRUE(known) << line;
    }
  });
}

TEST_F(LaunchTest, CredentialsAreThoseOfThePlan) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    std::uint64_t all = bit(kSetUid) | bit(kSysChroot) | bit(kNetBindService);
    struct Case {
      const char* name;
      std::uint32_t uid, gid;
      std::vector<std::uint32_t> groups;
      runtime::CapabilityPlan planned;
      runtime::CapabilityPlan seen;
    } cases[] = {
        {"root", 0, 0, {}, {all, all, all, 0, 0}, {all, all, all, 0, 0}},
        {"rootgroups", 0, 3, {0, 3, 77}, {all, all, all, 0, 0}, {all, all, all, 0, 0}},
        {"user", 1000, 1001, {1001, 7, 8}, {all, all, all, 0, 0}, {all, 0, 0, 0, 0}},
        {"ambient",
         65534,
         65534,
         {},
         {all, all, all, bit(kNetBindService), bit(kNetBindService)},
         {all, bit(kNetBindService), bit(kNetBindService), bit(kNetBindService), bit(kNetBindService)}},
        {"none", 0, 0, {5}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}},
    };
    for (const Case& c : cases) {
      for (bool no_new_privileges : {false, true}) {
        for (bool filtered : {false, true}) {
          auto set = [&](runtime::ProcessPlan& process) {
            process.uid = c.uid;
            process.gid = c.gid;
            process.groups = c.groups;
            process.capabilities = c.planned;
            process.no_new_privileges = no_new_privileges;
            process.seccomp = filtered ? *t.seccomp_.runtime_default(c.planned.bounding) : runtime::SeccompPlan();
          };
          std::string id = std::string(c.name) + (no_new_privileges ? "-nnp" : "") + (filtered ? "-filter" : "");
          auto plan = t.default_plan({"busybox", "cat", "/proc/self/status"});
          set(plan.process);
          auto ran = co_await t.run_container(client, ends, id, plan);
          EXPECT_EQ(ran.error, "") << id;
          (void)co_await t.start(client, id + "-x", t.default_shell("busybox sleep 1000"));
          auto exec = exec_plan({"busybox", "cat", "/proc/self/status"});
          set(exec.process);
          auto executed = co_await t.execute(client, id + "-x", exec);
          EXPECT_EQ(executed.error, "") << id;
          (void)co_await client.kill(id + "-x");
          for (const std::string& text : {ran.out, executed.output}) {
            auto fields = status_fields(text);
            auto four = [](std::uint32_t n) {
              std::string s = std::to_string(n);
              return s + "\t" + s + "\t" + s + "\t" + s;
            };
            EXPECT_EQ(fields["Uid"], four(c.uid)) << id;
            EXPECT_EQ(fields["Gid"], four(c.gid)) << id;
            std::string groups;
            for (auto group : c.groups) groups += (groups.empty() ? "" : " ") + std::to_string(group);
            std::vector<std::string> wanted, seen;
            for (auto* list : {&groups, &fields["Groups"]}) {
              std::istringstream in(*list);
              std::string word;
              while (in >> word) (list == &groups ? wanted : seen).push_back(word);
            }
            std::sort(wanted.begin(), wanted.end());
            std::sort(seen.begin(), seen.end());
            EXPECT_EQ(seen, wanted) << id;
            EXPECT_EQ(fields["CapBnd"], hex(c.seen.bounding)) << id;
            EXPECT_EQ(fields["CapEff"], hex(c.seen.effective)) << id;
            EXPECT_EQ(fields["CapPrm"], hex(c.seen.permitted)) << id;
            EXPECT_EQ(fields["CapInh"], hex(c.seen.inheritable)) << id;
            EXPECT_EQ(fields["CapAmb"], hex(c.seen.ambient)) << id;
            EXPECT_EQ(fields["NoNewPrivs"], no_new_privileges ? "1" : "0") << id;
            EXPECT_EQ(fields["Seccomp"], filtered ? "2" : "0") << id;
            EXPECT_EQ(fields["SigBlk"], hex(0)) << id;
            EXPECT_EQ(fields["SigIgn"], hex(0)) << id;
            EXPECT_EQ(fields["Umask"], "0022") << id;
          }
        }
      }
    }
  });
}

TEST_F(LaunchTest, AProfileThatDeniesTheLaunchsOwnCallsFailsWithASentence) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await t.start(client, "x", t.default_shell("busybox sleep 1000"));
    struct Case {
      const char* call;
      const char* message;
    } cases[] = {{"\"setresuid\"", "under the container's seccomp profile: setresuid: Operation not permitted"},
                 {"\"setgroups\"", "under the container's seccomp profile: setgroups: Operation not permitted"},
                 {"\"capset\"", "under the container's seccomp profile: capset: Operation not permitted"}};
    for (const Case& c : cases) {
      auto plan = t.default_plan({"busybox", "true"});
      plan.process.seccomp = t.profile(c.call, "SCMP_ACT_ERRNO");
      auto ran = co_await t.run_container(client, ends, "c1", plan);
      EXPECT_EQ(ran.error, c.message);
      auto exec = exec_plan({"busybox", "true"});
      exec.process.seccomp = plan.process.seccomp;
      EXPECT_EQ((co_await t.execute(client, "x", exec)).error, c.message);
      // With no_new_privs the filter comes last: the profile is the program's alone.
      plan.process.no_new_privileges = true;
      ran = co_await t.run_container(client, ends, "nnp" + std::string(c.call).substr(1, 4), plan);
      EXPECT_EQ(ran.code, 0) << ran.error;
    }
    // Neither start nor exec of a container depends on what its profile says of these.
    auto plan = t.default_plan({"busybox", "echo", "runs"});
    plan.process.seccomp =
        t.profile(R"("close_range","keyctl","madvise","sendmsg","setsid","prlimit64")", "SCMP_ACT_ERRNO");
    auto ran = co_await t.run_container(client, ends, "old", plan);
    EXPECT_EQ(ran.out, "runs\n") << ran.error;
    auto exec = exec_plan({"busybox", "echo", "runs"});
    exec.process.seccomp = plan.process.seccomp;
    auto executed = co_await t.execute(client, "x", exec);
    EXPECT_EQ(executed.output, "runs\n") << executed.error;
    exec.process.seccomp = t.profile("\"clone\"", "SCMP_ACT_ERRNO");
    EXPECT_EQ((co_await t.execute(client, "x", exec)).error,
              "under the container's seccomp profile: clone: Operation not permitted");

    plan.process.seccomp = t.profile("\"setresuid\"", "SCMP_ACT_KILL_PROCESS");
    ran = co_await t.run_container(client, ends, "c1", plan);
    EXPECT_EQ(ran.error, "the launch was ended by signal 31, which the seccomp profile sends");
    exec.process.seccomp = plan.process.seccomp;
    EXPECT_EQ((co_await t.execute(client, "x", exec)).error, ran.error);
    plan.process.seccomp.program = std::string(16, '\xff');
    EXPECT_EQ((co_await t.run_container(client, ends, "c1", plan)).error, "seccomp: Invalid argument");
    auto state = co_await client.state();
    for (const auto& container : state->containers) EXPECT_NE(container.container_id, "c1");
  });
}

TEST_F(LaunchTest, LimitsMaskAndScoreAreThoseOfThePlan) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    auto set = [](runtime::ProcessPlan& process) {
      // Fewer descriptors than the shim has open: nothing may be opened after it is set.
      process.rlimits = {{RLIMIT_NOFILE, 3, 5}, {RLIMIT_CORE, 0, 0}, {RLIMIT_STACK, 1 << 20, RLIM_INFINITY}};
      process.umask = 077;
      process.oom_score_adj = 321;
      process.set_oom_score_adj = true;
    };
    auto plan = t.default_plan({"busybox", "cat", "/proc/self/limits"});
    set(plan.process);
    plan.process.rlimits[0] = {RLIMIT_NOFILE, 4, 5};
    auto ran = co_await t.run_container(client, ends, "c1", plan);
    EXPECT_EQ(ran.error, "");
    EXPECT_NE(ran.out.find("Max open files            4                    5 "), std::string::npos) << ran.out;
    EXPECT_NE(ran.out.find("Max stack size            1048576              unlimited "), std::string::npos);
    auto shell_script = t.default_shell("umask; busybox cat /proc/self/oom_score_adj");
    set(shell_script.process);
    shell_script.process.rlimits.clear();
    ran = co_await t.run_container(client, ends, "c2", shell_script);
    EXPECT_EQ(ran.out, "0077\n321\n") << ran.error << ran.err;
    (void)co_await t.start(client, "x", t.default_shell("busybox sleep 1000"));
    auto exec = exec_plan({"sh", "-c", "ulimit -n; umask"});
    set(exec.process);
    auto executed = co_await t.execute(client, "x", exec);
    EXPECT_EQ(executed.output, "3\n0077\n") << executed.error;
    plan.process.rlimits = {{RLIMIT_NOFILE, 5, 4}};
    EXPECT_EQ((co_await t.run_container(client, ends, "c3", plan)).error, "prlimit of resource 7: Invalid argument");
  });
}

TEST_F(LaunchTest, HugeArgumentsWorkAndTooHugeOnesAreRefused) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    auto plan = t.default_plan({"busybox", "env"});
    for (int i = 0; i < 16; ++i) plan.process.env.push_back("V" + std::to_string(i) + "=" + std::string(65536, 'x'));
    auto ran = co_await t.run_container(client, ends, "c1", plan);
    EXPECT_EQ(ran.error, "");
    EXPECT_GT(ran.out.size(), 1U << 20);
    plan = t.default_shell("echo $#");
    plan.process.args.push_back("sh");
    while (plan.process.args.size() < 65536) plan.process.args.push_back("x");
    ran = co_await t.run_container(client, ends, "c2", plan);
    EXPECT_EQ(ran.out, "65532\n") << ran.error;
    plan.process.args.push_back("x");
    auto bytes = runtime::encode_plan(plan, 1);
    EXPECT_FALSE(bytes.has_value());
    if (!bytes) EXPECT_EQ(bytes.error().message(), "plan: process.args 65537 items: at most 65536 are allowed");
    // The kernel's own limit, which is below ours.
    plan = t.default_plan({"busybox", "true"});
    for (int i = 0; i < 70; ++i) plan.process.env.push_back("V" + std::to_string(i) + "=" + std::string(100000, 'x'));
    ran = co_await t.run_container(client, ends, "c3", plan);
    EXPECT_EQ(ran.error, "exec: \"busybox\": Argument list too long");
    for (int i = 0; i < 70; ++i) plan.process.env.push_back("W" + std::to_string(i) + "=" + std::string(100000, 'x'));
    bytes = runtime::encode_plan(plan, 1);
    EXPECT_FALSE(bytes.has_value());
    auto forced = co_await t.start_bytes(client, "c4", std::string(9U << 20, 'x'));
    EXPECT_FALSE(forced.has_value());
    if (!forced) EXPECT_EQ(forced.error().message(), "plan of 9437184 bytes: between 1 and 8388608 were expected");
  });
}

TEST_F(LaunchTest, MalformedPlansAreRefusedWithASentence) {
  with_pod([](LaunchTest& t, Client& client, Ends&) -> Task<> {
    auto plan = t.shell_plan("exit 0");
    std::string good = *runtime::encode_plan(plan, 1);
    for (std::size_t size = 0; size < good.size(); size += size < 64 ? 1 : 7) {
      auto started = co_await t.start_bytes(client, "c1", good.substr(0, size));
      EXPECT_FALSE(started.has_value()) << size;
      if (started) {
        (void)co_await client.kill("c1");
        break;
      }
      EXPECT_FALSE(started.error().message().starts_with("the launch was ended")) << size;
    }
    // Counts, lengths and indices that lie.
    for (std::size_t at = 9; at + 4 <= good.size(); at += 3) {
      std::string bad = good;
      bad.replace(at, 4, "\xff\xff\xff\x7f", 4);
      std::string id = "m" + std::to_string(at);
      auto started = co_await t.start_bytes(client, id, bad);
      if (!started) EXPECT_FALSE(started.error().message().starts_with("the launch was ended")) << at;
    }
    // No descriptors, more than a packet takes.
    StartRequest request;
    request.container_id = "nofds";
    Client::StartFds none;
    none.plan = std::move(*make_plan_memfd(good));
    none.cgroup = t.make_cgroup("nofds");
    auto started = co_await client.start(request, std::move(none));
    EXPECT_FALSE(started.has_value());
    if (!started) EXPECT_EQ(started.error().message(), "the root folder: mount_setattr: Bad file descriptor");
    Client::StartFds many;
    many.plan = std::move(*make_plan_memfd(good));
    many.cgroup = t.make_cgroup("nofds");
    for (int i = 0; i < 80; ++i) many.others.push_back(std::move(*sys::openat(sys::kCwd, "/dev/null", O_RDONLY)));
    started = co_await client.start(request, std::move(many));
    EXPECT_FALSE(started.has_value());
    EXPECT_TRUE((co_await client.state()).has_value());
  });
}

TEST_F(LaunchTest, TerminalsAreTheContainersOwn) {
  with_pod([](LaunchTest& t, Client& client, Ends& ends) -> Task<> {
    // All that the first process has of its terminal is closed and opened anew: nothing of it is lost.
    runtime::ContainerSpec spec;
    spec.terminal = true;
    spec.rows = 24;
    spec.columns = 80;
    StartRequest request;
    request.terminal = true;
    auto plan = t.default_shell(
        "busybox tty; exec </dev/null >/dev/null 2>&1; busybox usleep 20000; "
        "busybox echo again > /dev/pts/0; busybox echo console > /dev/console",
        spec);
    auto ran = co_await t.run_container(client, ends, "tty", plan, request);
    EXPECT_EQ(ran.out, "/dev/pts/0\r\nagain\r\nconsole\r\n") << ran.error;

    spec = {};
    spec.privileged = true;
    (void)co_await t.start(client, "c1", t.default_shell("busybox sleep 1000", spec));
    auto exec = exec_plan({"sh", "-c", "busybox tty; busybox stty size; echo $$ > /dev/tty && echo has a ctty"});
    exec.process.terminal = true;
    exec.process.rows = 11;
    exec.process.columns = 22;
    auto executed = co_await t.execute(client, "c1", exec);
    EXPECT_NE(executed.output.find("/dev/pts/0\r\n11 22\r\n"), std::string::npos) << executed.error << executed.output;
    EXPECT_NE(executed.output.find("has a ctty\r\n"), std::string::npos) << executed.output;

    const char* attacks[] = {
        "busybox mount -t tmpfs none /dev/pts && busybox mknod /dev/pts/ptmx c 5 2",
        "busybox mount -t tmpfs none /dev/pts && ln -s /dev/ptmx /dev/pts/ptmx",
        "busybox mount -t tmpfs none /dev/pts && busybox mkfifo /dev/pts/ptmx",
        "busybox mount -t tmpfs none /dev/pts && echo x > /dev/pts/ptmx",
        "busybox umount /dev/pts; busybox umount /dev/pts; busybox rm -rf /dev/pts; ln -s /proc/self/fd /dev/pts",
    };
    auto all = exec_plan({"sh", "-c", ""});
    std::uint64_t every = t.host_.capabilities;
    all.process.capabilities = {every, every, every, 0, 0};
    for (const char* attack : attacks) {
      all.process.args[2] = attack;
      executed = co_await t.execute(client, "c1", all);
      EXPECT_EQ(executed.code, 0) << attack << executed.error << executed.output;
      auto refused = co_await t.execute(client, "c1", exec);
      EXPECT_TRUE(refused.error.starts_with("terminal: ")) << attack << ": " << refused.error << refused.output;
    }
  });
}

TEST_F(LaunchTest, AContainerThatRacesItsTerminalsGetsNoOtherDevice) {
  with_pod([](LaunchTest& t, Client& client, Ends&) -> Task<> {
    runtime::ContainerSpec spec;
    spec.privileged = true;
    (void)co_await t.start(
        client, "c1",
        t.default_shell("busybox mkdir /fake; busybox mount -t tmpfs none /fake; busybox mknod /fake/ptmx c 5 2; "
                        "while :; do busybox mount -o bind /fake /dev/pts; busybox umount /dev/pts; done",
                        spec));
    auto exec = exec_plan({"busybox", "tty"});
    exec.process.terminal = true;
    int worked = 0;
    for (int i = 0; i < 100; ++i) {
      auto executed = co_await t.execute(client, "c1", exec);
      if (executed.error.empty()) {
        ++worked;
        // "not a tty" when its name is hidden at that moment; never another device.
        EXPECT_TRUE(executed.output.starts_with("/dev/") || executed.output == "not a tty\r\n") << executed.output;
      } else {
        EXPECT_TRUE(executed.error.starts_with("terminal: ")) << executed.error;
      }
    }
    RecordProperty("worked", worked);
  });
}

}  // namespace
}  // namespace gantry::shim
