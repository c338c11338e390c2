// SPDX-License-Identifier: Apache-2.0
#include "shim/attached_readers.h"

#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "sys/file.h"

namespace gantry::shim {

void AttachedReaders::add(std::uint32_t number, std::string container_id, OwnFd out, OwnFd err) {
  Reader& reader = readers_.emplace_back(*this, number, std::move(container_id));
  OwnFd* given[] = {&out, &err};
  for (std::size_t i = 0; i < std::size(given); ++i) {
    End& end = reader.ends[i];
    end.fd = std::move(*given[i]);
    if (!end.fd.is_open()) continue;
    int flags = ::fcntl(end.fd.get(), F_GETFL);
    (void)::fcntl(end.fd.get(), F_SETFL, flags | O_NONBLOCK);
    // Without an event of its own it tells when the other end is closed (EPOLLERR).
    if (!poller_.add(end.fd, 0, end)) return remove(number, true);
  }
}

bool AttachedReaders::write(End& end) {
  while (!end.pending.empty()) {
    auto count = sys::write(end.fd, end.pending.data(), end.pending.size());
    if (!count) return count.error().is_would_block();
    end.pending.erase(0, *count);
    end.since = Clock::now();
  }
  return true;
}

void AttachedReaders::give(const std::string& container_id, bool is_err, std::string_view bytes) {
  std::vector<std::uint32_t> gone, slow;
  for (Reader& reader : readers_) {
    End& end = reader.ends[is_err];
    if (reader.container_id != container_id || !end.fd.is_open()) continue;
    bool was_waiting = !end.pending.empty();
    if (!was_waiting) end.since = Clock::now();
    end.pending += bytes;
    if (!write(end)) {
      gone.push_back(reader.number);
    } else if (end.pending.size() > kMaxPending) {
      slow.push_back(reader.number);
    } else if (was_waiting == end.pending.empty()) {
      (void)poller_.change(end.fd, was_waiting ? 0 : EPOLLOUT, end);
    }
  }
  for (std::uint32_t number : gone) remove(number, false);
  for (std::uint32_t number : slow) remove(number, true);
}

void AttachedReaders::on_ready(End& end, std::uint32_t events) {
  Reader& reader = end.owner;
  if ((events & EPOLLERR) != 0 || !write(end)) return remove(reader.number, false);
  if (!end.pending.empty()) return;
  (void)poller_.change(end.fd, 0, end);
  if (reader.is_waiting()) return;
  std::string container_id = reader.container_id;
  if (reader.finished) remove(reader.number, false);
  if (!holds(container_id)) observer_.taken(container_id);
}

bool AttachedReaders::holds(const std::string& container_id) const {
  return std::ranges::any_of(
      readers_, [&](const Reader& reader) { return reader.container_id == container_id && reader.is_waiting(); });
}

bool AttachedReaders::any_waiting() const {
  return std::ranges::any_of(readers_, [](const Reader& reader) { return reader.is_waiting(); });
}

void AttachedReaders::finish(const std::string& container_id) {
  std::vector<std::uint32_t> done;
  for (Reader& reader : readers_) {
    if (reader.container_id != container_id) continue;
    reader.finished = true;
    if (!reader.is_waiting()) done.push_back(reader.number);
  }
  for (std::uint32_t number : done) remove(number, false);
}

void AttachedReaders::tick() {
  auto too_old = Clock::now() - kPatience;
  std::vector<std::uint32_t> late;
  for (const Reader& reader : readers_) {
    if (std::ranges::any_of(reader.ends, [&](const End& end) { return !end.pending.empty() && end.since < too_old; }))
      late.push_back(reader.number);
  }
  for (std::uint32_t number : late) remove(number, true);
}

void AttachedReaders::remove(std::uint32_t number, bool cut_off) {
  auto reader = std::ranges::find(readers_, number, &Reader::number);
  if (reader == readers_.end()) return;
  for (const End& end : reader->ends) {
    if (end.fd.is_open()) poller_.remove(end.fd);
  }
  std::string container_id = reader->container_id;
  bool was_waiting = reader->is_waiting();
  readers_.erase(reader);
  observer_.gone(number, cut_off);
  if (was_waiting && !holds(container_id)) observer_.taken(container_id);
}

}  // namespace gantry::shim
