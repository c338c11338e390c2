// SPDX-License-Identifier: Apache-2.0
#include "control/server/resources.h"

#include <google/protobuf/message.h>

#include "api/check.h"
#include "api/codec.h"
#include "api/metadata.h"
#include "api/wire.h"
#include "base/text.h"
#include "control/server/answer.h"
#include "control/server/delete_options.h"
#include "control/server/invalid_options.h"
#include "control/server/managers.h"
#include "control/server/scale.h"
#include "control/server/watch.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr size_t kMaxManager = 128;

// A collection may be asked of all namespaces; an object is in one, if its kind is in any.
Outcome<void> check_namespace(const api::Kind& kind, const RequestInfo& info) {
  // A namespace is in itself and in no other: a right within one is none to the next.
  const bool is_namespace = info.resource == "namespaces" && info.group.empty() && info.ns == info.name;
  if (!kind.namespaced && !info.ns.empty() && !is_namespace) return fail(no_such_resource());
  if (!kind.namespaced || !info.ns.empty()) return {};
  if (!info.name.empty()) return fail(no_such_resource());
  if (info.verb != "list" && info.verb != "watch") return fail(method_not_allowed());
  return {};
}

std::optional<api::Verb> verb_of(std::string_view word) {
  if (word == "get") return api::Verb::kGet;
  if (word == "list") return api::Verb::kList;
  if (word == "watch") return api::Verb::kWatch;
  if (word == "create") return api::Verb::kCreate;
  if (word == "update") return api::Verb::kUpdate;
  if (word == "patch") return api::Verb::kPatch;
  if (word == "delete") return api::Verb::kDelete;
  if (word == "deletecollection") return api::Verb::kDeleteCollection;
  return std::nullopt;
}

// The type of which a write's options are.
std::string_view options_of(api::Verb verb) {
  if (verb == api::Verb::kCreate) return "CreateOptions";
  if (verb == api::Verb::kUpdate) return "UpdateOptions";
  return verb == api::Verb::kPatch ? "PatchOptions" : "DeleteOptions";
}

bool is_write(api::Verb verb) {
  return verb != api::Verb::kGet && verb != api::Verb::kList && verb != api::Verb::kWatch;
}

// ?dryRun=, fieldManager= and fieldValidation= of a write.
Outcome<void> read_write_options(const http::Request& request, api::Verb verb, Call* call) {
  const Query& query = call->info.query;
  api::FieldProblems problems;
  const api::Check check(&problems);
  for (const std::string& value : query.all("dryRun")) {
    check.at("dryRun").one_of(value, {"", "All"});
    if (!value.empty()) call->dry_run = true;
  }
  call->field_manager = query.text("fieldManager");
  if (call->field_manager.size() > kMaxManager) {
    check.at("fieldManager").too_long(call->field_manager.size(), kMaxManager, "bytes");
  } else if (call->field_manager.empty()) {
    call->field_manager = default_field_manager(request.header("User-Agent"));
  }
  const std::string validation = query.text("fieldValidation");
  check.at("fieldValidation").one_of(validation, {"", "Ignore", "Strict", "Warn"});
  if (!problems.empty()) return fail(invalid_options(options_of(verb), problems));
  Outcome<FieldValidation> parsed = parse_field_validation(validation);
  if (!parsed) return fail(std::move(parsed.error()));
  call->field_validation = *parsed;
  return {};
}

Outcome<PatchType> patch_type(std::string_view content_type) {
  const std::string type = media_type(content_type);
  if (type == "application/json-patch+json") return PatchType::kJson;
  if (type == "application/merge-patch+json") return PatchType::kMerge;
  if (type == "application/strategic-merge-patch+json") return PatchType::kStrategicMerge;
  if (type == "application/apply-patch+yaml") return PatchType::kApply;
  return fail(unsupported_media_type(
      "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
      "application/apply-patch+yaml"));
}

// The patch that a request brings; what it says twice is warned of in the call, or refused.
Outcome<ResourceWriter::Patch> parse_patch(Call* call, const http::Request& request) {
  Outcome<PatchType> type = patch_type(request.header("Content-Type"));
  if (!type) return fail(std::move(type.error()));
  Result<bool> force = call->info.query.flag("force");
  if (!force) return fail(bad_request(force.error().message()));
  const bool is_apply = *type == PatchType::kApply;
  api::FieldProblems problems;
  if (is_apply && call->info.query.text("fieldManager").empty()) {
    api::Check(&problems).at("fieldManager").required("is required for apply patch");
  }
  if (!is_apply && call->info.query.find("force") != nullptr) {
    api::Check(&problems).at("force").forbidden("may not be specified for non-apply patch");
  }
  if (!problems.empty()) return fail(invalid_options("PatchOptions", problems));
  Outcome<api::Value> document = parse_document(is_apply ? Encoding::kYaml : Encoding::kJson, request.body);
  if (!document) return fail(std::move(document.error()));
  const PatchText text = is_apply                    ? PatchText::kApply
                         : *type == PatchType::kJson ? PatchText::kOperations
                                                     : PatchText::kDocument;
  Outcome<std::vector<std::string>> warnings = check_patch_text(text, *document, call->field_validation);
  if (!warnings) return fail(std::move(warnings.error()));
  call->warnings = std::move(*warnings);
  return ResourceWriter::Patch{.type = *type, .document = std::move(*document), .force = *force};
}

// What a delete answers when the object is gone: that it is.
api::Value removed_status(const api::Kind& kind, const api::ObjectMeta& metadata) {
  api::Value details = api::Value::object({{"name", metadata.name()}});
  if (!kind.gvk.group.empty()) details["group"] = kind.gvk.group;
  details["kind"] = kind.plural;
  details["uid"] = metadata.uid();
  return api::Value::object({{"kind", "Status"},
                             {"apiVersion", "v1"},
                             {"metadata", api::Value(api::Value::Object{})},
                             {"status", "Success"},
                             {"details", std::move(details)}});
}

}  // namespace

Outcome<Call> Resources::make_call(Loop& here, const http::Request& request, const RequestInfo& info,
                                   const User& user) const {
  const api::Kind* kind = objects_.kinds().find_resource(info.group, info.version, info.resource);
  if (kind == nullptr) return fail(no_such_resource());
  if (Outcome<void> fits = check_namespace(*kind, info); !fits) return fail(std::move(fits.error()));
  Call call{.here = here, .user = user, .info = info, .kind = *kind};
  api::Verbs verbs = kind->verbs;
  if (!info.subresource.empty()) {
    call.subresource = kind->find_subresource(info.subresource);
    if (call.subresource == nullptr) return fail(no_such_resource());
    verbs = call.subresource->verbs;
  }
  const std::optional<api::Verb> verb = verb_of(info.verb);
  if (!verb || !api::has(verbs, *verb)) return fail(method_not_allowed());

  // A collection is made smaller or larger, and not written over.
  const bool is_of_one = *verb == api::Verb::kUpdate || *verb == api::Verb::kPatch || *verb == api::Verb::kDelete;
  if (is_of_one && info.name.empty()) return fail(method_not_allowed());
  // What is sent on to another server has that one's query.
  if (is_write(*verb) && !Connector::knows(info.subresource)) {
    if (Outcome<void> read = read_write_options(request, *verb, &call); !read) return fail(std::move(read.error()));
  }
  return call;
}

Task<Outcome<http::Reply>> Resources::serve(Loop& here, const http::Request& request, const RequestInfo& info,
                                            const User& user, Permission may_create,
                                            std::map<std::string, std::string>* annotations, std::string* made) {
  Outcome<Call> call = make_call(here, request, info, user);
  if (!call) co_return fail(std::move(call.error()));
  call->may_create = std::move(may_create);
  call->annotations = annotations;
  if (connector_ != nullptr && Connector::knows(info.subresource)) co_return co_await connector_->serve(*call, request);
  const auto action = actions_.find(action_name(call->kind, call->subresource));
  if (action != actions_.end() && info.verb == "create") {
    Outcome<http::Reply> reply = co_await act(*call, *action->second, request);
    if (reply) add_warnings(call->warnings, &*reply);
    co_return reply;
  }
  const auto source = sources_.find(action_name(call->kind, call->subresource));
  if (source != sources_.end()) co_return co_await read(*call, *source->second, request);
  if (call->kind.storage.empty()) co_return fail(no_such_resource());
  if (call->kind.scale && info.subresource == "scale") {
    Outcome<http::Reply> reply = co_await scale(*call, request);
    if (reply) add_warnings(call->warnings, &*reply);
    co_return reply;
  }
  if (call->subresource != nullptr && !call->subresource->update) co_return fail(no_such_resource());
  Outcome<http::Reply> reply = fail(method_not_allowed());
  if (info.verb == "get") reply = co_await get(*call, request);
  if (info.verb == "list") reply = co_await list(*call, request);
  if (info.verb == "watch") reply = co_await follow(*call, request);
  if (info.verb == "create") reply = co_await create(*call, request, made);
  if (info.verb == "update") reply = co_await update(*call, request);
  if (info.verb == "patch") reply = co_await patch(*call, request);
  if (info.verb == "delete") reply = co_await remove(*call, request);
  if (info.verb == "deletecollection") reply = co_await remove_collection(*call, request);
  if (reply) add_warnings(call->warnings, &*reply);
  co_return reply;
}

// What a scale asks for becomes a change of the object, and what is answered is the scale of what came of it.
Task<Outcome<http::Reply>> Resources::scale(Call& call, const http::Request& request) {
  Outcome<AnswerForm> form = negotiate(request.header("Accept"), {.protobuf = true, .views = false});
  if (!form) co_return fail(std::move(form.error()));
  ResourceWriter::Change change;
  if (call.info.verb == "update") {
    std::unique_ptr<api::Message> empty = make_scale();
    const google::protobuf::Descriptor& descriptor = *empty->GetDescriptor();
    Outcome<Decoded> decoded =
        decode_body(descriptor, std::move(empty), request.header("Content-Type"), request.body, call.field_validation);
    if (!decoded) co_return fail(std::move(decoded.error()));
    call.warnings = std::move(decoded->warnings);
    const std::shared_ptr<const api::Message> sent(std::move(decoded->message));
    change = [&call, sent, now = now_()](const Object& current) {
      return with_scale(call, *sent, *current.message, now);
    };
  }
  if (call.info.verb == "patch") {
    Outcome<ResourceWriter::Patch> patch = parse_patch(&call, request);
    if (!patch) co_return fail(std::move(patch.error()));
    change = [&call, patch = std::move(*patch), now = now_()](const Object& current) {
      return with_patched_scale(call, patch, *current.message, now);
    };
  }
  call.is_apply = true;  // who owns the replicas the Scale has settled
  Outcome<Object> object = change ? co_await writer_.change(call, call.info.name, call.kind.update, std::move(change))
                                  : co_await reader_.get(call, call.info.name);
  if (!object) co_return fail(std::move(object.error()));
  Outcome<std::unique_ptr<api::Message>> answer = scale_of(call.kind, *object->message);
  if (!answer) co_return fail(std::move(answer.error()));
  Result<std::string> text = show_object(call.kind, **answer, *form, IncludeObject::kNone, now_().seconds);
  if (!text) co_return fail(from_error(text.error()));
  co_return bytes_reply(200, content_type(*form), std::move(*text));
}

namespace {

Outcome<http::Reply> object_reply(const Call& call, const http::Request& request, int status, const Object& object,
                                  int64_t now) {
  Outcome<AnswerForm> form = negotiate(request.header("Accept"), {.protobuf = true, .views = true});
  if (!form) return fail(std::move(form.error()));
  Outcome<IncludeObject> include = parse_include_object(call.info.query.text("includeObject"));
  if (!include) return fail(std::move(include.error()));
  Result<std::string> text = show_object(call.kind, *object.message, *form, *include, now);
  if (!text) return fail(from_error(text.error()));
  return bytes_reply(status, content_type(*form), std::move(*text));
}

}  // namespace

Task<Outcome<http::Reply>> Resources::get(Call& call, const http::Request& request) {
  Outcome<Object> object = co_await reader_.get(call, call.info.name);
  if (!object) co_return fail(std::move(object.error()));
  co_return object_reply(call, request, 200, *object, now_().seconds);
}

Task<Outcome<http::Reply>> Resources::list(Call& call, const http::Request& request) {
  if (!call.info.name.empty()) co_return fail(method_not_allowed());
  Outcome<ListOptions> options = parse_list_options(call.kind, call.info);
  if (!options) co_return fail(std::move(options.error()));
  Outcome<AnswerForm> form = negotiate(request.header("Accept"), {.protobuf = true, .views = true});
  if (!form) co_return fail(std::move(form.error()));
  Outcome<IncludeObject> include = parse_include_object(call.info.query.text("includeObject"));
  if (!include) co_return fail(std::move(include.error()));
  Outcome<std::string> text = co_await reader_.list(call, std::move(*options), *form, *include);
  if (!text) co_return fail(std::move(text.error()));
  co_return bytes_reply(200, content_type(*form), std::move(*text));
}

namespace {

// A list that has no version, for nobody can watch it.
Outcome<std::string> show_list(const api::Kind& kind, const std::vector<std::unique_ptr<api::Message>>& objects,
                               const AnswerForm& form, IncludeObject include, int64_t now) {
  if (form.encoding == Encoding::kProtobuf && form.view == View::kObject) {
    api::WireList list(kind.gvk.api_version(), kind.gvk.kind + "List", {}, 0);
    for (const std::unique_ptr<api::Message>& object : objects) {
      const Result<std::string> bytes = api::encode_protobuf(object.get());
      if (!bytes) return fail(from_error(bytes.error()));
      if (const std::optional<std::string_view> unwrapped = api::unwrap(*bytes)) list.add(*unwrapped);
    }
    return list.take();
  }
  std::string text;
  ListWriter writer(kind, form, include, now, &text);
  writer.begin({.is_versioned = false});
  for (const std::unique_ptr<api::Message>& object : objects) writer.add(*object);
  writer.end();
  return text;
}

}  // namespace

Task<Outcome<http::Reply>> Resources::read(Call& call, ObjectSource& source, const http::Request& request) {
  const bool is_list = call.info.verb == "list";
  if (!is_list && call.info.verb != "get") co_return fail(method_not_allowed());
  if (is_list && !call.info.name.empty()) co_return fail(method_not_allowed());
  Outcome<AnswerForm> form = negotiate(request.header("Accept"), {.protobuf = true, .views = true});
  if (!form) co_return fail(std::move(form.error()));
  Outcome<IncludeObject> include = parse_include_object(call.info.query.text("includeObject"));
  if (!include) co_return fail(std::move(include.error()));
  Outcome<std::string> text;
  if (is_list) {
    Outcome<ListOptions> options = parse_list_options(call.kind, call.info);
    if (!options) co_return fail(std::move(options.error()));
    Outcome<std::vector<std::unique_ptr<api::Message>>> objects = co_await source.list(call, options->selection);
    if (!objects) co_return fail(std::move(objects.error()));
    text = show_list(call.kind, *objects, *form, *include, now_().seconds);
  } else {
    Outcome<std::unique_ptr<api::Message>> object = co_await source.get(call);
    if (!object) co_return fail(std::move(object.error()));
    Result<std::string> shown = show_object(call.kind, **object, *form, *include, now_().seconds);
    text = shown ? Outcome<std::string>(std::move(*shown)) : fail(from_error(shown.error()));
  }
  if (!text) co_return fail(std::move(text.error()));
  co_return bytes_reply(200, content_type(*form), std::move(*text));
}

Task<Outcome<http::Reply>> Resources::follow(Call& call, const http::Request& request) {
  Outcome<ListOptions> options = parse_list_options(call.kind, call.info);
  if (!options) co_return fail(std::move(options.error()));
  Outcome<AnswerForm> form = negotiate(request.header("Accept"), {.protobuf = true, .views = true});
  if (!form) co_return fail(std::move(form.error()));
  Outcome<IncludeObject> include = parse_include_object(call.info.query.text("includeObject"));
  if (!include) co_return fail(std::move(include.error()));
  metrics::Counter* events = metrics_ == nullptr ? nullptr : &metrics_->watch_events(call.kind);
  co_return co_await watch(call, caches_, std::move(*options), *form, *include, now_, events);
}

Task<Outcome<http::Reply>> Resources::create(Call& call, const http::Request& request, std::string* made) {
  if (!call.info.name.empty()) co_return fail(method_not_allowed());
  Outcome<Decoded> decoded =
      decode_body(call.kind, request.header("Content-Type"), request.body, call.field_validation);
  if (!decoded) co_return fail(std::move(decoded.error()));
  call.warnings = std::move(decoded->warnings);
  if (made != nullptr) *made = api::metadata_of(*decoded->message).name();
  Outcome<Object> object = co_await writer_.create(call, std::move(decoded->message));
  if (!object) co_return fail(std::move(object.error()));
  if (made != nullptr) *made = api::metadata_of(*object->message).name();
  co_return object_reply(call, request, 201, *object, now_().seconds);
}

Task<Outcome<http::Reply>> Resources::act(Call& call, Action& action, const http::Request& request) {
  Outcome<AnswerForm> form = negotiate(request.header("Accept"), {.protobuf = true, .views = false});
  if (!form) co_return fail(std::move(form.error()));
  std::unique_ptr<api::Message> empty = action.make();
  const google::protobuf::Descriptor& descriptor = *empty->GetDescriptor();
  Outcome<Decoded> decoded =
      decode_body(descriptor, std::move(empty), request.header("Content-Type"), request.body, call.field_validation);
  if (!decoded) co_return fail(std::move(decoded.error()));
  call.warnings = std::move(decoded->warnings);
  Outcome<std::unique_ptr<api::Message>> answer = co_await action.run(call, std::move(decoded->message));
  if (!answer) co_return fail(std::move(answer.error()));
  Result<std::string> text = show_object(call.kind, **answer, *form, IncludeObject::kNone, now_().seconds);
  if (!text) co_return fail(from_error(text.error()));
  co_return bytes_reply(201, content_type(*form), std::move(*text));
}

Task<Outcome<http::Reply>> Resources::update(Call& call, const http::Request& request) {
  Outcome<Decoded> decoded =
      decode_body(call.kind, request.header("Content-Type"), request.body, call.field_validation);
  if (!decoded) co_return fail(std::move(decoded.error()));
  call.warnings = std::move(decoded->warnings);
  bool created = false;
  Outcome<Object> done = co_await writer_.replace(call, call.info.name, std::move(decoded->message), &created);
  if (!done) co_return fail(std::move(done.error()));
  co_return object_reply(call, request, created ? 201 : 200, *done, now_().seconds);
}

Task<Outcome<http::Reply>> Resources::patch(Call& call, const http::Request& request) {
  Outcome<ResourceWriter::Patch> patch = parse_patch(&call, request);
  if (!patch) co_return fail(std::move(patch.error()));
  call.is_apply = patch->type == PatchType::kApply;
  bool created = false;
  Outcome<Object> done = co_await writer_.patch(call, call.info.name, std::move(*patch), &created);
  if (!done) co_return fail(std::move(done.error()));
  co_return object_reply(call, request, created ? 201 : 200, *done, now_().seconds);
}

Task<Outcome<http::Reply>> Resources::remove(Call& call, const http::Request& request) {
  Outcome<DeleteOptions> options = parse_delete_options(request, &call);
  if (!options) co_return fail(std::move(options.error()));
  Outcome<DeleteAnswer> answer = co_await writer_.remove(call, call.info.name, std::move(*options));
  if (!answer) co_return fail(std::move(answer.error()));
  if (!answer->removed || call.kind.answers_deleted) {
    co_return object_reply(call, request, 200, answer->object, now_().seconds);
  }
  co_return json_reply(200, removed_status(call.kind, api::metadata_of(*answer->object.message)));
}

Task<Outcome<http::Reply>> Resources::remove_collection(Call& call, const http::Request& request) {
  if (!call.info.name.empty()) co_return fail(method_not_allowed());
  Outcome<ListOptions> list_options = parse_list_options(call.kind, call.info);
  if (!list_options) co_return fail(std::move(list_options.error()));
  Outcome<DeleteOptions> options = parse_delete_options(request, &call);
  if (!options) co_return fail(std::move(options.error()));
  Outcome<std::vector<ItemPtr>> items = co_await reader_.all(call, list_options->selection);
  if (!items) co_return fail(std::move(items.error()));
  std::string text;
  ListWriter writer(call.kind, {}, IncludeObject::kObject, now_().seconds, &text);
  writer.begin({});
  for (const ItemPtr& item : *items) {
    Outcome<DeleteAnswer> answer = co_await writer_.remove(call, item->name(), *options);
    if (!answer && answer.error().code != 404) co_return fail(std::move(answer.error()));
    if (answer) writer.add(*answer->object.message);
  }
  writer.end();
  co_return bytes_reply(200, "application/json", std::move(text));
}

}  // namespace gantry::control
