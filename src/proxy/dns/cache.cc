// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/cache.h"

#include <algorithm>
#include <utility>

namespace gantry::dns {

std::string Asked::key() const {
  std::string key = lowered_name(question.name);
  for (std::uint16_t value : {static_cast<std::uint16_t>(question.type), question.klass}) {
    key.push_back(static_cast<char>(value >> 8));
    key.push_back(static_cast<char>(value & 0xff));
  }
  key.push_back(static_cast<char>((wants_dnssec ? 1 : 0) | (checking_disabled ? 2 : 0)));
  return key;
}

// What it takes of memory, with its nodes in the list and the table.
std::size_t Cache::cost(const Entry& entry) {
  return entry.key.capacity() + entry.kept.bytes.capacity() + 2 * entry.kept.ttl_offsets.capacity() + sizeof(Entry) +
         96;
}

void Cache::drop(Entries::iterator entry) {
  bytes_ -= cost(*entry);
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

const Cache::Entry* Cache::find(const std::string& key, Time now) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  auto entry = found->second;
  if (entry->until <= now) {
    drop(entry);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  return &*entry;
}

void Cache::put(std::string key, const Kept& kept, Time now) {
  if (auto found = by_key_.find(key); found != by_key_.end()) drop(found->second);
  if (kept.ttl == 0) return;
  const auto good = std::min<std::chrono::seconds>(std::chrono::seconds(kept.ttl), kLongest);
  entries_.push_front({std::move(key), kept, now, now + good});
  by_key_.emplace(entries_.front().key, entries_.begin());
  bytes_ += cost(entries_.front());
  while (bytes_ > most_bytes_) drop(std::prev(entries_.end()));
}

void Cache::clear() {
  by_key_.clear();
  entries_.clear();
  bytes_ = 0;
}

}  // namespace gantry::dns
