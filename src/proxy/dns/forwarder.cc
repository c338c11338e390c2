// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/forwarder.h"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace gantry::dns {
namespace {

constexpr std::size_t kMaxTries = 6;
constexpr std::chrono::seconds kSilentFor{5};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};
SocketAddress address_of(const Resolvers::Server& server) {
  SocketAddress out;
  const auto bytes = server.address.bytes();
  if (server.address.is_v4()) {
    auto& to = reinterpret_cast<sockaddr_in&>(out.storage);
    to.sin_family = AF_INET;
    to.sin_port = htons(server.port);
    std::memcpy(&to.sin_addr, bytes.data(), bytes.size());
    out.size = sizeof(to);
  } else {
    auto& to = reinterpret_cast<sockaddr_in6&>(out.storage);
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(server.port);
    std::memcpy(&to.sin6_addr, bytes.data(), bytes.size());
    out.size = sizeof(to);
  }
  return out;
}

// As new: without a port, and nobody at the other end.
void disconnect(FdRef socket) {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  (void)::connect(socket.get(), &nobody, sizeof(nobody));
}

bool is_beneath(std::string_view name, std::string_view domain) {
  while (name.size() > domain.size()) name.remove_prefix(static_cast<unsigned char>(name[0]) + 1U);
  return is_same_name(name, domain);
}

}  // namespace

Forwarder::~Forwarder() {
  for (auto& [key, flight] : flights_) release(*flight);
}

void Forwarder::add_socket(OwnFd socket, SocketKind kind) {
  const bool tcp = kind == SocketKind::kAskTcp4 || kind == SocketKind::kAskTcp6;
  const bool v6 = kind == SocketKind::kAskUdp6 || kind == SocketKind::kAskTcp6;
  sockets_.push_back(std::make_unique<Socket>(Socket{std::move(socket), tcp, v6}));
}

void Forwarder::set_resolvers(std::vector<Resolvers> resolvers) {
  resolvers_ = std::move(resolvers);
  silent_until_.clear();
}

std::uint16_t Forwarder::random_id() {
  if (ids_.empty()) {
    ids_.resize(128);
    // Of a few hundred bytes never cut short, once the machine has any.
    while (::getrandom(ids_.data(), ids_.size() * sizeof(ids_[0]), 0) < 0 && errno == EINTR) continue;
  }
  const std::uint16_t id = ids_.back();
  ids_.pop_back();
  return id;
}

// Of the domains that the name is beneath the longest one's. Those that were silent a moment ago come last.
std::vector<Resolvers::Server> Forwarder::servers_for(const Question& question, Time now) const {
  const Resolvers* best = nullptr;
  std::size_t longest = 0;
  for (const Resolvers& resolvers : resolvers_) {
    auto domain = resolvers.domain.empty() ? std::string(1, '\0') : name_of(resolvers.domain);
    if (!domain || (domain->size() > 1 && !is_beneath(question.name, *domain))) continue;
    if (best != nullptr && domain->size() <= longest) continue;
    best = &resolvers;
    longest = domain->size();
  }
  if (best == nullptr) return {};
  std::vector<Resolvers::Server> servers, silent;
  for (const Resolvers::Server& server : best->servers) {
    auto found = silent_until_.find(server.address);
    (found == silent_until_.end() || found->second <= now ? servers : silent).push_back(server);
  }
  servers.insert(servers.end(), silent.begin(), silent.end());
  return servers;
}

Forwarder::Socket* Forwarder::free_socket(bool tcp, bool v6) {
  // From where the last one was, so that a port rests before its socket is used again.
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    Socket& socket = *sockets_[++turn_ % sockets_.size()];
    if (!socket.used && socket.tcp == tcp && socket.v6 == v6) return &socket;
  }
  return nullptr;
}

bool Forwarder::ask(const Asked& asked, Done done) {
  if (waiting_ >= kMaxWaiting) return false;
  std::string key = asked.key();
  auto found = flights_.find(key);
  if (found != flights_.end()) {
    found->second->waiting.push_back(std::move(done));
    ++waiting_;
    return true;
  }
  const Time now = std::chrono::steady_clock::now();
  auto flight = std::make_unique<Flight>();
  flight->servers = servers_for(asked.question, now);
  const bool can_ask = std::ranges::any_of(flight->servers, [&](const Resolvers::Server& server) {
    return free_socket(false, !server.address.is_v4()) != nullptr;
  });
  if (!can_ask) return false;
  flight->asked = asked;
  flight->asked.question.name = lowered_name(asked.question.name);
  flight->key = key;
  flight->ends = now + times_.whole;
  flight->waiting.push_back(std::move(done));
  ++waiting_;
  Flight& added = *flights_.emplace(std::move(key), std::move(flight)).first->second;
  // What it comes to at once is told by look(): the caller is not called back from here.
  added.try_ends = now;
  return true;
}

std::optional<Time> Forwarder::look(Time now) {
  std::vector<std::string> late;
  for (const auto& [key, flight] : flights_) {
    if (std::min(flight->try_ends, flight->ends) <= now) late.push_back(key);
  }
  for (const std::string& key : late) {
    auto found = flights_.find(key);
    if (found == flights_.end()) continue;
    Flight& flight = *found->second;
    if (flight.socket != nullptr) {
      failed(flight, true);
    } else {
      try_next(flight);
    }
  }
  std::optional<Time> next;
  for (const auto& [key, flight] : flights_) {
    const Time ends = std::min(flight->try_ends, flight->ends);
    if (!next || ends < *next) next = ends;
  }
  return next;
}

void Forwarder::try_next(Flight& flight) {
  const Time now = std::chrono::steady_clock::now();
  while (now < flight.ends && flight.tries < std::max(kMaxTries, flight.servers.size())) {
    const Resolvers::Server server = flight.servers[flight.next % flight.servers.size()];
    ++flight.tries;
    flight.try_ends = now + (flight.tries <= flight.servers.size() ? times_.first : times_.later);
    if (begin(flight, server, false)) return;
    ++flight.next;
  }
  if (!flight.refusal) ++numbers_->unanswered;
  finish(flight, flight.refusal ? &*flight.refusal : nullptr);
}

bool Forwarder::begin(Flight& flight, const Resolvers::Server& server, bool tcp) {
  Socket* socket = free_socket(tcp, !server.address.is_v4());
  if (socket == nullptr) return false;
  const FdRef fd = socket->fd;
  if (!tcp) {
    // What came too late for who had the socket before.
    char late[16];
    while (::recv(fd.get(), late, sizeof(late), MSG_DONTWAIT | MSG_TRUNC) >= 0) continue;
  }
  const SocketAddress address = address_of(server);
  const int connected = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size);
  if (connected < 0 && errno != EINPROGRESS) {
    disconnect(fd);
    return false;
  }
  flight.id = random_id();
  flight.out = write_query(flight.id, flight.asked.question, flight.asked.wants_dnssec, flight.asked.checking_disabled,
                           flight.edns);
  flight.in.clear();
  ++numbers_->asked;
  if (!tcp && ::send(fd.get(), flight.out.data(), flight.out.size(), MSG_NOSIGNAL) < 0) {
    disconnect(fd);
    return false;
  }
  if (tcp) {
    flight.out.insert(0, {static_cast<char>(flight.out.size() >> 8), static_cast<char>(flight.out.size() & 0xff)});
  }
  auto ready = [this, &flight, tcp](std::uint32_t events) { tcp ? on_stream(flight, events) : on_datagram(flight); };
  if (!poller_.add(fd, tcp ? EPOLLIN | EPOLLOUT : EPOLLIN, std::move(ready))) {
    disconnect(fd);
    return false;
  }
  socket->used = true;
  flight.socket = socket;
  return true;
}

void Forwarder::release(Flight& flight) {
  if (flight.socket == nullptr) return;
  poller_.remove(flight.socket->fd);
  disconnect(flight.socket->fd);
  flight.socket->used = false;
  flight.socket = nullptr;
}

void Forwarder::on_datagram(Flight& flight) {
  char buffer[4096];
  for (;;) {
    const ssize_t size = ::recv(flight.socket->fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    // Nobody is there, says the other machine.
    if (size < 0) return failed(flight, true);
    if (take(flight, std::string_view(buffer, static_cast<std::size_t>(size)), false)) return;
  }
}

void Forwarder::on_stream(Flight& flight, std::uint32_t events) {
  const int fd = flight.socket->fd.get();
  if ((events & EPOLLOUT) != 0 && !flight.out.empty()) {
    const ssize_t size = ::send(fd, flight.out.data(), flight.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno != EAGAIN && errno != EINTR) return failed(flight, true);
    if (size > 0) flight.out.erase(0, static_cast<std::size_t>(size));
    if (flight.out.empty()) poller_.change(FdRef(fd), EPOLLIN);
  }
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0) return;
  char buffer[16 << 10];
  for (;;) {
    const ssize_t size = ::recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return failed(flight, true);
    flight.in.append(buffer, static_cast<std::size_t>(size));
    if (flight.in.size() < 2) continue;
    const std::size_t whole = static_cast<std::size_t>(static_cast<unsigned char>(flight.in[0])) << 8 |
                              static_cast<unsigned char>(flight.in[1]);
    if (flight.in.size() < whole + 2) continue;
    const std::string message = flight.in.substr(2, whole);
    // One question was sent: who says anything else is no server to wait for.
    if (!take(flight, message, true)) failed(flight, true);
    return;
  }
}

bool Forwarder::take(Flight& flight, std::string_view message, bool by_tcp) {
  Reply reply = read_reply(message, flight.id, flight.asked.question);
  switch (reply.kind) {
    case Reply::Kind::kStranger: return false;
    case Reply::Kind::kTruncated: {
      const Resolvers::Server server = flight.servers[flight.next % flight.servers.size()];
      release(flight);
      if (by_tcp || !begin(flight, server, true)) {
        failed(flight, false);
        return true;
      }
      flight.try_ends = std::chrono::steady_clock::now() + times_.later;
      return true;
    }
    case Reply::Kind::kBroken:
    case Reply::Kind::kWhole: break;
  }
  const bool is_answer = reply.kind == Reply::Kind::kWhole &&
                         (reply.rcode == Rcode::kNoError || reply.rcode == Rcode::kNameError);
  if (is_answer) {
    finish(flight, &reply.kept);
    return true;
  }
  // Servers of long ago know nothing of EDNS.
  if (flight.edns && (reply.rcode == Rcode::kFormatError || reply.rcode == Rcode::kNotImplemented)) {
    flight.edns = false;
    release(flight);
    try_next(flight);
    return true;
  }
  if (reply.kind == Reply::Kind::kWhole) flight.refusal = std::move(reply.kept);
  // Each is asked once for what it refuses.
  if (++flight.next >= flight.servers.size()) flight.tries = kMaxTries + flight.servers.size();
  release(flight);
  try_next(flight);
  return true;
}

void Forwarder::failed(Flight& flight, bool is_server_at_fault) {
  if (is_server_at_fault) {
    const auto& server = flight.servers[flight.next % flight.servers.size()];
    silent_until_[server.address] = std::chrono::steady_clock::now() + kSilentFor;
  }
  ++flight.next;
  release(flight);
  try_next(flight);
}

void Forwarder::finish(Flight& flight, const Kept* kept) {
  release(flight);
  auto ended = flights_.extract(flight.key);
  std::optional<Kept> own;
  if (kept != nullptr) own = *kept;
  waiting_ -= ended.mapped()->waiting.size();
  for (Done& done : ended.mapped()->waiting) done(own ? &*own : nullptr);
}

}  // namespace gantry::dns
