// SPDX-License-Identifier: Apache-2.0
#include "api/documents/openapi_paths.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "kubernetes/meta/v1/options.pb.h"
#include "kubernetes/meta/v1/status.pb.h"

namespace gantry::api {

namespace {

namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;

struct Parameter {
  std::string_view name;
  std::string_view type;
  std::string_view text;
};

constexpr Parameter kPretty = {"pretty", "string", "true: the answer is indented."};
constexpr Parameter kDryRun = {"dryRun", "string", "All: everything is done but for the writing."};
constexpr Parameter kFieldManager = {"fieldManager", "string", "Who makes the change, up to 128 letters."};
constexpr Parameter kFieldValidation = {
    "fieldValidation", "string",
    "What becomes of unknown and duplicate fields: Ignore drops them, Warn drops them and says so, Strict refuses."};
constexpr Parameter kForce = {"force", "boolean", "With server-side apply: takes fields from those who have them."};
constexpr Parameter kResourceVersion = {"resourceVersion", "string",
                                        "How old the answer may be, or where a watch begins."};

constexpr auto kWriteParameters = std::to_array<Parameter>({kDryRun, kFieldManager, kFieldValidation});
constexpr auto kPatchParameters = std::to_array<Parameter>({kDryRun, kFieldManager, kFieldValidation, kForce});
constexpr auto kReadParameters = std::to_array<Parameter>({kResourceVersion});
constexpr auto kListParameters = std::to_array<Parameter>({
    {"allowWatchBookmarks", "boolean", "Watches may have bookmarks, which only say how far they are."},
    {"continue", "string", "The token with which the last part of the list ended."},
    {"fieldSelector", "string", "Only objects with these fields."},
    {"labelSelector", "string", "Only objects with these labels."},
    {"limit", "integer", "At most so many objects; the rest with continue."},
    kResourceVersion,
    {"resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."},
    {"sendInitialEvents", "boolean", "A watch begins with what there is, as if it had just been added."},
    {"timeoutSeconds", "integer", "The longest time for the answer."},
    {"watch", "boolean", "Changes as they come, and no list."},
});
constexpr auto kDeleteParameters = std::to_array<Parameter>({
    kDryRun,
    {"gracePeriodSeconds", "integer", "How long the object may take to end; 0: at once."},
    {"orphanDependents", "boolean", "The old form of propagationPolicy."},
    {"propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."},
});

constexpr auto kTypes =
    std::to_array<std::string_view>({"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"});
constexpr auto kPatchTypes =
    std::to_array<std::string_view>({"application/json-patch+json", "application/merge-patch+json",
                                     "application/strategic-merge-patch+json", "application/apply-patch+yaml"});

std::string capitalized(std::string_view text) {
  std::string out(text);
  if (!out.empty()) out[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(out[0])));
  return out;
}

Value kind_value(const GroupVersionKind& gvk) {
  return Value::object({{"group", gvk.group}, {"kind", gvk.kind}, {"version", gvk.version}});
}

template <size_t N>
Value texts(const std::array<std::string_view, N>& from) {
  Value::List list;
  for (const std::string_view text : from) list.emplace_back(text);
  return list;
}

// Writes operations in either dialect.
class Paths {
 public:
  Paths(const Kind& kind, OpenApiSchemas* schemas, Value::Object* out) : kind_(kind), schemas_(schemas), out_(out) {
    const std::string root =
        kind.gvk.group.empty() ? cat("/api/", kind.gvk.version) : cat("/apis/", kind.gvk.group, "/", kind.gvk.version);
    all_ = cat(root, "/", kind.plural);
    collection_ = kind.namespaced ? cat(root, "/namespaces/{namespace}/", kind.plural) : all_;
    object_ = cat(collection_, "/{name}");
    scope_ = kind.namespaced ? "Namespaced" : "";
  }

  void add() {
    Value collection = path(false);
    if (may(Verb::kList)) collection["get"] = list("list");
    if (may(Verb::kCreate)) collection["post"] = write("create", kWriteParameters, self(), self(), kind_.gvk);
    if (may(Verb::kDeleteCollection)) collection["delete"] = delete_collection();
    append(collection_, std::move(collection));

    Value object = path(true);
    if (may(Verb::kGet)) object["get"] = answer("get", "read", kReadParameters, self(), kind_.gvk);
    if (may(Verb::kUpdate)) object["put"] = write("replace", kWriteParameters, self(), self(), kind_.gvk);
    if (may(Verb::kPatch)) object["patch"] = patch(kind_.gvk);
    if (may(Verb::kDelete)) object["delete"] = remove();
    append(object_, std::move(object));

    if (kind_.namespaced && may(Verb::kList)) {
      Value everywhere = Value::object({});
      suffix_ = "ForAllNamespaces";
      scope_ = "";
      everywhere["get"] = list("list");
      suffix_ = "";
      scope_ = "Namespaced";
      append(all_, std::move(everywhere));
    }
    for (const Subresource& subresource : kind_.subresources) add_subresource(subresource);
  }

 private:
  bool may(Verb verb) const { return has(kind_.verbs, verb); }

  void append(std::string path, Value operations) {
    // Nothing but the parameters of the path itself.
    const bool none = std::ranges::none_of(*operations.as_object(),
                                           [](const Value::Member& member) { return member.key != "parameters"; });
    if (!none) out_->emplace_back(std::move(path), std::move(operations));
  }

  bool v2() const { return schemas_->dialect() == OpenApiDialect::kV2; }

  Value parameter(const Parameter& from, std::string_view in) const {
    Value out = Value::object({{"name", from.name}, {"in", in}, {"description", from.text}});
    if (in == "path") out["required"] = true;
    if (v2()) {
      out["type"] = from.type;
      out["uniqueItems"] = true;
    } else {
      out["schema"] = Value::object({{"type", from.type}, {"uniqueItems", true}});
    }
    return out;
  }

  // With the parameters that stand in the path.
  Value path(bool with_name) const {
    Value::List parameters;
    if (with_name) parameters.push_back(parameter({"name", "string", "The object's name."}, "path"));
    if (kind_.namespaced) parameters.push_back(parameter({"namespace", "string", "The object's namespace."}, "path"));
    parameters.push_back(parameter(kPretty, "query"));
    return Value::object({{"parameters", std::move(parameters)}});
  }

  Value self() { return schemas_->reference(kind_.schema()); }

  Value answered(Value schema) const {
    Value ok = Value::object({{"description", "OK"}});
    if (v2()) {
      ok["schema"] = std::move(schema);
    } else {
      Value content = Value::object({});
      for (const std::string_view type : kTypes) content[type] = Value::object({{"schema", schema}});
      ok["content"] = std::move(content);
    }
    return Value::object({{"200", std::move(ok)}, {"401", Value::object({{"description", "Unauthorized"}})}});
  }

  template <size_t N>
  Value answer(std::string_view action, std::string_view word, const std::array<Parameter, N>& parameters, Value schema,
               const GroupVersionKind& gvk, std::string_view part = {}) const {
    Value::List list;
    for (const Parameter& from : parameters) list.push_back(parameter(from, "query"));
    const std::string group = operation_group(kind_.gvk);
    Value tags = Value::List();
    std::string tag = group.substr(0, group.size() - capitalized(kind_.gvk.version).size());
    tag[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(tag[0])));
    tags.as_list()->emplace_back(cat(tag, "_", kind_.gvk.version));
    Value out = Value::object({{"tags", std::move(tags)},
                               {"operationId", cat(word, group, action == "deletecollection" ? "Collection" : "",
                                                   scope_, kind_.gvk.kind, capitalized(part), suffix_)},
                               {"parameters", std::move(list)},
                               {"responses", answered(std::move(schema))},
                               {"x-kubernetes-action", action},
                               {"x-kubernetes-group-version-kind", kind_value(gvk)}});
    if (v2()) {
      out["consumes"] = texts(std::array<std::string_view, 1>{"*/*"});
      out["produces"] = texts(kTypes);
    }
    return out;
  }

  // What the client sends.
  template <size_t N>
  void set_body(Value* operation, Value schema, const std::array<std::string_view, N>& types, bool required) const {
    if (v2()) {
      (*operation)["consumes"] = texts(types);
      Value body = Value::object({{"name", "body"}, {"in", "body"}, {"schema", std::move(schema)}});
      if (required) body["required"] = true;
      operation->find("parameters")->as_list()->push_back(std::move(body));
      return;
    }
    Value content = Value::object({});
    for (const std::string_view type : types) content[type] = Value::object({{"schema", schema}});
    Value body = Value::object({{"content", std::move(content)}});
    if (required) body["required"] = true;
    (*operation)["requestBody"] = std::move(body);
  }

  template <size_t N>
  Value write(std::string_view word, const std::array<Parameter, N>& parameters, Value body, Value schema,
              const GroupVersionKind& gvk, std::string_view part = {}) const {
    Value out = answer(word == "create" ? "post" : "put", word, parameters, std::move(schema), gvk, part);
    set_body(&out, std::move(body), std::array<std::string_view, 1>{"*/*"}, true);
    return out;
  }

  Value patch(const GroupVersionKind& gvk, std::string_view part = {}) {
    Value out = answer("patch", "patch", kPatchParameters, self_or(gvk), gvk, part);
    set_body(&out, schemas_->patch_reference(), kPatchTypes, true);
    return out;
  }

  Value list(std::string_view action) {
    const std::string name = cat(kind_.descriptor->full_name(), "List");
    const auto* message = kind_.descriptor->file()->pool()->FindMessageTypeByName(name);
    return answer(action, action, kListParameters,
                  message == nullptr ? any() : schemas_->reference(schema_of(*message)), kind_.gvk);
  }

  Value with_delete_options(Value operation) {
    set_body(&operation, schemas_->reference(schema_of(*meta::DeleteOptions::descriptor())),
             std::array<std::string_view, 1>{"*/*"}, false);
    return operation;
  }

  Value remove() {
    return with_delete_options(answer("delete", "delete", kDeleteParameters,
                                      schemas_->reference(schema_of(*meta::Status::descriptor())), kind_.gvk));
  }

  Value delete_collection() {
    return with_delete_options(answer("deletecollection", "delete", kDeleteParameters,
                                      schemas_->reference(schema_of(*meta::Status::descriptor())), kind_.gvk));
  }

  static Value any() { return Value::object({{"type", "object"}}); }

  // The schema of what a subresource takes and answers: it lies in the package of its group.
  Value self_or(const GroupVersionKind& gvk) {
    if (gvk == kind_.gvk) return self();
    const std::string group = gvk.group.empty() ? "core" : gvk.group.substr(0, gvk.group.find('.'));
    const auto* message = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        cat("k8s.io.api.", group, ".", gvk.version, ".", gvk.kind));
    return message == nullptr ? any() : schemas_->reference(schema_of(*message));
  }

  void add_subresource(const Subresource& subresource) {
    const GroupVersionKind& gvk = subresource.kind.kind.empty() ? kind_.gvk : subresource.kind;
    const auto can = [&](Verb verb) { return has(subresource.verbs, verb); };
    Value operations = path(true);
    // Logs, exec and proxies speak protocols of their own; their kinds are what stands in the query.
    if (gvk.kind.ends_with("Options")) {
      const auto connect = [&](Verb verb, std::string_view method) {
        if (!can(verb)) return;
        Value operation = answer("connect", "connect", std::array<Parameter, 0>(), Value::object({{"type", "string"}}),
                                 gvk, subresource.name);
        operation["operationId"] = cat("connect", operation_group(kind_.gvk), capitalized(method), scope_,
                                       kind_.gvk.kind, capitalized(subresource.name));
        operations[method] = std::move(operation);
      };
      connect(Verb::kGet, "get");
      connect(Verb::kCreate, "post");
      connect(Verb::kUpdate, "put");
      connect(Verb::kPatch, "patch");
      connect(Verb::kDelete, "delete");
    } else {
      const std::string_view part = subresource.name;
      if (can(Verb::kGet)) operations["get"] = answer("get", "read", kReadParameters, self_or(gvk), gvk, part);
      if (can(Verb::kCreate)) {
        operations["post"] = write("create", kWriteParameters, self_or(gvk), self_or(gvk), gvk, part);
      }
      if (can(Verb::kUpdate)) {
        operations["put"] = write("replace", kWriteParameters, self_or(gvk), self_or(gvk), gvk, part);
      }
      if (can(Verb::kPatch)) operations["patch"] = patch(gvk, part);
    }
    append(cat(object_, "/", subresource.name), std::move(operations));
  }

  const Kind& kind_;
  OpenApiSchemas* schemas_;
  Value::Object* out_;
  std::string all_;
  std::string collection_;
  std::string object_;
  std::string_view scope_;
  std::string_view suffix_;
};

}  // namespace

std::string operation_group(const GroupVersionKind& gvk) {
  std::string_view group = gvk.group.empty() ? std::string_view("core") : std::string_view(gvk.group);
  if (group.ends_with(".k8s.io")) group.remove_suffix(7);
  std::string out;
  while (!group.empty()) {
    const size_t dot = std::min(group.find('.'), group.size());
    out += capitalized(group.substr(0, dot));
    group.remove_prefix(std::min(dot + 1, group.size()));
  }
  return out + capitalized(gvk.version);
}

void add_paths(const Kind& kind, OpenApiSchemas* schemas, Value::Object* out) { Paths(kind, schemas, out).add(); }

}  // namespace gantry::api
