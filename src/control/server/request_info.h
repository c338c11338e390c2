// SPDX-License-Identifier: Apache-2.0
// RequestInfo: what a request's path and query ask for, before anything is looked up: which verb on which resource of
// which group, in which namespace, under which name. Authorization, audit and routing read this alone. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/server/failure.h"

namespace gantry::control {

// Names and values decoded from %XX and '+', in order.
class Query {
 public:
  // kInvalidArgument for a broken %XX, or more than 1,000 parameters.
  static Result<Query> parse(std::string_view text);

  // The first of that name; empty when there is none.
  const std::string* find(std::string_view name) const;
  std::string text(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;
  // "", "1" and "true" are true as Go's clients write them, "0" and "false" are not; absent is false.
  Result<bool> flag(std::string_view name) const;
  // A whole number; empty when absent.
  Result<std::optional<int64_t>> number(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

struct RequestInfo {
  std::string path;  // decoded, without query
  Query query;
  bool is_resource = false;
  // The word that authorization knows: get, list, watch, create, update, patch, delete, deletecollection; for what is
  // no resource the method in lower case.
  std::string verb;

  // Of a resource:
  std::string group;
  std::string version;
  std::string ns;        // empty: none
  std::string resource;  // plural
  std::string name;      // empty: the collection
  std::string subresource;
  // What follows the subresource, of proxies: "/metrics"; empty: nothing.
  std::string rest;
  std::string raw_query;  // as it was sent, without '?'
};

// /api/VERSION/..., /apis/GROUP/VERSION/...: the path decides. HEAD counts as GET.
Outcome<RequestInfo> parse_request_info(std::string_view method, std::string_view target);

// Decodes %XX; nothing for a broken one.
std::optional<std::string> decode_percent(std::string_view text, bool plus_is_space);

}  // namespace gantry::control
