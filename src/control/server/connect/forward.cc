// SPDX-License-Identifier: Apache-2.0
#include "control/server/connect/forward.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "http/relay.h"
#include "http/timer.h"

namespace gantry::control {

namespace {

// Of one connection (RFC 9110, 7.6.1), set anew by client and server, or nobody's business beyond this server.
constexpr std::array<std::string_view, 12> kOurs = {
    "connection",        "keep-alive", "proxy-authenticate", "proxy-authorization", "te",     "trailer",
    "transfer-encoding", "host",       "content-length",     "authorization",       "cookie", "date"};

bool is_passed_on(std::string_view header, bool upgrade) {
  const std::string name = lowered(header);
  if (name.starts_with("impersonate-")) return false;
  if (name == "upgrade") return upgrade;
  return std::ranges::find(kOurs, name) == kOurs.end();
}

http::HeaderList passed_on(const http::HeaderList& headers, bool upgrade) {
  http::HeaderList list;
  for (const auto& [name, value] : headers) {
    if (is_passed_on(name, upgrade)) list.emplace_back(name, value);
  }
  if (upgrade) list.emplace_back("Connection", "Upgrade");
  return list;
}

Failure unreachable(const ForwardTo& to, const Error& error) {
  Failure failure;
  failure.code = 503;
  failure.reason = "ServiceUnavailable";
  failure.message = cat("error trying to reach ", to.server.host, ":", to.server.port, ": ", error.message());
  return failure;
}

// "/x" and "https://HOST/x" of the server itself become PREFIX/x.
std::string relocated(const std::string& location, const ForwardTo& to) {
  std::string_view path = location;
  const size_t scheme = path.find("://");
  if (scheme != path.npos) {
    const std::string_view rest = path.substr(scheme + 3);
    const size_t slash = rest.find('/');
    std::string_view host = rest.substr(0, slash);
    host = host.substr(0, host.rfind(':'));
    if (host != to.server.host) return location;
    path = slash == rest.npos ? std::string_view("/") : rest.substr(slash);
  }
  return path.starts_with('/') ? cat(to.prefix, path) : location;
}

http::HeaderList answered(const http::HeaderList& headers, const ForwardTo& to, bool upgrade) {
  http::HeaderList list = passed_on(headers, upgrade);
  if (to.prefix.empty()) return list;
  for (auto& [name, value] : list) {
    if (lowered(name) == "location") value = relocated(value, to);
  }
  return list;
}

Task<Outcome<http::Reply>> forward_upgrade(Loop& here, http::Client& client, http::ClientRequest request,
                                           const ForwardTo& to) {
  Result<http::UpgradedResponse> answer = co_await client.upgrade(std::move(request));
  if (!answer) co_return fail(unreachable(to, answer.error()));
  // Who is led elsewhere by it would show his credentials there (CVE-2020-8559).
  if (!answer->stream && answer->response.status < 400) {
    co_return fail(internal_error(cat("invalid upgrade response: status code ", answer->response.status)));
  }
  http::Reply reply;
  reply.response.status = answer->response.status;
  const bool upgraded = answer->stream != nullptr;
  reply.response.headers = answered(answer->response.headers, to, upgraded);
  if (!upgraded) {
    reply.response.body = std::move(answer->response.body);
    co_return reply;
  }
  reply.upgrade = [&here, far = std::move(answer->stream)](std::unique_ptr<http::ByteStream> near) mutable -> Task<> {
    return http::relay(here, std::move(near), std::move(far));
  };
  co_return reply;
}

// A log that is followed may say nothing for hours: the client's end must end it all the same.
Task<> close_with(std::shared_ptr<Event> closed, std::shared_ptr<http::BodyReader> body) {
  co_await closed->wait();
  body->close();
}

Task<> copy_body(Loop& here, std::shared_ptr<http::BodyReader> body, http::BodyWriter& writer) {
  here.spawn(close_with(writer.closed(), body));
  for (;;) {
    Result<std::string> bytes = co_await body->read();
    if (!bytes) {
      writer.cut_off();
      co_return;
    }
    if (bytes->empty()) co_return;
    if (Status written = co_await writer.write(*bytes); !written) co_return;
  }
}

// What is longer is cut, as upstream does.
constexpr std::size_t kMaxWords = 50'000;
// For saying all of them: a node that does not come to an end holds a request, and its seat.
constexpr Duration kMaxTelling = std::chrono::seconds(10);

Task<Failure> failure_of(Loop& here, http::StreamedResponse answer) {
  if (answer.status < 400) co_return internal_error(cat("unexpected answer: status code ", answer.status));
  http::Timer late(here);
  late.start(kMaxTelling, [body = answer.body.get()] { body->close(); });
  std::string words;
  while (words.size() < kMaxWords) {
    Result<std::string> more = co_await answer.body->read();
    if (!more || more->empty()) break;
    words += *more;
  }
  late.cancel();
  words = as_utf8(trimmed(words), kMaxWords);
  if (answer.status == 400) co_return bad_request(std::move(words));
  if (answer.status == 500) co_return internal_error(std::move(words));
  Failure failure;
  failure.code = answer.status;
  failure.reason = answer.status == 401   ? "Unauthorized"
                   : answer.status == 403 ? "Forbidden"
                   : answer.status == 404 ? "NotFound"
                   : answer.status == 429 ? "TooManyRequests"
                   : answer.status == 503 ? "ServiceUnavailable"
                                          : "InternalError";
  failure.message = std::move(words);
  co_return failure;
}

}  // namespace

bool asks_for_upgrade(const http::Request& request) {
  return request.version == 1 && request.has_value("Connection", "upgrade");
}

Task<Outcome<http::Reply>> forward(Loop& here, const http::Request& request, ForwardTo to) {
  const bool upgrade = asks_for_upgrade(request);
  http::Client client(here, to.server);
  http::ClientRequest onward{.method = request.method,
                             .target = to.target,
                             .headers = passed_on(request.headers, upgrade),
                             .body = request.body};
  if (upgrade) co_return co_await forward_upgrade(here, client, std::move(onward), to);
  Result<http::StreamedResponse> answer = co_await client.open(std::move(onward));
  if (!answer) co_return fail(unreachable(to, answer.error()));
  if (to.fails_in_words && (answer->status < 200 || answer->status > 206)) {
    co_return fail(co_await failure_of(here, std::move(*answer)));
  }
  http::Reply reply;
  reply.response.status = answer->status;
  reply.response.headers = answered(answer->headers, to, false);
  reply.stream = [&here, body = std::shared_ptr(std::move(answer->body))](http::BodyWriter& writer) -> Task<> {
    return copy_body(here, body, writer);
  };
  co_return reply;
}

}  // namespace gantry::control
