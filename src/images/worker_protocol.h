// SPDX-License-Identifier: Apache-2.0
// Between unpack.cc and the worker that it starts: one command line and one answer. Both are the same build of the same
// program, so this has no versions; the parent takes the answer for what a stranger says all the same. Internal to
// src/images.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::images {

// unpack-worker MODE FILE_BYTES TOTAL_BYTES ENTRIES MEMORY_BYTES CPU_SECONDS
enum class WorkerMode { kInflate, kLayer, kLayout };

struct WorkerArguments {
  WorkerMode mode = WorkerMode::kLayer;
  std::uint64_t file_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t cpu_seconds = 0;

  std::vector<std::string> to_argv() const;  // what follows unpack-worker
  static std::optional<WorkerArguments> parse(int argc, char** argv);
};

// Descriptors of the worker beside 0 (its input) and 1 (the inflater's output).
inline constexpr int kAnswerFd = 3;
inline constexpr int kFolderFd = 4;  // a detached clone of the folder's mount; the inflater has none

inline constexpr std::size_t kMaxAnswerBytes = 16U << 20;
// Folders of one kind. Each costs who reads the answer a system call or two.
inline constexpr std::size_t kMaxFolders = 250'000;

struct WorkerAnswer {
  std::string error;         // a sentence; "" when all went well
  bool is_resource = false;  // and that is of a limit or a full disk, not of what was to be unpacked
  std::uint64_t bytes = 0;
  std::uint64_t inodes = 0;
  // Both in ascending order, none twice.
  std::vector<std::string> opaque_folders;
  std::vector<std::string> implied_folders;

  std::string encode() const;
  static std::optional<WorkerAnswer> decode(std::string_view bytes);
};

}  // namespace gantry::images
