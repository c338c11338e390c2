// SPDX-License-Identifier: Apache-2.0
// What `gantry image pull` says while an image comes: on a terminal one line with a bar, which is gone in the end;
// elsewhere a line for each layer. Internal to src/images.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>

#include "base/owned_fd.h"
#include "images/registry/pull.h"

namespace gantry::images {

// Any thread.
class PullDisplay {
 public:
  // `out` outlives it. A terminal that says of itself that it is dumb gets lines, too.
  explicit PullDisplay(FdRef out);
  ~PullDisplay();
  PullDisplay(const PullDisplay&) = delete;
  PullDisplay& operator=(const PullDisplay&) = delete;

  void layer(const PullProgress& progress);
  void moved(const PullBytes& bytes);

 private:
  void draw();
  void write(const std::string& text) const;

  const FdRef out_;
  const bool is_terminal_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  PullBytes bytes_;
  std::size_t done_ = 0;
  std::size_t layers_ = 0;
};

// "3 of 12 layers [=====>     ]  45%  135MB of 300MB  12.3MB/s", in at most `width` characters.
std::string bar_line(std::size_t done, std::size_t layers, const PullBytes& bytes, std::chrono::milliseconds time,
                     std::size_t width);

}  // namespace gantry::images
