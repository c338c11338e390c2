// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/streams.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "agent/names.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "http/client.h"
#include "http/relay.h"
#include "http/text.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

// What the runtime's server needs of the request, and the client of its answer. Credentials are in none of them.
constexpr std::array<std::string_view, 10> kPassedOn = {"upgrade",
                                                        "sec-websocket-key",
                                                        "sec-websocket-version",
                                                        "sec-websocket-protocol",
                                                        "sec-websocket-accept",
                                                        "sec-websocket-extensions",
                                                        "x-stream-protocol-version",
                                                        "content-type",
                                                        "x-accepted-stream-protocol-versions",
                                                        "origin"};

http::HeaderList passed_on(const http::HeaderList& headers) {
  http::HeaderList list;
  for (const auto& [name, value] : headers) {
    if (std::ranges::find(kPassedOn, lowered(name)) != kPassedOn.end()) list.emplace_back(name, value);
  }
  return list;
}

http::Reply refuse(int status, std::string_view text) { return {http::text_response(status, text), {}, {}}; }

http::Reply refuse(const Error& error) {
  int status = error.is_not_found() ? 404 : error.is_invalid() ? 400 : error.is_resource() ? 503 : 500;
  return refuse(status, error.message());
}

// kubelet's own names: "input=1&output=1".
struct Wanted {
  bool in = false, out = false, err = false, tty = false;
};
std::expected<Wanted, http::Reply> wanted_of(const http::Query& query) {
  auto is_set = [&](std::string_view name) { return query.text(name) == "1" || query.text(name) == "true"; };
  Wanted wanted{.in = is_set("input"), .out = is_set("output"), .err = is_set("error"), .tty = is_set("tty")};
  // A terminal has one output.
  if (wanted.tty) wanted.err = false;
  if (!wanted.in && !wanted.out && !wanted.err)
    return std::unexpected(refuse(400, "you must specify at least 1 of stdin, stdout, stderr"));
  return wanted;
}

template <typename Message>
void fill(Message& request, const std::string& id, const Wanted& wanted) {
  request.set_container_id(id);
  request.set_stdin(wanted.in);
  request.set_stdout(wanted.out);
  request.set_stderr(wanted.err);
  request.set_tty(wanted.tty);
}

}  // namespace

Result<StreamingUrl> parse_streaming_url(std::string_view url) {
  auto malformed = [&] { return fail(Code::kInternal, cat("the runtime's streaming URL is ", quoted(url))); };
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return malformed();
  std::string_view rest = url.substr(kScheme.size());
  StreamingUrl parsed;
  auto slash = rest.find('/');
  if (slash == std::string_view::npos) return malformed();
  parsed.target = rest.substr(slash);
  std::string_view place = rest.substr(0, slash);
  auto colon = place.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return malformed();
  std::string_view host = place.substr(0, colon), port = place.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.port);
  if (host.empty() || error != std::errc() || end != port.data() + port.size() || parsed.port == 0) return malformed();
  if (std::ranges::any_of(url, [](unsigned char c) { return c <= ' ' || c == 0x7f; })) return malformed();
  parsed.host = host;
  return parsed;
}

// Before the runtime is asked: what it hands out is for one that comes.
std::optional<http::Reply> PodStreams::refuse_early(const http::Request& request) const {
  if (request.version != 1 || !request.has_value("Connection", "upgrade") || request.header("Upgrade").empty())
    return refuse(400, "unable to upgrade: the request must ask for an upgrade to SPDY/3.1 or websocket");
  if (*sessions_ >= kMaxSessions) return refuse(503, cat(kMaxSessions, " sessions are open already"));
  return std::nullopt;
}

Task<http::Reply> PodStreams::go_on(std::string url, http::Request request) {
  auto to = parse_streaming_url(url);
  if (!to) co_return refuse(to.error());
  http::Client client(loop_, {.host = to->host, .port = to->port, .tls = nullptr, .server_name = {}});
  http::ClientRequest onward{
      .method = request.method, .target = to->target, .headers = passed_on(request.headers), .body = {}};
  onward.headers.emplace_back("Connection", "Upgrade");
  auto answer = co_await client.upgrade(std::move(onward));
  if (!answer) co_return refuse(502, cat("the runtime's streaming server: ", answer.error().message()));
  http::Reply reply;
  reply.response.status = answer->response.status;
  reply.response.headers = passed_on(answer->response.headers);
  if (!answer->stream) {
    reply.response.body = std::move(answer->response.body);
    co_return reply;
  }
  reply.response.headers.emplace_back("Connection", "Upgrade");
  ++*sessions_;
  std::shared_ptr<void> counted(nullptr, [count = sessions_](void*) { --*count; });
  reply.upgrade = [&loop = loop_, counted,
                   far = std::move(answer->stream)](std::unique_ptr<http::ByteStream> near) mutable -> Task<> {
    return http::relay(loop, std::move(near), std::move(far));
  };
  co_return reply;
}

Task<http::Reply> PodStreams::exec(PodInfo pod, PodPath path, http::Query query, http::Request request) {
  if (auto early = refuse_early(request)) co_return std::move(*early);
  auto wanted = wanted_of(query);
  if (!wanted) co_return std::move(wanted.error());
  auto command = query.all("command");
  if (command.empty()) co_return refuse(400, "you must specify at least 1 command for the exec");
  auto id = choose_running(pod, path);
  if (!id) co_return http::Reply{std::move(id.error()), {}, {}};
  v1::ExecRequest ask;
  fill(ask, *id, *wanted);
  for (auto& word : command) ask.add_cmd(std::move(word));
  auto answer = co_await runtime_.exec(std::move(ask));
  if (!answer) co_return refuse(answer.error());
  co_return co_await go_on(answer->url(), std::move(request));
}

Task<http::Reply> PodStreams::attach(PodInfo pod, PodPath path, http::Query query, http::Request request) {
  if (auto early = refuse_early(request)) co_return std::move(*early);
  auto wanted = wanted_of(query);
  if (!wanted) co_return std::move(wanted.error());
  auto id = choose_running(pod, path);
  if (!id) co_return http::Reply{std::move(id.error()), {}, {}};
  v1::AttachRequest ask;
  fill(ask, *id, *wanted);
  auto answer = co_await runtime_.attach(std::move(ask));
  if (!answer) co_return refuse(answer.error());
  co_return co_await go_on(answer->url(), std::move(request));
}

// The newest that is ready.
Task<Result<std::string>> PodStreams::ready_sandbox(std::string uid) {
  v1::ListPodSandboxRequest request;
  (*request.mutable_filter()->mutable_label_selector())[kPodUidLabel] = uid;
  request.mutable_filter()->mutable_state()->set_state(v1::SANDBOX_READY);
  auto list = co_await runtime_.list_pod_sandbox(std::move(request));
  if (!list) co_return std::unexpected(std::move(list.error()));
  const v1::PodSandbox* newest = nullptr;
  for (const auto& sandbox : list->items()) {
    if (newest == nullptr || sandbox.created_at() > newest->created_at()) newest = &sandbox;
  }
  if (newest == nullptr) co_return not_found("not able to find a running sandbox of the pod");
  co_return newest->id();
}

Task<http::Reply> PodStreams::port_forward(PodInfo pod, http::Query query, http::Request request) {
  if (auto early = refuse_early(request)) co_return std::move(*early);
  v1::PortForwardRequest ask;
  // Only old WebSocket clients name them here; SPDY's streams do, each for itself.
  for (const std::string& text : query.all("port")) {
    std::uint16_t port = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0)
      co_return refuse(400, cat("the parameter port is ", quoted(text), "; expected 1 to 65535"));
    ask.add_port(port);
  }
  auto sandbox = co_await ready_sandbox(pod.uid);
  if (!sandbox) co_return refuse(sandbox.error());
  ask.set_pod_sandbox_id(std::move(*sandbox));
  auto answer = co_await runtime_.port_forward(std::move(ask));
  if (!answer) co_return refuse(answer.error());
  co_return co_await go_on(answer->url(), std::move(request));
}

}  // namespace gantry::agent
