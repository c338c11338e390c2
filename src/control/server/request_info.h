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
#include "http/query.h"

namespace gantry::control {

using http::Query;

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

}  // namespace gantry::control
