// SPDX-License-Identifier: Apache-2.0
#include "control/server/managers.h"

#include <google/protobuf/message.h>

#include "api/codec.h"
#include "api/json_patch.h"
#include "api/merge_patch.h"
#include "api/strategic_merge.h"
#include "base/text.h"

namespace gantry::control {

namespace {

constexpr size_t kMaxManager = 128;

// A patch that can't be put onto this object: the client's mistake, or its idea of the object is old.
Failure unprocessable(const Call& call, const Error& error) {
  Failure failure = from_error(error);
  failure.code = error.is_invalid() ? 400 : 422;
  failure.reason = error.is_invalid() ? "BadRequest" : "Invalid";
  failure.kind = call.kind.plural;
  failure.group = call.kind.gvk.group;
  return failure;
}

}  // namespace

std::string default_field_manager(std::string_view user_agent) {
  const std::string_view program = user_agent.substr(0, user_agent.find('/'));
  std::string manager = as_utf8(program, kMaxManager);
  return manager.empty() ? "unknown" : manager;
}

Outcome<void> track_create(const Call&, api::Timestamp, api::Message*) { return {}; }
Outcome<void> track_update(const Call&, api::Timestamp, const api::Message&, api::Message*) { return {}; }

Outcome<api::Value> apply_onto_nothing(const Call&, std::string_view, const api::Value& document, api::Timestamp) {
  return document;
}

Outcome<api::Value> apply_patch(const Call& call, const ResourceWriter::Patch& patch, const api::Message& current,
                                api::Timestamp) {
  api::Value document = api::encode(current);
  Result<api::Value> patched = [&]() -> Result<api::Value> {
    switch (patch.type) {
      case PatchType::kJson:
        return api::apply_json_patch(std::move(document), patch.document);
      case PatchType::kMerge:
        return api::apply_merge_patch(std::move(document), patch.document);
      case PatchType::kStrategicMerge:
        return api::apply_strategic_merge_patch(call.kind.schema(), std::move(document), patch.document);
      case PatchType::kApply:
        break;
    }
    return std::move(document);
  }();
  if (!patched) return fail(unprocessable(call, patched.error()));
  return std::move(*patched);
}

}  // namespace gantry::control
