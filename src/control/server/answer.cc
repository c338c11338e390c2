// SPDX-License-Identifier: Apache-2.0
#include "control/server/answer.h"

#include "api/json.h"
#include "base/text.h"

namespace gantry::control {

namespace {

constexpr size_t kMaxWarnings = 4096;

}  // namespace

http::Reply bytes_reply(int status, std::string content_type, std::string bytes) {
  http::Reply reply;
  reply.response.status = status;
  reply.response.headers.emplace_back("Content-Type", std::move(content_type));
  reply.response.body = std::move(bytes);
  return reply;
}

http::Reply json_reply(int status, const api::Value& document) {
  return bytes_reply(status, "application/json", cat(api::write_json(document), "\n"));
}

http::Reply text_reply(int status, std::string text) {
  http::Reply reply = bytes_reply(status, "text/plain; charset=utf-8", std::move(text));
  reply.response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return reply;
}

http::Reply failure_reply(const Failure& failure) {
  http::Reply reply = json_reply(failure.code, to_status(failure));
  if (failure.retry_after > 0) {
    reply.response.headers.emplace_back("Retry-After", std::to_string(failure.retry_after));
  }
  return reply;
}

void add_warnings(const std::vector<std::string>& warnings, http::Reply* reply) {
  size_t total = 0;
  for (const std::string& warning : warnings) {
    std::string text;
    for (const char c : as_utf8(warning, 256)) {
      if (c == '"' || c == '\\') text += '\\';
      text += c == '\n' || c == '\t' ? ' ' : c;
    }
    total += text.size();
    if (total > kMaxWarnings) return;
    reply->response.headers.emplace_back("Warning", cat("299 - \"", text, "\""));
  }
}

}  // namespace gantry::control
