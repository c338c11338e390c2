// SPDX-License-Identifier: Apache-2.0
// What gantryd tells its checkpoint worker (checkpoint_worker.h), as text: both are the same program, of one version.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/oci/id_mappings.h"

namespace gantry::cri {

struct CheckpointOrder {
  pid_t pid = 0;       // of the container's first process
  std::string cgroup;  // the container's
  std::string criu;    // the program
  // Places in the container: of mounts that come from the host, and of masks.
  std::vector<std::string> from_host, masked;
  runtime::oci::IdMappings users;  // of the container's user namespace; empty: the host's
  // The archive's file, in the folder that is handed over.
  std::string name;
  // Files of the archive, with their texts.
  std::vector<std::pair<std::string, std::string>> documents;

  bool operator==(const CheckpointOrder&) const = default;
};
inline constexpr std::size_t kMaxOrderBytes = 64U << 20;

std::string encode(const CheckpointOrder& order);
// kDataLoss when it is none.
Result<CheckpointOrder> decode_order(std::string_view text);

// How it ended.
std::string encode_answer(const Status& answer);
// Nothing when this is none: who should have answered has died.
std::optional<Status> decode_answer(std::string_view text);

}  // namespace gantry::cri
