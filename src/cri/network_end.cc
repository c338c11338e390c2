// SPDX-License-Identifier: Apache-2.0
#include "cri/network_end.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cri/retry.h"

namespace gantry::cri {
namespace {

constexpr std::ptrdiff_t kMaxBatch = 256;
constexpr Duration kLastRetry = std::chrono::minutes(1);

}  // namespace

NetworkEnd::NetworkEnd(Loop& loop, Pool& threads, netns::PodNetwork& network)
    : loop_(loop), threads_(threads), network_(network), tried_(std::make_shared<Event>(loop)) {}

void NetworkEnd::add(std::string sandbox_id) {
  waiting_.push_back(std::move(sandbox_id));
  if (std::exchange(working_, true)) return;
  loop_.spawn(work());
}

Task<bool> NetworkEnd::batch() {
  if (!working_ || failing_) co_return false;
  auto tried = tried_;
  co_await tried->wait();
  co_return !failing_;
}

Task<> NetworkEnd::work() {
  Duration delay = kFirstRetry;
  while (!waiting_.empty()) {
    auto rest = waiting_.begin() + std::min(std::ssize(waiting_), kMaxBatch);
    std::vector<std::string> batch(waiting_.begin(), rest);
    waiting_.erase(waiting_.begin(), rest);
    auto ended = co_await threads_.run([this, &batch] { return network_.detach(batch); });
    failing_ = !ended;
    std::exchange(tried_, std::make_shared<Event>(loop_))->set();
    if (ended) {
      delay = kFirstRetry;
      continue;
    }
    log::warning("the network of pods that have ended; it is tried again", {{"error", ended.error()}});
    waiting_.insert(waiting_.end(), batch.begin(), batch.end());
    co_await loop_.sleep_for(delay);
    delay = std::min<Duration>(delay * 2, kLastRetry);
  }
  working_ = false;
}

}  // namespace gantry::cri
