// SPDX-License-Identifier: Apache-2.0
// What the agent keeps on disk for its pods, as a drawing and functions; nobody else joins these names.
//
//   ROOT/pods/UID/                                  0750
//     volumes/                                      volumes/prepare.h draws it
//     containers/NAME/ATTEMPT                       the file at terminationMessagePath
//     etc-hosts                                     its containers' /etc/hosts
//     evicted.json                                  eviction/record.h
//     userns                                        user_ranges.h
//   ROOT/pods/.UID.going/                           the same on its way out
//   LOGS/NAMESPACE_NAME_UID/NAME/ATTEMPT.log        written by the runtime
//   LINKS/NAME_NAMESPACE_CONTAINER-ID.log           a link to it
//
// Names within volumes and containers are the API's, validated as DNS labels. What containers write into (an emptyDir)
// is only ever removed by descriptor, by sys::remove_tree, and nothing in LOGS is reached by a link (log_file.h).
//
// All functions block: on the pool. A value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::agent {

// What kubelet reads of a termination message.
inline constexpr std::size_t kMaxTerminationMessage = 4096;

class PodFolders {
 public:
  PodFolders(std::string root_dir, std::string pod_logs_dir, std::string container_logs_dir)
      : root_(std::move(root_dir)), logs_(std::move(pod_logs_dir)), links_(std::move(container_logs_dir)) {}

  // Makes the three folders, and removes links that lead to logs which are no longer there.
  Status prepare() const;

  std::string pod_folder(std::string_view uid) const { return root_ + "/pods/" + std::string(uid); }

  // Makes an empty file, writable for everybody, which the container finds at its terminationMessagePath.
  Result<std::string> make_termination_log(std::string_view uid, std::string_view container,
                                           std::uint32_t attempt) const;
  // Makes the pod's /etc/hosts, or has it say this; containers have it mounted, so it stays the same file.
  Result<std::string> write_hosts(std::string_view uid, std::string_view text) const;
  // The end of a termination file. Empty when there is none.
  std::string read_termination_log(const std::string& path) const;
  // The end of a container's log, at most 2 KiB and 80 lines: what stands in for a message under FallbackToLogsOnError.
  std::string read_log_end(const std::string& log_path) const;

  // `link` as of container_log_link(), `target` the log's path. One that is there is replaced.
  Status link_log(const std::string& link, const std::string& target) const;
  // The link, the log with what was rotated from it, and the termination file of a container that is removed.
  Status remove_container_files(std::string_view uid, std::string_view container, std::uint32_t attempt,
                                std::string_view pod_log_folder, const std::string& link) const;

  // All of the above of a pod: volumes are unmounted, trees removed. What is not there is fine, and so is a call that
  // was cut short: volumes of a pod that comes again with the same uid are new ones, and the next call removes the
  // rest.
  Status remove_pod(std::string_view uid, std::string_view pod_log_folder) const;

 private:
  Status remove_folder(std::string_view uid) const;

  std::string root_, logs_, links_;
};

}  // namespace gantry::agent
