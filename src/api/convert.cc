// SPDX-License-Identifier: Apache-2.0
#include "api/convert.h"

#include <google/protobuf/message.h>

#include "api/codec.h"

namespace gantry::api {

namespace {

GroupVersionKind gvk_of(std::string_view api_version, const std::string& kind) {
  const size_t slash = api_version.find('/');
  if (slash == std::string_view::npos) return {"", std::string(api_version), kind};
  return {std::string(api_version.substr(0, slash)), std::string(api_version.substr(slash + 1)), kind};
}

std::optional<VersionedObject> converted(const Kinds& kinds, const VersionedObject& from, const std::string& to) {
  const Kind* source = kinds.find_kind(gvk_of(from.version(), from.schema->kind));
  const Kind* target = kinds.find_kind(gvk_of(to, from.schema->kind));
  if (source == nullptr || target == nullptr) return std::nullopt;
  const Kind& storage = kinds.storage_of(*source);
  if (&storage != &kinds.storage_of(*target)) return std::nullopt;
  std::unique_ptr<Message> message = source->make();
  if (!decode(from.object, message.get(), {.strict = false, .require_type = false})) return std::nullopt;
  if (source->conversion) {
    std::unique_ptr<Message> stored = storage.make();
    if (!source->conversion->to_storage(*message, stored.get()) || !normalize(stored.get())) return std::nullopt;
    message = std::move(stored);
  }
  if (target->conversion) {
    std::unique_ptr<Message> served = target->make();
    if (!target->conversion->from_storage(*message, served.get()) || !normalize(served.get())) return std::nullopt;
    message = std::move(served);
  }
  return VersionedObject{&target->schema(), encode(*message)};
}

}  // namespace

ConvertObject converter_of(const Kinds& kinds) {
  return [&kinds](const VersionedObject& from, const std::string& to) { return converted(kinds, from, to); };
}

}  // namespace gantry::api
