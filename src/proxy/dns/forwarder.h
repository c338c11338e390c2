// SPDX-License-Identifier: Apache-2.0
// Asks other servers for names that are not the cluster's. Whoever asks the same at the same time waits for one query;
// so a server that asks us in turn gets no second one out of us, and no loop grows. A query has an id of its own and a
// port of its own, both by the kernel's dice, and its socket is connected: what comes from elsewhere, or answers
// something else, is not seen. What does not fit UDP is asked by TCP. A silent server is asked last for a while.
//
// The sockets were made by gantryd, and are used one query after the other (connect(2) to AF_UNSPEC gives the port
// back): the worker can make none. Owner: the worker; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/dns/cache.h"
#include "proxy/dns/feed.h"
#include "proxy/dns/poller.h"

namespace gantry::dns {

class Forwarder {
 public:
  // Null: nobody answered in time, or nobody is there to be asked.
  using Done = std::function<void(const Kept* kept)>;

  // How long a question waits: in all, for a server that is asked first, and for one that is asked again. Resolvers of
  // libc ask again after five seconds: they hear of a failure before.
  struct Times {
    std::chrono::milliseconds whole{4500};
    std::chrono::milliseconds first{800}, later{1500};
  };

  Forwarder(Poller& poller, Numbers& numbers, const Times& times)
      : poller_(poller), numbers_(&numbers), times_(times) {}
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // From here on; it outlives the Forwarder.
  void count_in(Numbers& numbers) { numbers_ = &numbers; }
  void add_socket(OwnFd socket, SocketKind kind);
  bool has_sockets() const { return !sockets_.empty(); }
  // What is under way goes on with whom it asks.
  void set_resolvers(std::vector<Resolvers> resolvers);
  // `done` is called later, never inside of this call; of too many that wait at once, with nothing.
  // Returns false when nobody can be asked now.
  bool ask(const Asked& asked, Done done);
  bool is_idle() const { return flights_.empty(); }

  // What has waited too long goes on with the next server, or ends. Returns when to look again; nothing: nothing waits.
  std::optional<Time> look(Time now);

  static constexpr std::size_t kMaxWaiting = 4096;

 private:
  struct Socket {
    OwnFd fd;
    bool tcp, v6;
    bool used = false;
  };
  struct Flight {
    Asked asked;
    std::string key;
    std::vector<Done> waiting;
    std::vector<Resolvers::Server> servers;  // in the order in which they are asked
    std::size_t next = 0;                    // of them
    std::size_t tries = 0;
    Socket* socket = nullptr;
    std::uint16_t id = 0;
    bool edns = true;
    Time try_ends, ends;
    std::string out, in;  // by TCP
    std::optional<Kept> refusal;  // the best that was heard so far
  };

  std::vector<Resolvers::Server> servers_for(const Question& question, Time now) const;
  Socket* free_socket(bool tcp, bool v6);
  void try_next(Flight& flight);
  bool begin(Flight& flight, const Resolvers::Server& server, bool tcp);
  void on_datagram(Flight& flight);
  void on_stream(Flight& flight, std::uint32_t events);
  // False: it was not the answer.
  bool take(Flight& flight, std::string_view message, bool by_tcp);
  void failed(Flight& flight, bool is_server_at_fault);
  void release(Flight& flight);
  void finish(Flight& flight, const Kept* kept);
  std::uint16_t random_id();

  Poller& poller_;
  Numbers* numbers_;
  const Times times_;
  std::vector<Resolvers> resolvers_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::unordered_map<std::string, std::unique_ptr<Flight>> flights_;
  std::unordered_map<netns::IpAddress, Time> silent_until_;
  std::size_t waiting_ = 0;
  std::uint32_t turn_ = 0;
  std::vector<std::uint16_t> ids_;
};

}  // namespace gantry::dns
