// SPDX-License-Identifier: Apache-2.0
#include "control/server/wire_form.h"

#include <google/protobuf/message.h>

#include "api/codec.h"
#include "api/wire.h"
#include "base/text.h"

namespace gantry::control {

Result<std::string> object_bytes(const CachedItem& item, const api::Kind& served) {
  if (item.is_stored_as(served)) {
    const std::optional<std::string_view> stored = api::unwrap(item.entry().value);
    std::optional<std::string> bytes = stored ? api::with_version(*stored, item.revision()) : std::nullopt;
    if (bytes) return std::move(*bytes);
  }
  const std::shared_ptr<const api::Message> message = item.message(served);
  const std::unique_ptr<api::Message> copy(message->New());
  copy->CopyFrom(*message);
  const Result<std::string> whole = api::encode_protobuf(copy.get());
  if (!whole) return fail(Code::kInternal, cat("the object at ", item.entry().key, ": ", whole.error().message()));
  return std::string(api::unwrap(*whole).value_or(""));
}

Status add_object(api::WireList& list, const CachedItem& item, const api::Kind& served) {
  if (item.is_stored_as(served)) {
    const std::optional<std::string_view> stored = api::unwrap(item.entry().value);
    if (stored && list.add(*stored, item.revision())) return {};
  }
  const Result<std::string> bytes = object_bytes(item, served);
  if (!bytes) return std::unexpected(bytes.error());
  list.add(*bytes);
  return {};
}

}  // namespace gantry::control
