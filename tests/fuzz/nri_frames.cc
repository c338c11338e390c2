// SPDX-License-Identifier: Apache-2.0
// Frames and messages of an NRI plugin: however they are cut into pieces, they mean the same. The first byte says how
// long the pieces are.
#include <string>

#include "nri/frames.h"
#include "tests/fuzz/fuzz.h"

namespace nri = gantry::nri;
using gantry::fuzz::expect;

namespace {

// All that comes of it; `again` becomes the messages as they would be written.
std::string read(std::string_view bytes, std::size_t piece, std::string* again) {
  nri::FrameReader reader;
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    for (;;) {
      auto message = reader.next();
      if (!message) {
        gantry::fuzz::expect_sentence(message.error());
        auto after = reader.next();
        expect(!after && after.error().message() == message.error().message(), "an error stays");
        return out + "!" + message.error().message();
      }
      if (!*message) break;
      expect((*message)->data.size() <= nri::kMaxMessageBytes, "messages are bounded");
      std::string text = nri::encode(**message);
      out += text;
      if (again != nullptr) *again += text;
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  std::string_view frames = gantry::fuzz::text_of(bytes + 1, size - 1);
  std::string written;
  std::string whole = read(frames, frames.size() + 1, &written);
  expect(read(frames, bytes[0] % 16 + 1U, nullptr) == whole, "pieces mean what the whole means");
  expect(read(written, written.size() + 1, nullptr) == written, "what is written is read");
  return 0;
}
