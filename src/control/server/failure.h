// SPDX-License-Identifier: Apache-2.0
// Failure: how a request to the API ends when it does not succeed, as the Status object that clients read (meta/v1
// Status: code, reason, message, details). The words are upstream's where programs or habits depend on them.
// A plain value; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/problem.h"
#include "api/value.h"
#include "base/result.h"

namespace gantry::control {

struct Failure {
  struct Cause {
    std::string type;  // "FieldValueRequired"
    std::string message;
    std::string field;
  };

  int code = 500;  // of HTTP
  std::string reason;
  std::string message;
  // details; all empty: none.
  std::string name;
  std::string group;
  std::string kind;  // the resource ("pods"), of Invalid the kind ("Pod")
  std::string uid;
  std::vector<Cause> causes;
  int64_t retry_after = 0;     // seconds; also the header Retry-After
  std::string continue_token;  // metadata.continue, of a list whose version is forgotten
};

template <typename T>
using Outcome = std::expected<T, Failure>;
inline std::unexpected<Failure> fail(Failure failure) { return std::unexpected(std::move(failure)); }

Failure bad_request(std::string message);
Failure unauthorized();
// The path names nothing that is served.
Failure no_such_resource();
Failure method_not_allowed();
Failure not_acceptable(std::string_view accepted);
Failure unsupported_media_type(std::string_view accepted);
Failure expired(std::string message);
Failure too_many_requests(std::string message, int64_t retry_after);
Failure internal_error(std::string message);
// A version was asked for that this server has not reached: come again in a second.
Failure too_large_version(int64_t asked, int64_t present);

// On an object of a kind; `name` may be empty where the request had none.
Failure object_not_found(const api::Kind& kind, std::string_view name);
Failure already_exists(const api::Kind& kind, std::string_view name);
Failure conflict(const api::Kind& kind, std::string_view name, std::string_view why);
Failure forbidden(const api::Kind& kind, std::string_view name, std::string_view why);
// Precondition: there are problems.
Failure invalid(const api::Kind& kind, std::string_view name, const api::FieldProblems& problems);

// Of the modules beneath: the code decides. `what` is said before the error's message.
Failure from_error(const Error& error, std::string_view what = {});

// The Status object.
api::Value to_status(const Failure& failure);

}  // namespace gantry::control
