// SPDX-License-Identifier: Apache-2.0
// A transaction of nf_tables, put together message by message and committed as a whole or not at all: what nft(8) makes
// of its text, without the text, which would take fifty times as long for a large cluster. Inside this folder only.
// Commit blocks for as long as the kernel works: some 0.5 µs for each element. Linux 6.1, CAP_NET_ADMIN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::proxy::nftables {

class Batch {
 public:
  Batch();

  // Begins a message (NFT_MSG_...) about the table of family inet; `what` says for people what it does. `flags`:
  // NLM_F_CREATE and so on.
  void begin(std::uint16_t message, std::uint16_t flags, std::string what);
  void put(std::uint16_t type, std::span<const std::uint8_t> value);
  void put_u8(std::uint16_t type, std::uint8_t value) { put(type, {&value, 1}); }
  // In network order, as nf_tables has its numbers.
  void put_u32(std::uint16_t type, std::uint32_t value);
  void put_u64(std::uint16_t type, std::uint64_t value);
  void put_string(std::uint16_t type, std::string_view value);
  // An attribute that holds what `body` puts.
  template <typename Body>
  void nest(std::uint16_t type, Body body) {
    std::size_t start = open(type);
    body();
    close(start);
  }
  // The same in two steps; close() takes what open() gave.
  std::size_t open(std::uint16_t type);
  void close(std::size_t start);
  // What the message takes so far; the kernel counts the length of a list of elements in 16 bits.
  std::size_t message_size() const { return buffer_.size() - message_; }
  bool is_empty() const { return whats_.empty(); }

 private:
  friend class Connection;
  void begin_any(std::uint16_t type, std::uint16_t flags, std::uint8_t family, std::uint16_t resource);
  void end_message();

  std::vector<std::uint8_t> buffer_;
  std::size_t message_ = 0;
  std::uint32_t sequence_ = 0;
  std::vector<std::string> whats_;  // by sequence number, from 1
};

// A socket to nf_tables, in the network namespace of the thread that opened it. One thread at a time.
class Connection {
 public:
  static Result<Connection> open();
  // Who the kernel says it was, to those who listen.
  std::uint32_t port_id() const { return port_id_; }
  Status commit(Batch batch);

 private:
  Connection(OwnFd fd, std::uint32_t port_id) : fd_(std::move(fd)), port_id_(port_id) {}
  Status make_room(std::size_t size);

  OwnFd fd_;
  std::uint32_t port_id_;
};

}  // namespace gantry::proxy::nftables
