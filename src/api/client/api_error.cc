// SPDX-License-Identifier: Apache-2.0
#include "api/client/api_error.h"

#include <algorithm>

#include "api/codec.h"
#include "api/json.h"
#include "api/wire.h"
#include "base/text.h"
#include "kubernetes/meta/v1/status.pb.h"

namespace gantry::api {

namespace {

const std::string kCancelled = "Cancelled";

Code canonical(const ApiError& error) {
  switch (error.code) {
    case 400:
    case 422:
      return Code::kInvalidArgument;
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kNotFound;
    case 409:
      return error.is_already_exists() ? Code::kAlreadyExists : Code::kAborted;
    case 410:
      return Code::kOutOfRange;
    case 429:
      return Code::kResourceExhausted;
    case 504:
      return Code::kDeadlineExceeded;
    case 0:
      return error.is_cancelled() ? Code::kCancelled : Code::kUnavailable;
    case 503:
      return Code::kUnavailable;
    default:
      return Code::kUnknown;
  }
}

}  // namespace

bool ApiError::is_end_of_namespace() const {
  return std::ranges::any_of(causes, [](const Cause& cause) { return cause.type == "NamespaceTerminating"; });
}

bool ApiError::is_cancelled() const { return code == 0 && reason == kCancelled; }

Error ApiError::as_error() const { return Error(canonical(*this), message); }

ApiError no_answer(const Error& error) {
  return {.reason = error.is_cancelled() ? kCancelled : std::string(), .message = error.message()};
}

ApiError read_status(int code, std::string_view body) {
  ApiError error{.code = code};
  Result<Value> status = Value();
  if (k8s::io::apimachinery::pkg::apis::meta::v1::Status message; unwrap(body) && decode_protobuf(body, &message)) {
    status = encode(message);
  } else {
    status = parse_json(body);
  }
  if (!status || !status->is_object()) {
    error.message = cat("the server answered ", code, ": ", as_utf8(body, 256));
    return error;
  }
  if (const Value* number = status->find("code")) {
    error.code = static_cast<int>(number->as_int64().value_or(code));
  }
  error.reason = status->text_at("reason");
  error.message = status->text_at("message");
  const Value* details = status->find("details");
  if (details == nullptr) return error;
  if (const Value* seconds = details->find("retryAfterSeconds")) error.retry_after = seconds->as_int64().value_or(0);
  const Value* causes = details->find("causes");
  if (causes == nullptr || causes->as_list() == nullptr) return error;
  for (const Value& cause : *causes->as_list()) {
    error.causes.push_back({cause.text_at("reason"), cause.text_at("message"), cause.text_at("field")});
  }
  return error;
}

}  // namespace gantry::api
