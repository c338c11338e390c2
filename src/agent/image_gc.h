// SPDX-License-Identifier: Apache-2.0
// Removes images that no container uses when their disk fills up, by kubelet's rules: at `high_percent` of the file
// system that they lie on the least recently used go, until it is at `low_percent`; none that a container uses or that
// is pinned, and none that came less than `min_age` ago. With `max_age`, also what nobody has used for so long. What a
// container uses as its image or as a volume is asked of the runtime, so that this works with any.
//
// Loop thread. When something was used is known since this began, as with kubelet.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

struct ImageGcLimits {
  int high_percent = 85;  // 100: never for the disk's sake
  int low_percent = 80;
  Duration min_age = std::chrono::minutes(2);
  Duration max_age = Duration::zero();  // zero: none is too old
};

struct DiskSpace {
  std::uint64_t capacity = 0;  // bytes
  std::uint64_t available = 0;
  // Rounded up, as kubelet does.
  int percent_used() const;
};

class ImageGc {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // `space` tells of the file system at a path; it is called on the loop and is quick. All outlive it.
  ImageGc(cri::RuntimeService& runtime, cri::ImageService& images, ImageGcLimits limits,
          std::function<Result<DiskSpace>(const std::string& path)> space);

  // One round. What can't be removed is logged and passed over; kResourceExhausted when the disk stays too full, with
  // how much was wanted.
  Task<Status> collect(TimePoint now);
  // All that nothing uses and that is not pinned, however young.
  Task<Status> remove_unused(TimePoint now);

 private:
  struct Known {
    TimePoint first_seen, last_used;  // of one that was never used: since when that is known
    bool was_used = false;
    bool is_used = false;
    bool is_pinned = false;
  };
  Task<Status> look(TimePoint now);
  Task<Result<std::set<std::string>>> used();
  Task<Result<std::pair<std::string, DiskSpace>>> measure();
  Task<bool> remove(std::string id);
  std::vector<std::string> removable(TimePoint now) const;

  cri::RuntimeService& runtime_;
  cri::ImageService& images_;
  ImageGcLimits limits_;
  std::function<Result<DiskSpace>(const std::string&)> space_;
  std::map<std::string, Known> known_;
  bool has_looked_ = false;
};

}  // namespace gantry::agent
