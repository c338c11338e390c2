// SPDX-License-Identifier: Apache-2.0
// Runs the confined workers (unpack_worker.h) and waits for them. Inflating and unpacking are two processes with this
// one between them, which counts and hashes the plain tar stream as it passes: so the digest that names a layer is
// never the word of a process that has parsed the layer.
//
//   source --> inflater --> here: bytes, ratio, sha256 --> unpacker --> folder
//
// Blocking; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/digest.h"

namespace gantry::images {

struct UnpackLimits {
  std::uint64_t total_bytes = 64ULL << 30;  // of the plain tar stream, and of the logical sizes of all files in it
  std::uint64_t file_bytes = 16ULL << 30;   // logical size of one file
  std::uint64_t entries = 2'000'000;
  // Plain bytes for each compressed byte, beyond the first 256 MiB of plain bytes.
  std::uint64_t ratio = 200;
  // Address space of a worker; 0 for no limit (sanitizers reserve terabytes).
  std::uint64_t memory_bytes = 1ULL << 30;
  std::uint64_t cpu_seconds = 1800;
};

struct UnpackOptions {
  UnpackLimits limits;
  // A worker that has something to read, or has read all, and does nothing for so long is killed.
  std::chrono::milliseconds patience = std::chrono::minutes(2);
  // And whoever gives nothing to read is not waited for longer. Of what comes from a registry its client says more.
  std::chrono::milliseconds deadline = std::chrono::hours(1);
  // The program to run again, with unpack-worker as its first argument.
  std::string program = "/proc/self/exe";
};

enum class UnpackKind {
  kLayer,  // a layer's changeset, with whiteouts, into an empty folder
  // An OCI or docker archive: only oci-layout, index.json, blobs/sha256/HEX and what is_docker_archive_part() names are
  // taken, all other entries passed over.
  kLayout,
};

struct Unpacked {
  Digest diff_id;           // of the plain tar stream, all of it
  std::uint64_t bytes = 0;  // on disk
  std::uint64_t inodes = 0;
  // Folders that the stream has no entry for and that were made on the way (kLayer only): their mode and owner are
  // those of the layers below. "" is the layer's root.
  std::vector<std::string> implied_folders;
};

// Reads `source`, a file (plain, gzip or zstd, by its first bytes), to its end, and writes what is in it into another.
struct Inflated {
  Digest diff_id;
  std::uint64_t bytes = 0;
};
Result<Inflated> inflate(FdRef source, FdRef file, const UnpackOptions& options);

// Reads `source` (plain, gzip or zstd, by its first bytes) to its end and unpacks it into `folder`, which is empty. The
// bytes before inflating are those of the file, or `packed_bytes` when it comes through a pipe or socket; without
// either the ratio has no limit.
// Opaque folders are marked (trusted.overlay.opaque) when this returns. Not synced. On failure the folder may hold
// anything.
Result<Unpacked> unpack(FdRef source, FdRef folder, UnpackKind kind, const UnpackOptions& options,
                        std::optional<std::uint64_t> packed_bytes = std::nullopt);

}  // namespace gantry::images
