// SPDX-License-Identifier: Apache-2.0
#include "control/server/caches.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "api/metadata.h"
#include "base/log.h"
#include "base/text.h"
#include "control/server/view.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

// By this field pods are followed by their nodes, of which there are many.
constexpr std::string_view kTopicField = "spec.nodeName";

// Stands for an entry that could not be read, so that the cache has something to hold.
class Unreadable final : public CachedObject {
 public:
  using CachedObject::CachedObject;
};

}  // namespace

CachedItem::CachedItem(const api::Kinds& kinds, const api::Kind& storage, EntryPtr entry, const api::Message& message)
    : CachedObject(std::move(entry)), kinds_(kinds), storage_(storage) {
  const api::ObjectMeta& metadata = api::metadata_of(message);
  name_ = metadata.name();
  ns_ = metadata.namespace_();
  for (const auto& [key, value] : metadata.labels()) labels_.emplace_back(key, value);
  std::ranges::sort(labels_);
  if (storage.selectable_values) fields_ = storage.selectable_values(message);
  for (size_t i = 0; i < fields_.size() && i < storage.selectable.size(); ++i) {
    if (storage.selectable[i] == kTopicField) topic_ = fields_[i];
  }
}

std::shared_ptr<const CachedItem> CachedItem::make(const api::Kinds& kinds, const api::Kind& storage, EntryPtr entry) {
  Result<Object> object = decode_entry(kinds, storage, entry);
  if (!object) {
    log::error("an object of the store can't be read, leaving it out", {{"error", object.error()}});
    return nullptr;
  }
  return std::shared_ptr<const CachedItem>(new CachedItem(kinds, storage, std::move(entry), *object->message));
}

bool CachedItem::matches(const api::Kind& served, const Selection& selection) const {
  if (selection.everything()) return true;
  if (&served != &storage_) return selection.matches(served, *message(served));
  const auto label = [this](const std::string& key) -> const std::string* {
    const auto found = std::ranges::lower_bound(labels_, key, {}, &std::pair<std::string, std::string>::first);
    return found == labels_.end() || found->first != key ? nullptr : &found->second;
  };
  if (!selection.labels.matches(label)) return false;
  return selection.fields.matches([this](std::string_view field) -> std::string {
    if (field == "metadata.name") return name_;
    if (field == "metadata.namespace") return ns_;
    const auto found = std::ranges::find(storage_.selectable, field);
    const size_t index = static_cast<size_t>(found - storage_.selectable.begin());
    return index < fields_.size() ? fields_[index] : std::string();
  });
}

std::shared_ptr<const api::Message> CachedItem::message(const api::Kind& served) const {
  // It could be decoded when it came, and has not changed.
  return decode_entry(kinds_, served, entry_ptr())->message;
}

std::shared_ptr<const CachedItem> CachedItem::at(std::int64_t revision) const {
  Entry moved = entry();
  moved.mod_revision = revision;
  return make(kinds_, storage_, std::make_shared<const Entry>(std::move(moved)));
}

std::shared_ptr<const std::string> CachedItem::json(const api::Kind& served) const {
  if (&served != &storage_) return std::make_shared<const std::string>(object_json(*message(served)));
  {
    const std::lock_guard lock(mutex_);
    if (json_ != nullptr) return json_;
  }
  // Two may make it at once; one is kept.
  std::string text = object_json(*message(served));
  text.shrink_to_fit();  // it stays as long as the object, and grew in steps
  auto made = std::make_shared<const std::string>(std::move(text));
  const std::lock_guard lock(mutex_);
  if (json_ == nullptr) json_ = std::move(made);
  return json_;
}

std::size_t CachedItem::bytes() const {
  // JSON is about twice as long as what is stored, once somebody asks for it.
  return sizeof(*this) + entry().key.size() + 3 * entry().value.size();
}

ItemPtr as_item(const ObjectPtr& object) { return std::dynamic_pointer_cast<const CachedItem>(object); }

Caches::Caches(Loop& home, const api::Kinds& kinds, Store& store) : kinds_(kinds) {
  for (const api::Kind& kind : kinds.all()) {
    if (kind.storage.empty() || kind.conversion) continue;
    const auto make = [&kinds, &kind](EntryPtr entry) -> ObjectPtr {
      if (ItemPtr item = CachedItem::make(kinds, kind, entry)) return item;
      return std::make_shared<Unreadable>(std::move(entry));
    };
    caches_.emplace(&kind, std::make_unique<WatchCache>(
                               home, store, WatchCache::Options{.prefix = storage_key(kind, "", ""), .make = make}));
  }
}

Caches::~Caches() = default;

WatchCache& Caches::of(const api::Kind& kind) const { return *caches_.at(&kinds_.storage_of(kind)); }

bool Caches::are_ready() const {
  return std::ranges::all_of(caches_, [](const auto& entry) { return entry.second->is_ready(); });
}

Task<Status> Caches::wait_ready(Loop& here, Duration limit) {
  for (const auto& [kind, cache] : caches_) {
    if (Status ready = co_await cache->wait_until(here, 0, limit); !ready) {
      co_return std::unexpected(std::move(ready.error()).with_context(cat("reading ", kind->plural)));
    }
  }
  co_return Status();
}

}  // namespace gantry::control
