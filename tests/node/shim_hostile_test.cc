// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// A shim among enemies: containers that look into what is started in them, peers that speak its protocol wrongly or not
// at all, processes that die at the wrong moment, and a client that goes away while its calls are under way.
#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <set>

#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kSysPtrace = 19;
constexpr std::uint64_t bit(unsigned capability) { return std::uint64_t{1} << capability; }

class HostileTest : public ShimTest {
 public:
  using Body = Task<> (*)(HostileTest&, Client&, Ends&);
  void with_pod(Body body) {
    run([](HostileTest& t, Body inner) -> Task<> {
      auto client = co_await t.spawn("pod1");
      Ends ends(t.loop_);
      t.observe(*client, ends);
      co_await inner(t, *client, ends);
      co_await client->shutdown();
    }(*this, body));
    remove_cgroups();
  }
  // A PID namespace of the pod's own, with gantry-init in it.
  Task<> make_pod_pid(Client& client) {
    auto file = sys::openat(sys::kCwd, GANTRY_BIN "/gantry-init", O_RDONLY);
    ConfigureRequest configure;
    configure.hostname = "the-pod";
    configure.pod_pid = true;
    auto configured =
        co_await client.configure(configure, std::move(*sys::sealed_memfd("gantry-init", *file)), make_cgroup("init"));
    EXPECT_TRUE(configured.has_value()) << configured.error().message();
  }
};

// Runs `body` as a process of the container whose first process is `pid`: in its namespaces, as root with these
// capabilities. The test waits for it with finish().
pid_t enter_container(pid_t pid, std::uint64_t capabilities, int (*body)(int), int argument) {
  pid_t helper = ::fork();
  if (helper != 0) return helper;
  auto pidfd = sys::pidfd_open(pid);
  auto all = sys::CloneFlag::kNewMount | sys::CloneFlag::kNewPid | sys::CloneFlag::kNewNet | sys::CloneFlag::kNewIpc |
             sys::CloneFlag::kNewUts | sys::CloneFlag::kNewCgroup;
  if (!pidfd || !sys::setns(*pidfd, all)) ::_exit(100);
  pid_t inside = ::fork();
  if (inside != 0) {
    int status = 0;
    ::waitpid(inside, &status, 0);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 101);
  }
  for (unsigned capability = 0; capability < 64; ++capability) {
    if ((capabilities >> capability & 1) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  auto low = static_cast<std::uint32_t>(capabilities), high = static_cast<std::uint32_t>(capabilities >> 32);
  __user_cap_data_struct data[2] = {{low, low, 0}, {high, high, 0}};
  if (::syscall(SYS_capset, &header, data) < 0) ::_exit(102);
  ::_exit(body(argument));
}

int finish(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// ---- attackers ----------------------------------------------------------------------------------------------------

struct Loot {
  int processes = 0;  // that were looked into
  int attached = 0;
  char worst[200] = {};
};

// Looks at every process that appears in the container, as fast as it can, until the pipe is closed: its descriptors,
// its capabilities, its program. Anything that is not the container's own is written down.
int look_into_all(int channel) {
  auto note = [](Loot& loot, const char* what, const std::string& value) {
    if (loot.worst[0] == '\0') std::snprintf(loot.worst, sizeof(loot.worst), "%s: %s", what, value.c_str());
  };
  Loot loot;
  ::fcntl(channel, F_SETFL, O_NONBLOCK);
  (void)!::write(channel, "r", 1);
  std::set<long> known;
  for (;;) {
    char byte;
    if (::read(channel, &byte, 1) == 1) break;
    // Numbers are given in a row: the next ones are tried before they can be listed.
    DIR* proc = ::opendir("/proc");
    while (const dirent* entry = ::readdir(proc)) {
      long pid = std::atol(entry->d_name);
      if (pid <= 1 || pid == ::getpid()) continue;
      std::string base = "/proc/" + std::to_string(pid);
      bool readable = false;
      for (int fd = 0; fd < 64; ++fd) {
        char target[256];
        ssize_t size = ::readlink((base + "/fd/" + std::to_string(fd)).c_str(), target, sizeof(target));
        if (size < 0) continue;
        readable = true;
        std::string link(target, static_cast<std::size_t>(size));
        bool harmless = link.starts_with("pipe:") || link == "/null" || link.starts_with("/dev/pts/") ||
                        (fd == 3 && link.starts_with("socket:")) || link.starts_with("/proc");
        if (!harmless) note(loot, "descriptor", std::to_string(fd) + " " + link);
      }
      std::string status = slurp(base + "/status");
      std::size_t at = status.find("CapPrm:\t");
      if (at != status.npos) {
        auto permitted = std::strtoull(status.c_str() + at + 8, nullptr, 16);
        if ((permitted & ~bit(kSysPtrace)) != 0) note(loot, "capabilities", status.substr(at, 24));
      }
      char program[256];
      ssize_t size = ::readlink((base + "/exe").c_str(), program, sizeof(program));
      if (size > 0) {
        int exe = ::open((base + "/exe").c_str(), O_WRONLY | O_CLOEXEC);
        if (exe >= 0) {
          std::string name(program, static_cast<std::size_t>(size));
          if (::write(exe, "x", 1) == 1) note(loot, "wrote", name);
          ::close(exe);
        }
      }
      if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0) {
        ++loot.attached;
        ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
        int ignored;
        if (::waitpid(static_cast<pid_t>(pid), &ignored, __WALL) == pid) ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
      }
      if (readable && known.insert(pid).second) ++loot.processes;
    }
    ::closedir(proc);
  }
  (void)!::write(channel, &loot, sizeof(loot));
  return 0;
}

TEST_F(HostileTest, AContainerThatMayTraceSeesNothingOfAnExecOnItsWay) {
  with_pod([](HostileTest& t, Client& client, Ends&) -> Task<> {
    auto plan = t.shell_plan("busybox sleep 1000");
    auto& capabilities = plan.process.capabilities;
    capabilities.bounding = capabilities.effective = capabilities.permitted = bit(kSysPtrace);
    auto started = co_await t.start(client, "c1", plan);
    EXPECT_TRUE(started.has_value()) << started.error().message();
    int channel[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
    pid_t attacker = enter_container(started->pid, bit(kSysPtrace), look_into_all, channel[1]);
    ::close(channel[1]);
    char byte;
    EXPECT_EQ(::read(channel[0], &byte, 1), 1);
    auto exec = exec_plan({"busybox", "true"});
    exec.process.capabilities = capabilities;
    auto as_user = exec;
    as_user.process.uid = as_user.process.gid = 1000;
    int worked = 0;
    for (int i = 0; i < 300; ++i) {
      auto executed = co_await t.execute(client, "c1", i % 2 == 0 ? exec : as_user);
      if (executed.code == 0) ++worked;
    }
    EXPECT_EQ(::write(channel[0], "e", 1), 1);
    Loot loot;
    EXPECT_EQ(::read(channel[0], &loot, sizeof(loot)), static_cast<ssize_t>(sizeof(loot)));
    ::close(channel[0]);
    EXPECT_EQ(finish(attacker), 0);
    EXPECT_STREQ(loot.worst, "");
    EXPECT_GT(loot.processes, 5) << "the attack did not come near";
    EXPECT_GT(worked, 250);
    RecordProperty("attached", loot.attached);
  });
}

// The node that the test hands over stands for the host's /dev/null, which the test must not put at risk.
TEST_F(HostileTest, TheNullDeviceOfTheHostIsOutOfReach) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    EXPECT_TRUE(sys::mknodat(t.run_, "null", S_IFCHR | 0666, makedev(1, 3)));
    EXPECT_EQ(::chmod("/run/t/null", 0666), 0);
    (void)co_await t.start(client, "c1", t.shell_plan("busybox sleep 1000"));
    for (std::string fd : {"0", "1", "2"}) {
      std::string script =
          "exec 9>&" + fd + "; busybox chmod 0 /proc/self/fd/9; a=$?; busybox chown 7 /proc/self/fd/9; test $a$? = 11";
      Client::ExecFds fds;
      auto plan = exec_plan({"sh", "-c", script});
      auto& capabilities = plan.process.capabilities;
      capabilities.bounding = capabilities.effective = capabilities.permitted = bit(CAP_CHOWN);
      fds.plan = std::move(*make_plan_memfd(*runtime::encode_plan(plan, 1)));
      fds.cgroup = std::move(*sys::openat(test::cgroup_dir(), "c1", O_RDONLY | O_DIRECTORY));
      for (OwnFd* end : {&fds.in, &fds.out, &fds.err}) *end = std::move(*sys::openat(t.run_, "null", O_RDWR));
      auto exec = co_await client.exec("c1", false, std::move(fds));
      EXPECT_TRUE(exec.has_value()) << exec.error().message();
      if (!exec) co_return;
      auto status = co_await (*exec)->wait();
      EXPECT_EQ(status->code, 0) << "changed what is at " << fd;
    }
    auto as_user = exec_plan({"sh", "-c", "echo x > /proc/self/fd/0"});
    as_user.process.uid = as_user.process.gid = 1000;
    EXPECT_EQ((co_await t.execute(client, "c1", as_user)).code, 0);
    auto ran = co_await t.run_container(client, ends, "c2", t.shell_plan("busybox chmod 0 /proc/self/fd/0"));
    EXPECT_NE(ran.err.find("Read-only file system"), std::string::npos) << ran.err;
    auto info = sys::fstatat(t.run_, "null", 0);
    EXPECT_EQ(info->st_mode & 07777, 0666U);
    EXPECT_EQ(info->st_uid, 0U);
  });
}

// Containers started into a PID namespace in which another one with CAP_SYS_PTRACE looks at all that there is.
Task<> start_under_a_tracer(ShimTest& t, Client& client, ShimTest::Ends& ends, StartRequest request) {
  auto plan = t.shell_plan("busybox sleep 1000");
  auto& capabilities = plan.process.capabilities;
  capabilities.bounding = capabilities.effective = capabilities.permitted = bit(kSysPtrace);
  plan.namespaces.new_pid = !request.join_pod_pid;
  auto started = co_await t.start(client, "c1", plan, request.join_pod_pid ? request : StartRequest());
  EXPECT_TRUE(started.has_value()) << started.error().message();
  int channel[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
  pid_t attacker = enter_container(started->pid, bit(kSysPtrace), look_into_all, channel[1]);
  ::close(channel[1]);
  char byte;
  EXPECT_EQ(::read(channel[0], &byte, 1), 1);
  plan.namespaces.new_pid = false;
  plan.process.args = {"busybox", "true"};
  int worked = 0;
  for (int i = 0; i < 100; ++i) {
    plan.process.uid = plan.process.gid = i % 2 == 0 ? 0 : 1000;
    auto ran = co_await t.run_container(client, ends, "s" + std::to_string(i), plan, request);
    if (ran.code == 0) ++worked;
  }
  EXPECT_EQ(::write(channel[0], "e", 1), 1);
  Loot loot;
  EXPECT_EQ(::read(channel[0], &loot, sizeof(loot)), static_cast<ssize_t>(sizeof(loot)));
  ::close(channel[0]);
  EXPECT_EQ(finish(attacker), 0);
  EXPECT_STREQ(loot.worst, "");
  EXPECT_GT(loot.processes, 3) << "the attack did not come near";
  EXPECT_GT(worked, 80);
}

TEST_F(HostileTest, AContainerThatMayTraceSeesNothingOfAStartInItsPod) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    co_await t.make_pod_pid(client);
    StartRequest request;
    request.join_pod_pid = true;
    co_await start_under_a_tracer(t, client, ends, request);
  });
}

TEST_F(HostileTest, AContainerThatMayTraceSeesNothingOfItsDebuggersStart) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    StartRequest request;
    request.target_container = "c1";
    co_await start_under_a_tracer(t, client, ends, request);
  });
}

// ---- peers

struct Peer {
  explicit Peer(FdRef dir) : Peer(sys::connect_unix(dir, "pod1.sock", SOCK_SEQPACKET).value()) {}
  explicit Peer(SocketFd connected) : socket(std::move(connected)) {}
  void send(std::string_view packet, std::vector<FdRef> fds = {}) { (void)sys::send_packet(socket, packet, fds); }
  // The next message but events; nothing when the connection was closed.
  std::optional<std::pair<Kind, std::string>> receive() {
    static char packet[kMaxPacket];
    for (;;) {
      pollfd ready{socket.get(), POLLIN, 0};
      if (::poll(&ready, 1, 5000) <= 0) {
        ADD_FAILURE() << "no answer within five seconds";
        return {};
      }
      auto received = sys::receive_packet(socket, packet);
      if (!received || received->size == 0) return {};
      auto message = decode_packet(std::string_view(packet, received->size));
      if (!message || message->header.request == 0) continue;
      return std::pair(message->header.kind, std::string(message->body));
    }
  }
  FailedAnswer failure() {
    auto answer = receive();
    EXPECT_TRUE(answer && answer->first == Kind::kFailed);
    if (!answer || answer->first != Kind::kFailed) return {};
    return *decode<FailedAnswer>(answer->second);
  }
  SocketFd socket;
};

TEST_F(HostileTest, WhatIsNoMessageIsAnsweredOrCutOff) {
  with_pod([](HostileTest& t, Client& client, Ends&) -> Task<> {
    (void)co_await t.start(client, "c1", t.shell_plan("busybox sleep 1000"));
    (void)co_await client.state();
    std::size_t before = fds_of(client.pid());
    {
      Peer peer(t.run_);
      peer.send(encode_packet(static_cast<Kind>(4711), 7, "whatever"));
      auto failed = peer.failure();
      EXPECT_EQ(failed.code, static_cast<int>(Code::kUnimplemented));
      EXPECT_NE(failed.message.find("4711"), std::string::npos) << failed.message;
      // Bodies of every length that is too short, for every kind that has one.
      for (Kind kind : {Kind::kConfigure, Kind::kStart, Kind::kExec, Kind::kSignal, Kind::kKillExec, Kind::kReopenLog,
                        Kind::kForget, Kind::kResize}) {
        for (std::size_t size = 0; size < 4; ++size) {
          peer.send(encode_packet(kind, 8, std::string(size, '\1')));
          EXPECT_EQ(peer.failure().code, static_cast<int>(Code::kInvalidArgument)) << static_cast<int>(kind) << size;
        }
        // A string that says to be longer than the packet.
        peer.send(encode_packet(kind, 8,
                                "\xff\xff\xff\xff"
                                "abc"));
        auto answer = peer.receive();
        EXPECT_TRUE(answer.has_value());
      }
      // Descriptors that are not there.
      peer.send(encode_packet(Kind::kStart, 9, encode(StartRequest{"c2"})));
      EXPECT_NE(peer.failure().message.find("the plan was expected"), std::string::npos);
      peer.send(encode_packet(Kind::kExec, 9, encode(ExecRequest{1, "c1", false})));
      EXPECT_NE(peer.failure().message.find("the plan was expected"), std::string::npos);
      peer.send(encode_packet(Kind::kReopenLog, 9, encode(ContainerReference{"c1"})));
      EXPECT_NE(peer.failure().message.find("the log was expected"), std::string::npos);
      // An exec id that means no exec must not reach a container that this connection started.
      peer.send(encode_packet(Kind::kKillExec, 9, encode(ExecReference{0})));
      EXPECT_EQ(peer.receive()->first, Kind::kDone);
      peer.send(encode_packet(Kind::kStart, 9, encode(StartRequest{std::string(81, 'x')})));
      EXPECT_NE(peer.failure().message.find("container id of 81 bytes"), std::string::npos);
      peer.send(encode_packet(Kind::kSignal, 9, encode(SignalRequest{"c1", 999, false})));
      EXPECT_EQ(peer.failure().code, static_cast<int>(Code::kInvalidArgument));
    }
    for (std::string packet :
         {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(1, 'x'), std::string(11, '\0'), std::string(60000, 'x')}) {
      Peer peer(t.run_);
      peer.send(packet);
      EXPECT_FALSE(peer.receive().has_value()) << packet.size();
    }
    {
      Peer peer(t.run_);
      auto null = sys::openat(sys::kCwd, "/dev/null", O_RDONLY);
      // More than a packet may have: by hand, as our own send refuses it.
      std::vector<int> many(200, null->get());
      std::string packet = encode_packet(Kind::kState, 1, "");
      iovec part{packet.data(), packet.size()};
      std::vector<char> control(CMSG_SPACE(many.size() * sizeof(int)));
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      auto* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(many.size() * sizeof(int));
      std::memcpy(CMSG_DATA(header), many.data(), many.size() * sizeof(int));
      EXPECT_GT(::sendmsg(peer.socket.get(), &message, 0), 0);
      EXPECT_FALSE(peer.receive().has_value());
      // Some that the request has no use for are closed.
      Peer other(t.run_);
      other.send(packet, std::vector<FdRef>(60, *null));
      EXPECT_EQ(other.receive()->first, Kind::kStateIs);
    }
    auto state = co_await client.state();
    EXPECT_TRUE(state && state->containers.size() == 1 && !state->containers[0].exited);
    // The shim saw the ends of those connections before it answered.
    EXPECT_EQ(fds_of(client.pid()), before);
  });
}

TEST_F(HostileTest, ConnectionsAreBoundedAndNobodyWaitsForAnother) {
  with_pod([](HostileTest& t, Client& client, Ends&) -> Task<> {
    (void)co_await client.state();
    std::size_t before = fds_of(client.pid());
    {
      // Asks and never reads.
      Peer deaf(t.run_);
      for (int i = 0; i < 5000; ++i) deaf.send(encode_packet(Kind::kState, 1, ""));
      std::vector<Peer> peers;
      for (int i = 0; i < 400; ++i) {
        auto socket = sys::connect_unix(t.run_, "pod1.sock", SOCK_SEQPACKET);
        if (!socket) {  // the backlog of the listening socket is full
          EXPECT_TRUE((co_await client.state()).has_value());
          continue;
        }
        peers.emplace_back(std::move(*socket));
      }
      EXPECT_TRUE((co_await client.state()).has_value());
      EXPECT_LT(fds_of(client.pid()), before + 70);
    }
    while (fds_of(client.pid()) > before) EXPECT_TRUE((co_await client.state()).has_value());
    auto again = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
    EXPECT_TRUE(again.has_value());
  });
}

TEST_F(HostileTest, WhoIsNotRootIsRefused) {
  with_pod([](HostileTest&, Client& client, Ends&) -> Task<> {
    struct stat info;
    EXPECT_EQ(::stat("/run/t/pod1.sock", &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600U);
    EXPECT_EQ(::chmod("/run/t/pod1.sock", 0666), 0);  // as somebody might
    pid_t user = ::fork();
    if (user == 0) {
      if (::setgroups(0, nullptr) < 0 || ::setresgid(1000, 1000, 1000) < 0 || ::setresuid(1000, 1000, 1000) < 0)
        ::_exit(1);
      auto socket = sys::connect_unix(sys::kCwd, "/run/t/pod1.sock", SOCK_SEQPACKET);
      if (!socket) ::_exit(2);
      pollfd ready{socket->get(), POLLIN, 0};
      char packet[1000];
      ::_exit(::poll(&ready, 1, 5000) == 1 && ::recv(socket->get(), packet, sizeof(packet), 0) == 0 ? 0 : 3);
    }
    EXPECT_EQ(finish(user), 0);
    EXPECT_TRUE((co_await client.state()).has_value());
  });
}

// What a new gantryd does to a pod hangs on it: a shim that is dead is told from one that only does not answer.
TEST_F(HostileTest, WhoCannotBeReachedIsNotTakenForDead) {
  run([](HostileTest& t) -> Task<> {
    auto why = [&](const char* name) -> Task<Error> {
      auto client = co_await Client::connect(t.loop_, t.run_, name, 100ms);
      EXPECT_FALSE(client.has_value());
      co_return client ? Error(Code::kOk, "") : std::move(client.error());
    };
    auto is_dead = [](const Error& error) { return error.is_gone() || error.is_not_found(); };
    EXPECT_TRUE(is_dead(co_await why("nobody.sock")));
    {
      auto listener = sys::listen_unix(t.run_, "peer.sock", SOCK_SEQPACKET, 0);
      auto silent = co_await why("peer.sock");  // its connection stays in the backlog, which is full now
      EXPECT_TRUE(silent.is_deadline()) << silent.message();
      EXPECT_FALSE(is_dead(silent));
      auto crowded = co_await why("peer.sock");
      EXPECT_TRUE(crowded.is_would_block()) << crowded.message();
      EXPECT_FALSE(is_dead(crowded));
    }
    EXPECT_TRUE(is_dead(co_await why("peer.sock")));  // the name is there, but nobody listens
    // A process that is not there is a shim that ended after its hello; the other two live, whatever they are.
    for (std::string hello : {std::string(), encode(HelloEvent{"pod1", 0}), encode(HelloEvent{"pod1", 1 << 23})}) {
      auto listener = sys::listen_unix(t.run_, "peer.sock", SOCK_SEQPACKET, 8);
      Watch connecting(t.loop_, *listener);
      t.loop_.spawn([](HostileTest& self, Watch& watch, FdRef fd, std::string body) -> Task<> {
        (void)co_await watch.readable();
        auto socket = sys::accept(fd);
        if (body.empty()) co_return;
        (void)sys::send_packet(*socket, encode_packet(Kind::kHello, 0, body), {});
        co_await self.loop_.sleep_for(50ms);  // it is read before the end comes
      }(t, connecting, *listener, hello));
      auto cut = co_await why("peer.sock");
      EXPECT_EQ(is_dead(cut), hello.find("\x80") != hello.npos) << cut.message();
    }
    {
      rlimit before;
      ::getrlimit(RLIMIT_NOFILE, &before);
      rlimit none{3, before.rlim_max};
      ::setrlimit(RLIMIT_NOFILE, &none);
      auto poor = co_await why("nobody.sock");
      ::setrlimit(RLIMIT_NOFILE, &before);
      EXPECT_TRUE(poor.is_resource()) << poor.message();
      EXPECT_FALSE(is_dead(poor));
    }
    // A shim that does not get to run, and one that ends before it said anything.
    auto shim = co_await t.spawn("pod1");
    EXPECT_TRUE(sys::pidfd_send_signal(shim->pidfd(), SIGSTOP).has_value());
    auto frozen = co_await why("pod1.sock");
    EXPECT_FALSE(is_dead(frozen)) << frozen.message();
    Event ended(t.loop_);
    shim->observe({[](const ExitedEvent&) {}, [&] { ended.set(); }});
    auto pidfd = shim->pidfd();
    t.loop_.spawn([](HostileTest& self, FdRef process) -> Task<> {
      co_await self.loop_.sleep_for(20ms);
      EXPECT_TRUE(sys::pidfd_send_signal(process, SIGKILL).has_value());
    }(t, pidfd));
    auto killed = co_await why("pod1.sock");
    EXPECT_TRUE(is_dead(killed)) << killed.message();
    EXPECT_TRUE(co_await ended.wait_for(5s));
  }(*this));
  remove_cgroups();
}

// ---- ends at the wrong moment --------------------------------------------------------------------------------------

TEST_F(HostileTest, TheEndOfTheLogWriterIsThePodsEnd) {
  run([](HostileTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Event ended(t.loop_);
    client->observe({[](const ExitedEvent&) {}, [&] { ended.set(); }});
    (void)co_await t.start(*client, "c1", t.shell_plan("busybox sleep 1000"));
    EXPECT_EQ(::kill(log_writer_of(*client), SIGKILL), 0);
    EXPECT_TRUE(co_await ended.wait_for(5s));
    EXPECT_FALSE(client->is_alive());
  }(*this));
  // The shim took its containers with it: nobody kills them here.
  remove_cgroups();
}

TEST_F(HostileTest, ExecInAContainerThatEndsIsRefusedInWords) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await t.run_container(client, ends, "gone", t.shell_plan("exit 0"));
    auto executed = co_await t.execute(client, "gone", exec_plan({"busybox", "true"}));
    EXPECT_EQ(executed.error, "container gone is not running");
    EXPECT_EQ((co_await t.execute(client, "gone", exec_plan({"busybox", "true"}))).error,
              "container gone is not running");
    for (int i = 0; i < 100; ++i) {
      std::string id = "c" + std::to_string(i);
      (void)co_await t.start(client, id, t.shell_plan("exit 0"));
      executed = co_await t.execute(client, id, exec_plan({"busybox", "true"}));
      bool in_words = executed.error.empty() || executed.error == "container " + id + " is not running" ||
                      executed.error == "the container has ended" || executed.error.starts_with("the launch was ended");
      EXPECT_TRUE(in_words) << executed.error;
      (void)co_await ends.of(id);
      EXPECT_TRUE((co_await client.forget(id)).has_value());
    }
    auto unknown = co_await client.signal("nobody", SIGTERM);
    EXPECT_FALSE(unknown.has_value());
  });
}

TEST_F(HostileTest, AContainerIsStartedOnce) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    int started = 0, refused = 0;
    Event done(t.loop_);
    for (int i = 0; i < 5; ++i) {
      t.loop_.spawn([](HostileTest& test, Client& c, int& yes, int& no, Event& all) -> Task<> {
        auto answer = co_await test.start(c, "c1", test.shell_plan("echo once; busybox sleep 1000"));
        if (!answer) EXPECT_EQ(answer.error().message(), "container c1 was started already");
        (answer ? yes : no)++;
        if (yes + no == 5) all.set();
      }(t, client, started, refused, done));
    }
    co_await done.wait();
    EXPECT_EQ(started, 1);
    EXPECT_EQ(refused, 4);
    EXPECT_FALSE((co_await client.forget("c1")).has_value());
    EXPECT_TRUE(wait_for_text("/run/t/c1.log", "once"));
    (void)co_await client.kill("c1");
    (void)co_await ends.of("c1");
    EXPECT_EQ(log_content("/run/t/c1.log", "stdout"), "once\n");
    EXPECT_FALSE((co_await t.start(client, "c1", t.shell_plan("exit 0"))).has_value());
    EXPECT_TRUE((co_await client.forget("c1")).has_value());
    // Linux 6.18 kills what is cloned into a cgroup that was killed once: a start gets a new one.
    EXPECT_TRUE(sys::unlinkat(test::cgroup_dir(), "c1", AT_REMOVEDIR).has_value());
    EXPECT_EQ((co_await t.run_container(client, ends, "c1", t.shell_plan("exit 3"))).error, "");
  });
}

TEST_F(HostileTest, AStartWhoseAskerWentAwayIsJoinedOrFound) {
  run([](HostileTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    for (int i = 0; i < 40; ++i) {
      std::string id = "c" + std::to_string(i);
      t.loop_.spawn([](HostileTest& test, Client& c, std::string name) -> Task<> {
        (void)co_await test.start(c, name, test.shell_plan("busybox sleep 1000"));
      }(t, *client, id));
      client.reset();
      auto again = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
      EXPECT_TRUE(again.has_value()) << again.error().message();
      if (!again) co_return;
      client = std::move(*again);
      // The packet may have come too late: then this is the first start. Otherwise it joins the one under way, or is
      // told of it.
      auto answer = co_await t.start(*client, id, t.shell_plan("busybox sleep 1000"));
      if (!answer) EXPECT_EQ(answer.error().message(), "container " + id + " was started already");
      auto state = co_await client->state();
      EXPECT_TRUE(state.has_value());
      bool runs = false;
      for (const auto& container : state->containers) runs |= container.container_id == id && !container.exited;
      EXPECT_TRUE(runs) << id;
    }
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(HostileTest, AnExecWhoseAskerWentAwayEnds) {
  run([](HostileTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    auto started = co_await t.start(*client, "c1", t.shell_plan("busybox sleep 1000"));
    for (int i = 0; i < 30; ++i) {
      t.loop_.spawn([](HostileTest& test, Client& c) -> Task<> {
        (void)co_await test.begin_exec(c, "c1", exec_plan({"busybox", "sleep", "2000"}));
      }(t, *client));
      if (i % 3 == 1) (void)co_await client->state();
      client.reset();
      auto again = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
      EXPECT_TRUE(again.has_value());
      if (!again) co_return;
      client = std::move(*again);
    }
    // Dropped by its task alone, the connection stays.
    for (int i = 0; i < 30; ++i) {
      auto executing = t.begin_exec(*client, "c1", exec_plan({"busybox", "sleep", "2000"}));
      if (i % 2 == 0) {
        auto begun = co_await executing;
        EXPECT_EQ(begun.error, "");
      }
    }
    // All of them end without any further call; only the container's own process stays in the cgroup.
    auto left = [] { return slurp("/sys/fs/cgroup" + test::cgroup_path() + "/c1/cgroup.procs"); };
    std::string own = std::to_string(started->pid) + "\n";
    for (int i = 0; i < 1000 && left() != own; ++i) (void)co_await client->state();
    EXPECT_EQ(left(), own);
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(HostileTest, AnOrphanOutsideTheCgroupDoesNotHoldTheEndUp) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    auto plan = t.shell_plan("trap 'exit 5' TERM; busybox yes orphan & echo pid $!; wait; wait");
    plan.namespaces.new_pid = false;
    (void)co_await t.start(client, "c1", plan);
    EXPECT_TRUE(wait_for_text("/run/t/c1.log", "stdout F orphan"));
    std::string log = log_content("/run/t/c1.log", "stdout");
    pid_t orphan = std::atoi(log.c_str() + log.find("pid ") + 4);
    auto elsewhere = t.make_cgroup("elsewhere");
    EXPECT_TRUE(sys::write_file(elsewhere, "cgroup.procs", std::to_string(orphan)).has_value());
    (void)co_await client.signal("c1", SIGTERM);
    auto ended = co_await ends.of("c1");
    EXPECT_EQ(ended.code, 5);
    EXPECT_TRUE(sys::write_file(elsewhere, "cgroup.kill", "1").has_value());
  });
}

TEST_F(HostileTest, KillingALaunchLeavesNothing) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    for (int i = 0; i < 60; ++i) {
      std::string id = "c" + std::to_string(i);
      bool started = false, answered = false;
      Event done(t.loop_);
      t.loop_.spawn([](HostileTest& test, Client& c, std::string name, bool& yes, bool& over, Event& all) -> Task<> {
        yes = (co_await test.start(c, name, test.shell_plan("busybox sleep 1000"))).has_value();
        over = true;
        all.set();
      }(t, client, id, started, answered, done));
      (void)co_await client.kill(id);
      co_await done.wait();
      if (started) (void)co_await ends.of(id);
    }
    auto state = co_await client.state();
    for (const auto& container : state->containers) EXPECT_TRUE(container.exited);
  });
}

TEST_F(HostileTest, CallsUnderWayOutliveTheirClient) {
  run([](HostileTest& t) -> Task<> {
    for (int round = 0; round < 10; ++round) {
      std::string pod = "pod" + std::to_string(round);
      auto client = co_await t.spawn(pod);
      std::string id = "c" + std::to_string(round);
      (void)co_await t.start(*client, id, t.shell_plan("busybox sleep 1000"));
      int open = 0;
      Event done(t.loop_);
      auto wait = [&](auto task) {
        ++open;
        t.loop_.spawn([](auto inner, int& left, Event& all) -> Task<> {
          (void)co_await inner;
          if (--left == 0) all.set();
        }(std::move(task), open, done));
      };
      auto executing = co_await t.begin_exec(*client, id, exec_plan({"busybox", "sleep", "2000"}));
      EXPECT_EQ(executing.error, "");
      wait(executing.exec->wait());
      for (int i = 0; i < 3; ++i) {
        wait(client->state());
        wait(client->signal(id, SIGCONT));
        wait(client->resize(id, 1, 2));
        wait(t.start(*client, id + "-" + std::to_string(i), t.shell_plan("busybox sleep 1000")));
        wait(t.begin_exec(*client, id, exec_plan({"busybox", "true"})));
      }
      if (round % 2 == 0) wait(client->shutdown());
      if (round % 3 == 0) (void)co_await client->state();
      FdRef pidfd = client->pidfd();
      auto copy = duplicate(pidfd);
      client.reset();
      EXPECT_TRUE(co_await done.wait_for(10s)) << open << " calls never returned";
      executing.exec.reset();
      (void)sys::pidfd_send_signal(*copy, SIGKILL);
      for (const auto& name : *sys::list_dir(test::cgroup_dir())) {
        auto dir = sys::openat(test::cgroup_dir(), name.c_str(), O_RDONLY | O_DIRECTORY);
        if (dir) (void)sys::write_file(*dir, "cgroup.kill", "1");
      }
      t.remove_cgroups();
    }
  }(*this));
}

TEST_F(HostileTest, AnObserverMayEndItsClient) {
  run([](HostileTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Event gone(t.loop_);
    auto pidfd = duplicate(client->pidfd());
    std::string long_enough_to_be_on_the_heap(100, 'x');
    client->observe({[&client, &gone, text = long_enough_to_be_on_the_heap](const ExitedEvent&) {
                       client.reset();
                       EXPECT_EQ(text.size(), 100U);
                       gone.set();
                     },
                     [] { ADD_FAILURE() << "told after it was ended"; }});
    (void)co_await t.start(*client, "c1", t.shell_plan("exit 0"));
    EXPECT_TRUE(co_await gone.wait_for(5s));
    client = std::move(*co_await Client::connect(t.loop_, t.run_, "pod1.sock"));
    gone.reset();
    client->observe({[](const ExitedEvent&) {},
                     [&client, &gone, text = long_enough_to_be_on_the_heap] {
                       client.reset();
                       EXPECT_EQ(text.size(), 100U);
                       gone.set();
                     }});
    (void)sys::pidfd_send_signal(*pidfd, SIGKILL);
    EXPECT_TRUE(co_await gone.wait_for(5s));
  }(*this));
  remove_cgroups();
}

// ---- shared PID namespaces

TEST_F(HostileTest, APodsOwnInitReapsAndHoldsNothing) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    co_await t.make_pod_pid(client);
    StartRequest request;
    request.join_pod_pid = true;
    auto plan = t.shell_plan("busybox sleep 1000");
    plan.namespaces.new_pid = false;
    (void)co_await t.start(client, "a", plan, request);
    // Orphans of two generations, and what is seen of pid 1. It can't be killed from within either.
    plan = t.shell_plan(
        "busybox hostname; for i in 1 2 3 4 5 6 7 8 9 10; do (busybox true & busybox true &) ; done; "
        "while busybox grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done; echo none; "
        "busybox cat /proc/1/comm; busybox grep -E '^(Cap|NoNew)' /proc/1/status; "
        "busybox readlink /proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2 /proc/1/root /proc/1/exe /proc/1/cwd; "
        "kill -9 1; busybox cat /proc/1/comm");
    plan.namespaces.new_pid = false;
    auto ran = co_await t.run_container(client, ends, "b", plan, request);
    EXPECT_EQ(ran.out,
              "the-pod\nnone\ngantry-init\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
              "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n"
              "gantry-init\n")
        << ran.error << ran.err;
    auto on_a_terminal = t.shell_plan("busybox tty; echo x > /dev/tty; echo $(busybox ls /proc/self/fd)");
    on_a_terminal.namespaces.new_pid = false;
    on_a_terminal.process.terminal = true;
    on_a_terminal.devices.push_back({"/dev/tty", S_IFCHR | 0666, 5, 0, 0, 0});
    request.terminal = true;
    ran = co_await t.run_container(client, ends, "t", on_a_terminal, request);
    EXPECT_EQ(ran.out, "/dev/pts/0\r\nx\r\n0 1 2 3\r\n") << ran.error << ran.err;
    request.terminal = false;
    // By our own eyes: nothing but the null device.
    pid_t init = children(client.pid()).at(1);
    EXPECT_EQ(slurp("/proc/" + std::to_string(init) + "/comm"), "gantry-init\n");
    for (const auto& fd :
         *sys::list_dir(*sys::open_dir(sys::kCwd, ("/proc/" + std::to_string(init) + "/fd").c_str()))) {
      EXPECT_TRUE(
          sys::readlinkat(sys::kCwd, ("/proc/" + std::to_string(init) + "/fd/" + fd).c_str())->ends_with("/null"));
    }
    // Its end ends the namespace; who would join it then is told.
    EXPECT_EQ(::kill(init, SIGKILL), 0);
    (void)co_await ends.of("a");
    auto late = co_await t.start(client, "late", plan, request);
    EXPECT_FALSE(late.has_value());
    if (!late) EXPECT_EQ(late.error().message(), "the process whose PID namespace was to be joined has ended");
  });
}

TEST_F(HostileTest, AContainerJoinsThePidNamespaceOfItsTarget) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await t.start(client, "target", t.shell_plan("busybox sleep 1000; true"));
    StartRequest request;
    request.target_container = "target";
    auto plan = t.shell_plan("busybox tr '\\0' ' ' < /proc/1/cmdline; [ $$ -gt 1 ] && echo not the first");
    plan.namespaces.new_pid = false;
    auto ran = co_await t.run_container(client, ends, "debug", plan, request);
    EXPECT_EQ(ran.out, "sh -c busybox sleep 1000; true not the first\n") << ran.error << ran.err;
    (void)co_await client.kill("target");
    (void)co_await ends.of("target");
    ran = co_await t.run_container(client, ends, "debug2", plan, request);
    EXPECT_EQ(ran.error, "target container target is not running");
  });
}

// ---- what it costs

TEST_F(HostileTest, AnIdlePodIsSmallAndSleeps) {
  with_pod([](HostileTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await t.start(client, "c1", t.shell_plan("busybox sleep 1000"));
    (void)co_await t.run_container(client, ends, "c2", t.shell_plan("busybox yes '' | busybox head -c 3000000"));
    (void)co_await t.execute(client, "c1", exec_plan({"busybox", "true"}));
    (void)co_await client.state();
    std::vector<pid_t> pids = {client.pid(), log_writer_of(client)};
    std::vector<std::string> before;
    for (pid_t pid : pids) {
      std::string text = slurp("/proc/" + std::to_string(pid) + "/smaps_rollup");
      long kilobytes = 0;
      for (const char* field : {"Private_Clean:", "Private_Dirty:"}) {
        kilobytes += std::atol(text.c_str() + text.find(field) + std::strlen(field));
      }
      std::printf("%s: %ld KiB private\n", pid == client.pid() ? "shim" : "log writer", kilobytes);
      if (kilobytes > 200) std::printf("%s\n", slurp("/proc/" + std::to_string(pid) + "/smaps").c_str());
#if !__has_feature(address_sanitizer)
      EXPECT_LT(kilobytes, 256);
#endif
    }
    // Once they sleep, they sleep.
    for (pid_t pid : pids) {
      auto is_asleep = [&] {
        return slurp("/proc/" + std::to_string(pid) + "/stat").find(") S ") != std::string::npos;
      };
      while (!is_asleep()) co_await t.loop_.sleep_for(1ms);
      before.push_back(slurp("/proc/" + std::to_string(pid) + "/schedstat"));
    }
    co_await t.loop_.sleep_for(1s);  // a measure, not a wait: they must not run meanwhile
    for (std::size_t i = 0; i < pids.size(); ++i) {
      EXPECT_EQ(slurp("/proc/" + std::to_string(pids[i]) + "/schedstat"), before[i]);
    }
  });
}

}  // namespace
}  // namespace gantry::shim
