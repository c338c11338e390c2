// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming.h"

#include <algorithm>
#include <iterator>
#include <list>
#include <map>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "cri/streaming_channels.h"
#include "cri/streaming_exec.h"
#include "http/listen.h"
#include "http/server.h"
#include "http/text.h"
#include "http/timer.h"
#include "http/websocket.h"

namespace gantry::cri {
namespace {

constexpr std::string_view kExecPath = "/exec/";
constexpr std::string_view kSpdy = "SPDY/3.1";

// A version of the remotecommand protocol. Of those that the client offers the first that we know is taken.
struct Protocol {
  std::string_view name;
  StatusForm form;
  bool resize;        // SPDY: terminal sizes have a stream
  bool close_signal;  // WebSocket: the client can finish its input
};
constexpr Protocol kProtocols[] = {
    {"v5.channel.k8s.io", StatusForm::kJson, true, true},  {"v4.channel.k8s.io", StatusForm::kJson, true, false},
    {"v3.channel.k8s.io", StatusForm::kText, true, false}, {"v2.channel.k8s.io", StatusForm::kText, false, false},
    {"channel.k8s.io", StatusForm::kText, false, false},
};
// WebSocket's without a name.
constexpr Protocol kUnnamed = {"", StatusForm::kText, false, false};

const Protocol* choose(const std::vector<std::string_view>& offered) {
  for (std::string_view name : offered) {
    auto found = std::ranges::find(kProtocols, name, &Protocol::name);
    if (found != std::end(kProtocols)) return &*found;
  }
  return nullptr;
}

struct Waiting {
  ExecStreamSet streams;
  std::shared_ptr<ExecSession> session;
};

// The URLs that wait for their clients. All have the same time to live, so the oldest is the first to go.
class Tokens {
 public:
  Tokens(Loop& loop, Duration life, std::size_t limit) : life_(life), limit_(limit), timer_(loop) {}

  Result<std::string> add(Waiting waiting) {
    if (oldest_first_.size() >= limit_) {
      return fail(Code::kResourceExhausted,
                  cat("exec: ", limit_, " URLs already wait for their clients; try again later"));
    }
    auto token = random_hex(16);
    if (!token) return token;
    oldest_first_.push_back({*token, Clock::now() + life_, std::move(waiting)});
    by_name_[*token] = std::prev(oldest_first_.end());
    if (oldest_first_.size() == 1) arm();
    return token;
  }

  // Once for each.
  std::optional<Waiting> take(std::string_view token) {
    auto found = by_name_.find(token);
    if (found == by_name_.end()) return std::nullopt;
    auto entry = found->second;
    Waiting waiting = std::move(entry->waiting);
    by_name_.erase(found);
    oldest_first_.erase(entry);
    if (oldest_first_.empty()) timer_.cancel();
    return waiting;
  }

  void clear() {
    timer_.cancel();
    by_name_.clear();
    oldest_first_.clear();
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    std::string token;
    Clock::time_point until;
    Waiting waiting;
  };

  void arm() {
    Duration left = oldest_first_.front().until - Clock::now();
    timer_.start(std::max(left, Duration::zero()), [this] { expire(); });
  }
  void expire() {
    while (!oldest_first_.empty() && oldest_first_.front().until <= Clock::now()) {
      by_name_.erase(oldest_first_.front().token);
      oldest_first_.pop_front();
    }
    if (!oldest_first_.empty()) arm();
  }

  Duration life_;
  std::size_t limit_;
  std::list<Entry> oldest_first_;
  std::map<std::string, std::list<Entry>::iterator, std::less<>> by_name_;
  http::Timer timer_;
};

// What the handler needs; it may run on after the server is gone.
struct Shared {
  Shared(Loop& l, StreamingOptions o)
      : loop(l), options(std::move(o)), tokens(l, options.token_life, options.max_tokens) {}
  Loop& loop;
  StreamingOptions options;
  Tokens tokens;
};

Task<> serve_spdy(std::shared_ptr<Shared> shared, std::unique_ptr<http::ByteStream> stream, const Protocol* protocol,
                  Waiting waiting) {
  stream->set_idle_limit(shared->options.idle);
  auto channels =
      co_await accept_spdy_channels(shared->loop, std::move(stream), waiting.streams,
                                    waiting.streams.tty && protocol->resize, shared->options.stream_creation);
  // A client that did not open its streams has none on which it could be told.
  if (!channels) co_return;
  co_await run_exec(shared->loop, std::move(*channels), protocol->form, waiting.streams, std::move(waiting.session));
}

http::Reply refuse(int status, std::string_view text) { return {http::text_response(status, text), {}}; }

http::Reply upgrade_to_spdy(const std::shared_ptr<Shared>& shared, const http::Request& request, Waiting waiting) {
  constexpr std::string_view kVersionHeader = "X-Stream-Protocol-Version";
  auto offered = request.values(kVersionHeader);
  if (offered.empty()) return refuse(400, cat("unable to upgrade: the request has no ", kVersionHeader, " header"));
  const Protocol* protocol = choose(offered);
  if (protocol == nullptr) {
    auto reply = refuse(403, "unable to upgrade: none of the client's protocol versions is supported");
    for (const auto& known : kProtocols) {
      reply.response.headers.emplace_back("X-Accepted-Stream-Protocol-Versions", known.name);
    }
    return reply;
  }
  http::Reply reply;
  reply.response.status = 101;
  reply.response.headers = {{"Connection", "Upgrade"},
                            {"Upgrade", std::string(kSpdy)},
                            {std::string(kVersionHeader), std::string(protocol->name)}};
  reply.upgrade = [shared, protocol, waiting = std::move(waiting)](std::unique_ptr<http::ByteStream> stream) mutable {
    return serve_spdy(shared, std::move(stream), protocol, std::move(waiting));
  };
  return reply;
}

Task<> serve_websocket(std::shared_ptr<Shared> shared, std::unique_ptr<http::ByteStream> stream,
                       const Protocol* protocol, Waiting waiting) {
  stream->set_idle_limit(shared->options.idle);
  auto channels = make_websocket_channels(shared->loop, std::move(stream), waiting.streams, protocol->close_signal);
  co_await run_exec(shared->loop, std::move(channels), protocol->form, waiting.streams, std::move(waiting.session));
}

http::Reply upgrade_to_websocket(const std::shared_ptr<Shared>& shared, const http::Request& request, Waiting waiting) {
  auto offered = request.values("Sec-WebSocket-Protocol");
  const Protocol* protocol = offered.empty() ? &kUnnamed : choose(offered);
  if (protocol == nullptr)
    return refuse(400, "unable to upgrade: none of the client's WebSocket protocols is supported");
  http::Reply reply;
  reply.response = http::accept_websocket(request, protocol->name);
  if (reply.response.status != 101) return reply;
  reply.upgrade = [shared, protocol, waiting = std::move(waiting)](std::unique_ptr<http::ByteStream> stream) mutable {
    return serve_websocket(shared, std::move(stream), protocol, std::move(waiting));
  };
  return reply;
}

http::Reply answer(const std::shared_ptr<Shared>& shared, const http::Request& request) {
  std::string_view path = request.path();
  if (!path.starts_with(kExecPath)) return refuse(404, "not found");
  if (request.method != "POST" && request.method != "GET") return refuse(405, "use POST or GET");
  // Used up by whoever brings it, also when his request is no good.
  auto waiting = shared->tokens.take(path.substr(kExecPath.size()));
  if (!waiting) return refuse(404, "not found: a streaming URL works once and for a short time");
  if (http::asks_for_websocket(request)) return upgrade_to_websocket(shared, request, std::move(*waiting));
  if (!request.has_value("Connection", "upgrade") || !request.has_value("Upgrade", kSpdy)) {
    return refuse(400, cat("unable to upgrade: the request must ask for an upgrade to ", kSpdy, " or websocket"));
  }
  return upgrade_to_spdy(shared, request, std::move(*waiting));
}

class Server final : public StreamingServer {
 public:
  Server(std::shared_ptr<Shared> shared, http::Listener listener)
      : shared_(std::move(shared)),
        server_(
            shared_->loop,
            [shared = shared_](http::Request request) -> Task<http::Reply> { co_return answer(shared, request); },
            http::Limits{.max_connections = shared_->options.max_connections}),
        base_url_(cat("http://", listener.host, ":", listener.port)),
        port_(listener.port) {
    server_.serve(std::move(listener.socket));
  }
  ~Server() override { shared_->tokens.clear(); }

  Result<std::string> add_exec(ExecStreamSet streams, std::unique_ptr<ExecSession> session) override {
    shared_->loop.assert_here();
    if (streams.tty && streams.err) {
      return invalid_argument("exec: tty and stderr are both set: a terminal has one output, ask for stdout alone");
    }
    if (!streams.in && !streams.out && !streams.err) {
      return invalid_argument("exec: none of stdin, stdout and stderr is set: ask for at least one");
    }
    auto token = shared_->tokens.add({streams, std::move(session)});
    if (!token) return token;
    return cat(base_url_, kExecPath, *token);
  }

  std::uint16_t port() const override { return port_; }

 private:
  std::shared_ptr<Shared> shared_;
  http::Server server_;
  std::string base_url_;
  std::uint16_t port_;
};

}  // namespace

Result<std::unique_ptr<StreamingServer>> StreamingServer::start(Loop& loop, http::Listener listener,
                                                                StreamingOptions options) {
  if (!http::is_loopback(listener.host)) {
    return invalid_argument(
        cat("streaming address ", quoted(listener.host), ": expected a loopback address, as 127.0.0.1"));
  }
  auto shared = std::make_shared<Shared>(loop, std::move(options));
  return std::make_unique<Server>(std::move(shared), std::move(listener));
}

}  // namespace gantry::cri
