// SPDX-License-Identifier: Apache-2.0
#include "images/registry/parts.h"

#include <algorithm>

namespace gantry::images {

struct PartBoard::Shared {
  struct Span {
    std::uint64_t length;
    std::uint64_t have = 0;
    bool is_coming = true;
  };
  std::uint64_t size = 0;
  std::uint64_t front = 0;              // what the owner has taken
  std::uint64_t next = 0;               // where the next part begins
  std::map<std::uint64_t, Span> spans;  // by offset; none overlap, and what the owner has taken whole is none
  std::optional<Offer> offer;           // set once
  bool wants_help = false;
  bool is_withdrawn = false;
  int failures = 0;
};

PartBoard::Blob::Blob(PartBoard& board, std::uint64_t size)
    : board_(board), size_(size), shared_(std::make_shared<Shared>()) {
  shared_->size = size;
}

PartBoard::Blob::~Blob() {
  withdraw();
  std::lock_guard guard(board_.mutex_);
  if (is_connected_) ++board_.free_;
  board_.changed_.notify_all();
}

Status PartBoard::Blob::connect(const std::stop_token& stop) {
  std::unique_lock lock(board_.mutex_);
  if (is_connected_) return {};
  ++board_.waiting_;
  is_connected_ = board_.changed_.wait(lock, stop, [&] { return board_.free_ > 0; });
  --board_.waiting_;
  if (!is_connected_) return fail(Code::kCancelled, "cancelled");
  --board_.free_;
  return {};
}

void PartBoard::Blob::offer(Offer&& offer) {
  std::lock_guard guard(board_.mutex_);
  shared_->offer = std::move(offer);
  shared_->wants_help = true;
  board_.offered_.push_back(shared_);
  board_.changed_.notify_all();
}

bool PartBoard::Blob::is_offered() {
  std::lock_guard guard(board_.mutex_);
  return shared_->offer.has_value();
}

std::uint64_t PartBoard::Blob::gap_end(std::uint64_t front) {
  std::lock_guard guard(board_.mutex_);
  shared_->front = front;
  auto next = shared_->spans.lower_bound(front);
  while (next != shared_->spans.end() && next->second.length == 0) ++next;
  return next == shared_->spans.end() ? size_ : next->first;
}

Result<std::uint64_t> PartBoard::Blob::ready(std::uint64_t front, const std::stop_token& stop) {
  std::unique_lock lock(board_.mutex_);
  shared_->front = front;
  auto& spans = shared_->spans;
  // A part ends where the next begins, or before.
  while (!spans.empty() && spans.begin()->first + spans.begin()->second.length <= front) {
    spans.erase(spans.begin());
    board_.changed_.notify_all();
  }
  if (spans.empty() || spans.begin()->first > front) return 0;
  const std::uint64_t offset = spans.begin()->first;
  const Shared::Span& span = spans.begin()->second;
  auto is_there = [&] { return offset + span.have > front || !span.is_coming; };
  if (!is_there()) {
    if (is_connected_) ++board_.free_;
    is_connected_ = false;
    board_.changed_.notify_all();
    if (!board_.changed_.wait(lock, stop, is_there)) return fail(Code::kCancelled, "cancelled");
  }
  return offset + span.have - front;
}

void PartBoard::Blob::withdraw() {
  std::lock_guard guard(board_.mutex_);
  std::erase(board_.offered_, shared_);
  shared_->wants_help = false;
  shared_->is_withdrawn = true;
  // Those who still help go on with the old one until they notice.
  shared_ = std::make_shared<Shared>();
  shared_->size = size_;
}

std::optional<PartBoard::Part> PartBoard::next_part() {
  for (const auto& blob : offered_) {
    const std::uint64_t offset = std::max(blob->next, blob->front + kPartBytes);
    if (!blob->wants_help || offset >= blob->size || offset - blob->front > kMostAhead) continue;
    const std::uint64_t length = std::min(kPartBytes, blob->size - offset);
    blob->next = offset + length;
    blob->spans.emplace(offset, Shared::Span{length});
    return Part{blob, &*blob->offer, offset, length};
  }
  return std::nullopt;
}

std::optional<PartBoard::Part> PartBoard::take_part() {
  std::unique_lock lock(mutex_);
  std::optional<Part> part;
  changed_.wait(lock, [&] {
    if (!is_over_ && free_ > 0 && waiting_ == 0) part = next_part();
    return is_over_ || part;
  });
  if (part) --free_;
  return part;
}

bool PartBoard::came(const Part& part, std::uint64_t bytes) {
  std::lock_guard guard(mutex_);
  part.blob->spans.at(part.offset).have += bytes;
  changed_.notify_all();
  return !part.blob->is_withdrawn;
}

void PartBoard::ended(const Part& part, bool is_useless) {
  std::lock_guard guard(mutex_);
  ++free_;
  changed_.notify_all();
  const auto span = part.blob->spans.find(part.offset);
  if (span == part.blob->spans.end()) return;  // all of it came, and is taken already
  span->second.is_coming = false;
  if (span->second.have == span->second.length) return;
  span->second.length = span->second.have;
  if (is_useless || ++part.blob->failures == kMostFailures) part.blob->wants_help = false;
}

void PartBoard::end() {
  std::lock_guard guard(mutex_);
  is_over_ = true;
  changed_.notify_all();
}

}  // namespace gantry::images
