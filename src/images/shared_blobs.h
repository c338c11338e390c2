// SPDX-License-Identifier: Apache-2.0
// Blobs that several downloads of this process want at the same time: one fetches, the others take what came. Internal
// to src/images. Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>

#include "base/owned_fd.h"
#include "images/digest.h"

namespace gantry::images {

class SharedBlobs {
 public:
  enum class Turn {
    kFetch,  // it is the caller's, who says came() or ended(), and ended() also when his download is over
    kHere,   // it has come: `file` is it
    kBusy,   // another fetches it
  };
  struct Claim {
    Turn turn;
    std::shared_ptr<const OwnFd> file;
  };
  Claim claim(const Digest& digest);
  void came(const Digest& digest, OwnFd file);
  // Whoever wants it fetches it.
  void ended(const Digest& digest);

  // Counts what came and ended. Returns when that is more than `seen`, or `stop` is asked for.
  std::uint64_t changes();
  void wait_for_change(std::uint64_t seen, const std::stop_token& stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t changes_ = 0;
  std::map<Digest, std::shared_ptr<const OwnFd>> blobs_;  // nothing: not yet
};

}  // namespace gantry::images
