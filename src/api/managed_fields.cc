// SPDX-License-Identifier: Apache-2.0
#include "api/managed_fields.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "api/json.h"
#include "api/text.h"
#include "api/time.h"

namespace gantry::api {

namespace {

constexpr const char* kAncient = "ancient-changes";

Result<std::string> text_in(const Value& entry, std::string_view member) {
  const Value* value = entry.find(member);
  if (value == nullptr || value->is_null()) return std::string();
  if (value->is_string()) return *value->as_string();
  return invalid_argument(cat("managedFields: ", member, " is a string, found ", describe(*value)));
}

Result<ManagedEntry> decode_entry(const Value& value, size_t place) {
  if (!value.is_object()) return invalid_argument(cat("managedFields holds objects, found ", describe(value)));
  ManagedEntry entry;
  std::string operation;
  std::string fields_type;
  std::string time;
  const std::pair<std::string_view, std::string*> texts[] = {
      {"manager", &entry.manager},        {"operation", &operation},
      {"apiVersion", &entry.api_version}, {"time", &time},
      {"fieldsType", &fields_type},       {"subresource", &entry.subresource}};
  for (const auto& [member, out] : texts) {
    Result<std::string> text = text_in(value, member);
    if (!text) return std::unexpected(text.error());
    *out = std::move(*text);
  }
  if (operation != "Apply" && operation != "Update") return invalid_argument("operation must be `Apply` or `Update`");
  entry.applies = operation == "Apply";
  if (entry.api_version.empty()) return invalid_argument("apiVersion must not be empty");
  if (fields_type.empty()) return invalid_argument(cat("missing fieldsType in managed fields entry ", place));
  if (fields_type != "FieldsV1") {
    return invalid_argument(cat("invalid fieldsType ", quoted(fields_type), " in managed fields entry ", place));
  }
  if (!time.empty()) {
    const Result<Timestamp> at = parse_rfc3339(time);
    if (!at) return std::unexpected(at.error());
    entry.time = at->seconds;
  }
  if (const Value* fields = value.find("fieldsV1")) {
    Result<FieldSet> set = FieldSet::from_value(*fields);
    if (!set) return std::unexpected(set.error());
    entry.fields = std::move(*set);
  }
  return entry;
}

}  // namespace

std::string ManagedEntry::id() const {
  Value::Object id;
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) id.emplace_back(name, text);
  };
  add("manager", manager);
  add("operation", applies ? "Apply" : "Update");
  add("apiVersion", applies ? std::string() : api_version);
  add("subresource", subresource);
  return write_json(Value(std::move(id)));
}

std::string ManagedEntry::to_string() const {
  std::string out = quoted(manager, 256);
  if (!subresource.empty()) out += cat(" with subresource ", quoted(subresource));
  if (!applies) out += cat(" using ", api_version);
  return out;
}

Result<ManagedFields> decode_managed_fields(const Value& list) {
  ManagedFields managed;
  if (list.is_null()) return managed;
  if (!list.is_list()) return invalid_argument(cat("managedFields is a list, found ", describe(list)));
  for (size_t i = 0; i < list.as_list()->size(); ++i) {
    Result<ManagedEntry> entry = decode_entry((*list.as_list())[i], i);
    if (!entry) return std::unexpected(entry.error());
    std::string id = entry->id();
    managed.insert_or_assign(std::move(id), std::move(*entry));
  }
  return managed;
}

Value encode_managed_fields(const ManagedFields& managed) {
  if (managed.empty()) return {};
  std::vector<const ManagedEntry*> entries;
  for (const auto& [id, entry] : managed) entries.push_back(&entry);
  std::ranges::sort(entries, {}, [](const ManagedEntry* entry) {
    return std::tuple(!entry->applies, entry->time.value_or(0), std::cref(entry->manager).get(), entry->api_version,
                      entry->subresource);
  });
  Value::List list;
  for (const ManagedEntry* entry : entries) {
    Value::Object object;
    if (!entry->manager.empty()) object.emplace_back("manager", entry->manager);
    object.emplace_back("operation", entry->applies ? "Apply" : "Update");
    object.emplace_back("apiVersion", entry->api_version);
    if (entry->time) object.emplace_back("time", format_rfc3339(*entry->time));
    object.emplace_back("fieldsType", "FieldsV1");
    object.emplace_back("fieldsV1", entry->fields.to_value());
    if (!entry->subresource.empty()) object.emplace_back("subresource", entry->subresource);
    list.emplace_back(std::move(object));
  }
  return list;
}

void cap_update_entries(ManagedFields* managed) {
  std::vector<std::pair<int64_t, std::string>> updaters;
  for (const auto& [id, entry] : *managed) {
    if (!entry.applies) updaters.emplace_back(entry.time.value_or(0), id);
  }
  std::ranges::sort(updaters);
  size_t left = updaters.size();
  std::map<std::string, std::string> first_of_version;
  for (const auto& [time, id] : updaters) {
    if (left <= kMaxUpdateEntries) return;
    const ManagedEntry oldest = managed->at(id);
    const auto [first, added] = first_of_version.try_emplace(oldest.api_version, id);
    if (added) continue;
    ManagedEntry bucket{kAncient, false, oldest.api_version, {}, oldest.time, {}};
    const std::string bucket_id = bucket.id();
    if (const auto known = managed->find(bucket_id); known != managed->end()) {
      bucket.fields = known->second.fields;
    } else if (const auto node = managed->extract(first->second)) {
      bucket.fields = node.mapped().fields;
    }
    bucket.fields = bucket.fields.plus(oldest.fields);
    managed->erase(id);
    managed->insert_or_assign(bucket_id, std::move(bucket));
    --left;
  }
}

}  // namespace gantry::api
