// SPDX-License-Identifier: Apache-2.0
#include "control/server/failure.h"

#include "base/text.h"

namespace gantry::control {

namespace {

// "deployments.apps"
std::string qualified(std::string_view name, std::string_view group) {
  return group.empty() ? std::string(name) : cat(name, ".", group);
}

Failure of_kind(int code, std::string_view reason, const api::Kind& kind, std::string_view name) {
  Failure failure;
  failure.code = code;
  failure.reason = reason;
  failure.name = name;
  failure.group = kind.gvk.group;
  failure.kind = kind.plural;
  return failure;
}

Failure plain(int code, std::string_view reason, std::string message) {
  Failure failure;
  failure.code = code;
  failure.reason = reason;
  failure.message = std::move(message);
  return failure;
}

struct CauseWords {
  std::string_view type;
  std::string_view title;
};

CauseWords words_of(api::FieldProblem::Kind kind) {
  using Kind = api::FieldProblem::Kind;
  switch (kind) {
    case Kind::kRequired:
      return {"FieldValueRequired", "Required value"};
    case Kind::kNotSupported:
      return {"FieldValueNotSupported", "Unsupported value"};
    case Kind::kDuplicate:
      return {"FieldValueDuplicate", "Duplicate value"};
    case Kind::kNotFound:
      return {"FieldValueNotFound", "Not found"};
    case Kind::kForbidden:
      return {"FieldValueForbidden", "Forbidden"};
    case Kind::kTooLong:
      return {"FieldValueTooLong", "Too long"};
    case Kind::kWrongType:
      return {"FieldValueTypeInvalid", "Invalid value"};
    case Kind::kUnknownField:
    case Kind::kDuplicateField:
    case Kind::kInvalid:
      break;
  }
  return {"FieldValueInvalid", "Invalid value"};
}

std::string_view reason_of(int code) {
  switch (code) {
    case 400:
      return "BadRequest";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 409:
      return "Conflict";
    case 413:
      return "RequestEntityTooLarge";
    case 429:
      return "TooManyRequests";
    case 503:
      return "ServiceUnavailable";
    case 504:
      return "Timeout";
    default:
      return "InternalError";
  }
}

int code_of(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
      return 400;
    case Code::kPermissionDenied:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kAlreadyExists:
    case Code::kAborted:
    case Code::kFailedPrecondition:
      return 409;
    case Code::kUnavailable:
      return 503;
    case Code::kDeadlineExceeded:
    case Code::kCancelled:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

Failure bad_request(std::string message) { return plain(400, "BadRequest", std::move(message)); }
Failure unauthorized() { return plain(401, "Unauthorized", "Unauthorized"); }
Failure no_such_resource() { return plain(404, "NotFound", "the server could not find the requested resource"); }

Failure method_not_allowed() {
  return plain(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

Failure not_acceptable(std::string_view accepted) {
  return plain(406, "NotAcceptable", cat("only the following media types are accepted: ", accepted));
}

Failure unsupported_media_type(std::string_view accepted) {
  return plain(415, "UnsupportedMediaType",
               cat("the body of the request was in an unknown format - accepted media types include: ", accepted));
}

Failure expired(std::string message) { return plain(410, "Expired", std::move(message)); }

Failure too_many_requests(std::string message, int64_t retry_after) {
  Failure failure = plain(429, "TooManyRequests", std::move(message));
  failure.retry_after = retry_after;
  return failure;
}

Failure internal_error(std::string message) {
  return plain(500, "InternalError", cat("Internal error occurred: ", message));
}

Failure too_large_version(std::int64_t asked, std::int64_t present) {
  Failure failure;
  failure.code = 504;
  failure.reason = "Timeout";
  failure.message = cat("Timeout: Too large resource version: ", asked, ", current: ", present);
  failure.retry_after = 1;
  failure.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  return failure;
}

Failure object_not_found(const api::Kind& kind, std::string_view name) {
  Failure failure = of_kind(404, "NotFound", kind, name);
  failure.message = cat(qualified(kind.plural, kind.gvk.group), " \"", name, "\" not found");
  return failure;
}

Failure already_exists(const api::Kind& kind, std::string_view name) {
  Failure failure = of_kind(409, "AlreadyExists", kind, name);
  failure.message = cat(qualified(kind.plural, kind.gvk.group), " \"", name, "\" already exists");
  return failure;
}

Failure conflict(const api::Kind& kind, std::string_view name, std::string_view why) {
  Failure failure = of_kind(409, "Conflict", kind, name);
  failure.message =
      cat("Operation cannot be fulfilled on ", qualified(kind.plural, kind.gvk.group), " \"", name, "\": ", why);
  return failure;
}

Failure forbidden(const api::Kind& kind, std::string_view name, std::string_view why) {
  Failure failure = of_kind(403, "Forbidden", kind, name);
  const std::string object = qualified(kind.plural, kind.gvk.group);
  failure.message =
      name.empty() ? cat(object, " is forbidden: ", why) : cat(object, " \"", name, "\" is forbidden: ", why);
  return failure;
}

Failure invalid(const api::Kind& kind, std::string_view name, const api::FieldProblems& problems) {
  Failure failure = of_kind(422, "Invalid", kind, name);
  failure.kind = kind.gvk.kind;
  std::string all;
  for (const api::FieldProblem& problem : problems) {
    const CauseWords words = words_of(problem.kind);
    const std::string text = problem.detail.empty() ? std::string(words.title) : cat(words.title, ": ", problem.detail);
    failure.causes.push_back({std::string(words.type), text, problem.path});
    all += cat(all.empty() ? "" : ", ", problem.path, ": ", text);
  }
  failure.message = cat(qualified(kind.gvk.kind, kind.gvk.group), " \"", name,
                        "\" is invalid: ", problems.size() > 1 ? cat("[", all, "]") : all);
  return failure;
}

Failure from_error(const Error& error, std::string_view what) {
  const int code = code_of(error.code());
  std::string message = what.empty() ? error.message() : cat(what, ": ", error.message());
  return plain(code, reason_of(code), std::move(message));
}

api::Value to_status(const Failure& failure) {
  api::Value status = api::Value::object({{"kind", "Status"},
                                          {"apiVersion", "v1"},
                                          {"metadata", api::Value(api::Value::Object{})},
                                          {"status", "Failure"},
                                          {"message", failure.message}});
  if (!failure.continue_token.empty()) status["metadata"]["continue"] = failure.continue_token;
  if (!failure.reason.empty()) status["reason"] = failure.reason;
  api::Value details{api::Value::Object{}};
  if (!failure.name.empty()) details["name"] = failure.name;
  if (!failure.group.empty()) details["group"] = failure.group;
  if (!failure.kind.empty()) details["kind"] = failure.kind;
  if (!failure.uid.empty()) details["uid"] = failure.uid;
  if (!failure.causes.empty()) {
    api::Value::List causes;
    for (const Failure::Cause& cause : failure.causes) {
      api::Value entry{api::Value::Object{}};
      entry["reason"] = cause.type;
      entry["message"] = cause.message;
      if (!cause.field.empty()) entry["field"] = cause.field;
      causes.push_back(std::move(entry));
    }
    details["causes"] = std::move(causes);
  }
  if (failure.retry_after > 0) details["retryAfterSeconds"] = failure.retry_after;
  if (!details.as_object()->empty()) status["details"] = std::move(details);
  status["code"] = failure.code;
  return status;
}

}  // namespace gantry::control
