// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/server.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "sys/socket.h"

namespace gantry::dns {
namespace {

using std::chrono::seconds;

constexpr std::size_t kCacheBytes = 16 << 20;
constexpr std::size_t kBatch = 32;
constexpr std::size_t kMaxUdpQuery = 4096;
constexpr int kBatches = 8;  // of one socket, before others have their turn
constexpr seconds kIdle{10}, kDrain{6};
// What a connection is owed before nothing more is read from it.
constexpr std::size_t kMaxOwed = 256 << 10;
constexpr std::size_t kMaxUnderWay = 64;
constexpr int kMaxAliases = 8;

Question with_name(const Question& question, std::string name) {
  return {std::move(name), question.type, question.klass};
}

// Who asks, without the port.
std::string peer_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& from = reinterpret_cast<const sockaddr_in&>(address);
    return {reinterpret_cast<const char*>(&from.sin_addr), sizeof(from.sin_addr)};
  }
  const auto& from = reinterpret_cast<const sockaddr_in6&>(address);
  return {reinterpret_cast<const char*>(&from.sin6_addr), sizeof(from.sin6_addr)};
}

// Says the same of every name (RFC 8482).
Record any_record(const Question& question) {
  return {question.name, Type::kHinfo, Zone::kTtl, text_data("RFC8482") + text_data("")};
}

}  // namespace

Server::Server(Poller poller, SocketFd feed, std::string identity, const Forwarder::Times& times)
    : poller_(std::move(poller)),
      feed_listener_(std::move(feed)),
      identity_(std::move(identity)),
      cache_(kCacheBytes),
      forwarder_(std::make_unique<Forwarder>(poller_, own_numbers_, times)) {}

Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::make(SocketFd feed, std::string identity, const Forwarder::Times& times) {
  auto poller = Poller::make();
  if (!poller) return std::unexpected(std::move(poller.error()));
  std::unique_ptr<Server> server(new Server(std::move(*poller), std::move(feed), std::move(identity), times));
  Server* self = server.get();
  auto added = server->poller_.add(server->feed_listener_, EPOLLIN, [self](auto) { self->on_gantryd(); });
  if (!added) return std::unexpected(std::move(added.error()));
  return server;
}

Status Server::run() {
  for (;;) {
    const Time now = std::chrono::steady_clock::now();
    std::optional<Time> next = forwarder_->look(now);
    close_idle(now);
    for (const auto& [id, connection] : connections_) {
      if (!next || connection.last + kIdle < *next) next = connection.last + kIdle;
    }
    if (draining_) {
      if ((forwarder_->is_idle() && connections_.empty()) || now >= drain_ends_) return {};
      if (!next || drain_ends_ < *next) next = drain_ends_;
    }
    int wait = -1;
    if (next) {
      const auto left = std::max(*next - now, Time::duration(0));
      wait = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
    }
    poller_.wait(wait);
  }
}

// --- The feed.

void Server::on_gantryd() {
  auto accepted = sys::accept(feed_listener_);
  if (!accepted) return;
  if (gantryd_.is_open()) poller_.remove(gantryd_);
  gantryd_ = std::move(*accepted);
  reader_ = {};
  staged_.clear();
  stages_all_ = false;
  (void)poller_.add(gantryd_, EPOLLIN, [this](auto) { on_feed(); });
  greet();
}

void Server::greet() {
  Hello hello{.identity = identity_,
              .has_pool = forwarder_->has_sockets(),
              .has_records = has_records_,
              .is_draining = draining_,
              .kinds = {}};
  std::vector<FdRef> fds;
  for (const auto& listener : listeners_) {
    hello.kinds.push_back(static_cast<char>(listener->kind));
    fds.push_back(listener->fd);
  }
  if (numbers_fd_.is_open()) {
    hello.kinds.push_back(static_cast<char>(SocketKind::kNumbers));
    fds.push_back(numbers_fd_);
  }
  say(Feed::kHello, encode(hello), fds);
}

// gantryd reads what it is told; when it does not, it has other troubles than this.
void Server::say(Feed kind, std::string_view body, std::span<const FdRef> fds) {
  std::size_t sent = 0;
  (void)send_feed(gantryd_, kind, body, fds, &sent);
}

void Server::on_feed() {
  for (;;) {
    auto packet = reader_.next(gantryd_);
    if (packet && !*packet) return;
    Status done;
    if (packet) {
      done = take(std::move(**packet));
    } else {
      done = std::unexpected(std::move(packet.error()));
    }
    if (done) continue;
    poller_.remove(gantryd_);
    gantryd_.close();
    staged_.clear();
    return;
  }
}

Status Server::take(FeedPacket packet) {
  switch (packet.kind) {
    case Feed::kConfigure: return configure(packet.body);
    case Feed::kListen: return listen(std::move(packet));
    case Feed::kPool: return add_pool(std::move(packet));
    case Feed::kBegin:
      staged_.clear();
      stages_all_ = packet.body == "w";
      return {};
    case Feed::kService: {
      auto record = decode_service(packet.body);
      if (!record) return std::unexpected(std::move(record.error()));
      std::string key = record->key();
      staged_.push_back({std::move(key), std::move(*record)});
      return {};
    }
    case Feed::kRemove: staged_.push_back({std::move(packet.body), {}}); return {};
    case Feed::kCommit: commit(packet.body); return {};
    case Feed::kDrain:
      for (const auto& listener : listeners_) poller_.remove(listener->fd);
      listeners_.clear();
      draining_ = true;
      drain_ends_ = std::chrono::steady_clock::now() + kDrain;
      return {};
    default: return {};  // of a later gantryd
  }
}

Status Server::configure(std::string_view body) {
  auto settings = decode_settings(body);
  if (!settings) return std::unexpected(std::move(settings.error()));
  if (!zone_ || settings->domain != settings_.domain) {
    zone_ = Zone::make(settings->domain);
    if (!zone_) return invalid_argument("the cluster's domain is no name");
    has_records_ = false;
  }
  zone_->set_addresses(settings->addresses);
  if (settings->resolvers != settings_.resolvers) {
    forwarder_->set_resolvers(settings->resolvers);
    cache_.clear();
  }
  settings_ = std::move(*settings);
  return {};
}

Status Server::listen(FeedPacket packet) {
  if (packet.body.size() != packet.fds.size()) return invalid_argument("not a kind for each socket");
  for (const auto& listener : listeners_) poller_.remove(listener->fd);
  listeners_.clear();
  for (std::size_t i = 0; i < packet.fds.size(); ++i) {
    const auto kind = static_cast<SocketKind>(packet.body[i]);
    auto listener = std::make_shared<Listener>(Listener{std::move(packet.fds[i]), kind});
    auto ready = [this, weak = std::weak_ptr(listener)](auto) {
      auto strong = weak.lock();
      if (!strong) return;
      strong->kind == SocketKind::kTcp ? on_tcp(strong) : on_udp(strong);
    };
    if (auto added = poller_.add(listener->fd, EPOLLIN, std::move(ready)); !added) return added;
    listeners_.push_back(std::move(listener));
  }
  return {};
}

Status Server::add_pool(FeedPacket packet) {
  if (packet.body.size() != packet.fds.size()) return invalid_argument("not a kind for each socket");
  for (std::size_t i = 0; i < packet.fds.size(); ++i) {
    const auto kind = static_cast<SocketKind>(packet.body[i]);
    if (kind != SocketKind::kNumbers) {
      forwarder_->add_socket(std::move(packet.fds[i]), kind);
      continue;
    }
    void* memory = ::mmap(nullptr, sizeof(Numbers), PROT_READ | PROT_WRITE, MAP_SHARED, packet.fds[i].get(), 0);
    if (memory == MAP_FAILED) return std::unexpected(Error::from_errno(errno, "mmap"));
    numbers_ = static_cast<Numbers*>(memory);
    numbers_fd_ = std::move(packet.fds[i]);
    forwarder_->count_in(*numbers_);
  }
  return {};
}

void Server::commit(std::string_view body) {
  if (!zone_) return;
  if (stages_all_) {
    auto fresh = Zone::make(settings_.domain);
    fresh->set_addresses(settings_.addresses);
    zone_ = std::move(fresh);
    has_records_ = true;
  }
  for (Change& change : staged_) {
    if (change.record) {
      zone_->put(std::move(*change.record));
    } else {
      zone_->remove(change.key);
    }
  }
  staged_.clear();
  stages_all_ = false;
  say(Feed::kApplied, body, {});
}

// --- UDP.

void Server::on_udp(const std::shared_ptr<Listener>& listener) {
  static char buffers[kBatch][kMaxUdpQuery];
  sockaddr_storage addresses[kBatch];
  mmsghdr in[kBatch], out[kBatch];
  iovec in_parts[kBatch], out_parts[kBatch];
  std::string answers[kBatch];
  for (int batch = 0; batch < kBatches; ++batch) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      in_parts[i] = {buffers[i], kMaxUdpQuery};
      in[i] = {};
      in[i].msg_hdr.msg_name = &addresses[i];
      in[i].msg_hdr.msg_namelen = sizeof(addresses[i]);
      in[i].msg_hdr.msg_iov = &in_parts[i];
      in[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = ::recvmmsg(listener->fd.get(), in, kBatch, MSG_DONTWAIT, nullptr);
    if (count <= 0) return;
    unsigned answered = 0;
    for (int i = 0; i < count; ++i) {
      if ((in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
      ++numbers_->udp_requests;
      Asker asker{listener, addresses[i], in[i].msg_hdr.msg_namelen, 0, peer_of(addresses[i])};
      auto answer = handle({buffers[i], in[i].msg_len}, asker);
      if (!answer) continue;
      answers[answered] = counted(std::move(*answer));
      out_parts[answered] = {answers[answered].data(), answers[answered].size()};
      out[answered] = {};
      out[answered].msg_hdr.msg_name = &addresses[i];
      out[answered].msg_hdr.msg_namelen = in[i].msg_hdr.msg_namelen;
      out[answered].msg_hdr.msg_iov = &out_parts[answered];
      out[answered].msg_hdr.msg_iovlen = 1;
      ++answered;
    }
    // One that can't be sent is the asker's loss, as on any network; those behind it are not.
    for (unsigned sent = 0; sent < answered;) {
      const int done = ::sendmmsg(listener->fd.get(), out + sent, answered - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      sent += done > 0 ? static_cast<unsigned>(done) : 1;
    }
    if (count < static_cast<int>(kBatch)) return;
  }
}

// --- TCP.

void Server::on_tcp(const std::shared_ptr<Listener>& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  OwnFd accepted(::accept4(listener->fd.get(), reinterpret_cast<sockaddr*>(&address), &size,
                           SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!accepted.is_open()) return;
  std::string peer = peer_of(address);
  make_room(peer);
  const std::uint64_t id = ++last_connection_;
  Connection& connection = connections_[id];
  connection.id = id;
  connection.fd = std::move(accepted);
  connection.peer = std::move(peer);
  connection.last = std::chrono::steady_clock::now();
  auto ready = [this, id](std::uint32_t events) {
    if (auto found = connections_.find(id); found != connections_.end()) on_connection(found->second, events);
  };
  if (!poller_.add(connection.fd, EPOLLIN, std::move(ready))) connections_.erase(id);
}

// Of too many the one that rests longest goes; who has many himself gives one of his own.
void Server::make_room(const std::string& peer) {
  const auto own = std::ranges::count_if(connections_, [&](const auto& entry) { return entry.second.peer == peer; });
  const bool has_many = static_cast<std::size_t>(own) >= kMaxConnectionsOfOne;
  if (!has_many && connections_.size() < kMaxConnections) return;
  auto oldest = connections_.end();
  for (auto at = connections_.begin(); at != connections_.end(); ++at) {
    if (has_many && at->second.peer != peer) continue;
    if (oldest == connections_.end() || at->second.last < oldest->second.last) oldest = at;
  }
  close_connection(oldest->first);
}

void Server::close_connection(std::uint64_t id) {
  auto found = connections_.find(id);
  if (found == connections_.end()) return;
  poller_.remove(found->second.fd);
  connections_.erase(found);
}

void Server::close_idle(Time now) {
  for (auto at = connections_.begin(); at != connections_.end();) {
    auto here = at++;
    if (here->second.last + kIdle <= now) close_connection(here->first);
  }
}

void Server::on_connection(Connection& connection, std::uint32_t events) {
  const std::uint64_t id = connection.id;
  bool lives = (events & EPOLLOUT) == 0 || write_connection(connection);
  if (lives && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) lives = read_connection(connection);
  if (!lives) return close_connection(id);
  watch_connection(connection);
}

// Who asks much and reads little is not read any more until he does.
void Server::watch_connection(Connection& connection) {
  const bool reads = connection.out.size() < kMaxOwed && connection.under_way < kMaxUnderWay;
  const std::uint32_t events = (reads ? EPOLLIN : 0U) | (connection.out.empty() ? 0U : EPOLLOUT);
  if (events == connection.events) return;
  connection.events = events;
  poller_.change(connection.fd, events);
}

bool Server::read_connection(Connection& connection) {
  char buffer[4096];
  const ssize_t size = ::recv(connection.fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (size == 0) return false;
  connection.in.append(buffer, static_cast<std::size_t>(size));
  std::size_t at = 0;
  while (connection.in.size() - at >= 2) {
    const std::size_t whole = static_cast<std::size_t>(static_cast<unsigned char>(connection.in[at])) << 8 |
                              static_cast<unsigned char>(connection.in[at + 1]);
    // Nobody asks at such length.
    if (whole > kMaxUdpQuery) return false;
    if (connection.in.size() - at < whole + 2) break;
    ++numbers_->tcp_requests;
    connection.last = std::chrono::steady_clock::now();
    Asker asker;
    asker.connection = connection.id;
    asker.peer = connection.peer;
    auto answer = handle(std::string_view(connection.in).substr(at + 2, whole), asker);
    at += whole + 2;
    if (answer) send(asker, counted(std::move(*answer)));
  }
  connection.in.erase(0, at);
  return true;
}

bool Server::write_connection(Connection& connection) {
  while (!connection.out.empty()) {
    const ssize_t size =
        ::send(connection.fd.get(), connection.out.data(), connection.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno == EAGAIN;
    connection.out.erase(0, static_cast<std::size_t>(size));
    connection.last = std::chrono::steady_clock::now();
  }
  return true;
}

void Server::send(const Asker& asker, std::string_view answer) {
  if (!asker.is_tcp()) {
    (void)::sendto(asker.listener->fd.get(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&asker.address), asker.address_size);
    return;
  }
  auto found = connections_.find(asker.connection);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  // One read has more questions than he may be owed answers to: who asks so and does not read loses them.
  if (connection.out.size() >= kMaxOwed) return;
  connection.out.push_back(static_cast<char>(answer.size() >> 8));
  connection.out.push_back(static_cast<char>(answer.size() & 0xff));
  connection.out += answer;
  (void)write_connection(connection);
  watch_connection(connection);
}

// --- What is answered.

std::string Server::counted(std::string answer) {
  const std::size_t rcode = static_cast<unsigned char>(answer[3]) & 0xf;
  ++numbers_->responses[std::min(rcode, std::size(numbers_->responses) - 1)];
  return answer;
}

std::optional<std::string> Server::handle(std::string_view message, const Asker& asker) {
  const Received received = read_query(message);
  if (received.silent) return std::nullopt;
  const Query& query = received.query;
  std::size_t limit = kMaxMessage;
  if (!asker.is_tcp()) limit = query.has_edns ? std::min<std::size_t>(query.udp_size, kMaxUdp) : kMinUdp;
  AnswerWriter refusal(query, limit);
  if (received.problem != Rcode::kNoError) {
    refusal.set_rcode(received.problem);
  } else if (received.bad_version) {
    refusal.set_bad_version();
  } else if (query.question.klass != kClassIn || query.question.type == Type::kAxfr ||
             query.question.type == Type::kIxfr) {
    refusal.set_rcode(Rcode::kRefused);
  } else if (query.question.type == Type::kAny) {
    refusal.answer(any_record(query.question));
  } else {
    return answer(query, limit, asker);
  }
  return std::move(refusal).finish();
}

std::optional<std::string> Server::answer(const Query& query, std::size_t limit, const Asker& asker) {
  AnswerWriter failure(query, limit);
  failure.set_rcode(Rcode::kServerFailure);
  if (!zone_) return std::move(failure).finish();
  ++turn_;
  ZoneAnswer found = zone_->answer(query.question, turn_);
  if (!found.is_ours) return forward(query, limit, asker, query.question, {});
  // Before it was told what there is, it knows of nothing that it is not there.
  if (!has_records_) return std::move(failure).finish();
  std::vector<Record> prefix;
  for (int aliases = 0; !found.follow.empty(); ++aliases) {
    if (aliases == kMaxAliases) return std::move(failure).finish();
    prefix.insert(prefix.end(), found.answers.begin(), found.answers.end());
    const Question next = with_name(query.question, std::exchange(found.follow, {}));
    found = zone_->answer(next, turn_);
    if (!found.is_ours) return forward(query, limit, asker, next, std::move(prefix));
  }
  AnswerWriter writer(query, limit);
  writer.set_authoritative();
  writer.set_rcode(found.rcode);
  for (const Record& record : prefix) writer.answer(record);
  for (const Record& record : found.answers) writer.answer(record);
  for (const Record& record : found.authorities) writer.authority(record);
  for (const Record& record : found.additionals) writer.additional(record);
  return std::move(writer).finish();
}

std::optional<std::string> Server::forward(const Query& query, std::size_t limit, const Asker& asker,
                                           const Question& question, std::vector<Record> prefix) {
  auto write = [query, limit, prefix = std::move(prefix)](const Kept* kept, std::uint32_t age) {
    if (kept != nullptr) {
      return prefix.empty() ? answer_from(*kept, age, query, limit) : answer_behind(prefix, *kept, age, query, limit);
    }
    AnswerWriter writer(query, limit);
    writer.set_rcode(Rcode::kServerFailure);
    for (const Record& record : prefix) writer.answer(record);
    return std::move(writer).finish();
  };
  Asked asked{question, query.wants_dnssec, query.wants(kCheckingDisabled)};
  std::string key = asked.key();
  const Time now = std::chrono::steady_clock::now();
  if (const Cache::Entry* entry = cache_.find(key, now)) {
    ++numbers_->cache_hits;
    const auto age = std::chrono::duration_cast<seconds>(now - entry->since);
    return write(&entry->kept, static_cast<std::uint32_t>(age.count()));
  }
  ++numbers_->cache_misses;
  // Nobody's silent servers keep others from asking.
  if (auto of_peer = waiting_.find(asker.peer); of_peer != waiting_.end() && of_peer->second >= kMaxWaitingOfOne) {
    return write(nullptr, 0);
  }
  const bool asks = forwarder_->ask(asked, [this, asker, key, write](const Kept* kept) {
    if (auto of_peer = waiting_.find(asker.peer); --of_peer->second == 0) waiting_.erase(of_peer);
    if (kept != nullptr && cache_.find(key, std::chrono::steady_clock::now()) == nullptr) {
      cache_.put(key, *kept, std::chrono::steady_clock::now());
      numbers_->cache_bytes = cache_.bytes();
    }
    if (auto found = connections_.find(asker.connection); found != connections_.end()) --found->second.under_way;
    send(asker, counted(write(kept, 0)));
  });
  if (!asks) return write(nullptr, 0);
  ++waiting_[asker.peer];
  if (auto found = connections_.find(asker.connection); found != connections_.end()) ++found->second.under_way;
  return std::nullopt;
}

}  // namespace gantry::dns
