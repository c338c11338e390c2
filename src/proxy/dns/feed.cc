// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/feed.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "base/bytes.h"
#include "sys/socket.h"

namespace gantry::dns {
namespace {

void write_address(ByteWriter& out, const netns::IpAddress& address) {
  auto bytes = address.bytes();
  out.string({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}
bool read_address(ByteReader& in, netns::IpAddress* address) {
  const std::string_view bytes = in.string();
  auto read = netns::IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  if (read) *address = *read;
  return in.ok() && read.has_value();
}
// Of things that take four bytes at least.
std::uint32_t read_count(ByteReader& in) {
  const auto count = in.integer<std::uint32_t>();
  return static_cast<std::uint32_t>(std::min<std::size_t>(count, in.rest().size() / 4 + 1));
}

constexpr char kNoSettings[] = "no settings of a DNS worker";

}  // namespace

std::string encode(const Settings& settings) {
  ByteWriter out;
  out.string(settings.domain);
  out.integer(static_cast<std::uint32_t>(settings.addresses.size()));
  for (const auto& address : settings.addresses) write_address(out, address);
  out.integer(static_cast<std::uint32_t>(settings.resolvers.size()));
  for (const Resolvers& resolvers : settings.resolvers) {
    out.string(resolvers.domain);
    out.integer(static_cast<std::uint32_t>(resolvers.servers.size()));
    for (const auto& server : resolvers.servers) {
      write_address(out, server.address);
      out.integer(server.port);
    }
  }
  return std::move(out).take();
}

Result<Settings> decode_settings(std::string_view bytes) {
  ByteReader in(bytes);
  Settings settings;
  settings.domain = in.string();
  settings.addresses.resize(read_count(in));
  for (auto& address : settings.addresses) {
    if (!read_address(in, &address)) return invalid_argument(kNoSettings);
  }
  settings.resolvers.resize(read_count(in));
  for (Resolvers& resolvers : settings.resolvers) {
    resolvers.domain = in.string();
    resolvers.servers.resize(read_count(in));
    for (auto& server : resolvers.servers) {
      if (!read_address(in, &server.address)) return invalid_argument(kNoSettings);
      server.port = in.integer<std::uint16_t>();
    }
  }
  if (!in.ok()) return invalid_argument(kNoSettings);
  return settings;
}

std::string encode(const Hello& hello) {
  ByteWriter out;
  out.string(hello.identity);
  out.integer(hello.has_pool);
  out.integer(hello.has_records);
  out.integer(hello.is_draining);
  out.string(hello.kinds);
  return std::move(out).take();
}

Result<Hello> decode_hello(std::string_view bytes) {
  ByteReader in(bytes);
  Hello hello;
  hello.identity = in.string();
  hello.has_pool = in.integer<std::uint8_t>() != 0;
  hello.has_records = in.integer<std::uint8_t>() != 0;
  hello.is_draining = in.integer<std::uint8_t>() != 0;
  hello.kinds = in.string();
  // What a later one says behind it is passed over.
  if (!in.ok()) return invalid_argument("no greeting of a DNS worker");
  return hello;
}

Result<std::optional<FeedPacket>> FeedReader::next(FdRef socket) {
  std::array<char, kMaxFeedPacket + 1> buffer;
  for (;;) {
    auto packet = sys::receive_packet(socket, buffer);
    // It left with something of ours unread: what it said before it left is behind this error, which is told once.
    if (!packet && packet.error().sys() == ECONNRESET) packet = sys::receive_packet(socket, buffer);
    if (!packet) {
      if (packet.error().is_would_block()) return std::nullopt;
      return std::unexpected(std::move(packet.error()));
    }
    if (packet->size == 0) return fail(Code::kUnavailable, "the other end of the feed has left");
    if (packet->fds_lost) return fail(Code::kResourceExhausted, "no descriptor is free for what came by the feed");
    const auto kind = static_cast<Feed>(buffer[0]);
    const std::string_view body(buffer.data() + 1, packet->size - 1);
    if (parts_.size() + body.size() > kMaxFeedBody) return invalid_argument("a body of the feed is too long");
    parts_ += body;
    if (kind == Feed::kPart) continue;
    return FeedPacket{kind, std::exchange(parts_, {}), std::move(packet->fds)};
  }
}

Status send_feed(FdRef socket, Feed kind, std::string_view body, std::span<const FdRef> fds, std::size_t* sent) {
  std::string packet;
  for (;;) {
    const std::string_view rest = body.substr(*sent);
    const bool is_last = rest.size() < kMaxFeedPacket;
    packet.assign(1, static_cast<char>(is_last ? kind : Feed::kPart));
    packet += rest.substr(0, kMaxFeedPacket - 1);
    auto done = sys::send_packet(socket, packet, is_last ? fds : std::span<const FdRef>());
    if (!done) return done;
    if (is_last) {
      *sent = 0;
      return {};
    }
    *sent += kMaxFeedPacket - 1;
  }
}

}  // namespace gantry::dns
