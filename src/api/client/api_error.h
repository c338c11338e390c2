// SPDX-License-Identifier: Apache-2.0
// ApiError: what an API server said when it did not do what was asked (meta/v1 Status), or that it did not answer.
// A plain value; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::api {

struct ApiError {
  struct Cause {
    std::string type;
    std::string message;
    std::string field;
  };

  int code = 0;  // of HTTP; 0: there was no answer
  std::string reason;
  std::string message;
  std::vector<Cause> causes;
  std::int64_t retry_after = 0;  // seconds

  bool is_not_found() const { return code == 404; }
  bool is_already_exists() const { return reason == "AlreadyExists"; }
  bool is_conflict() const { return code == 409 && !is_already_exists(); }
  bool is_gone() const { return code == 410; }
  bool is_invalid() const { return code == 422 || code == 400; }
  // A create in a namespace that is being deleted: nothing more is to be made there.
  bool is_end_of_namespace() const;

  // It was not asked: the transport is closed.
  bool is_cancelled() const;

  Error as_error() const;
};

template <typename T>
using Answer = std::expected<T, ApiError>;
inline std::unexpected<ApiError> fail(ApiError error) { return std::unexpected(std::move(error)); }

// No answer came, or it could not be read.
ApiError no_answer(const Error& error);
// From the body of an answer of that status, which should be a Status object, in JSON or protobuf.
ApiError read_status(int code, std::string_view body);

}  // namespace gantry::api
