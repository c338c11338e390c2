// SPDX-License-Identifier: Apache-2.0
#include "sys/poll.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace gantry::sys {

Result<std::size_t> wait_any_readable(std::span<const FdRef> fds, SteadyTime deadline) {
  std::vector<pollfd> entries;
  for (FdRef fd : fds) entries.push_back({fd.get(), POLLIN, 0});
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return fail(Code::kDeadlineExceeded, "the time limit has passed");
    int ready = ::poll(entries.data(), entries.size(), static_cast<int>(std::min<long>(left, 3'600'000)));
    if (ready < 0 && errno != EINTR) return std::unexpected(Error::from_errno(errno, "poll"));
    if (ready <= 0) continue;
    auto first = std::ranges::find_if(entries, [](const pollfd& entry) { return entry.revents != 0; });
    return static_cast<std::size_t>(first - entries.begin());
  }
}

}  // namespace gantry::sys
