// SPDX-License-Identifier: Apache-2.0
#include "control/server/api_server.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "control/server/answer.h"
#include "control/server/impersonation.h"
#include "control/server/object_names.h"
#include "control/server/request_facts.h"
#include "control/server/request_info.h"
#include "control/server/request_metrics.h"
#include "control/server/resources.h"

namespace gantry::control {

namespace {

// A WebSocket begins with a GET, and enters a container all the same: who may only read pods may not.
std::string verb_of(const RequestInfo& info) {
  const bool enters = info.subresource == "exec" || info.subresource == "attach" || info.subresource == "portforward";
  return info.resource == "pods" && enters && info.verb == "get" ? "create" : info.verb;
}

// A list or watch of one object, fieldSelector=metadata.name=NAME, is of that name.
std::string selected_name(const RequestInfo& info) {
  constexpr std::string_view kName = "metadata.name=";
  const std::string selector = info.query.text("fieldSelector");
  if (!info.name.empty() || !selector.starts_with(kName)) return info.name;
  if (info.verb != "list" && info.verb != "watch" && info.verb != "deletecollection") return info.name;
  std::string name = selector.substr(kName.size());
  const bool is_name = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':';
  });
  return is_name ? name : std::string();
}

AccessRequest access_request(const User& user, const RequestInfo& info) {
  return {.user = user,
          .is_resource = info.is_resource,
          .verb = verb_of(info),
          .group = info.group,
          .version = info.version,
          .ns = info.ns,
          .resource = info.resource,
          .subresource = info.subresource,
          .name = selected_name(info),
          .field_selector = info.query.text("fieldSelector"),
          .label_selector = info.query.text("labelSelector"),
          .path = info.path};
}

// Upstream's words: User "jane" cannot list resource "pods" in API group "" in the namespace "default".
Failure access_denied(const AccessRequest& access, std::string_view reason) {
  Failure failure;
  failure.code = 403;
  failure.reason = "Forbidden";
  std::string why;
  if (access.is_resource) {
    const std::string resource =
        access.subresource.empty() ? access.resource : cat(access.resource, "/", access.subresource);
    failure.name = access.name;
    failure.group = access.group;
    failure.kind = access.resource;
    const std::string object = access.group.empty() ? access.resource : cat(access.resource, ".", access.group);
    why = cat(object, access.name.empty() ? "" : cat(" ", quoted(access.name)), " is forbidden: User ",
              quoted(access.user.name), " cannot ", access.verb, " resource ", quoted(resource), " in API group ",
              quoted(access.group),
              access.ns.empty() ? " at the cluster scope" : cat(" in the namespace ", quoted(access.ns)));
  } else {
    why = cat("forbidden: User ", quoted(access.user.name), " cannot ", access.verb, " path ", quoted(access.path));
  }
  failure.message = reason.empty() ? why : cat(why, ": ", reason);
  return failure;
}

}  // namespace

struct ApiServer::Impl {
  explicit Impl(Parts p)
      : parts(std::move(p)),
        documents(parts.kinds, parts.version, parts.pages),
        request_metrics(parts.metrics == nullptr ? nullptr : std::make_unique<RequestMetrics>(*parts.metrics)),
        resources(Objects(parts.kinds, parts.store), parts.caches, parts.admission, parts.actions, parts.sources,
                  parts.connector, parts.now, request_metrics.get()) {}

  const Parts parts;
  Documents documents;
  const std::unique_ptr<RequestMetrics> request_metrics;
  Resources resources;

  Task<Outcome<User>> authenticate(Loop& here, const http::Request& request);
  // What was decided, or the refusal.
  Task<Outcome<Authorizer::Answer>> authorize(Loop& here, AccessRequest access);
  Task<Outcome<void>> may(Loop& here, AccessRequest access);
  // Fills in who asks; `known`: who that is, where it is no question of credentials.
  Task<Outcome<void>> identify(Loop& here, const http::Request& request, const User* known, RequestFacts& facts);
  Task<Outcome<http::Reply>> serve(Loop& here, const http::Request& request, const User* known, RequestFacts& facts);
  Task<http::Reply> handle(Loop& here, const http::Request& request, const User* known);
  Task<Outcome<http::Reply>> serve_other(Loop& here, const http::Request& request, const RequestInfo& info);
  // A place among those who are answered. What goes on has one that is kept along with it, in facts.
  Task<Outcome<FlowControl::Seat>> take_seat(Loop& here, RequestFacts& facts);
};

ApiServer::ApiServer(Parts parts) : impl_(std::make_unique<Impl>(std::move(parts))) {}
ApiServer::~ApiServer() = default;

Task<Outcome<User>> ApiServer::Impl::authenticate(Loop& here, const http::Request& request) {
  for (Authenticator* authenticator : parts.authenticators) {
    Outcome<std::optional<User>> found = co_await authenticator->authenticate(here, request);
    if (!found) co_return fail(std::move(found.error()));
    if (!*found) continue;
    User user = std::move(**found);
    if (!user.is_in(kUnauthenticatedGroup) && !user.is_in(kAuthenticatedGroup)) {
      user.groups.emplace_back(kAuthenticatedGroup);
    }
    co_return user;
  }
  co_return User{.name = std::string(kAnonymous), .groups = {std::string(kUnauthenticatedGroup)}};
}

Task<Outcome<Authorizer::Answer>> ApiServer::Impl::authorize(Loop& here, AccessRequest access) {
  if (access.user.is_in(kMastersGroup)) co_return Authorizer::Answer{Authorizer::Decision::kAllow, ""};
  std::string reason;
  for (Authorizer* authorizer : parts.authorizers) {
    Authorizer::Answer answer = co_await authorizer->authorize(here, access);
    if (answer.decision == Authorizer::Decision::kAllow) co_return answer;
    if (!answer.reason.empty()) reason += cat(reason.empty() ? "" : ", ", answer.reason);
    if (answer.decision == Authorizer::Decision::kDeny) break;
  }
  co_return fail(access_denied(access, reason));
}

Task<Outcome<void>> ApiServer::Impl::may(Loop& here, AccessRequest access) {
  Outcome<Authorizer::Answer> answer = co_await authorize(here, std::move(access));
  if (!answer) co_return fail(std::move(answer.error()));
  co_return Outcome<void>();
}

Task<Outcome<http::Reply>> ApiServer::Impl::serve_other(Loop& here, const http::Request& request,
                                                        const RequestInfo& info) {
  if (request.method != "GET" && request.method != "HEAD") co_return fail(method_not_allowed());
  const std::string& path = info.path;
  if (parts.health != nullptr) {
    std::optional<http::Reply> health = co_await parts.health->answer(here, info);
    if (health) co_return std::move(*health);
  }
  if (path == "/metrics" && parts.metrics != nullptr) {
    co_return bytes_reply(200, "text/plain; version=0.0.4; charset=utf-8", parts.metrics->text());
  }
  if (std::optional<http::Reply> document = documents.find(request, info)) co_return std::move(*document);
  co_return fail(no_such_resource());
}

Task<Outcome<void>> ApiServer::Impl::identify(Loop& here, const http::Request& request, const User* known,
                                              RequestFacts& facts) {
  Outcome<User> user = known != nullptr ? *known : co_await authenticate(here, request);
  if (!user) co_return fail(std::move(user.error()));
  facts.sender = *user;
  for (AccessRequest& wanted : impersonation_requests(*facts.sender, request)) {
    Outcome<void> allowed = co_await may(here, std::move(wanted));
    if (!allowed) co_return fail(std::move(allowed.error()));
  }
  Outcome<User> acting = impersonate(std::move(*user), request);
  if (!acting) co_return fail(std::move(acting.error()));
  facts.acting = std::move(*acting);
  co_return Outcome<void>();
}

Task<Outcome<FlowControl::Seat>> ApiServer::Impl::take_seat(Loop& here, RequestFacts& facts) {
  if (parts.flow == nullptr) co_return FlowControl::Seat();
  if (facts.is_long_running) {
    Outcome<FlowControl::Seat> place = parts.flow->begin_long_running(facts);
    if (!place) co_return fail(std::move(place.error()));
    facts.place = std::move(*place);
    // A watch begins with a list of what is there; others wait for somebody else.
    if (facts.info->verb != "watch") co_return FlowControl::Seat();
  }
  co_return co_await parts.flow->enter(here, facts);
}

Task<Outcome<http::Reply>> ApiServer::Impl::serve(Loop& here, const http::Request& request, const User* known,
                                                  RequestFacts& facts) {
  Outcome<RequestInfo> parsed = parse_request_info(request.method, request.target);
  if (!parsed) co_return fail(std::move(parsed.error()));
  const RequestInfo& info = facts.info.emplace(std::move(*parsed));
  recognize(parts.kinds, &facts);
  Outcome<void> identified = co_await identify(here, request, known, facts);
  if (parts.auditor != nullptr) facts.audited = co_await parts.auditor->begin(here, request, facts);
  if (!identified) co_return fail(std::move(identified.error()));
  Outcome<FlowControl::Seat> seat = co_await take_seat(here, facts);
  if (!seat) co_return fail(std::move(seat.error()));
  Outcome<Authorizer::Answer> allowed = co_await authorize(here, access_request(*facts.acting, info));
  facts.decision = allowed ? "allow" : "forbid";
  facts.reason = allowed ? allowed->reason : allowed.error().message;
  if (!allowed) co_return fail(std::move(allowed.error()));
  if (!info.is_resource) co_return co_await serve_other(here, request, info);
  const auto may_create = [this, &here, &facts] {
    AccessRequest creation = access_request(*facts.acting, *facts.info);
    creation.verb = "create";
    return may(here, std::move(creation));
  };
  co_return co_await resources.serve(here, request, info, *facts.acting, may_create, &facts.annotations, &facts.made);
}

Task<http::Reply> ApiServer::handle(Loop& here, http::Request request) {
  co_return co_await impl_->handle(here, request, nullptr);
}

Task<http::Reply> ApiServer::handle_as(Loop& here, User user, http::Request request) {
  co_return co_await impl_->handle(here, request, &user);
}

namespace {

// What a client calls its request, or a name of our own.
std::string request_id(const http::Request& request) {
  constexpr std::size_t kMaxId = 64;
  const std::string_view given = request.header("Audit-Id");
  const bool is_plain = std::ranges::all_of(given, [](char c) { return c > ' ' && c < 0x7f; });
  if (!given.empty() && is_plain) return std::string(given.substr(0, kMaxId));
  return new_uid().value_or("");
}

Task<> then_record(Loop& here, Task<> answer, std::shared_ptr<AuditedRequest> audited) {
  co_await answer;
  co_await audited->ended(here);
}

// Records the end of an answer that goes on.
void record_end(Loop& here, http::Reply* reply, std::shared_ptr<AuditedRequest> audited) {
  if (reply->stream) {
    reply->stream = [&here, inner = std::move(reply->stream), audited](http::BodyWriter& body) mutable {
      return then_record(here, inner(body), audited);
    };
  }
  if (reply->upgrade) {
    reply->upgrade = [&here, inner = std::move(reply->upgrade),
                      audited](std::unique_ptr<http::ByteStream> stream) mutable {
      return then_record(here, inner(std::move(stream)), audited);
    };
  }
}

// Keeps `what` as long as the answer goes on.
void keep_along(http::Reply* reply, std::shared_ptr<void> what) {
  if (reply->stream) {
    reply->stream = [inner = std::move(reply->stream), what](http::BodyWriter& body) mutable { return inner(body); };
  }
  if (reply->upgrade) {
    reply->upgrade = [inner = std::move(reply->upgrade), what](std::unique_ptr<http::ByteStream> stream) mutable {
      return inner(std::move(stream));
    };
  }
}

}  // namespace

Task<http::Reply> ApiServer::Impl::handle(Loop& here, const http::Request& request, const User* known) {
  const auto began = std::chrono::steady_clock::now();
  RequestFacts facts{.id = request_id(request), .is_own = known != nullptr};
  Outcome<http::Reply> reply = co_await serve(here, request, known, facts);
  http::Reply answer = reply ? std::move(*reply) : failure_reply(reply.error());
  if (!reply && reply.error().code >= 500) {
    log::warning("a request to the API failed", {{"method", request.method},
                                                 {"path", request.path()},
                                                 {"code", reply.error().code},
                                                 {"error", reply.error().message}});
  }
  answer.response.headers.emplace_back("Audit-Id", facts.id);
  answer.response.headers.emplace_back("Cache-Control", "no-cache, private");
  if (request_metrics != nullptr) {
    const auto took = std::chrono::steady_clock::now() - began;
    request_metrics->answered(facts, answer.response.status, answer.response.body_bytes().size(), took);
    if (facts.is_long_running) keep_along(&answer, request_metrics->long_running(facts));
  }
  if (facts.place) keep_along(&answer, std::move(facts.place));
  if (facts.audited) {
    const bool goes_on = answer.stream || answer.upgrade;
    co_await facts.audited->answered(here, facts, answer.response, goes_on);
    if (goes_on) record_end(here, &answer, std::move(facts.audited));
  }
  co_return answer;
}

}  // namespace gantry::control
