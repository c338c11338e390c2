// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "base/random.h"
#include "cri/streaming_channels.h"
#include "cri/streaming_exec.h"
#include "cri/streaming_port_forward.h"
#include "http/listen.h"
#include "http/server.h"
#include "http/text.h"
#include "http/timer.h"
#include "http/websocket.h"
#include "http/websocket_stream.h"

namespace gantry::cri {
namespace {

constexpr std::string_view kExecPath = "/exec/", kAttachPath = "/attach/", kPortForwardPath = "/portforward/";
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

// Either a session with its streams, or ports.
struct Waiting {
  std::string_view path;
  ExecStreamSet streams;
  std::shared_ptr<ExecSession> session;
  std::shared_ptr<PortForwardSession> ports;
};

// The URLs that wait for their clients. All have the same time to live, so the oldest is the first to go.
class Tokens {
 public:
  Tokens(Loop& loop, Duration life, std::size_t limit) : life_(life), limit_(limit), timer_(loop) {}

  Result<std::string> add(Waiting waiting) {
    if (oldest_first_.size() >= limit_) {
      return fail(Code::kResourceExhausted,
                  cat("streaming: ", limit_, " URLs already wait for their clients; try again later"));
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

// Of the versions that the client offers in a header of its own one must be chosen, and named in the answer.
constexpr std::string_view kVersionHeader = "X-Stream-Protocol-Version";

http::Reply refuse_versions(std::span<const std::string_view> known) {
  auto reply = refuse(403, "unable to upgrade: none of the client's protocol versions is supported");
  for (std::string_view name : known) reply.response.headers.emplace_back("X-Accepted-Stream-Protocol-Versions", name);
  return reply;
}

http::Reply switch_to_spdy(std::string_view version) {
  http::Reply reply;
  reply.response.status = 101;
  reply.response.headers = {
      {"Connection", "Upgrade"}, {"Upgrade", std::string(kSpdy)}, {std::string(kVersionHeader), std::string(version)}};
  return reply;
}

http::Reply upgrade_to_spdy(const std::shared_ptr<Shared>& shared, const http::Request& request, Waiting waiting) {
  auto offered = request.values(kVersionHeader);
  if (offered.empty()) return refuse(400, cat("unable to upgrade: the request has no ", kVersionHeader, " header"));
  if (waiting.ports) {
    if (std::ranges::find(offered, kPortForward) == offered.end()) return refuse_versions(std::array{kPortForward});
    auto reply = switch_to_spdy(kPortForward);
    reply.upgrade = [shared, ports = std::move(waiting.ports)](std::unique_ptr<http::ByteStream> stream) {
      return serve_port_forward(shared->loop, std::move(stream), ports, shared->options);
    };
    return reply;
  }
  const Protocol* protocol = choose(offered);
  if (protocol == nullptr) {
    std::array<std::string_view, std::size(kProtocols)> names;
    std::ranges::transform(kProtocols, names.begin(), &Protocol::name);
    return refuse_versions(names);
  }
  auto reply = switch_to_spdy(protocol->name);
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

http::Reply upgrade_to_tunnel(const std::shared_ptr<Shared>& shared, const http::Request& request, Waiting waiting) {
  auto offered = request.values("Sec-WebSocket-Protocol");
  if (std::ranges::find(offered, kPortForwardTunnel) == offered.end())
    return refuse(400, cat("unable to upgrade: the WebSocket protocol must be ", kPortForwardTunnel));
  http::Reply reply;
  reply.response = http::accept_websocket(request, kPortForwardTunnel);
  if (reply.response.status != 101) return reply;
  reply.upgrade = [shared, ports = std::move(waiting.ports)](std::unique_ptr<http::ByteStream> stream) {
    return serve_port_forward(shared->loop, http::make_websocket_stream(shared->loop, std::move(stream)), ports,
                              shared->options);
  };
  return reply;
}

http::Reply upgrade_to_websocket(const std::shared_ptr<Shared>& shared, const http::Request& request, Waiting waiting) {
  if (waiting.ports) return upgrade_to_tunnel(shared, request, std::move(waiting));
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
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return refuse(404, "not found");
  if (request.method != "POST" && request.method != "GET") return refuse(405, "use POST or GET");
  // Used up by whoever brings it, also when his request is no good.
  auto waiting = shared->tokens.take(path.substr(slash + 1));
  if (!waiting || waiting->path != path.substr(0, slash + 1))
    return refuse(404, "not found: a streaming URL works once and for a short time");
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
    return add_session(kExecPath, streams, std::move(session));
  }
  Result<std::string> add_attach(ExecStreamSet streams, std::unique_ptr<ExecSession> session) override {
    return add_session(kAttachPath, streams, std::move(session));
  }
  Result<std::string> add_port_forward(std::unique_ptr<PortForwardSession> session) override {
    return add({.path = kPortForwardPath, .streams = {}, .session = nullptr, .ports = std::move(session)});
  }

  std::uint16_t port() const override { return port_; }

 private:
  Result<std::string> add_session(std::string_view path, ExecStreamSet streams, std::unique_ptr<ExecSession> session) {
    std::string_view name = path.substr(1, path.size() - 2);
    if (streams.tty && streams.err) {
      return invalid_argument(
          cat(name, ": tty and stderr are both set: a terminal has one output, ask for stdout alone"));
    }
    if (!streams.in && !streams.out && !streams.err) {
      return invalid_argument(cat(name, ": none of stdin, stdout and stderr is set: ask for at least one"));
    }
    return add({.path = path, .streams = streams, .session = std::move(session), .ports = nullptr});
  }

  Result<std::string> add(Waiting waiting) {
    shared_->loop.assert_here();
    std::string_view path = waiting.path;
    auto token = shared_->tokens.add(std::move(waiting));
    if (!token) return token;
    return cat(base_url_, path, *token);
  }

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
