// SPDX-License-Identifier: Apache-2.0
// Writes files of given names into a tar archive: the same bytes for the same files. Internal to src/images.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

struct archive;

namespace gantry::images {

class TarWriter {
 public:
  // `to` outlives it.
  static Result<std::unique_ptr<TarWriter>> open(FdRef to);
  ~TarWriter();
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;

  Status add(const std::string& name, std::string_view bytes);
  // The first `size` bytes of the file; kDataLoss when it has less.
  Status add(const std::string& name, FdRef file, std::uint64_t size);
  // Writes the archive's end.
  Status finish();

 private:
  explicit TarWriter(FdRef to);
  Status begin(const std::string& name, std::uint64_t size);
  Status write(std::string_view bytes);
  std::unexpected<Error> failed();

  FdRef to_;
  std::unique_ptr<archive, int (*)(archive*)> writer_;
  std::unique_ptr<Error> error_;  // of a write
};

}  // namespace gantry::images
