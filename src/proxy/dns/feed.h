// SPDX-License-Identifier: Apache-2.0
// What gantryd and the DNS worker say to each other, over a SOCK_SEQPACKET socket in /run/gantry: a packet is a kind
// (a byte) and its body. Bodies longer than a packet come in parts before it. The worker believes gantryd; all the same
// everything is bounded. Whoever connects last is the one gantryd, and is greeted with kHello.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "netns/address.h"

namespace gantry::dns {

inline constexpr char kWorkerSocket[] = "dns.sock";
inline constexpr std::size_t kMaxFeedPacket = 32 << 10;
inline constexpr std::size_t kMaxFeedBody = 8 << 20;

enum class Feed : std::uint8_t {
  // gantryd to the worker.
  kPart = 1,    // the beginning of the next packet's body
  kConfigure,   // Settings
  kListen,      // with sockets, SocketKind each: the ones to answer at from now on, in place of all others
  kPool,        // with sockets, SocketKind each: more to ask others with
  kBegin,       // "w": what follows is all that there is; "": what follows are changes
  kService,     // a ServiceRecord
  kRemove,      // a key
  kCommit,      // the version; from here on all of it is answered, and none before
  kDrain,       // end, when what is under way is answered
  // The worker to gantryd.
  kHello = 101,  // Hello, with the sockets that it listens at, and its numbers
  kApplied,      // the version of a kCommit
};

enum class SocketKind : char {
  kUdp = 'u',      // to answer at
  kTcp = 't',      // the same, listening
  kAskUdp4 = '4',  // to ask with, never bound
  kAskUdp6 = '6',
  kAskTcp4 = 'a',
  kAskTcp6 = 'b',
  kNumbers = 'n',  // the memory of Numbers
};

// Servers that know the names beneath `domain` (text; empty: all others).
struct Resolvers {
  struct Server {
    netns::IpAddress address;
    std::uint16_t port = 53;
    bool operator==(const Server&) const = default;
  };
  std::string domain;
  std::vector<Server> servers;
  bool operator==(const Resolvers&) const = default;
};
struct Settings {
  std::string domain;  // the cluster's, text
  std::vector<netns::IpAddress> addresses;
  std::vector<Resolvers> resolvers;
  bool operator==(const Settings&) const = default;
};
std::string encode(const Settings& settings);
Result<Settings> decode_settings(std::string_view bytes);

struct Hello {
  std::string identity;   // which program it is
  bool has_pool = false;  // it has sockets to ask with
  bool has_records = false;
  bool is_draining = false;
  std::string kinds;  // of the sockets that come with it, a SocketKind each
};
std::string encode(const Hello& hello);
Result<Hello> decode_hello(std::string_view bytes);

struct FeedPacket {
  Feed kind{};
  std::string body;
  std::vector<OwnFd> fds;
};
// One end. Sending never waits: what the other one does not take is_would_block().
class FeedReader {
 public:
  // The next whole one. Nothing: there is none now. An error: the other end has left, or what it says is none.
  Result<std::optional<FeedPacket>> next(FdRef socket);

 private:
  std::string parts_;
};
// Several packets when the body is long; `first` is where a send that would have waited goes on, 0 at the beginning.
Status send_feed(FdRef socket, Feed kind, std::string_view body, std::span<const FdRef> fds, std::size_t* sent);

// What the worker counts, in memory that both see: it outlives each of them.
struct Numbers {
  std::uint64_t udp_requests, tcp_requests;
  std::uint64_t responses[6];  // by Rcode
  std::uint64_t cache_hits, cache_misses, cache_bytes;
  std::uint64_t asked, unanswered;  // queries to other servers, and those that nobody answered in time
};

}  // namespace gantry::dns
