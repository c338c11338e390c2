// SPDX-License-Identifier: Apache-2.0
// What a configMap, secret, downwardAPI or projected volume shall hold: files by their path within it. Values; pure.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::volumes {

struct File {
  std::string bytes;
  mode_t mode = 0644;
  std::optional<uid_t> owner;  // not given: root

  friend bool operator==(const File&, const File&) = default;
};

// By relative path: components that are names, with one slash between them.
using Payload = std::map<std::string, File>;

// Of all files together. An object of the API is at most 1.5 MiB, and a pod names few.
inline constexpr std::size_t kMaxPayloadBytes = 64 << 20;
inline constexpr std::size_t kMaxPayloadFiles = 100'000;

// The path as a payload has it: "./a//b" is "a/b". kInvalidArgument: it is absolute, empty or too long, has "..", or
// begins as the writer's own names do.
Result<std::string> payload_path(std::string_view path);

// Adds a file; of two at one place the later counts, as in kubelet. Errors are those of payload_path().
Status add_file(Payload& payload, std::string_view path, File file);

// No file is at a place where another one has a folder, and all of it is within the limits.
Status check_payload(const Payload& payload);

}  // namespace gantry::volumes
