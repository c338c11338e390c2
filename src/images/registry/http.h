// SPDX-License-Identifier: Apache-2.0
// One HTTP request after the other, on a connection that stays (libcurl underneath). Knows nothing of registries or the
// environment: no redirect is followed, no header added, no proxy asked that the request does not name. One thread at a
// time; blocks.
//
// Errors: kUnavailable, nobody answered, or the answer broke off: it may be better the next time. kDeadlineExceeded:
// there was an answer, or a connection, and no progress. kCancelled: `stop` was asked for. kPermissionDenied: the
// server is not who it should be (TLS). What a sink says is passed on as it is.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/registry/headers.h"
#include "images/registry/origin.h"

namespace gantry::images {

struct TlsSettings {
  std::string authorities;  // PEM, beside the system's; "" for those alone
  std::string certificate;  // file with what is shown to the server, "" for none
  std::string key;          // file; "" when the certificate's has it, too
  bool verify = true;

  bool operator==(const TlsSettings&) const = default;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string method;                // "" for GET, or POST when there is a form
  std::string form;                  // what is sent, unless it is a file
  // What is sent, all of it from its beginning each time that this is performed.
  struct Upload {
    FdRef file;
    std::uint64_t size = 0;
  };
  std::optional<Upload> upload;
  TlsSettings tls;
  std::string proxy;                           // "" for none
  std::chrono::milliseconds connect_limit{0};  // 0 for 30 s, or the patience when that is less
  // All of it must have come by then; 0 for as long as it comes on.
  std::chrono::milliseconds limit{0};
};

// Called for each piece of the body of a 200 or 206. Its error ends the transfer.
using BodySink = std::function<Status(const HttpHead& head, std::string_view bytes)>;

struct HttpAnswer {
  HttpHead head;
  std::string refusal;  // the first KiB of a body that no sink saw
};

class HttpConnection {
 public:
  // Less than 1 KiB/s for `patience` is no progress. What a sink takes is not counted.
  explicit HttpConnection(std::chrono::milliseconds patience, std::stop_token stop);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  Result<HttpAnswer> perform(const HttpRequest& request, const BodySink& sink);

  std::chrono::milliseconds patience() const { return patience_; }
  const std::stop_token& stop() const { return stop_; }

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
  std::chrono::milliseconds patience_;
  std::stop_token stop_;
};

}  // namespace gantry::images
