// SPDX-License-Identifier: Apache-2.0
#include "agent/probe/http_probe.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/http_action.h"
#include "base/text.h"
#include "http/client.h"
#include "http/client_connection.h"
#include "http/connect.h"
#include "http/timer.h"
#include "kubernetes/core/v1/container.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using Clock = std::chrono::steady_clock;
using Verdict = ProbeOutcome::Verdict;

constexpr int kMaxRedirects = 10;
constexpr int kOk = 200;
constexpr int kRedirects = 300;
constexpr int kErrors = 400;

struct Answer {
  http::Response head;
  std::string body;  // its first kMaxProbeOutput bytes
};

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Task<Result<std::shared_ptr<http::ClientConnection>>> connect(ProbeMeans& means, const ProbeUrl& url,
                                                              Clock::time_point until) {
  auto socket = co_await http::connect_tcp(means.loop(), url.host, url.port, until - Clock::now());
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  std::unique_ptr<http::ByteStream> stream;
  if (url.tls) {
    auto tls = means.tls();
    if (!tls) co_return std::unexpected(std::move(tls.error()));
    auto secured = http::make_tls_stream(means.loop(), std::move(*socket), **tls, url.host);
    auto session = co_await secured->handshake(std::max<Duration>(until - Clock::now(), Duration(1)));
    if (!session) co_return std::unexpected(std::move(session.error()));
    stream = std::move(secured);
  } else {
    stream = http::make_socket_stream(means.loop(), std::move(*socket));
  }
  const http::ClientOptions options{
      .host = url.host, .port = url.port, .response_time = std::max<Duration>(until - Clock::now(), Duration(1))};
  co_return std::make_shared<http::ClientConnection>(means.loop(), std::move(stream), options);
}

Task<Result<Answer>> get(ProbeMeans& means, HttpProbe probe, Clock::time_point until) {
  auto connection = co_await connect(means, probe.url, until);
  if (!connection) co_return std::unexpected(std::move(connection.error()));
  http::ClientRequest request{.target = probe.url.target, .headers = std::move(probe.headers)};
  auto head = co_await (*connection)->ask(request);
  if (!head) co_return std::unexpected(std::move(head.error()));
  Answer answer{std::move(*head), ""};
  http::Timer late(means.loop());
  bool is_late = false;
  late.start(std::max<Duration>(until - Clock::now(), Duration(1)), [&is_late, open = *connection] {
    is_late = true;
    open->close();
  });
  while (answer.body.size() < kMaxProbeOutput) {
    auto piece = co_await (*connection)->read_body();
    if (is_late) co_return fail(Code::kDeadlineExceeded, "the answer took too long");
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) break;
    answer.body += *piece;
  }
  (*connection)->close();
  answer.body.resize(std::min(answer.body.size(), kMaxProbeOutput));
  co_return answer;
}

ProbeOutcome failed(const ProbeUrl& url, std::string_view why) {
  return {Verdict::kFailure, cat("Get ", quoted(url.text(), kMaxProbeOutput), ": ", as_utf8(why))};
}

ProbeOutcome judge(const Answer& answer) {
  const int status = answer.head.status;
  if (status < kOk || status >= kErrors) {
    return {Verdict::kFailure, cat("HTTP probe failed with statuscode: ", status)};
  }
  std::string body = as_utf8(answer.body, kMaxProbeOutput);
  if (status < kRedirects) return {Verdict::kSuccess, std::move(body)};
  return {Verdict::kWarning, cat("Probe terminated redirects, Response body: ", body)};
}

}  // namespace

HttpProbe http_probe(const core::HTTPGetAction& action, std::uint16_t port, const std::string& pod_ip) {
  HttpProbe probe;
  probe.url = {.tls = action.scheme() == "HTTPS",
               .host = action.host().empty() ? pod_ip : action.host(),
               .port = port,
               .target = request_target(action)};
  probe.headers = request_headers(action, kProbeUserAgent);
  probe.headers.emplace_back("Connection", "close");
  return probe;
}

Task<ProbeOutcome> ask_http(ProbeMeans& means, HttpProbe probe, Duration limit) {
  const auto until = Clock::now() + limit;
  const std::string first_host = probe.url.host;
  for (int redirects = 0;; ++redirects) {
    if (Clock::now() >= until) co_return failed(probe.url, "context deadline exceeded");
    auto answer = co_await get(means, probe, until);
    if (!answer) {
      const bool is_late = answer.error().is_deadline();
      co_return failed(probe.url, is_late ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                                          : std::string_view(answer.error().message()));
    }
    const std::string_view location = http::find_header(answer->head.headers, "Location");
    if (!is_redirect(answer->head.status) || location.empty()) co_return judge(*answer);
    auto next = follow_location(probe.url, location);
    if (!next) co_return failed(probe.url, next.error().message());
    if (next->host != first_host) co_return judge(*answer);
    if (redirects + 1 >= kMaxRedirects) co_return failed(probe.url, "stopped after 10 redirects");
    probe.url = std::move(*next);
  }
}

}  // namespace gantry::agent
