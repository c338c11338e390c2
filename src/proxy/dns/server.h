// SPDX-License-Identifier: Apache-2.0
// The DNS worker's whole work: what comes by UDP and TCP is answered from the zone, from the cache, or by asking
// others; what gantryd says by the feed changes all three. It goes on when gantryd ends, from what it knows, and
// ends when it is told to. One thread, no file, no socket but those that it is given.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "proxy/dns/cache.h"
#include "proxy/dns/feed.h"
#include "proxy/dns/forwarder.h"
#include "proxy/dns/message.h"
#include "proxy/dns/poller.h"
#include "proxy/dns/zone.h"

namespace gantry::dns {

class Server {
 public:
  // `feed` listens for gantryd. `identity` is said to it.
  static Result<std::unique_ptr<Server>> make(SocketFd feed, std::string identity,
                                              const Forwarder::Times& times = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // Until it was told to end.
  Status run();

  static constexpr std::size_t kMaxConnections = 256;
  // Of one address, so that it leaves room for others.
  static constexpr std::size_t kMaxConnectionsOfOne = 64;
  static constexpr std::size_t kMaxWaitingOfOne = 128;  // questions to other servers, at once

 private:
  struct Listener {
    OwnFd fd;
    SocketKind kind;
  };
  struct Connection {
    OwnFd fd;
    std::uint64_t id = 0;
    std::string peer;
    std::string in, out;
    std::size_t under_way = 0;
    std::uint32_t events = EPOLLIN;
    Time last;
  };
  // Who is to be answered.
  struct Asker {
    std::shared_ptr<Listener> listener;  // by UDP
    sockaddr_storage address{};
    socklen_t address_size = 0;
    std::uint64_t connection = 0;  // by TCP
    std::string peer;              // the address alone, its bytes
    bool is_tcp() const { return connection != 0; }
  };

  Server(Poller poller, SocketFd feed, std::string identity, const Forwarder::Times& times);

  void on_gantryd();
  void greet();
  void on_feed();
  Status take(FeedPacket packet);
  Status configure(std::string_view body);
  Status listen(FeedPacket packet);
  Status add_pool(FeedPacket packet);
  void commit(std::string_view body);
  void say(Feed kind, std::string_view body, std::span<const FdRef> fds);

  void on_udp(const std::shared_ptr<Listener>& listener);
  void on_tcp(const std::shared_ptr<Listener>& listener);
  void on_connection(Connection& connection, std::uint32_t events);
  bool read_connection(Connection& connection);
  bool write_connection(Connection& connection);
  void watch_connection(Connection& connection);
  void close_connection(std::uint64_t id);
  void make_room(const std::string& peer);
  void close_idle(Time now);

  // Nothing: it will be answered later, or never.
  std::optional<std::string> handle(std::string_view message, const Asker& asker);
  std::optional<std::string> answer(const Query& query, std::size_t limit, const Asker& asker);
  std::optional<std::string> forward(const Query& query, std::size_t limit, const Asker& asker,
                                     const Question& question, std::vector<Record> prefix);
  void send(const Asker& asker, std::string_view answer);
  std::string counted(std::string answer);

  Poller poller_;
  SocketFd feed_listener_;
  const std::string identity_;
  OwnFd numbers_fd_;
  Numbers own_numbers_{};
  Numbers* numbers_ = &own_numbers_;

  OwnFd gantryd_;
  FeedReader reader_;
  struct Change {
    std::string key;
    std::optional<ServiceRecord> record;  // nothing: it is gone
  };
  std::vector<Change> staged_;
  bool stages_all_ = false;
  bool has_records_ = false;
  bool draining_ = false;
  Time drain_ends_;

  Settings settings_;
  std::optional<Zone> zone_;
  Cache cache_;
  std::unique_ptr<Forwarder> forwarder_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::map<std::uint64_t, Connection> connections_;
  std::uint64_t last_connection_ = 0;
  std::unordered_map<std::string, std::size_t> waiting_;  // of each address, its questions to other servers
  std::uint32_t turn_ = 0;
};

}  // namespace gantry::dns
