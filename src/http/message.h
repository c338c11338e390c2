// SPDX-License-Identifier: Apache-2.0
// What an HTTP server's handler is given and gives back, the same for HTTP/1.1 and HTTP/2 (server.h): a request with
// its whole body and who sent it; an answer that is whole, comes over time (a watch, a log that is followed), or is an
// upgrade, after which the connection is bytes. Plain values. Loop thread, that of the connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "http/byte_stream.h"

namespace gantry::http {

// Names as they were sent (HTTP/2: in lower case); compared without case.
using HeaderList = std::vector<std::pair<std::string, std::string>>;

// The first header of that name; "" when there is none.
std::string_view find_header(const HeaderList& headers, std::string_view name);

// A client's certificate that was verified against the server's client CAs, for client authentication and in time.
struct ClientCertificate {
  std::string common_name;                 // of the subject; the user
  std::vector<std::string> organizations;  // of the subject, as they stand; the groups
  std::string serial;                      // decimal
  std::string der;                         // all of it
};

// The other end of a connection.
struct Peer {
  std::string address;  // numeric: "10.0.0.7", "fe80::1"; "" on a unix socket
  std::uint16_t port = 0;
  bool is_tls = false;
  // Null: none was sent, or not a valid one; then certificate_error says why.
  std::shared_ptr<const ClientCertificate> certificate;
  std::string certificate_error;
};

struct Request {
  std::string method;  // "GET"
  std::string target;  // as sent: "/exec/abc?tty=1"
  HeaderList headers;  // HTTP/2's :authority is here as "host"
  std::string body;    // of at most Limits::max_body_bytes
  Peer peer;
  int version = 1;  // 1: HTTP/1.x; 2: HTTP/2, where there are no upgrades

  // The target up to '?'.
  std::string_view path() const;
  // What is after the '?', still escaped; "" when there is none.
  std::string_view query() const;
  // The first header of that name; "" when there is none.
  std::string_view header(std::string_view name) const;
  // All headers of that name, split at commas, spaces trimmed, empty ones left out.
  std::vector<std::string_view> values(std::string_view name) const;
  // One of values() equals `value` without case: has_value("Connection", "upgrade").
  bool has_value(std::string_view name, std::string_view value) const;
};

struct Response {
  int status = 200;
  // Content-Length, Date and Connection are added by the server (Connection not to an upgrade).
  HeaderList headers;
  std::string body;
  // Instead of `body`, when set: bytes that several answers share, never copied as a whole.
  std::shared_ptr<const std::string> shared_body;

  std::string_view body_bytes() const { return shared_body ? std::string_view(*shared_body) : std::string_view(body); }
};

// A response of one line of text.
Response text_response(int status, std::string_view text);

// The body of an answer that comes over time. One writer at a time.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;

  // Sends it now (HTTP/1.1: as one chunk) and returns when the connection has taken it: a slow client makes its writer
  // wait. kCancelled when the client is gone or the server stops, kDeadlineExceeded when the client took nothing for
  // Limits::response_time. `bytes` must live until then; they are not kept.
  virtual Task<Status> write(std::string_view bytes) = 0;
  // The same for bytes in pieces, which leave as one: an event's frame around an object that others share.
  virtual Task<Status> write(std::span<const std::string_view> pieces) = 0;
  // Set when the client is gone (or, with HTTP/2, its stream), the server stops or drains, or the answer ended:
  // whoever waits for it always gets on. A handler that waits for several things may set it too. While the server
  // drains bytes are still taken: an answer that has an end of its own comes whole.
  virtual const std::shared_ptr<Event>& closed() const = 0;
  // What was written is not all and there will be no more (the source broke off): the client is to see that, so the
  // connection, or with HTTP/2 the stream, ends without the mark of a whole body.
  virtual void cut_off() = 0;
};

struct Reply {
  // With `stream` its headers alone count.
  Response response;
  // When set, `response` (101 and its headers) is sent, and then the connection belongs to this. HTTP/1.1 only.
  std::move_only_function<Task<>(std::unique_ptr<ByteStream>)> upgrade;
  // When set, the headers of `response` are sent at once, then what this writes; the body ends when it returns. It is
  // kept until then.
  std::move_only_function<Task<>(BodyWriter&)> stream;
};

// Called once for each request. A handler may still run when its Server is gone: it must own what it uses.
using Handler = std::function<Task<Reply>(Request)>;

}  // namespace gantry::http
