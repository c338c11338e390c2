// SPDX-License-Identifier: Apache-2.0
// The header blocks of SPDY/3.1: names and values with 32-bit lengths, through one zlib stream a direction that lives
// as long as the connection and starts with the protocol's dictionary.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/spdy_frames.h"

namespace gantry::http::spdy {

// Draft 3.1, section 2.6.10.1: 1423 bytes, Adler-32 e3c6a7c2.
const std::string& header_dictionary();

class HeaderInflater {
 public:
  HeaderInflater();
  ~HeaderInflater();
  HeaderInflater(const HeaderInflater&) = delete;
  HeaderInflater& operator=(const HeaderInflater&) = delete;
  // One block. Errors leave the stream unusable.
  Result<Headers> read(std::string_view block, const FrameLimits& limits);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class HeaderDeflater {
 public:
  HeaderDeflater();
  ~HeaderDeflater();
  HeaderDeflater(const HeaderDeflater&) = delete;
  HeaderDeflater& operator=(const HeaderDeflater&) = delete;
  std::string write(const Headers& headers);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::http::spdy
