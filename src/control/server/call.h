// SPDX-License-Identifier: Apache-2.0
// Call: one authorized request on a resource, on its way through decoding, admission and the store. It belongs to the
// coroutine that serves the request, and stays on that request's loop.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/kind.h"
#include "base/loop.h"
#include "base/task.h"
#include "control/server/body.h"
#include "control/server/request_info.h"

namespace gantry::control {

// Who asks, as authentication found or as an impersonator says.
struct User {
  std::string name;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;

  bool is_in(std::string_view group) const;
  bool operator==(const User&) const = default;
};

inline constexpr std::string_view kAnonymous = "system:anonymous";
inline constexpr std::string_view kAuthenticatedGroup = "system:authenticated";
inline constexpr std::string_view kUnauthenticatedGroup = "system:unauthenticated";
// May do everything, whatever RBAC says.
inline constexpr std::string_view kMastersGroup = "system:masters";

// Asks whether the user may; a failure is the refusal.
using Permission = std::function<Task<Outcome<void>>()>;

struct Call {
  Loop& here;
  const User& user;
  const RequestInfo& info;
  const api::Kind& kind;
  const api::Subresource* subresource = nullptr;  // null: the object itself

  // Of writes:
  bool dry_run = false;
  std::string field_manager;  // never empty: the client's program when it does not say
  // For an apply or a PUT that finds nothing; empty: nobody asks.
  Permission may_create;
  // Server-side apply keeps managed fields itself.
  bool is_apply = false;
  FieldValidation field_validation = FieldValidation::kWarn;
  // For the header Warning; who finds something adds it.
  std::vector<std::string> warnings;
  // For the audit log, beside what it says of every request; null: nobody keeps it.
  std::map<std::string, std::string>* annotations = nullptr;
  // What admission has set aside for the write (addresses, ports): called when it is done, or did not come to be and
  // all of that goes back. An attempt that is made again begins anew.
  std::vector<std::function<Task<>(bool done)>> afterwards;
};

// Calls what stands in call.afterwards, and forgets it.
Task<> settle(Call& call, bool done);

}  // namespace gantry::control
