// SPDX-License-Identifier: Apache-2.0
// One layer on its way: what comes is kept as a blob and unpacked at the same time by the confined worker, on a thread
// of its own. Internal to src/images.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/unpack.h"

namespace gantry::images {

class LayerStream {
 public:
  // `size` is the packed layer's, `blob` is an empty file to read and write, `folder` an empty folder; `options`
  // outlives this.
  static Result<std::unique_ptr<LayerStream>> open(std::uint64_t size, OwnFd&& blob, OwnFd&& folder,
                                                   const UnpackOptions& options);
  ~LayerStream();
  LayerStream(const LayerStream&) = delete;
  LayerStream& operator=(const LayerStream&) = delete;

  // The next bytes; `is_kept` when they are in the file already. An error is the disk's, or the worker's, who has found
  // fault with the layer.
  Status take(std::string_view bytes, bool is_kept);
  // For who keeps bytes there that are further on.
  Result<OwnFd> share_file() const { return blob_.duplicate(); }
  // All has come: waits for the worker's end.
  Result<Unpacked> finish();

 private:
  LayerStream(OwnFd&& blob, OwnFd&& folder, SocketFd&& feed, SocketFd&& source, const UnpackOptions& options);
  void run(std::uint64_t size);
  void end_feed();

  OwnFd blob_;
  std::uint64_t taken_ = 0;
  OwnFd folder_;
  SocketFd feed_;    // our end; closed when the worker wants no more
  SocketFd source_;  // the worker's
  const UnpackOptions& options_;
  std::optional<Result<Unpacked>> unpacked_;  // by the thread; read after it is joined
  std::thread worker_;
};

}  // namespace gantry::images
