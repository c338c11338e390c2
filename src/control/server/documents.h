// SPDX-License-Identifier: Apache-2.0
// What the server says of itself: discovery in both forms, version, OpenAPI. Made at the first request and kept as
// bytes with an ETag, for they change only with the program. Any loop's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control/server/failure.h"
#include "control/server/request_info.h"
#include "http/message.h"

namespace gantry::control {

struct ServerVersion {
  std::string major = "1";
  std::string minor = "37";
  std::string git_version;  // "v1.37.0-gantry.1"
};

// A document that another part of the program makes whenever somebody asks: keys of tokens, and where they are.
struct Page {
  std::string path;  // "/openid/v1/jwks"
  std::string content_type;
  std::function<std::string()> body;  // any thread
};

class Documents {
 public:
  Documents(const api::Kinds& kinds, ServerVersion version, std::vector<Page> pages = {});

  // Empty: the path names no document.
  std::optional<http::Reply> find(const http::Request& request, const RequestInfo& info);

 private:
  struct Kept {
    std::string content_type;
    std::shared_ptr<const std::string> bytes;
    std::string etag;
  };
  std::optional<Kept> page(const std::string& path) const;
  std::optional<Kept> make(const http::Request& request, const std::string& path) const;
  std::optional<api::Value> openapi(std::string_view path) const;
  std::optional<Kept> get(const http::Request& request, const std::string& path);

  const api::Kinds& kinds_;
  const ServerVersion version_;
  const std::vector<Page> pages_;
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;  // by path and form
};

}  // namespace gantry::control
