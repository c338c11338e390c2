// SPDX-License-Identifier: Apache-2.0
// A client of a few lines, on nghttp2 too, and one that sends what is no HTTP/2. Real clients (grpc-go) are in
// tests/conformance.
#include "cri/rpc_connection.h"

#include <gmock/gmock.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <random>

#include "http/byte_stream.h"

namespace gantry::cri {
namespace {

using ::testing::HasSubstr;
using Headers = std::vector<std::pair<std::string, std::string>>;

struct Answer {
  std::map<std::string, std::string> headers;
  std::string body;
  bool closed = false;
};

// Sends requests over one connection and gathers what comes.
class TestClient {
 public:
  TestClient(Loop& loop, SocketFd socket)
      : stream_(http::make_socket_stream(loop, std::move(socket))), news_(loop), wake_(loop), written_all_(loop) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
          auto& answer = static_cast<TestClient*>(user)->answers[frame->hd.stream_id];
          answer.headers[std::string(reinterpret_cast<const char*>(name), name_size)] =
              std::string(reinterpret_cast<const char*>(value), value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* user) {
          static_cast<TestClient*>(user)->answers[id].body.append(reinterpret_cast<const char*>(bytes), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
          static_cast<TestClient*>(user)->answers[id].closed = true;
          static_cast<TestClient*>(user)->news_.set();
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
    loop.spawn(read_all());
    loop.spawn(write_all());
  }
  ~TestClient() { nghttp2_session_del(session_); }

  std::int32_t send(const std::string& path, const std::string& body, const std::string& type = "application/grpc",
                    const std::string& timeout = "") {
    Headers headers = {{":method", "POST"},         {":scheme", "http"}, {":path", path},
                       {":authority", "localhost"}, {"te", "trailers"},  {"content-type", type}};
    if (!timeout.empty()) headers.emplace_back("grpc-timeout", timeout);
    std::vector<nghttp2_nv> pairs;
    for (auto& [name, value] : headers) {
      pairs.push_back({reinterpret_cast<std::uint8_t*>(name.data()), reinterpret_cast<std::uint8_t*>(value.data()),
                       name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    auto& left = bodies_.emplace_back(body);
    nghttp2_data_provider provider{.source = {.ptr = &left}, .read_callback = read_body};
    return nghttp2_submit_request(session_, nullptr, pairs.data(), pairs.size(), &provider, nullptr);
  }
  // One writer at a time: the reader wakes it for what it owes the server (acknowledgements, windows).
  Task<> write_all() {
    while (!ended) {
      wake_.reset();
      const std::uint8_t* bytes = nullptr;
      auto size = nghttp2_session_mem_send(session_, &bytes);
      if (size > 0) {
        (void)co_await stream_->write(
            std::string(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)));
      } else {
        co_await wake_.wait();
      }
    }
    written_all_.set();
  }
  Task<> wait_for(std::int32_t id) {
    wake_.set();
    while (!answers[id].closed && !ended) {
      news_.reset();
      co_await news_.wait();
    }
  }
  void cancel(std::int32_t id) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    wake_.set();
  }
  // Before the client goes.
  Task<> close() {
    stream_->close();
    co_await written_all_.wait();
  }

  std::map<std::int32_t, Answer> answers;
  bool ended = false;

 private:
  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size, std::uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& left = *static_cast<std::string*>(source->ptr);
    std::size_t count = std::min(size, left.size());
    std::copy_n(left.data(), count, reinterpret_cast<char*>(buffer));
    left.erase(0, count);
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }
  Task<> read_all() {
    std::array<char, 65536> buffer;
    for (;;) {
      auto count = co_await stream_->read(buffer);
      if (!count || *count == 0) break;
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(buffer.data()), *count);
      wake_.set();
    }
    ended = true;
    news_.set();
    wake_.set();
  }

  std::unique_ptr<http::ByteStream> stream_;
  nghttp2_session* session_ = nullptr;
  Event news_, wake_, written_all_;
  std::list<std::string> bodies_;
};

std::string message(const std::string& text) {
  std::string out(5, '\0');
  for (int i = 0; i < 4; ++i) out[1 + i] = static_cast<char>(text.size() >> (24 - 8 * i));
  return out + text;
}

// The service: what the path says.
Task<Result<RpcConnection::Messages>> serve(Loop& loop, Event& never, std::string path, std::string request,
                                            std::shared_ptr<Event> over) {
  using Messages = RpcConnection::Messages;
  if (path == "/echo") co_return Messages{request};
  if (path == "/stream") co_return Messages{request, "", request};
  if (path == "/empty-stream") co_return Messages{};
  if (path == "/slow") {
    co_await never.wait();
    co_return Messages{"late"};
  }
  if (path == "/until-over") {
    co_await over->wait();
    never.set();
    co_return fail(Code::kCancelled, "over");
  }
  if (path == "/large") co_return Messages{"first", std::string(kMaxMessageBytes + 1, 'x')};
  (void)loop;
  co_return fail(Code::kNotFound, "no \"ü\"\n" + path);
}

struct World {
  World() : never(loop), closed(loop) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    auto opened = RpcConnection::open(
        loop, SocketFd(fds[0]),
        [this](std::string path, std::string request, std::shared_ptr<Event> over) {
          return serve(loop, never, std::move(path), std::move(request), std::move(over));
        },
        [this] { closed.set(); });
    EXPECT_TRUE(opened);
    connection = std::move(*opened);
    ours = SocketFd(fds[1]);
  }
  void run(Task<> task) {
    loop.spawn([](Loop& l, Task<> inner) -> Task<> {
      co_await inner;
      l.stop();
    }(loop, std::move(task)));
    loop.run();
  }
  Loop loop;
  Event never, closed;
  std::shared_ptr<RpcConnection> connection;
  SocketFd ours;
};

TEST(RpcConnection, AnswersMessagesOfAllSizesSideBySide) {
  World world;
  world.run([](World& w) -> Task<> {
    TestClient client(w.loop, std::move(w.ours));
    std::vector<std::pair<std::int32_t, std::string>> sent;
    for (std::size_t size : {0, 1, 70'000, 3'000'000}) {
      std::string text(size, static_cast<char>('a' + size % 20));
      sent.emplace_back(client.send("/echo", message(text)), text);
    }
    for (auto& [id, text] : sent) {
      co_await client.wait_for(id);
      auto& answer = client.answers[id];
      EXPECT_EQ(answer.headers[":status"], "200");
      EXPECT_EQ(answer.headers["content-type"], "application/grpc");
      EXPECT_EQ(answer.headers["grpc-status"], "0");
      EXPECT_TRUE(answer.body == message(text)) << text.size() << " bytes sent, " << answer.body.size() << " came";
    }
    for (auto [path, body] : {std::pair<std::string, std::string>("/stream", message("x") + message("") + message("x")),
                              {"/empty-stream", ""}}) {
      auto id = client.send(path, message("x"));
      co_await client.wait_for(id);
      EXPECT_EQ(client.answers[id].headers["grpc-status"], "0");
      EXPECT_EQ(client.answers[id].body, body) << path;
    }
    co_await client.close();
    co_await w.closed.wait();
  }(world));
}

TEST(RpcConnection, ErrorsAreAStatusAndASentence) {
  World world;
  world.run([](World& w) -> Task<> {
    TestClient client(w.loop, std::move(w.ours));
    struct Case {
      std::string path, body, type, status, text;
    };
    std::string compressed = message("x"), two = message("x") + message("y");
    compressed[0] = 1;
    for (const auto& c : std::vector<Case>{
             {"/nothing", message(""), "application/grpc+proto", "5", "no \"%C3%BC\"%0A/nothing"},
             {"/echo", message("x"), "text/html", "3", "gRPC"},
             {"/echo", "", "application/grpc", "3", "no message"},
             {"/echo", compressed, "application/grpc", "12", "compressed"},
             {"/echo", two, "application/grpc", "3", "one whole message"},
             {"/echo", message(std::string(kMaxMessageBytes + 1, 'x')), "application/grpc", "8", "16777216"},
             {"/large", message(""), "application/grpc", "8", "ask with a filter"}}) {
      auto id = client.send(c.path, c.body, c.type);
      co_await client.wait_for(id);
      auto& answer = client.answers[id];
      EXPECT_EQ(answer.headers["grpc-status"], c.status) << c.text;
      EXPECT_THAT(answer.headers["grpc-message"], HasSubstr(c.text));
      EXPECT_TRUE(answer.body.empty());
    }
    auto id = client.send("/echo", message("still here"));
    co_await client.wait_for(id);
    EXPECT_EQ(client.answers[id].headers["grpc-status"], "0");
    co_await client.close();
  }(world));
}

TEST(RpcConnection, StopTellsThoseWhoWait) {
  World world;
  world.run([](World& w) -> Task<> {
    TestClient client(w.loop, std::move(w.ours));
    auto slow = client.send("/slow", message(""));
    auto quick = client.send("/echo", message(""));
    co_await client.wait_for(quick);
    w.connection->stop();
    co_await client.wait_for(slow);
    EXPECT_EQ(client.answers[slow].headers["grpc-status"], "14");
    co_await w.closed.wait();
    // What the call began comes to its end, and its answer goes nowhere.
    w.never.set();
    Event later(w.loop);
    w.loop.post([&] { w.loop.post([&] { later.set(); }); });
    co_await later.wait();
    co_await client.close();
  }(world));
}

TEST(RpcConnection, ACallIsToldWhenNobodyWaitsForIt) {
  for (std::string way : {"cancel", "timeout", "close", "stop"}) {
    World world;
    world.run([](World& w, std::string end) -> Task<> {
      TestClient client(w.loop, std::move(w.ours));
      auto waits = client.send("/until-over", message(""), "application/grpc", end == "timeout" ? "20m" : "100H");
      auto other = client.send("/echo", message("x"), "application/grpc", "1u");
      co_await client.wait_for(other);
      EXPECT_EQ(client.answers[other].headers["grpc-status"], "0") << "its answer came all the same";
      EXPECT_FALSE(w.never.is_set() && end != "timeout");
      if (end == "cancel") client.cancel(waits);
      if (end == "close") co_await client.close();
      if (end == "stop") w.connection->stop();
      EXPECT_TRUE(co_await w.never.wait_for(std::chrono::seconds(10))) << end;
      if (end == "timeout") {
        co_await client.wait_for(waits);
        EXPECT_EQ(client.answers[waits].headers["grpc-status"], "1");
      }
      if (end != "close") co_await client.close();
    }(world, way));
  }
  // A timeout that is none is no limit.
  for (std::string text : {"m", "1", "1x", "123456789S", "-1S", " 1S", "1 S"}) {
    World world;
    world.run([](World& w, std::string timeout) -> Task<> {
      TestClient client(w.loop, std::move(w.ours));
      auto id = client.send("/until-over", message(""), "application/grpc", timeout);
      auto other = client.send("/echo", message("x"));
      co_await client.wait_for(other);
      EXPECT_FALSE(w.never.is_set()) << timeout;
      (void)id;
      co_await client.close();
    }(world, text));
  }
}

TEST(RpcConnection, GarbageEndsTheConnection) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    World world;
    std::string bytes = round % 2 == 0 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
    for (int i = 0; i < 400; ++i) bytes += static_cast<char>(random());
    world.run([](World& w, std::string garbage) -> Task<> {
      auto stream = http::make_socket_stream(w.loop, std::move(w.ours));
      (void)co_await stream->write(garbage);
      stream->close();
      co_await w.closed.wait();
    }(world, bytes));
  }
}

}  // namespace
}  // namespace gantry::cri
