// SPDX-License-Identifier: Apache-2.0
#include "images/shared_blobs.h"

namespace gantry::images {

SharedBlobs::Claim SharedBlobs::claim(const Digest& digest) {
  std::lock_guard guard(mutex_);
  auto [found, is_new] = blobs_.try_emplace(digest);
  if (is_new) return {Turn::kFetch, nullptr};
  return {found->second ? Turn::kHere : Turn::kBusy, found->second};
}

void SharedBlobs::came(const Digest& digest, OwnFd file) {
  std::lock_guard guard(mutex_);
  blobs_[digest] = std::make_shared<const OwnFd>(std::move(file));
  ++changes_;
  changed_.notify_all();
}

void SharedBlobs::ended(const Digest& digest) {
  std::lock_guard guard(mutex_);
  blobs_.erase(digest);
  ++changes_;
  changed_.notify_all();
}

std::uint64_t SharedBlobs::changes() {
  std::lock_guard guard(mutex_);
  return changes_;
}

void SharedBlobs::wait_for_change(std::uint64_t seen, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [&] { return changes_ > seen; });
}

}  // namespace gantry::images
