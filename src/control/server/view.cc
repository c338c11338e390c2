// SPDX-License-Identifier: Apache-2.0
#include "control/server/view.h"

#include <google/protobuf/message.h>

#include "api/codec.h"
#include "api/json.h"
#include "api/kind_parts.h"
#include "api/metadata.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

std::string meta_version(const AnswerForm& form) { return cat("meta.k8s.io/", form.view_version); }

api::Value partial_metadata(const api::Message& message, const AnswerForm& form) {
  const api::Value whole = api::encode(message);
  api::Value partial = api::Value::object({{"kind", "PartialObjectMetadata"}, {"apiVersion", meta_version(form)}});
  if (const api::Value* metadata = whole.find("metadata")) partial["metadata"] = *metadata;
  return partial;
}

// Of kinds that say nothing of their own.
std::vector<api::Value> plain_row(const api::Message& message, int64_t now) {
  const api::ObjectMeta& metadata = api::metadata_of(message);
  return {metadata.name(), api::age(metadata, now)};
}

std::vector<api::Column> plain_columns() {
  return {{.name = "Name", .type = "string", .format = "name", .description = "The object's name."},
          {.name = "Age", .type = "string", .format = "", .description = "How long ago it was created."}};
}

api::Value row_of(const api::Kind& kind, const api::Message& message, const AnswerForm& form, IncludeObject include,
                  int64_t now) {
  api::Value row{api::Value::Object{}};
  row["cells"] = kind.table.row ? kind.table.row(message, now) : plain_row(message, now);
  switch (include) {
    case IncludeObject::kNone:
      break;
    case IncludeObject::kMetadata:
      row["object"] = partial_metadata(message, form);
      break;
    case IncludeObject::kObject:
      row["object"] = api::encode(message);
      break;
  }
  return row;
}

api::Value columns_of(const api::Kind& kind) {
  api::Value::List list;
  for (const api::Column& column : kind.table.row ? kind.table.columns : plain_columns()) {
    list.push_back(api::Value::object({{"name", column.name},
                                       {"type", column.type},
                                       {"format", column.format},
                                       {"description", column.description},
                                       {"priority", column.priority}}));
  }
  return list;
}

std::string metadata_json(const ListMetadata& metadata) {
  api::Value value{api::Value::Object{}};
  if (metadata.is_versioned) value["resourceVersion"] = std::to_string(metadata.revision);
  if (!metadata.continue_token.empty()) value["continue"] = metadata.continue_token;
  if (metadata.remaining) value["remainingItemCount"] = *metadata.remaining;
  return api::write_json(value);
}

}  // namespace

Outcome<IncludeObject> parse_include_object(std::string_view text) {
  if (text.empty() || text == "Metadata") return IncludeObject::kMetadata;
  if (text == "None") return IncludeObject::kNone;
  if (text == "Object") return IncludeObject::kObject;
  return fail(bad_request(cat("includeObject is ", quoted(text), "; expected None, Metadata or Object")));
}

std::string object_json(const api::Message& message) {
  std::string text;
  api::encode_json(message, &text);
  return text;
}

Result<std::string> show_object(const api::Kind& kind, const api::Message& message, const AnswerForm& form,
                                IncludeObject include, int64_t now) {
  switch (form.view) {
    case View::kMetadata:
      return api::write_json(partial_metadata(message, form));
    case View::kTable: {
      std::string text;
      ListWriter writer(kind, form, include, now, &text);
      const std::string& version = api::metadata_of(message).resource_version();
      writer.begin({.revision = version.empty() ? 0 : std::stoll(version), .is_versioned = !version.empty()});
      writer.add(message);
      writer.end();
      return text;
    }
    case View::kObject:
      break;
  }
  if (form.encoding != Encoding::kProtobuf) return object_json(message);
  const std::unique_ptr<api::Message> copy(message.New());
  copy->CopyFrom(message);
  return api::encode_protobuf(copy.get());
}

ListWriter::ListWriter(const api::Kind& kind, const AnswerForm& form, IncludeObject include, int64_t now,
                       std::string* out)
    : kind_(kind), form_(form), include_(include), now_(now), out_(out) {}

void ListWriter::begin(const ListMetadata& metadata) {
  const std::string meta = metadata_json(metadata);
  switch (form_.view) {
    case View::kObject:
      *out_ += cat(R"({"kind":")", kind_.gvk.kind, R"(List","apiVersion":")", kind_.gvk.api_version(),
                   R"(","metadata":)", meta, R"(,"items":[)");
      break;
    case View::kMetadata:
      *out_ += cat(R"({"kind":"PartialObjectMetadataList","apiVersion":")", meta_version(form_), R"(","metadata":)",
                   meta, R"(,"items":[)");
      break;
    case View::kTable:
      *out_ += cat(R"({"kind":"Table","apiVersion":")", meta_version(form_), R"(","metadata":)", meta,
                   R"(,"columnDefinitions":)", api::write_json(columns_of(kind_)), R"(,"rows":[)");
      break;
  }
}

void ListWriter::add(const api::Message& message) {
  switch (form_.view) {
    case View::kObject:
      return add_json(object_json(message));
    case View::kMetadata:
      return add_json(api::write_json(partial_metadata(message, form_)));
    case View::kTable:
      return add_json(api::write_json(row_of(kind_, message, form_, include_, now_)));
  }
}

void ListWriter::add_json(std::string_view object) {
  if (!std::exchange(first_, false)) *out_ += ',';
  *out_ += object;
}

void ListWriter::end() { *out_ += "]}"; }

std::string content_type(const AnswerForm& form) {
  std::string type(content_type(form.encoding));
  if (form.view == View::kTable) type += cat(";as=Table;v=", form.view_version, ";g=meta.k8s.io");
  return type;
}

}  // namespace gantry::control
