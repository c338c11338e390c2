// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "cri/streaming_messages.h"
#include "http/test_client.h"

namespace gantry::cri {
namespace {

using namespace std::chrono_literals;
using http::TestClient;

// The process's side of a fake exec: blocking descriptors, on a thread of its own.
struct ProcessSide {
  OwnFd in, out, err, terminal;
};
using Program = std::function<sys::ExitStatus(ProcessSide&)>;

// What a test sees of a session, also after it is gone.
struct Seen {
  std::atomic<bool> started = false, cancelled = false, destroyed = false;
  std::vector<std::string> sizes;  // loop thread
  std::promise<void> cancel_promise;
};

void write_text(const OwnFd& fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t size = ::write(fd.get(), text.data(), text.size());
    if (size <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

void set_nonblocking(const OwnFd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

void make_pipe(OwnFd& read_end, OwnFd& write_end) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  read_end = OwnFd(fds[0]);
  write_end = OwnFd(fds[1]);
}

// A session made of pipes (or a terminal) and a function on a thread instead of a process.
class FakeSession final : public ExecSession {
 public:
  FakeSession(Loop& loop, std::shared_ptr<Seen> seen, Program program)
      : loop_(loop), seen_(std::move(seen)), program_(std::move(program)), ended_(loop) {}
  ~FakeSession() override { seen_->destroyed = true; }

  Task<Result<ExecStreams>> start(ExecStreamSet wanted) override {
    if (!program_) co_return fail(Code::kNotFound, "exec \"nosuch\": executable file not found in $PATH");
    ExecStreams ours;
    ProcessSide theirs;
    if (wanted.tty) {
      ours.terminal = OwnFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
      ::grantpt(ours.terminal.get());
      ::unlockpt(ours.terminal.get());
      theirs.terminal = OwnFd(::open(::ptsname(ours.terminal.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
      set_nonblocking(ours.terminal);
    } else {
      if (wanted.in) make_pipe(theirs.in, ours.in);
      if (wanted.out) make_pipe(ours.out, theirs.out);
      if (wanted.err) make_pipe(ours.err, theirs.err);
      for (const OwnFd* fd : {&ours.in, &ours.out, &ours.err}) {
        if (fd->is_open()) set_nonblocking(*fd);
      }
    }
    thread_ = std::jthread([this, side = std::move(theirs)]() mutable {
      auto status = program_(side);
      loop_.post([this, status] {
        status_ = status;
        ended_.set();
      });
    });
    seen_->started = true;
    co_return ours;
  }
  Task<Result<sys::ExitStatus>> wait() override {
    co_await ended_.wait();
    co_return status_;
  }
  void resize(std::uint16_t rows, std::uint16_t columns) override {
    seen_->sizes.push_back(std::to_string(columns) + "x" + std::to_string(rows));
  }
  void cancel() override {
    seen_->cancelled = true;
    seen_->cancel_promise.set_value();
  }

 private:
  Loop& loop_;
  std::shared_ptr<Seen> seen_;
  Program program_;
  Event ended_;
  sys::ExitStatus status_;
  std::jthread thread_;
};

class StreamingTest : public testing::Test {
 protected:
  void SetUp() override { ::signal(SIGPIPE, SIG_IGN); }

  void start(StreamingOptions options = {}) {
    auto listener = http::listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener) << listener.error().message();
    auto server = StreamingServer::start(loop_, std::move(*listener), options);
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }
  // The path part of a new URL.
  std::string add(ExecStreamSet streams, Program program) {
    seen_ = std::make_shared<Seen>();
    auto url = server_->add_exec(streams, std::make_unique<FakeSession>(loop_, seen_, std::move(program)));
    EXPECT_TRUE(url) << url.error().message();
    std::string base = "http://127.0.0.1:" + std::to_string(server_->port());
    EXPECT_TRUE(url && url->starts_with(base + "/exec/")) << *url;
    return url->substr(base.size());
  }
  // Runs the loop while `client` runs on a thread.
  void with_client(std::function<void()> client) {
    std::jthread thread([this, &client] {
      client();
      loop_.post([this] { loop_.stop(); });
    });
    loop_.run();
  }
  // On the loop, from the client's thread.
  void on_loop(std::function<void()> work) {
    std::promise<void> done;
    loop_.post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::uint16_t port() { return server_->port(); }

  static constexpr ExecStreamSet kOutErr{.out = true, .err = true};
  static constexpr ExecStreamSet kAll{.in = true, .out = true, .err = true};
  static constexpr ExecStreamSet kTerminal{.tty = true, .in = true, .out = true};
  static constexpr const char* kSuccess = R"({"metadata":{},"status":"Success"})";

  Loop loop_;
  std::unique_ptr<StreamingServer> server_;
  std::shared_ptr<Seen> seen_;
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// cat
sys::ExitStatus copy_input(ProcessSide& side) {
  std::array<char, 4096> buffer;
  for (;;) {
    ssize_t size = ::read(side.in.get(), buffer.data(), buffer.size());
    if (size <= 0) return {0, 0};
    write_text(side.out, std::string_view(buffer.data(), static_cast<std::size_t>(size)));
  }
}

TEST_F(StreamingTest, OutputErrorsAndExitCode) {
  start();
  auto path = add(kOutErr, [](ProcessSide& side) {
    write_text(side.out, "to stdout");
    write_text(side.err, "to stderr");
    return sys::ExitStatus{3, 0};
  });
  with_client([&] {
    TestClient client(port());
    auto head = client.upgrade(path, "v4.channel.k8s.io, v3.channel.k8s.io");
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101 ")) << head;
    EXPECT_TRUE(has(head, "Upgrade: SPDY/3.1\r\n") && has(head, "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"));
    auto error = client.open("error"), out = client.open("stdout"), err = client.open("stderr");
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_TRUE(client.finished.contains(out) && client.finished.contains(err)) << "before the status";
    EXPECT_EQ(client.received[out], "to stdout");
    EXPECT_EQ(client.received[err], "to stderr");
    EXPECT_EQ(client.received[error],
              R"({"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: )"
              R"(command terminated with exit code 3","reason":"NonZeroExitCode","details":{"causes":)"
              R"([{"reason":"ExitCode","message":"3"}]}})");
    EXPECT_TRUE(client.read_until([&] { return client.goaway; }));
    EXPECT_EQ(client.goaway_status, 0u);
  });
  EXPECT_FALSE(seen_->cancelled);
}

TEST_F(StreamingTest, InputIsCopiedWholeAndItsEndIsPassedOn) {
  start();
  auto path = add(kAll, copy_input);
  std::string input;
  for (int i = 0; input.size() < (1 << 20); ++i) input += std::to_string(i) + "\n";
  with_client([&] {
    TestClient client(port());
    client.upgrade(path);
    auto error = client.open("error"), in = client.open("stdin"), out = client.open("stdout");
    client.open("stderr");
    std::jthread writer([&] { client.write(in, input, true); });
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[out].size(), input.size());
    EXPECT_TRUE(client.received[out] == input);
    EXPECT_EQ(client.received[error], kSuccess);
    // Given back as it is used up, for clients that keep the windows; not after the stream's end.
    EXPECT_GE(client.window_updates[in], input.size() / 2);
    EXPECT_GE(client.window_updates[0], input.size() / 2);
  });
}

TEST_F(StreamingTest, ASlowClientSlowsTheProcessAndLosesNothing) {
  start();
  std::atomic<std::size_t> written = 0;
  std::promise<std::size_t> stalled;
  constexpr std::size_t kTotal = 64 << 20;
  auto path = add(kOutErr, [&](ProcessSide& side) {
    set_nonblocking(side.out);
    std::string piece(16 << 10, 'x');
    bool told = false;
    while (written < kTotal) {
      pollfd poll{side.out.get(), POLLOUT, 0};
      if (::poll(&poll, 1, told ? 10000 : 300) == 0) {
        if (told) return sys::ExitStatus{9, 0};
        told = true;
        stalled.set_value(written);
      }
      ssize_t size = ::write(side.out.get(), piece.data(), std::min(piece.size(), kTotal - written));
      if (size > 0) written += static_cast<std::size_t>(size);
    }
    return sys::ExitStatus{0, 0};
  });
  with_client([&] {
    TestClient client(port(), 32 << 10);
    client.upgrade(path);
    auto error = client.open("error"), out = client.open("stdout");
    std::string none;
    client.open("stderr");
    // What the kernel's socket buffers take, and little more.
    EXPECT_LT(stalled.get_future().get(), 16u << 20);
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[out].size(), kTotal);
    EXPECT_EQ(client.received[error], kSuccess);
  });
}

TEST_F(StreamingTest, ATerminalHasOneOutputAndSizes) {
  start();
  auto path = add(kTerminal, [](ProcessSide& side) {
    std::array<char, 64> line;
    ssize_t size = ::read(side.terminal.get(), line.data(), line.size());
    write_text(side.terminal, "got " + std::string(line.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
    return sys::ExitStatus{130, 2};
  });
  with_client([&] {
    TestClient client(port());
    client.upgrade(path, "v5.channel.k8s.io,v4.channel.k8s.io");
    auto error = client.open("error"), in = client.open("stdin"), out = client.open("stdout"),
         resize = client.open("resize");
    client.write(resize, R"({"Width":80,"Height":24})"
                         "\n"
                         R"({"Width":10)");
    client.write(resize, R"(0,"Height":50})"
                         "\n");
    for (int sizes = 0; sizes < 2;) on_loop([&] { sizes = static_cast<int>(seen_->sizes.size()); });
    client.write(in, "line\n");
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[out], "line\r\ngot line\r\n") << "echo, then the answer, all before the end";
    EXPECT_TRUE(has(client.received[error], R"("message":"130")"));
  });
  EXPECT_EQ(seen_->sizes, (std::vector<std::string>{"80x24", "100x50"}));
}

TEST_F(StreamingTest, AStartThatFailsIsTold) {
  start();
  auto path = add(kOutErr, nullptr);
  with_client([&] {
    TestClient client(port());
    client.upgrade(path);
    auto error = client.open("error");
    client.open("stdout");
    client.open("stderr");
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[error],
              R"({"metadata":{},"status":"Failure","message":"Internal error occurred: error executing command in )"
              R"(container: exec \"nosuch\": executable file not found in $PATH","reason":"InternalError","details":)"
              R"({"causes":[{"message":"error executing command in container: exec \"nosuch\": executable file not )"
              R"(found in $PATH"}]},"code":500})");
  });
}

TEST_F(StreamingTest, OldProtocolsGetAText) {
  start();
  auto path = add(kOutErr, [](ProcessSide&) { return sys::ExitStatus{7, 0}; });
  with_client([&] {
    TestClient client(port());
    EXPECT_TRUE(has(client.upgrade(path, "v9.channel.k8s.io, v2.channel.k8s.io"), ": v2.channel.k8s.io\r\n"));
    auto error = client.open("error");
    client.open("stdout");
    client.open("stderr");
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[error],
              "command terminated with non-zero exit code: command terminated with exit code 7");
  });
}

TEST_F(StreamingTest, AChildThatKeepsThePipesIsNotWaitedFor) {
  start();
  OwnFd kept;
  auto path = add({.out = true}, [&](ProcessSide& side) {
    write_text(side.out, std::string(40000, 'a'));
    kept = std::move(side.out);
    return sys::ExitStatus{0, 0};
  });
  with_client([&] {
    TestClient client(port());
    client.upgrade(path);
    auto error = client.open("error"), out = client.open("stdout");
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[out].size(), 40000u);
    EXPECT_EQ(client.received[error], kSuccess);
  });
}

TEST_F(StreamingTest, AProcessThatClosesItsInputGoesOn) {
  start();
  std::promise<void> all_sent;
  auto path = add(kAll, [&](ProcessSide& side) {
    side.in.close();
    all_sent.get_future().wait();
    write_text(side.out, "done");
    return sys::ExitStatus{0, 0};
  });
  with_client([&] {
    TestClient client(port());
    client.upgrade(path);
    auto error = client.open("error"), in = client.open("stdin"), out = client.open("stdout");
    client.open("stderr");
    client.write(in, std::string(8 << 20, 'x'), true);
    all_sent.set_value();
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[out], "done");
  });
}

TEST_F(StreamingTest, AClientThatGoesCancelsTheProcess) {
  start();
  auto path = add(kAll, copy_input);
  with_client([&] {
    auto client = std::make_unique<TestClient>(port());
    client->upgrade(path);
    client->open("error");
    auto in = client->open("stdin"), out = client->open("stdout");
    client->open("stderr");
    client->write(in, "x");
    client->read_until([&] { return !client->received[out].empty(); });
    auto cancelled = seen_->cancel_promise.get_future();
    client.reset();
    EXPECT_EQ(cancelled.wait_for(60s), std::future_status::ready);
    while (!seen_->destroyed) on_loop([] {});
  });
}

TEST_F(StreamingTest, TheEndOfTheServerCancelsTheProcesses) {
  start();
  auto path = add(kAll, copy_input);
  with_client([&] {
    TestClient client(port());
    client.upgrade(path);
    auto error = client.open("error");
    for (const char* type : {"stdin", "stdout", "stderr"}) client.open(type);
    while (!seen_->started) on_loop([] {});
    loop_.post([this] { server_.reset(); });
    EXPECT_FALSE(client.read_to_fin(error));
    while (!seen_->destroyed) on_loop([] {});
    EXPECT_TRUE(seen_->cancelled);
  });
}

TEST_F(StreamingTest, GarbageEndsItsOwnSessionAlone) {
  start();
  auto good = add(kAll, copy_input);
  auto good_seen = seen_;
  auto bad = add(kAll, copy_input);
  with_client([&] {
    TestClient client(port()), hostile(port());
    client.upgrade(good);
    auto error = client.open("error"), in = client.open("stdin"), out = client.open("stdout");
    client.open("stderr");
    hostile.upgrade(bad);
    for (const char* type : {"error", "stdin", "stdout", "stderr"}) hostile.open(type);
    hostile.send(std::string(100, '\xff'));
    EXPECT_FALSE(hostile.read_until([] { return false; }));
    EXPECT_EQ(hostile.goaway_status, 1u);
    while (!seen_->cancelled) on_loop([] {});
    client.write(in, "still here", true);
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_EQ(client.received[out], "still here");
  });
  EXPECT_FALSE(good_seen->cancelled);
}

TEST_F(StreamingTest, StreamsThatWereNotAskedForAreReset) {
  start();
  auto path = add({.out = true}, [](ProcessSide&) { return sys::ExitStatus{0, 0}; });
  with_client([&] {
    TestClient client(port());
    client.upgrade(path);
    auto in = client.open("stdin");
    EXPECT_NE(in, 0u) << "it is answered";
    EXPECT_TRUE(client.read_until([&] { return client.reset.contains(in); }));
    auto error = client.open("error"), again = client.open("error");
    client.open("stdout");
    EXPECT_TRUE(client.read_to_fin(error));
    EXPECT_TRUE(client.reset.contains(again));
    EXPECT_EQ(client.received[error], kSuccess);
  });
}

TEST_F(StreamingTest, AClientThatOpensNoStreamsIsLetGo) {
  start({.stream_creation = 30ms});
  auto path = add(kOutErr, [](ProcessSide&) { return sys::ExitStatus{0, 0}; });
  with_client([&] {
    TestClient client(port());
    client.upgrade(path);
    client.open("error");
    EXPECT_FALSE(client.read_until([] { return false; }));
  });
  EXPECT_FALSE(seen_->started);
  EXPECT_TRUE(seen_->destroyed);
}

TEST_F(StreamingTest, AnIdleSessionEnds) {
  // A client that is held up may have been idle before it had opened all: then it was not this session.
  for (auto idle : {50ms, 500ms, 5000ms}) {
    start({.idle = idle});
    auto path = add(kAll, copy_input);
    with_client([&] {
      TestClient client(port());
      client.upgrade(path);
      for (const char* type : {"error", "stdin", "stdout", "stderr"}) client.open(type);
      EXPECT_FALSE(client.read_until([] { return false; }));
      while (!seen_->cancelled && !seen_->destroyed) on_loop([] {});
    });
    if (seen_->started) break;
  }
  EXPECT_TRUE(seen_->cancelled);
}

TEST_F(StreamingTest, AUrlWorksOnce) {
  start();
  auto path = add(kOutErr, [](ProcessSide&) { return sys::ExitStatus{0, 0}; });
  with_client([&] {
    TestClient first(port()), second(port()), guess(port());
    EXPECT_TRUE(first.upgrade(path).starts_with("HTTP/1.1 101 "));
    EXPECT_TRUE(second.upgrade(path).starts_with("HTTP/1.1 404 "));
    EXPECT_TRUE(guess.upgrade("/exec/" + std::string(32, '0')).starts_with("HTTP/1.1 404 "));
  });
}

TEST_F(StreamingTest, AUrlWorksForAShortTime) {
  start({.token_life = 20ms});
  auto path = add(kOutErr, [](ProcessSide&) { return sys::ExitStatus{0, 0}; });
  with_client([&] {
    while (!seen_->destroyed) on_loop([] {});
    TestClient late(port());
    EXPECT_TRUE(late.upgrade(path).starts_with("HTTP/1.1 404 "));
  });
}

TEST_F(StreamingTest, RequestsThatAreNoUpgradeAreRefused) {
  start();
  auto one = add(kOutErr, nullptr), two = add(kOutErr, nullptr), three = add(kOutErr, nullptr);
  with_client([&] {
    TestClient plain(port()), versionless(port()), strange(port()), elsewhere(port());
    plain.send("GET " + one + " HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(plain.response().starts_with("HTTP/1.1 400 "));
    versionless.send("POST " + two + " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
    EXPECT_TRUE(has(versionless.response(), "has no X-Stream-Protocol-Version header"));
    auto refused = strange.upgrade(three, "v9.channel.k8s.io");
    EXPECT_TRUE(refused.starts_with("HTTP/1.1 403 "));
    EXPECT_TRUE(has(refused, "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n"));
    elsewhere.send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(elsewhere.response().starts_with("HTTP/1.1 404 "));
  });
}

TEST_F(StreamingTest, ImpossibleRequestsAreRefusedAtOnce) {
  start({.max_tokens = 1});
  auto seen = std::make_shared<Seen>();
  auto error_of = [&](ExecStreamSet streams) {
    auto url = server_->add_exec(streams, std::make_unique<FakeSession>(loop_, seen, nullptr));
    return url ? Error(Code::kOk, *url) : url.error();
  };
  EXPECT_TRUE(error_of({}).is_invalid());
  EXPECT_TRUE(error_of({.tty = true, .out = true, .err = true}).is_invalid());
  EXPECT_EQ(error_of({.out = true}).code(), Code::kOk);
  EXPECT_TRUE(error_of({.out = true}).is_resource());
  auto listener = http::listen_tcp("0.0.0.0", 0);
  ASSERT_TRUE(listener) << listener.error().message();
  auto public_address = StreamingServer::start(loop_, std::move(*listener));
  ASSERT_FALSE(public_address);
  EXPECT_TRUE(public_address.error().is_invalid());
}

// ---- WebSocket

// A client's message, masked with zeros, which change nothing.
std::string message(std::string_view bytes, int opcode = 2) {
  std::string out(1, static_cast<char>(0x80 | opcode));
  if (bytes.size() <= 125) {
    out += static_cast<char>(0x80 | bytes.size());
  } else {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(bytes.size() >> 8);
    out += static_cast<char>(bytes.size() & 0xff);
  }
  return out.append(4, '\0').append(bytes);
}

// What the server's frames say on each channel; "close CODE" when it closed.
std::map<int, std::string> channels_of(std::string_view bytes) {
  std::map<int, std::string> channels;
  while (bytes.size() >= 2) {
    int opcode = bytes[0] & 0x0f;
    std::size_t size = static_cast<unsigned char>(bytes[1]), head = 2;
    for (int i = 0, n = size == 126 ? 2 : size == 127 ? 8 : 0; i < n; ++i, ++head) {
      size = (i == 0 ? 0 : size << 8) | static_cast<unsigned char>(bytes[head]);
    }
    std::string_view payload = bytes.substr(head, size);
    if (opcode == 2) channels[payload[0]] += payload.substr(1);
    if (opcode == 8)
      channels[-1] =
          std::to_string(static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]));
    if (opcode == 10) channels[-2] += payload;
    bytes.remove_prefix(std::min(bytes.size(), head + size));
  }
  return channels;
}

std::string websocket_request(const std::string& path, const std::string& protocol) {
  return "GET " + path + " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n";
}

TEST_F(StreamingTest, WebSocketCarriesAllChannelsAndTheEndOfInput) {
  start();
  auto path = add(kAll, copy_input);
  with_client([&] {
    TestClient client(port());
    client.send(websocket_request(path, "v9.channel.k8s.io, v5.channel.k8s.io"));
    auto head = client.response();
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101 ")) << head;
    EXPECT_TRUE(has(head, "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
    EXPECT_TRUE(has(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    std::string input(60000, 'i');
    client.send(message(std::string(1, '\0') + "some ") + message("beat", 9) + message(std::string(1, '\0') + input));
    client.send(message("\7unknown") + message(std::string("\xff\0", 2)));
    auto channels = channels_of(client.rest());
    EXPECT_EQ(channels[1], "some " + input);
    EXPECT_EQ(channels[3], kSuccess);
    EXPECT_EQ(channels[-1], "1000");
    EXPECT_EQ(channels[-2], "beat");
  });
  EXPECT_FALSE(seen_->cancelled);
}

TEST_F(StreamingTest, AWebSocketThatCloses) {
  start();
  auto path = add(kTerminal, [](ProcessSide& side) {
    std::array<char, 64> line;
    while (::read(side.terminal.get(), line.data(), line.size()) > 0) {
    }
    return sys::ExitStatus{1, 0};
  });
  with_client([&] {
    TestClient client(port());
    client.send(websocket_request(path, "v4.channel.k8s.io"));
    client.response();
    client.send(message("\4{\"Width\":9,\"Height\":8}"));
    for (int sizes = 0; sizes < 1;) on_loop([&] { sizes = static_cast<int>(seen_->sizes.size()); });
    client.send(message("\x03\xe8", 8));
    EXPECT_EQ(channels_of(client.rest())[-1], "1000");
    while (!seen_->cancelled) on_loop([] {});
  });
  EXPECT_EQ(seen_->sizes, std::vector<std::string>{"9x8"});
}

TEST_F(StreamingTest, GarbageOnAWebSocketIsAProtocolError) {
  start();
  auto path = add(kAll, copy_input);
  with_client([&] {
    TestClient client(port());
    client.send(websocket_request(path, "v4.channel.k8s.io"));
    client.response();
    client.send("\x82\x01x");
    EXPECT_EQ(channels_of(client.rest())[-1], "1002");
    while (!seen_->cancelled) on_loop([] {});
  });
}

TEST(StreamingMessagesTest, SizesAreReadAsTheyCome) {
  std::vector<std::string> sizes;
  auto each = [&](TerminalSize size) {
    sizes.push_back(std::to_string(size.columns) + "x" + std::to_string(size.rows));
  };
  TerminalSizeReader reader;
  EXPECT_TRUE(reader.feed(R"( {"width" : 1 , "HEIGHT":2, "Other":"x", "More":null}{"Width":65535})", each));
  EXPECT_TRUE(reader.feed("\n{", each));
  EXPECT_TRUE(reader.feed("}", each));
  EXPECT_EQ(sizes, (std::vector<std::string>{"1x2", "65535x0", "0x0"}));
  for (const char* bad : {R"({"Width":65536})", R"({"Width":-1})", R"({"Width":1.5})", R"({"Width":"1"})", "[1]}",
                          "{1}", R"({"Width":1 "Height":2})", R"({"Width"})"}) {
    TerminalSizeReader another;
    EXPECT_FALSE(another.feed(bad, each)) << bad;
  }
  TerminalSizeReader endless;
  EXPECT_FALSE(endless.feed("{" + std::string(2000, ' '), each));
}

}  // namespace
}  // namespace gantry::cri
