// SPDX-License-Identifier: Apache-2.0
// The worker's work on a thread, over loopback: a feed, askers, and a server that it asks.
#include "proxy/dns/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
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

// A socket of 127.0.0.1, of a port of its own.
class Loopback {
 public:
  explicit Loopback(int type) : fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
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

TEST_F(ServerTest, ARecordMayBeLongerThanAPacket) {
  ServiceRecord service;
  service.ns = "default", service.name = "large", service.kind = ServiceRecord::Kind::kHeadless;
  service.endpoint_ports = {{}};
  for (unsigned i = 1; i <= 3000; ++i) {
    service.endpoints.push_back({*IpAddress::parse("10.0.0.0")->plus(i), "endpoint-" + std::to_string(i), 0});
  }
  say(Feed::kBegin, "w");
  std::size_t sent = 0;
  const std::string body = encode(service);
  for (;;) {
    auto done = send_feed(feed_, Feed::kService, body, {}, &sent);
    if (done) break;
    ASSERT_TRUE(done.error().is_would_block());
    pollfd waits{feed_.get(), POLLOUT, 0};
    ASSERT_EQ(::poll(&waits, 1, kGenerous), 1);
  }
  commit("1");
  EXPECT_EQ(answer_of("endpoint-3000.large.default.svc.cluster.local").rcode, Rcode::kNoError);
  EXPECT_EQ(answer_of("large.default.svc.cluster.local").kind, Reply::Kind::kTruncated);

  SocketFd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(tcp.get(), reinterpret_cast<const sockaddr*>(&tcp_.address), sizeof(tcp_.address)), 0);
  std::string query = write_query(9, question_of("large.default.svc.cluster.local"), false, false, true);
  query.insert(0, {'\0', static_cast<char>(query.size())});
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
  std::string answer_bytes = address_answer(query, std::string("\xc0\0\2\2", 4));
  answer_bytes.insert(0, {'\0', static_cast<char>(answer_bytes.size())});
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
