// SPDX-License-Identifier: Apache-2.0
#include "api/apply.h"

#include <algorithm>
#include <utility>

#include "api/json.h"
#include "api/managed_fields.h"
#include "api/text.h"

namespace gantry::api {

namespace {

constexpr std::string_view kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";
constexpr size_t kMaxAnnotations = 256 << 10;
// Before an object's first apply nobody may have been recorded: what was there then is owned under this name.
constexpr const char* kBeforeFirstApply = "before-first-apply";

const FieldSet& never_owned() {
  static const FieldSet fields = FieldSet::of({{"apiVersion"},
                                               {"kind"},
                                               {"metadata"},
                                               {"metadata", "name"},
                                               {"metadata", "namespace"},
                                               {"metadata", "creationTimestamp"},
                                               {"metadata", "selfLink"},
                                               {"metadata", "uid"},
                                               {"metadata", "clusterName"},
                                               {"metadata", "generation"},
                                               {"metadata", "managedFields"},
                                               {"metadata", "resourceVersion"}});
  return fields;
}

const Value* find(const Value& object, std::initializer_list<std::string_view> path) {
  const Value* value = &object;
  for (const std::string_view name : path) {
    value = value->find(name);
    if (value == nullptr) return nullptr;
  }
  return value;
}

std::string_view text_at(const Value& object, std::initializer_list<std::string_view> path) {
  const Value* value = find(object, path);
  const std::string* text = value == nullptr ? nullptr : value->as_string();
  return text == nullptr ? std::string_view() : *text;
}

void erase(Value* object, std::string_view key) {
  if (Value::Object* members = object == nullptr ? nullptr : object->as_object()) {
    std::erase_if(*members, [&](const Value::Member& member) { return member.key == key; });
  }
}

void set_managed_fields(Value* object, Value managed) {
  Value* metadata = object->find("metadata");
  if (metadata == nullptr || !metadata->is_object()) {
    if (managed.is_null()) return;
    metadata = &(*object)["metadata"];
    *metadata = Value(Value::Object());
  }
  erase(metadata, "managedFields");
  if (!managed.is_null()) (*metadata)["managedFields"] = std::move(managed);
}

Value managed_fields_of(const Value& object) {
  const Value* managed = find(object, {"metadata", "managedFields"});
  return managed == nullptr ? Value() : *managed;
}

void strip(ManagedFields* managers, const std::string& id) {
  const auto found = managers->find(id);
  if (found == managers->end()) return;
  found->second.fields = found->second.fields.minus(never_owned());
  if (found->second.fields.empty()) managers->erase(found);
}

ManagedEntry entry_of(const Schema& schema, const FieldManager& manager, bool applies) {
  return {
      manager.manager.empty() ? "unknown" : manager.manager, applies, schema.api_version, manager.subresource, {}, {}};
}

// Who wrote what, after `live` became `updated`.
Status update_managers(const VersionedObject& live, const VersionedObject& updated, ManagedEntry self,
                       const FieldManager& manager, ManagedFields* managers) {
  for (const VersionedObject* object : {&updated, &live}) {
    if (Status status = check_structure(object->shape(), object->object, true); !status) return status;
  }
  const FieldUpdater updater(manager.reset_fields, manager.convert);
  if (Status status = updater.update(live, updated, self, managers); !status) return status;
  strip(managers, std::string());
  if (auto node = managers->extract(std::string())) {
    self.fields = std::move(node.mapped().fields);
    self.time = manager.now;
    const std::string id = self.id();
    if (const auto known = managers->find(id); known != managers->end()) {
      self.fields = self.fields.plus(known->second.fields);
    }
    managers->insert_or_assign(id, std::move(self));
  }
  cap_update_entries(managers);
  return {};
}

// The list says that the object is not to be tracked any more.
bool ends_tracking(const Value* managed) {
  const Value::List* list = managed == nullptr ? nullptr : managed->as_list();
  if (list == nullptr || list->size() > 1) return false;
  return list->empty() || (list->front().is_object() && list->front().as_object()->empty());
}

// As upstream names an object: "default/web; apps/v1, Kind=Deployment".
std::string name_of(const Schema& schema, const Value& object) {
  const bool grouped = schema.api_version.find('/') != std::string::npos;
  return cat(text_at(object, {"metadata", "namespace"}), '/', text_at(object, {"metadata", "name"}), "; ",
             grouped ? "" : "/", schema.api_version, ", Kind=", schema.kind);
}

Status check_applied(const Schema& schema, const Value& applied) {
  if (!applied.is_object())
    return invalid_argument(cat("error decoding patch: expected an object, found ", describe(applied)));
  const std::string_view kind = text_at(applied, {"kind"});
  const std::string_view version = text_at(applied, {"apiVersion"});
  if (kind != schema.kind || version != schema.api_version) {
    return invalid_argument(cat("invalid object type: ", version.find('/') == version.npos ? "/" : "",
                                as_utf8(version, 256), ", Kind=", as_utf8(kind, 256)));
  }
  const Value* managed = find(applied, {"metadata", "managedFields"});
  if (managed != nullptr && !managed->is_null()) return invalid_argument("metadata.managedFields must be nil");
  if (Status status = check_structure(Shape::of(schema), applied, false); !status) {
    return fail_with(status.error(), cat("failed to create typed patch object (", name_of(schema, applied), ")"));
  }
  return {};
}

// What kubectl had applied on the client's side and is still so: an apply by kubectl may take it over from itself.
FieldSet applied_by_client(const VersionedObject& live) {
  const Value* annotation = find(live.object, {"metadata", "annotations", kLastApplied});
  if (annotation == nullptr || !annotation->is_string()) return {};
  Result<Value> last = parse_json(*annotation->as_string());
  if (!last || text_at(*last, {"apiVersion"}) != live.version()) return {};
  if (!check_structure(live.shape(), *last, false) || !check_structure(live.shape(), live.object, false)) return {};
  const Comparison change = compare_fields(live.shape(), *last, live.object);
  return fields_of(live.shape(), *last).minus(change.modified).minus(change.added).minus(change.removed);
}

void sort_members(Value* value) {
  if (Value::List* list = value->as_list()) {
    for (Value& element : *list) sort_members(&element);
  }
  if (Value::Object* object = value->as_object()) {
    std::ranges::sort(*object, {}, &Value::Member::key);
    for (Value::Member& member : *object) sort_members(&member.value);
  }
}

// The annotation of client-side apply, where there is one, says what kubectl applied here.
void refresh_last_applied(Value* object, Value applied) {
  Value* metadata = object->find("metadata");
  Value* annotations = metadata == nullptr ? nullptr : metadata->find("annotations");
  if (annotations == nullptr || text_at(*annotations, {kLastApplied}).empty()) return;
  Value* applied_metadata = applied.find("metadata");
  if (applied_metadata != nullptr) erase(applied_metadata->find("annotations"), kLastApplied);
  sort_members(&applied);
  (*annotations)[kLastApplied] = cat(write_json(applied), '\n');
  size_t size = 0;
  for (const Value::Member& member : *annotations->as_object()) {
    size += member.key.size() + (member.value.is_string() ? member.value.as_string()->size() : 0);
  }
  if (size > kMaxAnnotations) erase(annotations, kLastApplied);
}

std::string conflict_message(const std::vector<OwnershipConflict>& conflicts, const ManagedFields& managers) {
  const auto name = [&](const OwnershipConflict& conflict) { return managers.at(conflict.manager_id).to_string(); };
  if (conflicts.size() == 1) {
    return cat("Apply failed with 1 conflict: conflict with ", name(conflicts[0]), ": ", to_string(conflicts[0].path));
  }
  std::string out = cat("Apply failed with ", conflicts.size(), " conflicts: ");
  const std::string* last = nullptr;
  for (const OwnershipConflict& conflict : conflicts) {
    if (last == nullptr || *last != conflict.manager_id) {
      out += cat(last == nullptr ? "" : "\n", "conflicts with ", name(conflict), ":");
    }
    last = &conflict.manager_id;
    out += cat("\n- ", to_string(conflict.path));
  }
  return out;
}

}  // namespace

Value track_update(const Schema& schema, const Value* live, Value updated, const FieldManager& manager) {
  VersionedObject before{&schema, live != nullptr ? *live : empty_object(schema)};
  const Value live_fields = managed_fields_of(before.object);
  const Value* said = find(updated, {"metadata", "managedFields"});
  Result<ManagedFields> managers = decode_managed_fields(live_fields);
  if (manager.subresource.empty()) {
    if (ends_tracking(said)) {
      managers = ManagedFields();
    } else if (said != nullptr) {
      Result<ManagedFields> own = decode_managed_fields(*said);
      if (own && !own->empty()) managers = std::move(own);
    }
  }
  if (!managers) managers = ManagedFields();
  set_managed_fields(&updated, Value());
  // An object that nobody tracks is not tracked again until it is applied.
  if (managers->empty() && !text_at(before.object, {"metadata", "uid"}).empty()) return updated;
  set_managed_fields(&before.object, Value());
  VersionedObject after{&schema, std::move(updated)};
  const Status status = update_managers(before, after, entry_of(schema, manager, false), manager, &*managers);
  set_managed_fields(&after.object, status ? encode_managed_fields(*managers) : live_fields);
  return std::move(after.object);
}

Result<Value> apply_patch(const Schema& schema, const Value* live, const Value& applied, const FieldManager& manager,
                          bool force, std::vector<ApplyConflict>* conflicts) {
  if (Status status = check_applied(schema, applied); !status) return std::unexpected(status.error());
  VersionedObject before{&schema, live != nullptr ? *live : empty_object(schema)};
  Result<ManagedFields> managers = decode_managed_fields(managed_fields_of(before.object));
  if (!managers) return fail_with(managers.error(), "failed to decode managed fields");
  set_managed_fields(&before.object, Value());
  if (Status status = check_structure(before.shape(), before.object, true); !status) {
    return fail_with(status.error(), cat("failed to create typed live object (", name_of(schema, before.object), ")"));
  }
  if (managers->empty()) {
    FieldManager earlier = manager;
    earlier.manager = kBeforeFirstApply;
    const VersionedObject nothing{&schema, empty_object(schema)};
    const Status status = update_managers(nothing, before, entry_of(schema, earlier, false), earlier, &*managers);
    if (!status) return fail_with(status.error(), "failed to create manager for existing fields");
  }
  const ManagedEntry self = entry_of(schema, manager, true);
  const std::string id = self.id();
  const VersionedObject config{&schema, applied};
  const FieldUpdater updater(manager.reset_fields, manager.convert);
  const bool kubectl = self.manager == "kubectl";
  ManagedFields owners = *managers;
  std::vector<OwnershipConflict> found;
  Result<std::optional<Value>> result = updater.apply(before, config, self, force, &owners, &found);
  if (!result && !found.empty() && kubectl) {
    const FieldSet own = applied_by_client(before);
    std::erase_if(found, [&](const OwnershipConflict& conflict) { return own.has(conflict.path); });
    if (found.empty()) result = updater.apply(before, config, self, true, &owners, &found);
  }
  if (!result && !found.empty()) {
    for (const OwnershipConflict& conflict : found) {
      conflicts->push_back(
          {cat("conflict with ", managers->at(conflict.manager_id).to_string()), to_string(conflict.path)});
    }
    return fail(Code::kAborted, conflict_message(found, *managers));
  }
  if (!result) return std::unexpected(result.error());
  strip(&owners, id);
  if (*result) {
    if (const auto mine = owners.find(id); mine != owners.end()) mine->second.time = manager.now;
  }
  Value object = *result ? std::move(**result) : before.object;
  if (kubectl) refresh_last_applied(&object, applied);
  set_managed_fields(&object, encode_managed_fields(owners));
  return object;
}

bool differ_only_in_managed_times(const Value& a, const Value& b) {
  const auto comparable = [](Value object) {
    if (Value* metadata = object.find("metadata")) {
      erase(metadata, "resourceVersion");
      if (Value* managed = metadata->find("managedFields"); managed != nullptr && managed->is_list()) {
        for (Value& entry : *managed->as_list()) erase(&entry, "time");
      }
    }
    return object;
  };
  return comparable(a) == comparable(b);
}

}  // namespace gantry::api
