// SPDX-License-Identifier: Apache-2.0
// The files that a container's log becomes when it is rotated, with kubelet's names:
//
//   0.log                        what the runtime writes
//   0.log.20260102-150405        the newest of the older ones, as it was written: who follows the log reads its end
//   0.log.20260101-150405.gz     others
//   0.log.20260101-150405.tmp    half of one that is being compressed; of no use when nobody does
//
// They are reached by no link (log_file.h), as containers may have their folder. Blocking calls, for a pool's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace gantry::agent {

// is_not_found(): the runtime writes to no file of that name, as after a rotation that was cut short.
Result<std::uint64_t> log_size(const std::string& root, const std::string& path);
// Renames the log, so that the runtime has to open a new one, and removes the oldest so that `max_files` (2 or more)
// are there with the new one. Returns the file's name now. `stamp`, as above, is its time.
Result<std::string> set_log_aside(const std::string& root, const std::string& path, const std::string& stamp,
                                  std::size_t max_files);
// Undoes it, as long as there is no new one.
Status put_log_back(const std::string& root, const std::string& path, const std::string& set_aside);
// Compresses the older ones but the newest, and removes what an earlier call has left behind half done. One call at a
// time for a log.
Status compress_older_logs(const std::string& root, const std::string& path);

}  // namespace gantry::agent
