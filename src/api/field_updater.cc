// SPDX-License-Identifier: Apache-2.0
#include "api/field_updater.h"

#include <set>
#include <utility>

namespace gantry::api {

std::optional<VersionedObject> FieldUpdater::in_version(const VersionedObject& object,
                                                        const std::string& version) const {
  if (object.version() == version) return object;
  if (!convert_) return std::nullopt;
  return convert_(object, version);
}

ManagedFields FieldUpdater::reconciled(const VersionedObject& live, const ManagedFields& managers) const {
  ManagedFields out;
  std::map<std::string, const Schema*> schemas;
  for (const auto& [id, entry] : managers) {
    const auto [known, added] = schemas.try_emplace(entry.api_version, nullptr);
    if (added) {
      const auto converted = in_version(live, entry.api_version);
      if (converted) known->second = converted->schema;
    }
    if (known->second == nullptr) continue;
    ManagedEntry kept = entry;
    kept.fields = reconciled_with_schema(Shape::of(*known->second), entry.fields);
    out.emplace(id, std::move(kept));
  }
  return out;
}

Result<Comparison> FieldUpdater::take_fields(const VersionedObject& live, const VersionedObject& updated,
                                             const std::string& self, bool force, ManagedFields* managers,
                                             std::vector<OwnershipConflict>* conflicts) const {
  std::map<std::string, Comparison> changes;  // by version
  const std::string& version = updated.version();
  changes[version] = compare_fields(updated.shape(), live.object, updated.object).without(reset_);
  ManagedFields left;
  for (const auto& [id, entry] : *managers) {
    if (id == self) {
      left.emplace(id, entry);
      continue;
    }
    if (!changes.contains(entry.api_version)) {
      const auto before = in_version(live, entry.api_version);
      const auto after = in_version(updated, entry.api_version);
      if (!before || !after) continue;
      changes[entry.api_version] = compare_fields(after->shape(), before->object, after->object).without(reset_);
    }
    const Comparison& change = changes.at(entry.api_version);
    const FieldSet taken = entry.fields.common(change.modified.plus(change.added));
    if (!force) {
      taken.for_each([&](const FieldPath& path) { conflicts->push_back({id, path}); });
    }
    ManagedEntry kept = entry;
    kept.fields = entry.fields.minus(taken).minus(change.removed);
    if (!kept.fields.empty()) left.emplace(id, std::move(kept));
  }
  if (!conflicts->empty()) return fail(Code::kAborted, "other managers own fields that are applied");
  if (const auto own = left.find(self); own != left.end() && own->second.fields.empty()) left.erase(own);
  *managers = std::move(left);
  return changes.at(version);
}

Status FieldUpdater::update(const VersionedObject& live, const VersionedObject& updated, const ManagedEntry& self,
                            ManagedFields* managers) const {
  ManagedFields now = reconciled(live, *managers);
  std::vector<OwnershipConflict> none;
  // Its own earlier entry takes part as any other's does; what it had and keeps is joined by the caller.
  Result<Comparison> change = take_fields(live, updated, std::string(), true, &now, &none);
  if (!change) return std::unexpected(change.error());
  ManagedEntry mine = self;
  mine.fields = change->modified.plus(change->added).minus_whole(reset_);
  *managers = std::move(now);
  if (mine.fields.empty()) return {};
  managers->insert_or_assign(std::string(), std::move(mine));
  return {};
}

Result<std::optional<Value>> FieldUpdater::apply(const VersionedObject& live, const VersionedObject& config,
                                                 const ManagedEntry& self, bool force, ManagedFields* managers,
                                                 std::vector<OwnershipConflict>* conflicts) const {
  ManagedFields now = reconciled(live, *managers);
  VersionedObject merged{live.schema, merge_structures(live.shape(), live.object, config.object)};
  const std::string id = self.id();
  std::optional<ManagedEntry> last;
  if (const auto found = now.find(id); found != now.end()) last = found->second;
  ManagedEntry mine = self;
  mine.fields = fields_of(config.shape(), config.object).minus_whole(reset_);
  if (last) mine.time = last->time;
  now.insert_or_assign(id, std::move(mine));
  if (last && !last->fields.empty()) merged = pruned(merged, now, *last);
  Result<Comparison> change = take_fields(live, merged, id, force, &now, conflicts);
  if (!change) return std::unexpected(change.error());
  *managers = std::move(now);
  if (live.object == merged.object) return std::optional<Value>();
  return std::optional<Value>(std::move(merged.object));
}

VersionedObject FieldUpdater::pruned(const VersionedObject& merged, const ManagedFields& managers,
                                     const ManagedEntry& last) const {
  const auto converted = in_version(merged, last.api_version);
  if (!converted) return merged;
  const Shape shape = converted->shape();
  const FieldSet last_fields = with_named_fields(shape, last.fields);
  VersionedObject out{converted->schema, without_fields(shape, converted->object, last_fields)};
  out = with_owned(*converted, std::move(out), managers);
  // What nobody owns, or who updates, stays: only what this manager had applied goes.
  const auto back = in_version(out, last.api_version);
  if (!back) return merged;
  const FieldSet kept = with_named_fields(shape, fields_of(shape, back->object));
  const FieldSet all = with_named_fields(shape, fields_of(shape, converted->object));
  out = {converted->schema, without_fields(shape, converted->object, all.minus(kept).common(last_fields))};
  return in_version(out, merged.version()).value_or(merged);
}

VersionedObject FieldUpdater::with_owned(VersionedObject merged, VersionedObject pruned,
                                         const ManagedFields& managers) const {
  std::map<std::string, FieldSet> owned;  // by version
  for (const auto& [id, entry] : managers) {
    FieldSet& fields = owned[entry.api_version];
    fields = fields.plus(entry.fields);
  }
  std::vector<std::string> versions;
  if (owned.contains(pruned.version())) versions.push_back(pruned.version());
  for (const auto& [version, fields] : owned) {
    if (version != pruned.version()) versions.push_back(version);
  }
  for (const std::string& version : versions) {
    auto all = in_version(merged, version);
    auto left = in_version(pruned, version);
    if (!all || !left) continue;
    const Shape shape = all->shape();
    const FieldSet before = with_named_fields(shape, fields_of(shape, all->object));
    const FieldSet after = with_named_fields(shape, fields_of(shape, left->object));
    const FieldSet gone = before.minus(after.plus(with_named_fields(shape, owned.at(version))));
    pruned = {all->schema, without_fields(shape, all->object, gone)};
    merged = std::move(*all);
  }
  return pruned;
}

}  // namespace gantry::api
