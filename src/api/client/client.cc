// SPDX-License-Identifier: Apache-2.0
#include "api/client/client.h"

#include <google/protobuf/message.h>

#include "api/codec.h"
#include "api/json.h"
#include "base/text.h"

namespace gantry::api {

namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
constexpr std::string_view kMetadataList =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf,application/json";
constexpr int kPage = 500;
// A list in JSON of a server that we trust: a page of large objects.
constexpr ParseLimits kAnswerLimits{.bytes = std::size_t{512} << 20, .depth = 200, .nodes = 50'000'000};

http::Request make_request(std::string method, std::string path, const std::string& type, std::string body,
                           std::string_view accept, const std::string& program) {
  http::Request request{.method = std::move(method), .target = std::move(path), .body = std::move(body)};
  request.headers.emplace_back("Accept", accept);
  request.headers.emplace_back("User-Agent", program);
  if (!type.empty()) request.headers.emplace_back("Content-Type", type);
  return request;
}

}  // namespace

std::string escape_query(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string Target::api_version() const { return group.empty() ? version : cat(group, "/", version); }

std::string Target::path(std::string_view ns, std::string_view name, std::string_view subresource) const {
  std::string path = group.empty() ? cat("/api/", version) : cat("/apis/", group, "/", version);
  if (namespaced && !ns.empty()) path += cat("/namespaces/", ns);
  path += cat("/", plural);
  if (!name.empty()) path += cat("/", escape_query(name));
  if (!subresource.empty()) path += cat("/", subresource);
  return path;
}

Target target_of(const Kind& kind) {
  return {.group = kind.gvk.group,
          .version = kind.gvk.version,
          .plural = kind.plural,
          .kind = kind.gvk.kind,
          .namespaced = kind.namespaced,
          .verbs = kind.verbs};
}

Target Client::target_of(const google::protobuf::Descriptor* descriptor) const {
  for (const Kind& kind : kinds_.all()) {
    if (kind.descriptor == descriptor) return api::target_of(kind);
  }
  return {};
}

Answer<void> Client::decode_item(const Value& document, Message* message) {
  const DecodeOptions lenient{.strict = false, .require_type = false};
  if (gantry::Status decoded = decode(document, message, lenient); !decoded) return fail(no_answer(decoded.error()));
  return {};
}

std::string Client::content_type(PatchForm form) {
  switch (form) {
    case PatchForm::kMerge:
      return "application/merge-patch+json";
    case PatchForm::kStrategicMerge:
      return "application/strategic-merge-patch+json";
    case PatchForm::kJson:
      return "application/json-patch+json";
    case PatchForm::kApply:
      return "application/apply-patch+yaml";
  }
  return {};
}

std::string Client::patch_path(std::string path, PatchForm form) const {
  if (form == PatchForm::kApply) path += cat("?force=true&fieldManager=", escape_query(program_));
  return path;
}

std::string Client::encode_text(const Message& message) { return write_json(encode(message)); }
std::string Client::document_text(const Value& document) { return write_json(document); }

Task<Answer<Value>> Client::document(std::string method, std::string path, std::string type, std::string body) {
  co_return co_await ask(make_request(std::move(method), std::move(path), type, std::move(body), kJson, program_));
}

Task<Answer<Value>> Client::metadata(std::string path) {
  co_return co_await ask(make_request("GET", std::move(path), {}, {}, kMetadata, program_));
}

Task<Answer<Value>> Client::ask(http::Request request) {
  Result<http::Response> response = co_await transport_.call(here_, std::move(request));
  if (!response) co_return fail(no_answer(response.error()));
  if (response->status >= 300) co_return fail(read_status(response->status, response->body_bytes()));
  Result<Value> value = parse_json(response->body_bytes(), kAnswerLimits);
  if (!value) co_return fail(no_answer(value.error()));
  co_return std::move(*value);
}

Task<Answer<void>> Client::exchange(std::string method, std::string path, std::string type, std::string body,
                                    Message* out) {
  Answer<Value> value = co_await document(std::move(method), std::move(path), std::move(type), std::move(body));
  if (!value) co_return fail(std::move(value.error()));
  co_return decode_item(*value, out);
}

Task<Answer<void>> Client::patch_path_with(std::string path, PatchForm form, Value patch) {
  Answer<Value> done =
      co_await document("PATCH", patch_path(std::move(path), form), content_type(form), document_text(patch));
  if (!done) co_return fail(std::move(done.error()));
  co_return Answer<void>();
}

Task<Answer<void>> Client::remove_path(std::string path, RemoveQuery query) {
  Value options = Value::object({{"kind", "DeleteOptions"}, {"apiVersion", "v1"}});
  if (query.grace_period) options["gracePeriodSeconds"] = *query.grace_period;
  if (!query.propagation.empty()) options["propagationPolicy"] = query.propagation;
  if (!query.uid.empty()) options["preconditions"] = Value::object({{"uid", query.uid}});
  if (!query.resource_version.empty()) {
    Value& conditions = options["preconditions"];
    if (conditions.is_null()) conditions = Value::object({});
    conditions["resourceVersion"] = query.resource_version;
  }
  Answer<Value> done = co_await document("DELETE", std::move(path), std::string(kJson), document_text(options));
  if (!done) co_return fail(std::move(done.error()));
  co_return Answer<void>();
}

Task<Answer<void>> Client::visit(Target target, ListQuery query, TakeItem take, bool metadata_only,
                                 std::string* resource_version) {
  std::string rest;
  do {
    std::string path = cat(target.path(query.ns), "?limit=", kPage);
    if (!query.label_selector.empty()) path += cat("&labelSelector=", escape_query(query.label_selector));
    if (!query.field_selector.empty()) path += cat("&fieldSelector=", escape_query(query.field_selector));
    if (!rest.empty()) path += cat("&continue=", escape_query(rest));
    Result<http::Response> response = co_await transport_.call(
        here_, make_request("GET", path, {}, {}, metadata_only ? kMetadataList : kJson, program_));
    if (!response) co_return fail(no_answer(response.error()));
    if (response->status >= 300) co_return fail(read_status(response->status, response->body_bytes()));
    Result<Value> page = parse_json(response->body_bytes(), kAnswerLimits);
    if (!page) co_return fail(no_answer(page.error()));
    const Value* metadata = page->find("metadata");
    rest = metadata == nullptr ? std::string() : metadata->text_at("continue");
    if (metadata != nullptr && resource_version != nullptr) *resource_version = metadata->text_at("resourceVersion");
    const Value* items = page->find("items");
    if (items == nullptr || items->as_list() == nullptr) continue;
    for (const Value& item : *items->as_list()) {
      if (Answer<void> taken = take(item); !taken) co_return taken;
    }
  } while (!rest.empty());
  co_return Answer<void>();
}

Task<Answer<void>> Client::follow(std::string path, WatchForm form, TakeLine take) {
  const std::string_view accept = form == WatchForm::kJson       ? kJson
                                  : form == WatchForm::kMetadata ? kMetadata
                                                                 : kProtobuf;
  Result<http::Response> response = co_await transport_.follow(
      here_, make_request("GET", std::move(path), {}, {}, accept, program_), std::move(take));
  if (!response) co_return fail(no_answer(response.error()));
  if (response->status >= 300) co_return fail(read_status(response->status, response->body_bytes()));
  co_return Answer<void>();
}

}  // namespace gantry::api
