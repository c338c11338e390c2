// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 client's bytes, given to the server's session on a loop of its own. The client's preface and an empty
// SETTINGS frame go before the input; the first byte says which pieces the rest comes in.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "http/server_core.h"
#include "tests/fuzz/fuzz.h"

namespace http = gantry::http;
using gantry::Task;
using gantry::fuzz::expect;

namespace {

constexpr std::size_t kMaxBody = 4096, kMaxHeaders = 2048;

Task<http::Reply> handle(http::Request request) {
  expect(request.version == 2, "what comes here is HTTP/2");
  expect(!request.method.empty() && !request.target.empty(), "a request has a method and a target");
  expect(request.body.size() <= kMaxBody, "bodies are bounded");
  std::size_t headers = 0;
  for (const auto& [name, value] : request.headers) {
    headers += name.size() + value.size();
    expect(!name.starts_with(':'), "pseudo headers are no headers");
    expect(http::is_one_line(value), "a header is one line");
  }
  expect(headers <= kMaxHeaders, "headers are bounded");
  http::Reply reply;
  if (request.body.size() % 2 == 1) {
    reply.stream = [](http::BodyWriter& body) -> Task<> {
      for (int i = 0; i < 3; ++i) {
        if (!co_await body.write("some of it")) co_return;
      }
      body.cut_off();
    };
  } else {
    reply.response.body = request.method + " " + request.target;
  }
  co_return reply;
}

Task<> talk(gantry::Loop& loop, http::ByteStream& client, std::string_view bytes, std::size_t piece) {
  std::string_view preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 33);
  auto sent = co_await client.write(preface);
  for (; sent && !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    sent = co_await client.write(bytes.substr(0, piece));
    co_await loop.sleep_for({});
  }
  client.finish_writing();
  std::array<char, 4096> dropped;
  for (;;) {
    auto size = co_await client.read(dropped);
    if (!size || *size == 0) break;
  }
  loop.stop();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  auto text = gantry::fuzz::text_of(bytes + 1, size - 1);
  gantry::Loop loop;
  auto core = std::make_shared<http::ServerCore>(
      loop, handle, http::Limits{.max_header_bytes = kMaxHeaders, .max_body_bytes = kMaxBody});
  int ends[2];
  expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  auto client = http::make_socket_stream(loop, gantry::SocketFd(ends[1]));
  auto served = std::make_unique<http::TrackedStream>(core, http::make_socket_stream(loop, gantry::SocketFd(ends[0])));
  loop.spawn(http::serve_http2(core, std::move(served), {}));
  loop.spawn(talk(loop, *client, text, bytes[0] < 16 ? bytes[0] + 1U : 65536));
  loop.run();
  return 0;
}
