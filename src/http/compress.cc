// SPDX-License-Identifier: Apache-2.0
#include "http/compress.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <string>

#include "http/text.h"

namespace gantry::http {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10;  // about two milliseconds of work
constexpr std::size_t kLeastRoom = 64U << 10;
constexpr int kGzipWindow = 15 + 16;

struct Deflate {
  z_stream stream{};
  bool is_ready = false;
  Deflate() { is_ready = deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK; }
  ~Deflate() {
    if (is_ready) deflateEnd(&stream);
  }
  Deflate(const Deflate&) = delete;
  Deflate& operator=(const Deflate&) = delete;

  // What comes out for `piece`; nothing when zlib fails.
  bool feed(std::string_view piece, bool last, std::string& out) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream.avail_in = static_cast<uInt>(piece.size());
    out.clear();
    int code = Z_OK;
    do {
      // What came out of pieces before this one may still be inside, so that a bound for this one is none.
      const std::size_t have = out.size();
      out.resize(have + std::max<std::size_t>(kLeastRoom, deflateBound(&stream, stream.avail_in)));
      stream.next_out = reinterpret_cast<Bytef*>(out.data() + have);
      stream.avail_out = static_cast<uInt>(out.size() - have);
      code = deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH);
      out.resize(out.size() - stream.avail_out);
    } while (code == Z_OK && stream.avail_out == 0);
    if (code == Z_BUF_ERROR && !last) code = Z_OK;  // it had just filled all of the room
    return code == (last ? Z_STREAM_END : Z_OK) && stream.avail_in == 0;
  }
};

Task<> send_compressed(Loop& loop, std::string body, std::shared_ptr<const std::string> shared, BodyWriter& writer) {
  Deflate deflate;
  std::string_view left = shared ? *shared : body;
  std::string out;
  while (!left.empty()) {
    std::string_view piece = left.substr(0, kPieceBytes);
    left.remove_prefix(piece.size());
    if (!deflate.is_ready || !deflate.feed(piece, left.empty(), out)) co_return writer.cut_off();
    if (!co_await writer.write(out)) co_return;
    if (!left.empty()) co_await loop.sleep_for({});  // others' turn
  }
}

}  // namespace

bool accepts_gzip(const Request& request) {
  return std::ranges::any_of(request.values("Accept-Encoding"), [](std::string_view coding) {
    std::string_view name = trim_spaces(coding.substr(0, coding.find(';')));
    if (!equals_ignore_case(name, "gzip")) return false;
    std::size_t weight = coding.find("q=");
    return weight == std::string_view::npos || coding.find_first_of("123456789", weight) != std::string_view::npos;
  });
}

void compress(Loop& loop, Reply& reply, std::size_t least) {
  Response& response = reply.response;
  if (reply.stream || reply.upgrade || least == 0 || response.body_bytes().size() <= least || response.status != 200 ||
      !find_header(response.headers, "Content-Encoding").empty()) {
    return;
  }
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.headers.emplace_back("Vary", "Accept-Encoding");
  reply.stream = [&loop, body = std::exchange(response.body, {}),
                  shared = std::exchange(response.shared_body, nullptr)](BodyWriter& writer) mutable {
    return send_compressed(loop, std::move(body), std::move(shared), writer);
  };
}

}  // namespace gantry::http
