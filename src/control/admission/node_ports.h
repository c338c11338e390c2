// SPDX-License-Identifier: Apache-2.0
// Which ports of nodes services have: one set of bits in the store, kept as upstream keeps it (RangeAllocation at
// /registry/ranges/servicenodeports), and changed on condition of its revision, so that no port is given twice whoever
// asks where. Any loop's thread.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "control/server/failure.h"
#include "control/store/store.h"

namespace gantry::control {

inline constexpr std::int32_t kFirstNodePort = 30000;
inline constexpr std::int32_t kLastNodePort = 32767;

class NodePorts {
 public:
  explicit NodePorts(Store& store) : store_(store) {}

  struct Taken {
    std::vector<std::int32_t> chosen;
    std::int32_t busy = 0;  // of those asked for, one that was not free: nothing was taken
    bool is_full = false;   // there are not as many: nothing was taken
  };
  // The ports of `wanted`, and `more` others. With dry_run nothing is written.
  Task<Result<Taken>> take(Loop& here, std::vector<std::int32_t> wanted, std::size_t more, bool dry_run);
  Task<Status> release(Loop& here, std::vector<std::int32_t> ports);
  // The ports of `used` are taken, those of `unused` free unless they are used. Answers which others are taken, by
  // nobody that is known.
  Task<Result<std::set<std::int32_t>>> repair(Loop& here, std::set<std::int32_t> used, std::set<std::int32_t> unused);

 private:
  struct Ports;
  Task<Result<Ports>> read(Loop& here);
  Task<Result<bool>> write(Loop& here, const Ports& ports);

  Store& store_;
};

}  // namespace gantry::control
