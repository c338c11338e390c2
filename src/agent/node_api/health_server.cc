// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/health_server.h"

#include "agent/node_api/routes.h"

namespace gantry::agent {
namespace {

constexpr http::Limits kLimits{.max_header_bytes = 8 << 10, .max_body_bytes = 0, .max_connections = 64};

Task<http::Reply> answer(http::Request request) {
  const auto route = parse_route(request.path());
  http::Reply reply;
  if (!route || route->kind != Route::Kind::kHealth) {
    reply.response = http::text_response(404, "404 page not found");
  } else if (request.method != "GET" && request.method != "HEAD") {
    reply.response = http::text_response(405, "405: Method Not Allowed");
  } else {
    reply.response = http::text_response(200, "ok");
  }
  co_return reply;
}

}  // namespace

HealthServer::HealthServer(Loop& loop) : server_(loop, answer, kLimits) {}

}  // namespace gantry::agent
