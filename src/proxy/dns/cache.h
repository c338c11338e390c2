// SPDX-License-Identifier: Apache-2.0
// What other servers answered, for as long as it is good and at most half a minute, bounded by its bytes: what nobody
// asked for longest goes first. Owner: one thread. Times are of a clock that never goes back.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "proxy/dns/message.h"

namespace gantry::dns {

using Time = std::chrono::steady_clock::time_point;

// One question to another server: who asks the same shares the answer.
struct Asked {
  Question question;
  bool wants_dnssec = false;
  bool checking_disabled = false;

  std::string key() const;
};

class Cache {
 public:
  explicit Cache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  struct Entry {
    std::string key;
    Kept kept;
    Time since, until;
  };
  // Null: not there, or not good any more. It stays where it is until the next call.
  const Entry* find(const std::string& key, Time now);
  void put(std::string key, const Kept& kept, Time now);
  void clear();
  std::size_t bytes() const { return bytes_; }
  std::size_t size() const { return entries_.size(); }

  // As kubeadm's Corefile has it.
  static constexpr std::chrono::seconds kLongest{30};

 private:
  using Entries = std::list<Entry>;
  void drop(Entries::iterator entry);
  static std::size_t cost(const Entry& entry);

  const std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  Entries entries_;  // the last one that was asked for is the first
  std::unordered_map<std::string_view, Entries::iterator> by_key_;
};

}  // namespace gantry::dns
