// SPDX-License-Identifier: Apache-2.0
// Frames of a WebSocket client: however they are cut into pieces, they mean the same. The first byte says how long the
// pieces are.
#include "http/websocket.h"

#include <string>

#include "tests/fuzz/fuzz.h"

namespace http = gantry::http;
using gantry::fuzz::expect;

namespace {

// All that comes of it, pieces of one message put together.
std::string read(std::string_view bytes, std::size_t piece) {
  http::WebSocketReader reader;
  std::string out;
  bool in_message = false;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    for (;;) {
      auto event = reader.next();
      if (!event) {
        gantry::fuzz::expect_sentence(event.error());
        auto again = reader.next();
        expect(!again && again.error().message() == event.error().message(), "an error stays");
        return out + "!" + event.error().message();
      }
      if (!*event) break;
      if ((*event)->kind != http::WebSocketEvent::Kind::kMessage) {
        expect((*event)->bytes.size() <= 125, "control frames are short");
        out += "<" + std::to_string(static_cast<int>((*event)->kind)) + std::string((*event)->bytes) + ">";
        // Within a message they come between its pieces: where does not count.
        continue;
      }
      expect((*event)->first != in_message, "a message begins when none has begun");
      in_message = !(*event)->last;
      if ((*event)->first) out += "(";
      out += (*event)->bytes;
      if ((*event)->last) out += ")";
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  std::string_view frames = gantry::fuzz::text_of(bytes + 1, size - 1);
  expect(read(frames, frames.size() + 1) == read(frames, bytes[0] % 16 + 1U), "pieces mean what the whole means");
  return 0;
}
