// SPDX-License-Identifier: Apache-2.0
// Transport: how a Client's requests reach an API server: in this process (control/server/local_transport.h) or over
// the network. Whoever makes one decides as whom it asks.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "http/message.h"

namespace gantry::api {

// One line of a watch, without its end, or one frame of a watch in protobuf, without its length. An error ends the watch.
using TakeLine = std::function<Status(std::string_view line)>;

class Transport {
 public:
  virtual ~Transport() = default;
  // The whole answer, whatever its status. An Error means that there is none.
  virtual Task<Result<http::Response>> call(Loop& here, http::Request request) = 0;
  // The same for an answer that comes over time: its lines are given to `take` as they come, until it ends. An answer
  // other than 200 is returned as it is.
  virtual Task<Result<http::Response>> follow(Loop& here, http::Request request, TakeLine take) = 0;
};

// Makes lines, or frames, of bytes that come in any pieces. Before a frame stands its length in four bytes, the first of
// which is 0 as long as there are less than 16 MiB of it; no line of JSON begins with that.
class LineSplitter {
 public:
  explicit LineSplitter(TakeLine take) : take_(std::move(take)) {}
  // kResourceExhausted for a line or frame of more than 16 MiB; else what `take` says.
  Status add(std::string_view bytes);

 private:
  TakeLine take_;
  std::string begun_;
};

}  // namespace gantry::api
