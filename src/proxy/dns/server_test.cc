// SPDX-License-Identifier: Apache-2.0
// The worker's work on a thread, over loopback: a feed, askers, and a server that it asks.
#include "proxy/dns/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "proxy/dns/sockets.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::dns {
namespace {

constexpr int kGenerous = 60'000;  // milliseconds

struct Datagram {
  std::string bytes;
  sockaddr_in from{};
};

// A socket of 127.0.0.1, or another address, of a port of its own.
class Loopback {
 public:
  explicit Loopback(int type, in_addr_t at = INADDR_LOOPBACK) : fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(at);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)), 0);
    socklen_t size = sizeof(address);
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  }
  std::uint16_t port() const { return ntohs(address.sin_port); }
  void send(std::string_view bytes, const sockaddr_in& to) const {
    ::sendto(fd.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  }
  Datagram receive(int milliseconds = kGenerous) const {
    pollfd waits{fd.get(), POLLIN, 0};
    if (::poll(&waits, 1, milliseconds) <= 0) return {};
    Datagram datagram;
    datagram.bytes.resize(4096);
    socklen_t size = sizeof(datagram.from);
    const auto got = ::recvfrom(fd.get(), datagram.bytes.data(), datagram.bytes.size(), 0,
                                reinterpret_cast<sockaddr*>(&datagram.from), &size);
    datagram.bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return datagram;
  }
  SocketFd fd;
  sockaddr_in address{};
};

Question question_of(const char* name, Type type = Type::kA) { return {*name_of(name), type, kClassIn}; }
std::uint16_t id_of(std::string_view bytes) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[0]) << 8 | static_cast<unsigned char>(bytes[1]));
}
std::string address_answer(const Query& query, std::string_view data, std::uint32_t ttl = 60) {
  AnswerWriter writer(query, kMaxMessage);
  writer.answer({query.question.name, Type::kA, ttl, std::string(data)});
  return std::move(writer).finish();
}

class ServerTest : public testing::Test {
 protected:
  using Times = Forwarder::Times;
  // So that nothing is asked twice.
  static constexpr Times kPatient{std::chrono::minutes(2), std::chrono::minutes(2), std::chrono::minutes(2)};
  explicit ServerTest(const Times& times = kPatient)
      : udp_(SOCK_DGRAM), tcp_(SOCK_STREAM), upstream_(SOCK_DGRAM), asker_(SOCK_DGRAM) {
    char name[] = "/tmp/gantry-dns-XXXXXX";
    folder_ = ::mkdtemp(name);
    dir_ = std::move(*sys::open_dir(sys::kCwd, folder_.c_str()));
    ::listen(tcp_.fd.get(), 16);
    auto feed = sys::listen_unix(dir_, kWorkerSocket, SOCK_SEQPACKET, 4);
    server_ = std::move(*Server::make(std::move(*feed), "one", times));
    thread_ = std::thread([this] { ended_ = server_->run().has_value(); });
    connect();
    greeting_ = *decode_hello(next().body);
    std::vector<FdRef> pool;
    std::string kinds;
    auto sockets = asking_sockets(8, 2);
    for (auto& [fd, kind] : *sockets) {
      pool.push_back(fd);
      kinds.push_back(static_cast<char>(kind));
    }
    say(Feed::kPool, kinds, pool);
    Settings settings{"cluster.local", {*IpAddress::parse("10.96.0.10")}, {}};
    settings.resolvers.push_back({"", {{*IpAddress::parse("127.0.0.1"), upstream_.port()}}});
    say(Feed::kConfigure, encode(settings));
    std::vector<FdRef> listeners = {udp_.fd, tcp_.fd};
    say(Feed::kListen, "ut", listeners);
  }
  ~ServerTest() override {
    say(Feed::kDrain, "");
    thread_.join();
    EXPECT_TRUE(ended_);
    std::filesystem::remove_all(folder_);
  }

  void connect() {
    feed_ = std::move(*sys::connect_unix(dir_, kWorkerSocket, SOCK_SEQPACKET));
    reader_ = {};
  }
  void say(Feed kind, std::string_view body, std::span<const FdRef> fds = {}) {
    std::size_t sent = 0;
    EXPECT_TRUE(send_feed(feed_, kind, body, fds, &sent));
  }
  FeedPacket next() {
    for (;;) {
      auto packet = reader_.next(feed_);
      if (!packet || *packet) return packet ? std::move(**packet) : FeedPacket{};
      pollfd waits{feed_.get(), POLLIN, 0};
      if (::poll(&waits, 1, kGenerous) <= 0) return {};
    }
  }
  void put(const char* name, const char* address) {
    ServiceRecord service;
    service.ns = "default", service.name = name;
    service.addresses = {*IpAddress::parse(address)};
    say(Feed::kService, encode(service));
  }
  void commit(std::string version) {
    say(Feed::kCommit, version);
    EXPECT_EQ(next().body, version);
  }
  void ask(const Question& question, std::uint16_t id = 7) {
    asker_.send(write_query(id, question, false, false, true), udp_.address);
  }
  Reply answer(const Question& question, std::uint16_t id = 7) {
    return read_reply(asker_.receive().bytes, id, question);
  }
  Reply answer_of(const char* name) {
    ask(question_of(name));
    return answer(question_of(name));
  }
  // One that is longer than the feed takes at once.
  void say_all(const ServiceRecord& service) {
    std::size_t sent = 0;
    const std::string body = encode(service);
    for (;;) {
      auto done = send_feed(feed_, Feed::kService, body, {}, &sent);
      if (done) return;
      ASSERT_TRUE(done.error().is_would_block());
      pollfd waits{feed_.get(), POLLOUT, 0};
      ASSERT_EQ(::poll(&waits, 1, kGenerous), 1);
    }
  }
  // What came to the server that is asked.
  std::pair<Query, sockaddr_in> asked() {
    Datagram datagram = upstream_.receive();
    return {read_query(datagram.bytes).query, datagram.from};
  }

  std::string folder_;
  DirFd dir_;
  Loopback udp_, tcp_, upstream_, asker_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  bool ended_ = false;
  SocketFd feed_;
  FeedReader reader_;
  Hello greeting_;
};

TEST_F(ServerTest, AnswersWhatItWasTold) {
  EXPECT_EQ(greeting_.identity, "one");
  EXPECT_FALSE(greeting_.has_pool || greeting_.has_records);
  // It was told nothing yet: it does not say that there is no such name.
  EXPECT_EQ(answer_of("web.default.svc.cluster.local").rcode, Rcode::kServerFailure);
  say(Feed::kBegin, "w");
  put("web", "10.96.0.1");
  put("old", "10.96.0.2");
  commit("1");
  EXPECT_EQ(answer_of("web.default.svc.cluster.local").rcode, Rcode::kNoError);
  EXPECT_EQ(answer_of("none.default.svc.cluster.local").rcode, Rcode::kNameError);
  // Changes, all at once.
  say(Feed::kBegin, "");
  put("new", "10.96.0.3");
  say(Feed::kRemove, "default/old");
  EXPECT_EQ(answer_of("new.default.svc.cluster.local").rcode, Rcode::kNameError);
  commit("2");
  EXPECT_EQ(answer_of("new.default.svc.cluster.local").rcode, Rcode::kNoError);
  EXPECT_EQ(answer_of("old.default.svc.cluster.local").rcode, Rcode::kNameError);
  // gantryd ends, and the next one says all anew.
  feed_.close();
  EXPECT_EQ(answer_of("web.default.svc.cluster.local").rcode, Rcode::kNoError);
  connect();
  const FeedPacket packet = next();
  const Hello hello = *decode_hello(packet.body);
  EXPECT_TRUE(hello.has_pool && hello.has_records);
  EXPECT_EQ(hello.kinds, "ut");
  EXPECT_THAT(packet.fds, testing::SizeIs(2));
  say(Feed::kBegin, "w");
  put("web", "10.96.0.4");
  EXPECT_EQ(answer_of("new.default.svc.cluster.local").rcode, Rcode::kNoError);
  commit("1");
  EXPECT_EQ(answer_of("new.default.svc.cluster.local").rcode, Rcode::kNameError);
  EXPECT_EQ(answer_of("web.default.svc.cluster.local").rcode, Rcode::kNoError);
}

ServiceRecord large_service() {
  ServiceRecord service;
  service.ns = "default", service.name = "large", service.kind = ServiceRecord::Kind::kHeadless;
  service.endpoint_ports = {{}};
  for (unsigned i = 1; i <= 3000; ++i) {
    service.endpoints.push_back({*IpAddress::parse("10.0.0.0")->plus(i), "endpoint-" + std::to_string(i), 0});
  }
  return service;
}
std::string framed(std::string message) {
  return message.insert(0, {static_cast<char>(message.size() >> 8), static_cast<char>(message.size() & 0xff)});
}

TEST_F(ServerTest, ARecordMayBeLongerThanAPacket) {
  say(Feed::kBegin, "w");
  ASSERT_NO_FATAL_FAILURE(say_all(large_service()));
  commit("1");
  EXPECT_EQ(answer_of("endpoint-3000.large.default.svc.cluster.local").rcode, Rcode::kNoError);
  EXPECT_EQ(answer_of("large.default.svc.cluster.local").kind, Reply::Kind::kTruncated);

  SocketFd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(tcp.get(), reinterpret_cast<const sockaddr*>(&tcp_.address), sizeof(tcp_.address)), 0);
  const std::string query =
      framed(write_query(9, question_of("large.default.svc.cluster.local"), false, false, true));
  ASSERT_EQ(::send(tcp.get(), query.data(), query.size(), 0), static_cast<ssize_t>(query.size()));
  std::string got;
  while (got.size() < 2 || got.size() < 2U + id_of(got)) {
    char buffer[65536];
    pollfd waits{tcp.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waits, 1, kGenerous), 1);
    const auto size = ::recv(tcp.get(), buffer, sizeof(buffer), 0);
    ASSERT_GT(size, 0);
    got.append(buffer, static_cast<std::size_t>(size));
  }
  const Reply reply = read_reply(std::string_view(got).substr(2), 9, question_of("large.default.svc.cluster.local"));
  EXPECT_EQ(reply.kept.ttl_offsets.size(), 3000U);
}

TEST_F(ServerTest, WhoAsksMuchAndReadsNothingIsOwedLittle) {
  OwnFd memory(::memfd_create("numbers", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(memory.get(), sizeof(Numbers)), 0);
  const auto* numbers =
      static_cast<const Numbers*>(::mmap(nullptr, sizeof(Numbers), PROT_READ, MAP_SHARED, memory.get(), 0));
  ASSERT_NE(numbers, MAP_FAILED);
  say(Feed::kPool, "n", std::vector<FdRef>{memory});
  say(Feed::kBegin, "w");
  ASSERT_NO_FATAL_FAILURE(say_all(large_service()));
  commit("1");

  const int small = 64 << 10;
  ::setsockopt(tcp_.fd.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  SocketFd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::setsockopt(tcp.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  ASSERT_EQ(::connect(tcp.get(), reinterpret_cast<const sockaddr*>(&tcp_.address), sizeof(tcp_.address)), 0);
  // 3 MB of answers, asked for at once.
  const std::string query =
      framed(write_query(9, question_of("large.default.svc.cluster.local"), false, false, true));
  constexpr std::size_t kQuestions = 64;
  std::string questions;
  for (std::size_t i = 0; i < kQuestions; ++i) questions += query;
  ASSERT_EQ(::send(tcp.get(), questions.data(), questions.size(), 0), static_cast<ssize_t>(questions.size()));
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kGenerous);
  while (__atomic_load_n(&numbers->tcp_requests, __ATOMIC_RELAXED) < kQuestions) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::yield();
  }
  // Then he reads, and is served again.
  const std::string last = framed(write_query(10, question_of("dns-version.cluster.local"), false, false, true));
  ASSERT_EQ(::send(tcp.get(), last.data(), last.size(), 0), static_cast<ssize_t>(last.size()));
  std::string got;
  std::size_t bytes = 0;
  for (bool is_last = false; !is_last;) {
    char buffer[65536];
    pollfd waits{tcp.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waits, 1, kGenerous), 1);
    const auto size = ::recv(tcp.get(), buffer, sizeof(buffer), 0);
    ASSERT_GT(size, 0);
    bytes += static_cast<std::size_t>(size);
    got.append(buffer, static_cast<std::size_t>(size));
    while (got.size() >= 4 && got.size() >= 2U + id_of(got)) {
      is_last = id_of(std::string_view(got).substr(2)) == 10;
      got.erase(0, 2U + id_of(got));
    }
  }
  EXPECT_LT(bytes, 1U << 20);
  ::munmap(const_cast<Numbers*>(numbers), sizeof(Numbers));
}

TEST_F(ServerTest, OneAskerLeavesRoomForOthers) {
  const Question silent = question_of("silent.example.org");
  for (std::uint16_t id = 0; id < Server::kMaxWaitingOfOne; ++id) {
    ask(silent, id);
    // No more at once than a socket holds.
    if (id % 16 == 15) EXPECT_EQ(answer_of("none.default.pod.cluster.local").rcode, Rcode::kServerFailure);
  }
  auto [query, from] = asked();
  ask(question_of("more.example.org"));
  EXPECT_EQ(answer(question_of("more.example.org")).rcode, Rcode::kServerFailure);
  // Whoever else asks is not refused.
  Loopback other(SOCK_DGRAM, INADDR_LOOPBACK + 1);
  other.send(write_query(8, question_of("other.example.org"), false, false, true), udp_.address);
  auto [others, others_from] = asked();
  EXPECT_EQ(others.question.name, *name_of("other.example.org"));
  upstream_.send(address_answer(others, std::string("\xc0\0\2\2", 4)), others_from);
  EXPECT_EQ(read_reply(other.receive().bytes, 8, question_of("other.example.org")).rcode, Rcode::kNoError);
  // When his are answered, he may ask again.
  upstream_.send(address_answer(query, std::string("\xc0\0\2\1", 4)), from);
  for (std::size_t i = 0; i < Server::kMaxWaitingOfOne; ++i) {
    EXPECT_EQ(asker_.receive().bytes.substr(2, 1), "\x81") << i;
  }
  ask(question_of("more.example.org"));
  std::tie(query, from) = asked();
  EXPECT_EQ(query.question.name, *name_of("more.example.org"));
  upstream_.send(address_answer(query, std::string("\xc0\0\2\1", 4)), from);
  EXPECT_EQ(answer(question_of("more.example.org")).rcode, Rcode::kNoError);
}

TEST_F(ServerTest, WhoHasManyConnectionsGivesOneOfHisOwn) {
  auto connected = [this] {
    Loopback socket(SOCK_STREAM);
    EXPECT_EQ(::connect(socket.fd.get(), reinterpret_cast<const sockaddr*>(&tcp_.address), sizeof(tcp_.address)), 0);
    return std::move(socket.fd);
  };
  // An answer tells that the connection is known.
  auto answers = [](FdRef socket) {
    const std::string query = framed(write_query(9, question_of("a.cluster.local"), false, false, true));
    (void)::send(socket.get(), query.data(), query.size(), MSG_NOSIGNAL);
    pollfd waits{socket.get(), POLLIN, 0};
    char buffer[512];
    return ::poll(&waits, 1, kGenerous) == 1 && ::recv(socket.get(), buffer, sizeof(buffer), 0) > 0;
  };
  std::vector<SocketFd> many;
  for (std::size_t i = 0; i < Server::kMaxConnectionsOfOne; ++i) {
    many.push_back(connected());
    EXPECT_TRUE(answers(many.back()));
  }
  SocketFd more = connected();
  EXPECT_TRUE(answers(more));
  EXPECT_FALSE(answers(many.front()));
}

TEST_F(ServerTest, AsksOthersOnceAndRemembers) {
  const Question question = question_of("www.example.org");
  ask(question, 1);
  auto [query, from] = asked();
  EXPECT_EQ(query.question.name, question.name);
  // Whoever asks meanwhile waits for the same.
  ask(question, 2);
  ask(question_of("WWW.Example.ORG"), 3);
  // Answers of another id, to another question, and from elsewhere are none.
  Query other = query;
  other.id = static_cast<std::uint16_t>(query.id + 1);
  upstream_.send(address_answer(other, std::string("\x7f\0\0\x7f", 4)), from);
  other = query;
  other.question.name = *name_of("wwx.example.org");
  upstream_.send(address_answer(other, std::string("\x7f\0\0\x7f", 4)), from);
  asker_.send(address_answer(query, std::string("\x7f\0\0\x7f", 4)), from);
  // The two that came later are in the flight for certain, once another one is answered.
  ask(question_of("none.default.pod.cluster.local"), 4);
  EXPECT_EQ(id_of(asker_.receive().bytes), 4);
  upstream_.send(address_answer(query, std::string("\xc0\0\2\1", 4)), from);
  std::set<std::uint16_t> ids;
  for (int i = 0; i < 3; ++i) {
    const std::string bytes = asker_.receive().bytes;
    EXPECT_EQ(bytes.substr(bytes.size() - 15, 4), std::string("\xc0\0\2\1", 4));
    ids.insert(id_of(bytes));
  }
  EXPECT_THAT(ids, testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(answer_of("www.example.org").rcode, Rcode::kNoError);
  // The next that comes there is another question.
  ask(question_of("next.example.org"));
  std::tie(query, from) = asked();
  EXPECT_EQ(query.question.name, *name_of("next.example.org"));
  upstream_.send(address_answer(query, std::string("\xc0\0\2\1", 4)), from);
  EXPECT_EQ(answer(question_of("next.example.org")).rcode, Rcode::kNoError);
}

TEST_F(ServerTest, WhatDoesNotFitIsAskedByTcp) {
  Loopback stream(SOCK_STREAM);
  // The same port.
  SocketFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&upstream_.address), sizeof(sockaddr_in)), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  ask(question_of("large.example.org"));
  auto [query, from] = asked();
  AnswerWriter cut(query, kMaxUdp);
  cut.set_truncated();
  upstream_.send(std::move(cut).finish(), from);
  SocketFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  char buffer[512];
  const auto size = ::recv(accepted.get(), buffer, sizeof(buffer), 0);
  ASSERT_GT(size, 2);
  query = read_query(std::string_view(buffer + 2, static_cast<std::size_t>(size) - 2)).query;
  const std::string answer_bytes = framed(address_answer(query, std::string("\xc0\0\2\2", 4)));
  ASSERT_GT(::send(accepted.get(), answer_bytes.data(), answer_bytes.size(), 0), 0);
  EXPECT_EQ(answer(question_of("large.example.org")).rcode, Rcode::kNoError);
}

class ImpatientTest : public ServerTest {
 protected:
  ImpatientTest() : ServerTest({std::chrono::milliseconds(50), std::chrono::milliseconds(20),
                                std::chrono::milliseconds(20)}) {}
};

TEST_F(ImpatientTest, SilenceIsAFailureInTime) {
  ask(question_of("silent.example.org"));
  EXPECT_EQ(answer(question_of("silent.example.org")).rcode, Rcode::kServerFailure);
}

TEST_F(ServerTest, OutsideNamesOfServicesAreFollowed) {
  say(Feed::kBegin, "w");
  ServiceRecord out;
  out.ns = "default", out.name = "out", out.kind = ServiceRecord::Kind::kExternal;
  out.external_name = "www.example.org";
  say(Feed::kService, encode(out));
  out.name = "in", out.external_name = "web.default.svc.cluster.local";
  say(Feed::kService, encode(out));
  out.name = "round", out.external_name = "round.default.svc.cluster.local";
  say(Feed::kService, encode(out));
  put("web", "10.96.0.1");
  commit("1");
  EXPECT_EQ(answer_of("in.default.svc.cluster.local").kept.ttl_offsets.size(), 2U);
  EXPECT_EQ(answer_of("round.default.svc.cluster.local").rcode, Rcode::kServerFailure);
  ask(question_of("out.default.svc.cluster.local"));
  auto [query, from] = asked();
  EXPECT_EQ(query.question.name, *name_of("www.example.org"));
  upstream_.send(address_answer(query, std::string("\xc0\0\2\1", 4)), from);
  EXPECT_EQ(answer(question_of("out.default.svc.cluster.local")).kept.ttl_offsets.size(), 2U);
}

TEST_F(ServerTest, RefusesWhatItDoesNot) {
  const Question transfer = question_of("cluster.local", Type::kAxfr);
  ask(transfer);
  EXPECT_EQ(answer(transfer).rcode, Rcode::kRefused);
  const Question any = question_of("cluster.local", Type::kAny);
  ask(any);
  EXPECT_EQ(answer(any).kept.ttl_offsets.size(), 1U);
  asker_.send("nothing", udp_.address);
  asker_.send(std::string(12, '\0'), udp_.address);
  EXPECT_EQ(asker_.receive().bytes.size(), kHeaderSize);
}

}  // namespace
}  // namespace gantry::dns
