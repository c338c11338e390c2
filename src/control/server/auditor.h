// SPDX-License-Identifier: Apache-2.0
// Who records what was asked and answered. The API server tells an Auditor of every request; what is kept of it, and
// where, is the Auditor's matter (control/audit). Called on any loop.
#pragma once

#include <memory>

#include "control/server/request_facts.h"
#include "http/message.h"

namespace gantry::control {

// One request that is recorded. It belongs to the coroutine that serves the request, and holds what it needs of it.
// Both may wait until there is room for more records.
class AuditedRequest {
 public:
  virtual ~AuditedRequest() = default;
  // The answer is known. `goes_on`: its headers are (a watch, a session), and ended() comes later.
  virtual Task<> answered(Loop& here, const RequestFacts& facts, const http::Response& response, bool goes_on) = 0;
  virtual Task<> ended(Loop& here) = 0;
};

class Auditor {
 public:
  virtual ~Auditor() = default;
  // As soon as it is known who asks, or that he can't be known. Null: nothing is recorded of it. `request` lives until
  // answered() has returned.
  virtual Task<std::shared_ptr<AuditedRequest>> begin(Loop& here, const http::Request& request,
                                                      const RequestFacts& facts) = 0;
};

}  // namespace gantry::control
