// SPDX-License-Identifier: Apache-2.0
// One request of an HTTP/2 connection and its answer (http2_connection.cc). Loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/server_core.h"
#include "http/timer.h"

namespace gantry::http {

struct Http2Stream {
  Http2Stream(const std::shared_ptr<ServerCore>& core, std::int32_t number)
      : id(number),
        unfinished(core),
        limit(core->loop),
        closed(std::make_shared<Event>(core->loop)),
        taken(core->loop) {}

  const std::int32_t id;
  Request request;
  std::size_t header_bytes = 0;
  UnfinishedBytes unfinished;
  bool dispatched = false;  // the handler has it
  bool answered = false;    // the answer's headers are given to nghttp2
  bool cut_off = false;
  Timer limit;                    // of receiving the request, then of sending what is to be sent
  bool is_streaming = false;      // an answer over time is being written
  bool is_gone = false;           // the stream is over
  std::shared_ptr<Event> closed;  // so is what writes to it, at the latest then

  // What is to be sent: pieces of others that live until they are taken, then, when `at_end`, the end.
  Response response;
  std::vector<std::string_view> pieces;
  std::size_t next = 0;  // of the pieces
  bool at_end = false;
  Event taken;  // set when no piece is left

  void send(std::span<const std::string_view> bytes);
  bool has_pieces() const { return next < pieces.size(); }
  // Moves what fits into `buffer`.
  std::size_t fill(std::span<char> buffer);
};

}  // namespace gantry::http
