// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// Peers that speak a shim's protocol wrongly or not at all, and what a client makes of a shim that it can't reach.
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>

#include <future>

#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

constexpr int kPatienceMs = std::chrono::milliseconds(kPatience).count();

struct Peer {
  explicit Peer(FdRef dir) : Peer(sys::connect_unix(dir, "pod1.sock", SOCK_SEQPACKET).value()) {}
  explicit Peer(SocketFd connected) : socket(std::move(connected)) {}
  void send(std::string_view packet, std::vector<FdRef> fds = {}) { (void)sys::send_packet(socket, packet, fds); }
  Status send_waiting(std::string_view packet) {
    for (;;) {
      auto sent = sys::send_packet(socket, packet, {});
      if (sent || !sent.error().is_would_block()) return sent;
      pollfd ready{socket.get(), POLLOUT, 0};
      if (::poll(&ready, 1, kPatienceMs) <= 0) return fail(Code::kDeadlineExceeded, "the shim takes nothing");
    }
  }
  // The next message but events; nothing when the connection was closed.
  std::optional<std::pair<Kind, std::string>> receive() {
    static char packet[kMaxPacket];
    for (;;) {
      pollfd ready{socket.get(), POLLIN, 0};
      if (::poll(&ready, 1, kPatienceMs) <= 0) {
        ADD_FAILURE() << "no answer";
        return {};
      }
      auto received = sys::receive_packet(socket, packet);
      if (!received || received->size == 0) return {};
      auto message = decode_packet(std::string_view(packet, received->size));
      if (!message || message->header.request == 0) continue;
      answered = message->header.request;
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
  std::uint32_t answered = 0;  // the number of the request that the last message answers
};

TEST_F(ShimTest, WhatIsNoMessageIsAnsweredOrCutOff) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
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
    // All of those connections are closed.
    EXPECT_TRUE(co_await t.eventually([&] { return fds_of(client.pid()) <= before; }));
  });
}

TEST_F(ShimTest, ConnectionsAreBoundedAndNobodyWaitsForAnother) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
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

TEST_F(ShimTest, AShimThatHangsHoldsNobodyUp) {
  with_pod([](ShimTest&, Client& client, Ends&) -> Task<> {
    EXPECT_EQ(::kill(client.pid(), SIGSTOP), 0);
    // More than there is room for on the way to it.
    int late = 0;
    constexpr int kCalls = 2000;
    for (int i = 0; i < kCalls; ++i) {
      auto state = co_await client.state(1ms);
      late += !state && state.error().is_deadline() ? 1 : 0;
    }
    EXPECT_EQ(late, kCalls);
    EXPECT_TRUE((co_await client.signal("c1", SIGTERM, 1ms)).error().is_deadline());
    EXPECT_EQ(::kill(client.pid(), SIGCONT), 0);
    EXPECT_TRUE((co_await client.state()).has_value());
  });
}

// It sleeps until one is free, and then who waits is served.
TEST_F(ShimTest, WithoutADescriptorNobodyIsAccepted) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    EXPECT_TRUE((co_await client.state()).has_value());
    rlimit before{};
    EXPECT_EQ(::prlimit(client.pid(), RLIMIT_NOFILE, nullptr, &before), 0);
    rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    EXPECT_EQ(::prlimit(client.pid(), RLIMIT_NOFILE, &none, nullptr), 0);
    Peer waiting(t.run_);
    const std::string status = "/proc/" + std::to_string(client.pid()) + "/status";
    for (int i = 0; i < 3; ++i) {
      bool sleeps = co_await t.eventually([&] { return slurp(status).contains("State:\tS"); });
      EXPECT_TRUE(sleeps);
      if (!sleeps) break;
      EXPECT_TRUE((co_await client.state()).has_value());
    }
    EXPECT_EQ(::prlimit(client.pid(), RLIMIT_NOFILE, &before, nullptr), 0);
    waiting.send(encode_packet(Kind::kState, 1, ""));
    auto answer = waiting.receive();
    EXPECT_TRUE(answer && answer->first == Kind::kStateIs);
  });
}

TEST_F(ShimTest, WhoReadsLateMissesNothing) {
  with_pod([](ShimTest& t, Client&, Ends&) -> Task<> {
    constexpr std::uint32_t kAsked = 2000;  // a socket takes fewer answers
    Peer late(t.run_);
    for (std::uint32_t number = 1; number <= kAsked; ++number) {
      EXPECT_TRUE(late.send_waiting(encode_packet(Kind::kState, number, "")).has_value());
    }
    for (std::uint32_t number = 1; number <= kAsked; ++number) {
      auto answer = late.receive();
      EXPECT_TRUE(answer && answer->first == Kind::kStateIs && late.answered == number) << number;
      if (!answer) break;
    }
    co_return;
  });
}

TEST_F(ShimTest, WhoNeverReadsIsCutOff) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    (void)co_await client.state();
    std::size_t before = fds_of(client.pid());
    Peer deaf(t.run_);
    Status sent;
    for (int i = 0; i < 200000 && sent; ++i) sent = deaf.send_waiting(encode_packet(Kind::kState, 1, ""));
    EXPECT_TRUE(!sent && sent.error().is_gone());
    while (fds_of(client.pid()) > before) EXPECT_TRUE((co_await client.state()).has_value());
  });
}

// As one that was cut off is: it can't ask for the end, and waits for it all the same.
TEST_F(ShimTest, AShimThatClosedTheConnectionCanBeEnded) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    auto listener = sys::listen_unix(t.run_, "half.sock", SOCK_SEQPACKET, 1);
    auto accepted = std::async(std::launch::async, [&] {
      pollfd ready{listener->get(), POLLIN, 0};
      ::poll(&ready, 1, kPatienceMs);
      auto socket = sys::accept(*listener);
      HelloEvent hello{"pod1", client.pid()};
      if (socket) (void)sys::send_packet(*socket, encode_packet(Kind::kHello, 0, encode(hello)), {});
      return socket;
    });
    auto other = co_await Client::connect(t.loop_, t.run_, "half.sock");
    EXPECT_TRUE(other.has_value());
    accepted.get()->close();
    co_await (*other)->shutdown();
    EXPECT_FALSE((*other)->is_alive());
  });
}

// As one that was cut off does, who is to go on with the pod.
TEST_F(ShimTest, AClientGoesOnByAnotherConnection) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    auto listener = sys::listen_unix(t.run_, "half.sock", SOCK_SEQPACKET, 1);
    auto accepted = std::async(std::launch::async, [&] {
      pollfd ready{listener->get(), POLLIN, 0};
      ::poll(&ready, 1, kPatienceMs);
      auto socket = sys::accept(*listener);
      HelloEvent hello{"pod1", client.pid()};
      if (socket) (void)sys::send_packet(*socket, encode_packet(Kind::kHello, 0, encode(hello)), {});
      return socket;
    });
    auto other = co_await Client::connect(t.loop_, t.run_, "half.sock");
    EXPECT_TRUE(other.has_value());
    Event lost(t.loop_);
    int times = 0, ends = 0;
    (*other)->observe({.exited = [](const ExitedEvent&) {},
                       .ended = [&] { ++ends; },
                       .lost =
                           [&] {
                             ++times;
                             lost.set();
                           }});
    EXPECT_TRUE((*other)->is_connected());
    accepted.get()->close();
    co_await lost.wait();
    EXPECT_FALSE((*other)->is_connected());
    EXPECT_TRUE((*other)->is_alive());
    EXPECT_FALSE((co_await (*other)->state()).has_value());
    auto fresh = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
    EXPECT_TRUE(fresh.has_value());
    EXPECT_TRUE((*other)->resume(std::move(*fresh)).has_value());
    EXPECT_TRUE((*other)->is_connected());
    EXPECT_TRUE((co_await (*other)->state()).has_value());
    EXPECT_EQ(times, 1);
    EXPECT_EQ(ends, 0);
    co_await client.shutdown();
    while ((*other)->is_alive()) co_await t.loop_.sleep_for(1ms);
    EXPECT_EQ(ends, 1);
  });
}

TEST_F(ShimTest, WhoIsNotRootIsRefused) {
  with_pod([](ShimTest&, Client& client, Ends&) -> Task<> {
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
      ::_exit(::poll(&ready, 1, kPatienceMs) == 1 && ::recv(socket->get(), packet, sizeof(packet), 0) == 0 ? 0 : 3);
    }
    EXPECT_EQ(finish(user), 0);
    EXPECT_TRUE((co_await client.state()).has_value());
  });
}

// What a new gantryd does to a pod hangs on it: a shim that is dead is told from one that only does not answer.
TEST_F(ShimTest, WhoCannotBeReachedIsNotTakenForDead) {
  run([](ShimTest& t) -> Task<> {
    auto why = [&](const char* name, Duration limit = kPatience) -> Task<Error> {
      auto client = co_await Client::connect(t.loop_, t.run_, name, limit);
      EXPECT_FALSE(client.has_value());
      co_return client ? Error(Code::kOk, "") : std::move(client.error());
    };
    auto is_dead = [](const Error& error) { return error.is_gone() || error.is_not_found(); };
    EXPECT_TRUE(is_dead(co_await why("nobody.sock")));
    {
      auto listener = sys::listen_unix(t.run_, "peer.sock", SOCK_SEQPACKET, 0);
      auto silent = co_await why("peer.sock", 100ms);  // its connection stays in the backlog, which is full now
      EXPECT_TRUE(silent.is_deadline()) << silent.message();
      EXPECT_FALSE(is_dead(silent));
      auto crowded = co_await why("peer.sock", 100ms);
      EXPECT_TRUE(crowded.is_would_block()) << crowded.message();
      EXPECT_FALSE(is_dead(crowded));
    }
    EXPECT_TRUE(is_dead(co_await why("peer.sock")));  // the name is there, but nobody listens
    // A process that is not there is a shim that ended after its hello; the other two live, whatever they are.
    for (std::string hello : {std::string(), encode(HelloEvent{"pod1", 0}), encode(HelloEvent{"pod1", 1 << 23})}) {
      auto listener = sys::listen_unix(t.run_, "peer.sock", SOCK_SEQPACKET, 8);
      Watch connecting(t.loop_, *listener);
      t.loop_.spawn([](ShimTest& self, Watch& watch, FdRef fd, std::string body) -> Task<> {
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
    auto frozen = co_await why("pod1.sock", 100ms);
    EXPECT_FALSE(is_dead(frozen)) << frozen.message();
    Event ended(t.loop_);
    shim->observe({[](const ExitedEvent&) {}, [&] { ended.set(); }});
    auto pidfd = shim->pidfd();
    t.loop_.spawn([](ShimTest& self, FdRef process) -> Task<> {
      co_await self.loop_.sleep_for(20ms);
      EXPECT_TRUE(sys::pidfd_send_signal(process, SIGKILL).has_value());
    }(t, pidfd));
    auto killed = co_await why("pod1.sock");
    EXPECT_TRUE(is_dead(killed)) << killed.message();
    EXPECT_TRUE(co_await ended.wait_for(kPatience));
  }(*this));
  remove_cgroups();
}

}  // namespace
}  // namespace gantry::shim
