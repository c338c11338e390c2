// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>

#include "api/codec.h"
#include "api/metadata.h"
#include "api/names.h"
#include "api/object_meta.h"
#include "base/text.h"
#include "control/server/managers.h"
#include "control/server/object_names.h"
#include "control/server/resource_writer.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

// A name of five random letters is taken once in millions; who has so many objects of one base may have to try again.
constexpr int kNameAttempts = 8;

auto name_rule(const api::Kind& kind) {
  return kind.check_name != nullptr ? kind.check_name : &api::check_dns1123_subdomain;
}

}  // namespace

Outcome<void> ResourceWriter::begin_create(Call& call, api::Message* message) const {
  api::ObjectMeta* metadata = api::mutable_metadata_of(message);
  if (!metadata->resource_version().empty()) {
    return fail(bad_request("resourceVersion should not be set on objects to be created"));
  }
  if (call.kind.namespaced) {
    if (metadata->namespace_().empty()) metadata->set_namespace_(call.info.ns);
    if (metadata->namespace_() != call.info.ns) {
      return fail(
          bad_request(cat("the namespace of the provided object does not match the namespace sent on the request: ",
                          quoted(metadata->namespace_()), " and ", quoted(call.info.ns))));
    }
  } else if (!metadata->namespace_().empty()) {
    return fail(bad_request(cat("namespace should not be set on ", call.kind.plural, ", which are in none")));
  }
  if (metadata->name().empty() && !metadata->generate_name().empty()) {
    Result<std::string> name = generate_name(metadata->generate_name());
    if (!name) return fail(from_error(name.error()));
    metadata->set_name(*name);
  }
  Result<std::string> uid = new_uid();
  if (!uid) return fail(from_error(uid.error()));
  metadata->set_uid(*uid);
  metadata->mutable_creation_timestamp()->set_seconds(now_().seconds);
  metadata->clear_deletion_timestamp();
  metadata->clear_deletion_grace_period_seconds();
  metadata->set_self_link("");
  metadata->set_generation(call.kind.has_generation ? 1 : 0);
  return {};
}

Task<Outcome<Object>> ResourceWriter::create(Call& call, std::unique_ptr<api::Message> message) {
  Outcome<Object> created = co_await try_create(call, std::move(message));
  co_await settle(call, created && !call.dry_run);
  co_return created;
}

Task<Outcome<Object>> ResourceWriter::try_create(Call& call, std::unique_ptr<api::Message> message) {
  const bool generated =
      api::metadata_of(*message).name().empty() && !api::metadata_of(*message).generate_name().empty();
  const std::unique_ptr<api::Message> sent(message->New());
  sent->CopyFrom(*message);
  for (int attempt = 1;; ++attempt) {
    if (Outcome<void> begun = begin_create(call, message.get()); !begun) co_return fail(std::move(begun.error()));
    if (call.kind.set_defaults) call.kind.set_defaults(message.get());
    if (Status normal = api::normalize(message.get()); !normal) {
      co_return fail(bad_request(normal.error().message()));
    }
    if (Outcome<void> tracked = track_create(objects_.kinds(), call, now_(), message.get()); !tracked) {
      co_return fail(std::move(tracked.error()));
    }
    const std::string name = api::metadata_of(*message).name();
    AdmissionRequest request{.call = call, .operation = Operation::kCreate, .name = name, .object = message.get()};
    if (Outcome<void> admitted = co_await admission_.mutate(request); !admitted) {
      co_return fail(std::move(admitted.error()));
    }
    // As upstream, after all who change it: what a pod is made of may come from them. Nobody owns what this adds.
    if (call.kind.has_status && !call.kind.creates_with_status) api::clear_field(message.get(), "status");
    if (call.kind.prepare_create) call.kind.prepare_create(message.get());
    if (Status normal = api::normalize(message.get()); !normal) {
      co_return fail(bad_request(normal.error().message()));
    }
    api::FieldProblems problems =
        api::validate_object_meta(api::metadata_of(*message), call.kind.namespaced, name_rule(call.kind));
    if (call.kind.validate) {
      for (api::FieldProblem& problem : call.kind.validate(*message)) problems.push_back(std::move(problem));
    }
    if (!problems.empty()) co_return fail(invalid(call.kind, name, problems));
    if (call.kind.warnings) {
      for (std::string& warning : call.kind.warnings(*message)) call.warnings.push_back(std::move(warning));
    }
    if (Outcome<void> admitted = co_await admission_.validate(request); !admitted) {
      co_return fail(std::move(admitted.error()));
    }
    if (call.dry_run) {
      Result<std::optional<Object>> present =
          co_await objects_.find(call.here, call.kind, api::metadata_of(*message).namespace_(), name);
      if (!present) co_return fail(from_error(present.error()));
      if (*present) co_return fail(already_exists(call.kind, name));
      co_return Object{std::make_shared<Entry>(), std::move(message)};
    }
    Result<Objects::Answer> answer = co_await objects_.create(call.here, call.kind, std::move(message));
    if (!answer) co_return fail(from_error(answer.error()));
    if (answer->done) co_return std::move(*answer->object);
    if (!generated || attempt == kNameAttempts) co_return fail(already_exists(call.kind, name));
    co_await settle(call, false);
    message.reset(sent->New());
    message->CopyFrom(*sent);
  }
}

}  // namespace gantry::control
