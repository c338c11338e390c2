// SPDX-License-Identifier: Apache-2.0
// What is said to CRIU and by it: protobuf messages (criu_req and criu_resp of its rpc.proto), one to a packet. Of
// these the few fields that checkpoint and restore use are written and read by hand: protobuf's library would cost
// every start of a container more than its own code does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace gantry::runtime {

// criu_req_type.
enum class CriuCall : std::uint64_t { kDump = 1, kRestore = 2, kPreDump = 4, kNotify = 6 };

// criu_cg_mode: what of cgroups is in an image, and is made again.
enum class CriuCgroups : std::uint64_t { kIgnore = 0, kSoft = 3, kFull = 4, kStrict = 5 };

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct CriuRequest {
  CriuCall call = CriuCall::kDump;
  // Numbers of this process's: CRIU opens them in /proc.
  int images_fd = -1;
  std::optional<int> work_fd;
  pid_t pid = 0;  // of a dump
  std::string log_file, root, parent_images;
  bool leave_running = false, tcp_established = false, external_sockets = false, shell_job = false;
  bool file_locks = false, tracks_memory = false, auto_dedup = false;
  CriuCgroups cgroups = CriuCgroups::kSoft;
  std::string freeze_cgroup;  // a folder
  std::string cgroup_root;    // of a restore: where the cgroup of the first process is now
  std::uint64_t empty_namespaces = 0;
  // By name: of a dump (place in the container, name in the image), of a restore (name in the image, path).
  Pairs mounts;
  Pairs joined;                        // (kind of namespace, path)
  std::vector<std::string> externals;  // "net[INODE]:NAME"
  // Of a restore: (name in the image, CRIU's own descriptor).
  std::vector<std::pair<std::string, int>> inherited;
};
std::string encode(const CriuRequest& request);
// The answer to a notification.
std::string encode_consent(bool consents);

struct CriuReply {
  CriuCall call = CriuCall::kDump;
  bool success = false;
  pid_t pid = 0;       // of a restore: its first process; of a notification: whom it is about
  std::string script;  // of a notification: what is about to happen
  int error = 0;       // an errno, or 0
  std::string message;
};
// kDataLoss when it is none.
Result<CriuReply> decode_reply(std::string_view bytes);

}  // namespace gantry::runtime
