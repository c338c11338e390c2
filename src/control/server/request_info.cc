// SPDX-License-Identifier: Apache-2.0
#include "control/server/request_info.h"

#include "base/text.h"

namespace gantry::control {

namespace {

// The segments between slashes as they were sent; empty ones (//) are dropped, as upstream's mux cleans paths.
std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (slash != 0) segments.push_back(path.substr(0, slash));
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
  }
  return segments;
}

Outcome<std::string> decode_segment(std::string_view segment) {
  std::optional<std::string> decoded = http::decode_percent(segment, false);
  if (!decoded) return fail(bad_request(cat("the path has a broken escape: ", quoted(segment))));
  if (*decoded == "." || *decoded == ".." || decoded->find('/') != std::string::npos) {
    return fail(bad_request(cat("the path has the segment ", quoted(*decoded), ", which can be no name")));
  }
  return std::move(*decoded);
}

bool is_known(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "POST" || method == "PUT" || method == "PATCH" ||
         method == "DELETE";
}

std::string verb_of(std::string_view method, bool named, bool watch) {
  if (method == "GET" || method == "HEAD") return watch ? "watch" : named ? "get" : "list";
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  return named ? "delete" : "deletecollection";
}

}  // namespace

Outcome<RequestInfo> parse_request_info(std::string_view method, std::string_view target) {
  const size_t mark = target.find('?');
  const std::string_view raw = target.substr(0, mark);
  Result<Query> query = Query::parse(mark == target.npos ? std::string_view() : target.substr(mark + 1));
  if (!query) return fail(bad_request(query.error().message()));

  RequestInfo info;
  info.query = std::move(*query);
  if (mark != target.npos) info.raw_query = target.substr(mark + 1);
  std::optional<std::string> path = http::decode_percent(raw, false);
  if (!path || !path->starts_with('/')) return fail(bad_request(cat("the path is not one: ", quoted(raw))));
  info.path = std::move(*path);
  info.verb = method == "HEAD" ? "get" : lowered(method);

  const std::vector<std::string_view> parts = split(raw);
  size_t at = 0;
  if (parts.size() >= 3 && parts[0] == "api") {
    at = 2;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    at = 3;
  } else {
    return info;
  }
  info.is_resource = true;
  // A method that nobody knows names no verb: authorization would take it for one.
  if (!is_known(method)) return fail(method_not_allowed());
  bool watch = false;
  // The old form of a watch, which some clients still have.
  if (parts[at] == "watch" && parts.size() > at + 1) {
    watch = true;
    ++at;
  }
  const size_t place = at;
  bool inside = false;
  if (parts[at] == "namespaces" && parts.size() > at + 1) {
    // namespaces/X is the namespace itself, and so are its own subresources; namespaces/X/pods is what is inside.
    inside = parts.size() > at + 2 && parts[at + 2] != "status" && parts[at + 2] != "finalize";
    if (inside) at += 2;
  }
  // What follows a proxy is its target's and not looked into.
  const bool is_proxy = parts.size() > at + 2 && parts[at + 2] == "proxy";
  if (!is_proxy && parts.size() > at + 3) return fail(no_such_resource());
  std::vector<std::string> names;
  for (size_t i = 0; i < parts.size() && i <= at + 2; ++i) {
    Outcome<std::string> name = decode_segment(parts[i]);
    if (!name) return std::unexpected(std::move(name.error()));
    names.push_back(std::move(*name));
  }
  if (names[0] == "apis") info.group = names[1];
  info.version = names[names[0] == "apis" ? 2 : 1];
  if (inside || (names[place] == "namespaces" && names.size() > place + 1)) info.ns = names[place + 1];
  info.resource = names[at];
  if (names.size() > at + 1) info.name = names[at + 1];
  if (names.size() > at + 2) info.subresource = names[at + 2];
  if (is_proxy) info.rest = raw.substr(static_cast<size_t>(parts[at + 2].data() - raw.data()) + parts[at + 2].size());
  Result<bool> asks_watch = info.query.flag("watch");
  if (!asks_watch) return fail(bad_request(asks_watch.error().message()));
  watch = watch || *asks_watch;
  // A watch on one object is a watch on the collection that a selector narrows to it.
  info.verb = verb_of(method, !info.name.empty(), watch && info.subresource.empty());
  return info;
}

}  // namespace gantry::control
