// SPDX-License-Identifier: Apache-2.0
// Frames of a SPDY client, for the server's side of a connection, which answers. The first byte says how long the
// pieces are in which they come.
#include <string>

#include "http/spdy_session.h"
#include "tests/fuzz/fuzz.h"

namespace spdy = gantry::http::spdy;
using gantry::fuzz::expect;

namespace {

void serve(std::string_view bytes, std::size_t piece) {
  spdy::SessionLimits limits;
  limits.max_streams = 4;
  spdy::ServerSession session(limits);
  std::size_t open = 0;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    session.feed(bytes.substr(at, piece));
    for (;;) {
      auto event = session.next();
      if (!event) {
        gantry::fuzz::expect_sentence(event.error());
        auto again = session.next();
        expect(!again && again.error().message() == event.error().message(), "an error stays");
        return;
      }
      if (!*event) break;
      if (auto* opened = std::get_if<spdy::StreamOpened>(&**event)) {
        expect(session.is_open(opened->id), "a stream that was opened is open");
        expect(opened->headers.size() <= limits.frames.max_headers, "headers are bounded");
        session.reply(opened->id);
        session.send(opened->id, std::string(std::min<std::size_t>(session.sendable(opened->id), 100), 'x'),
                     open++ % 3 == 0);
      } else if (auto* data = std::get_if<spdy::DataReceived>(&**event)) {
        session.consumed(data->id, data->bytes.size());
        if (data->bytes.size() % 7 == 6) session.reset(data->id, spdy::RstStatus::kCancel);
      }
    }
  }
  session.goaway(spdy::GoawayStatus::kOk);
  // What it said is what another reader understands.
  spdy::FrameReader reader;
  reader.feed(session.output());
  for (;;) {
    auto frame = reader.next();
    expect(frame.has_value(), "the answer is SPDY");
    if (!*frame) break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  std::string_view frames = gantry::fuzz::text_of(bytes + 1, size - 1);
  serve(frames, bytes[0] % 64 + 1U);
  return 0;
}
