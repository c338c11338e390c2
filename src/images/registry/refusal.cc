// SPDX-License-Identifier: Apache-2.0
#include "images/registry/refusal.h"

#include "images/json_reader.h"
#include "images/text.h"

namespace gantry::images {
namespace {

// " (MANIFEST_UNKNOWN: manifest unknown)".
std::string reason_in(const std::string& refusal) {
  auto object = parse_json_object(refusal, "", refusal.size());
  if (!object) return "";
  JsonReader reader("");
  const boost::json::array* errors = reader.array(*object, "errors", 100);
  if (errors == nullptr || errors->empty()) return "";
  const boost::json::object* first = reader.element(errors->front(), "errors");
  if (first == nullptr) return "";
  std::string code = reader.text(*first, "code");
  std::string message = reader.text(*first, "message");
  return cat(" (", as_utf8(code, 60), ": ", as_utf8(message, 200), ")");
}

}  // namespace

std::unexpected<Error> refused(const HttpAnswer& answer, std::string_view expected) {
  const int status = answer.head.status;
  Code code = Code::kInvalidArgument;
  if (status == 404) code = Code::kNotFound;
  if (status == 401) code = Code::kUnauthenticated;
  if (status == 403) code = Code::kPermissionDenied;
  if (status == 408 || status == 429 || status >= 500) code = Code::kUnavailable;
  return fail(code, cat("it answered ", status, reason_in(answer.refusal), ", expected ", expected));
}

}  // namespace gantry::images
