// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>

#include <algorithm>

#include "api/codec.h"
#include "api/metadata.h"
#include "base/text.h"
#include "control/server/resource_writer.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr int kAttempts = 16;

Outcome<void> check_preconditions(const api::Kind& kind, const DeleteOptions& options,
                                  const api::ObjectMeta& metadata) {
  if (options.uid && *options.uid != metadata.uid()) {
    return fail(conflict(kind, metadata.name(),
                         cat("the UID in the precondition (", *options.uid, ") does not match the UID in record (",
                             metadata.uid(), "). The object might have been deleted and then recreated")));
  }
  if (options.resource_version && *options.resource_version != metadata.resource_version()) {
    return fail(conflict(kind, metadata.name(),
                         cat("the ResourceVersion in the precondition (", *options.resource_version,
                             ") does not match the ResourceVersion in record (", metadata.resource_version(),
                             "). The object might have been modified")));
  }
  return {};
}

void set_finalizer(api::ObjectMeta* metadata, std::string_view name, bool wanted) {
  auto& list = *metadata->mutable_finalizers();
  const auto found = std::ranges::find(list, name);
  if (wanted && found == list.end()) *list.Add() = name;
  if (!wanted && found != list.end()) list.erase(found);
}

// Dependents are seen to by the garbage collector, for which these finalizers wait.
void set_propagation(const api::Kind& kind, DeleteOptions::Propagation propagation, api::ObjectMeta* metadata) {
  using Propagation = DeleteOptions::Propagation;
  if (kind.is_uncollected) return;
  if (propagation == Propagation::kDefault) {
    const auto& present = metadata->finalizers();
    if (std::ranges::find(present, api::kOrphanFinalizer) != present.end() ||
        std::ranges::find(present, api::kForegroundFinalizer) != present.end()) {
      return;
    }
    propagation = kind.orphans_by_default ? Propagation::kOrphan : Propagation::kBackground;
  }
  set_finalizer(metadata, api::kOrphanFinalizer, propagation == Propagation::kOrphan);
  set_finalizer(metadata, api::kForegroundFinalizer, propagation == Propagation::kForeground);
}

// Its deletion has begun and its time is not over.
bool is_pending(const api::Kind& kind, const api::ObjectMeta& metadata) {
  return kind.grace_period && metadata.has_deletion_timestamp() && metadata.deletion_grace_period_seconds() > 0;
}

// The object as it is once its deletion has begun (unchanged when it had, and is not asked to end sooner), or nothing
// when it can go at once.
std::unique_ptr<api::Message> begin_deletion(const api::Kind& kind, const DeleteOptions& options,
                                             const api::Message& current, int64_t now) {
  std::unique_ptr<api::Message> updated(current.New());
  updated->CopyFrom(current);
  api::ObjectMeta* metadata = api::mutable_metadata_of(updated.get());
  const int64_t grace = kind.grace_period ? kind.grace_period(current, options.grace_period) : 0;
  if (is_pending(kind, *metadata) && (!options.grace_period || grace >= metadata->deletion_grace_period_seconds())) {
    return updated;
  }
  set_propagation(kind, options.propagation, metadata);
  if (!metadata->has_deletion_timestamp()) {
    metadata->mutable_deletion_timestamp()->set_seconds(now + grace);
    metadata->set_deletion_grace_period_seconds(grace);
    if (kind.has_generation) metadata->set_generation(metadata->generation() + 1);
    if (kind.begin_deletion) kind.begin_deletion(updated.get());
  } else if (kind.grace_period && options.grace_period && grace < metadata->deletion_grace_period_seconds()) {
    // Only ever shorter: counted from when deletion was asked for first.
    const int64_t asked = metadata->deletion_timestamp().seconds() - metadata->deletion_grace_period_seconds();
    const bool is_over = asked + grace < now;
    metadata->mutable_deletion_timestamp()->set_seconds(is_over ? now : asked + grace);
    metadata->set_deletion_grace_period_seconds(is_over && grace > 0 ? 1 : grace);
  }
  const bool waits = metadata->finalizers_size() > 0 ||
                     (kind.grace_period && metadata->deletion_grace_period_seconds() > 0) ||
                     (kind.is_held && kind.is_held(*updated));
  if (!waits) return nullptr;
  return updated;
}

}  // namespace

Task<Outcome<DeleteAnswer>> ResourceWriter::remove(Call& call, std::string name, DeleteOptions options) {
  Outcome<DeleteAnswer> answer = co_await try_remove(call, std::move(name), std::move(options));
  co_await settle(call, answer && answer->removed && !call.dry_run);
  co_return answer;
}

Task<Outcome<DeleteAnswer>> ResourceWriter::try_remove(Call& call, std::string name, DeleteOptions options) {
  for (int attempt = 1;; ++attempt) {
    Result<std::optional<Object>> found = co_await objects_.find(call.here, call.kind, call.info.ns, name);
    if (!found) co_return fail(from_error(found.error()));
    if (!*found) co_return fail(object_not_found(call.kind, name));
    const Object& current = **found;
    const api::ObjectMeta& metadata = api::metadata_of(*current.message);
    if (Outcome<void> met = check_preconditions(call.kind, options, metadata); !met) {
      co_return fail(std::move(met.error()));
    }
    AdmissionRequest request{.call = call, .operation = Operation::kDelete, .name = name, .old = current.message.get()};
    if (Outcome<void> admitted = co_await admission_.validate(request); !admitted) {
      co_return fail(std::move(admitted.error()));
    }
    std::unique_ptr<api::Message> marked = begin_deletion(call.kind, options, *current.message, now_().seconds);
    if (marked != nullptr && api::equal_but(*marked, *current.message, {})) {
      co_return DeleteAnswer{.removed = false, .object = current};
    }
    const bool removes = marked == nullptr;
    if (!removes) {
      if (Status normal = api::normalize(marked.get()); !normal) co_return fail(from_error(normal.error()));
    }
    if (call.dry_run) {
      co_return DeleteAnswer{.removed = removes,
                             .object = removes ? current : Object{current.entry, std::move(marked)}};
    }
    Result<Objects::Answer> answer =
        removes ? co_await objects_.remove(call.here, call.kind, metadata.namespace_(), name, current.revision())
                : co_await objects_.update(call.here, call.kind, current.revision(), std::move(marked));
    if (!answer) co_return fail(from_error(answer.error()));
    if (answer->done) {
      co_return DeleteAnswer{.removed = removes, .object = std::move(*answer->object)};
    }
    co_await settle(call, false);
    if (attempt == kAttempts) {
      co_return fail(conflict(call.kind, name, "the object has been modified; please try again"));
    }
  }
}

}  // namespace gantry::control
