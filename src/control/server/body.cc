// SPDX-License-Identifier: Apache-2.0
#include "control/server/body.h"

#include <google/protobuf/message.h>

#include "api/codec.h"
#include "api/json.h"
#include "api/strict.h"
#include "api/text.h"
#include "api/yaml.h"
#include "base/text.h"

namespace gantry::control {

namespace {

bool is_strict_only(const api::FieldProblem& problem) {
  return problem.kind == api::FieldProblem::Kind::kUnknownField ||
         problem.kind == api::FieldProblem::Kind::kDuplicateField;
}

// Upstream's words, which kubectl shows.
std::string strict_words(const api::FieldProblem& problem) {
  const bool unknown = problem.kind == api::FieldProblem::Kind::kUnknownField;
  return cat(unknown ? "unknown field " : "duplicate field ", '"', problem.path, '"');
}

Outcome<Decoded> decode_value(const api::Schema& schema, std::string_view name, const api::Value& document,
                              std::unique_ptr<api::Message> empty, FieldValidation validation) {
  Decoded decoded{std::move(empty), {}};
  api::FieldProblems problems;
  const Status status =
      api::decode(schema, document, decoded.message.get(), {.strict = false, .require_type = false}, &problems);
  if (!status) {
    return fail(bad_request(cat(name, " in version \"", schema.api_version, "\" cannot be handled as a ", name, ": ",
                                status.error().message())));
  }
  std::string all;
  for (const api::FieldProblem& problem : problems) {
    if (!is_strict_only(problem)) continue;
    if (validation == FieldValidation::kWarn) decoded.warnings.push_back(strict_words(problem));
    if (validation == FieldValidation::kStrict) all += cat(all.empty() ? "" : ", ", strict_words(problem));
  }
  if (!all.empty()) {
    return fail(bad_request(cat(name, " in version \"", schema.api_version, "\" cannot be handled as a ", name,
                                ": strict decoding error: ", all)));
  }
  return decoded;
}

}  // namespace

Outcome<FieldValidation> parse_field_validation(std::string_view text) {
  if (text.empty() || text == "Warn") return FieldValidation::kWarn;
  if (text == "Strict") return FieldValidation::kStrict;
  if (text == "Ignore") return FieldValidation::kIgnore;
  return fail(bad_request(cat("fieldValidation is ", quoted(text), "; expected Ignore, Warn or Strict")));
}

Outcome<std::vector<std::string>> check_patch_text(PatchText kind, const api::Value& patch,
                                                   FieldValidation validation) {
  std::vector<std::string> warnings;
  if (validation == FieldValidation::kIgnore) return warnings;
  api::FieldProblems problems;
  if (kind == PatchText::kOperations) api::find_unknown_in_json_patch(patch, &problems);
  api::find_duplicates(patch, &problems);
  std::string all;
  for (const api::FieldProblem& problem : problems) {
    warnings.push_back(cat(kind == PatchText::kOperations ? "json patch " : "", strict_words(problem)));
    all += cat(all.empty() ? "" : ", ", warnings.back());
  }
  if (problems.empty() || validation == FieldValidation::kWarn) return warnings;
  if (kind == PatchText::kApply) return fail(bad_request(cat("error strict decoding patch: ", all)));
  constexpr size_t kMaxShown = 4096;
  Failure failure;
  failure.code = 422;
  failure.reason = "Invalid";
  failure.message = cat(" \"\" is invalid: patch: Invalid value: ", api::quoted(api::write_json(patch), kMaxShown),
                        ": strict decoding error: ", all);
  failure.causes.push_back({"FieldValueInvalid", cat("Invalid value: strict decoding error: ", all), "patch"});
  return fail(std::move(failure));
}

Outcome<api::Value> parse_document(Encoding encoding, std::string_view body) {
  if (encoding == Encoding::kJson) {
    Result<api::Value> value = api::parse_json(body);
    if (!value) return fail(bad_request(cat("the body is no JSON document: ", value.error().message())));
    return std::move(*value);
  }
  Result<std::vector<api::Value>> documents = api::parse_yaml(body);
  if (!documents) return fail(bad_request(cat("the body is no YAML document: ", documents.error().message())));
  if (documents->size() != 1) {
    return fail(bad_request(cat("the body has ", documents->size(), " YAML documents; expected one")));
  }
  return std::move(documents->front());
}

Outcome<Decoded> decode_body(const google::protobuf::Descriptor& descriptor, std::unique_ptr<api::Message> empty,
                             std::string_view content_type, std::string_view body, FieldValidation validation) {
  Outcome<Encoding> encoding = body_encoding(content_type);
  if (!encoding) return std::unexpected(std::move(encoding.error()));
  const api::Schema& schema = api::schema_of(descriptor);
  if (*encoding == Encoding::kProtobuf) {
    Decoded decoded{std::move(empty), {}};
    const Status status = api::decode_protobuf(body, decoded.message.get());
    if (!status) {
      return fail(bad_request(cat("the body cannot be handled as a ", schema.kind, ": ", status.error().message())));
    }
    return decoded;
  }
  Outcome<api::Value> document = parse_document(*encoding, body);
  if (!document) return std::unexpected(std::move(document.error()));
  return decode_value(schema, schema.kind, *document, std::move(empty), validation);
}

Outcome<Decoded> decode_body(const api::Kind& kind, std::string_view content_type, std::string_view body,
                             FieldValidation validation) {
  return decode_body(*kind.descriptor, kind.make(), content_type, body, validation);
}

Outcome<Decoded> decode_document(const google::protobuf::Descriptor& descriptor, std::unique_ptr<api::Message> empty,
                                 const api::Value& document, FieldValidation validation) {
  const api::Schema& schema = api::schema_of(descriptor);
  return decode_value(schema, schema.kind, document, std::move(empty), validation);
}

Outcome<Decoded> decode_document(const api::Kind& kind, const api::Value& document, FieldValidation validation) {
  return decode_value(kind.schema(), kind.gvk.kind, document, kind.make(), validation);
}

}  // namespace gantry::control
