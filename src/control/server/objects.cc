// SPDX-License-Identifier: Apache-2.0
#include "control/server/objects.h"

#include <google/protobuf/message.h>

#include "api/codec.h"
#include "api/metadata.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr std::string_view kRoot = "/registry/";

// What the store is given: of the storage version, and without what belongs to this reading of it.
Result<std::string> stored_bytes(const api::Kinds& kinds, const api::Kind& kind, api::Message* message) {
  std::unique_ptr<api::Message> converted;
  if (kind.conversion) {
    converted = kinds.storage_of(kind).make();
    if (Status status = kind.conversion->to_storage(*message, converted.get()); !status) {
      return std::unexpected(std::move(status.error()));
    }
    message = converted.get();
  }
  api::ObjectMeta* metadata = api::mutable_metadata_of(message);
  const std::string version = metadata->resource_version();
  metadata->set_resource_version("");
  metadata->set_self_link("");
  Result<std::string> bytes = api::encode_protobuf(message);
  metadata->set_resource_version(version);
  return bytes;
}

}  // namespace

std::string storage_key(const api::Kind& kind, std::string_view ns, std::string_view name) {
  std::string key = cat(kRoot, kind.storage, "/");
  if (kind.namespaced && !ns.empty()) key += cat(ns, "/");
  key += name;
  return key;
}

Result<Object> decode_entry(const api::Kinds& kinds, const api::Kind& kind, EntryPtr entry) {
  const api::Kind& storage = kinds.storage_of(kind);
  std::unique_ptr<api::Message> message = storage.make();
  if (Status status = api::decode_stored(entry->value, message.get()); !status) {
    return fail(Code::kDataLoss, cat("the object at ", entry->key, ": ", status.error().message()));
  }
  if (kind.conversion) {
    std::unique_ptr<api::Message> served = kind.make();
    if (Status status = kind.conversion->from_storage(*message, served.get()); !status) {
      return std::unexpected(std::move(status.error()).with_context(cat("the object at ", entry->key)));
    }
    message = std::move(served);
    // What has no form in protobuf is shown as it is all the same, as that of a kind without a conversion is;
    // encode_protobuf says what is wrong with it.
    (void)api::normalize(message.get());
  }
  api::mutable_metadata_of(message.get())->set_resource_version(std::to_string(entry->mod_revision));
  return Object{std::move(entry), std::move(message)};
}

Task<Result<std::optional<Object>>> Objects::find(Loop& here, const api::Kind& kind, std::string ns, std::string name) {
  Result<GetAnswer> answer = co_await store_.get(here, storage_key(kind, ns, name));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if (answer->entry == nullptr) co_return std::nullopt;
  Result<Object> object = decode_entry(kinds_, kind, std::move(answer->entry));
  if (!object) co_return std::unexpected(std::move(object.error()));
  co_return std::move(*object);
}

Task<Result<Objects::Answer>> Objects::write(Loop& here, const api::Kind& kind, std::int64_t expected,
                                             std::unique_ptr<api::Message> message) {
  Result<std::string> bytes = stored_bytes(kinds_, kind, message.get());
  if (!bytes) co_return std::unexpected(std::move(bytes.error()));
  const api::ObjectMeta& metadata = api::metadata_of(*message);
  Write write{.key = storage_key(kind, metadata.namespace_(), metadata.name()),
              .value = std::move(*bytes),
              .expected = expected};
  if (kind.lifetime > 0) write.ttl = std::chrono::seconds(kind.lifetime);
  Result<WriteAnswer> written = co_await store_.write(here, std::move(write));
  if (!written) co_return std::unexpected(std::move(written.error()));
  Answer answer{.done = written->done};
  if (written->done) {
    api::mutable_metadata_of(message.get())->set_resource_version(std::to_string(written->entry->mod_revision));
    answer.object = Object{std::move(written->entry), std::move(message)};
  } else if (written->entry != nullptr) {
    Result<Object> present = decode_entry(kinds_, kind, std::move(written->entry));
    if (!present) co_return std::unexpected(std::move(present.error()));
    answer.object = std::move(*present);
  }
  co_return answer;
}

Task<Result<Objects::Answer>> Objects::create(Loop& here, const api::Kind& kind,
                                              std::unique_ptr<api::Message> message) {
  return write(here, kind, kAbsent, std::move(message));
}

Task<Result<Objects::Answer>> Objects::update(Loop& here, const api::Kind& kind, std::int64_t expected,
                                              std::unique_ptr<api::Message> message) {
  return write(here, kind, expected, std::move(message));
}

Task<Result<Objects::Answer>> Objects::remove(Loop& here, const api::Kind& kind, std::string ns, std::string name,
                                              std::int64_t expected) {
  Result<WriteAnswer> written = co_await store_.write(
      here, Write{.key = storage_key(kind, ns, name), .value = std::nullopt, .expected = expected});
  if (!written) co_return std::unexpected(std::move(written.error()));
  Answer answer{.done = written->done};
  if (written->done) {
    // As it was, with the version in which it is not there any more: what a watch says of it, too.
    Entry removed = *written->entry;
    removed.mod_revision = written->revision;
    written->entry = std::make_shared<const Entry>(std::move(removed));
  }
  if (written->entry != nullptr) {
    Result<Object> object = decode_entry(kinds_, kind, std::move(written->entry));
    if (!object) co_return std::unexpected(std::move(object.error()));
    answer.object = std::move(*object);
  }
  co_return answer;
}

}  // namespace gantry::control
