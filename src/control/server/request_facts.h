// SPDX-License-Identifier: Apache-2.0
// RequestFacts: what came to be known of one request on its way through the API server, for those who count it, record
// it and share out the server among those who ask. It belongs to the coroutine that serves the request.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "api/kind.h"
#include "control/server/call.h"
#include "control/server/request_info.h"

namespace gantry::control {

class AuditedRequest;

struct RequestFacts {
  std::string id;                         // by which it is found in the audit log
  std::optional<RequestInfo> info;        // absent: the path or query can't be read
  std::optional<User> sender;             // absent: nobody, or one whose credentials are no good
  std::optional<User> acting;             // as whom it is done; another than `sender` when he impersonates
  const api::Kind* kind = nullptr;        // of a resource that is served
  const api::Subresource* sub = nullptr;  // of `kind`
  bool is_long_running = false;           // watches, followed logs, sessions and proxies
  // Whether he may, where that came to be asked: "allow" or "forbid", and why.
  std::string decision;
  std::string reason;
  // The name of what a create makes: what its body says, or what came of generateName.
  std::string made;
  // What admission says of it, for the audit log.
  std::map<std::string, std::string> annotations;
  // As which this process's own controllers ask.
  bool is_own = false;
  // Of a long-running one: what it holds until its end.
  std::shared_ptr<void> place;
  std::shared_ptr<AuditedRequest> audited;  // null: nobody records it
};

// Reads the rest from `facts->info`: kind, sub, is_long_running.
void recognize(const api::Kinds& kinds, RequestFacts* facts);

// Of a request that changes nothing: GET and its like.
bool only_reads(const RequestInfo& info);

}  // namespace gantry::control
