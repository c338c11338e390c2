// SPDX-License-Identifier: Apache-2.0
// A watch cache for each resource that is stored, with what the API server makes of an entry once for all who list and
// watch: its JSON, and what selects it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/server/list_options.h"
#include "control/server/objects.h"
#include "control/store/watch_cache.h"

namespace gantry::control {

// An object of a watch cache. Any thread.
class CachedItem final : public CachedObject {
 public:
  // Null for bytes that are no object of the kind (another program's); that is logged.
  static std::shared_ptr<const CachedItem> make(const api::Kinds& kinds, const api::Kind& storage, EntryPtr entry);

  const std::string& name() const { return name_; }
  const std::string& ns() const { return ns_; }
  // Sorted by key.
  const std::vector<std::pair<std::string, std::string>>& labels() const { return labels_; }
  bool matches(const api::Kind& served, const Selection& selection) const;
  // As JSON of the kind as which it is served, with its resourceVersion. Made at the first call.
  std::shared_ptr<const std::string> json(const api::Kind& served) const;
  // Whether what is stored is of that very kind, and not of another version.
  bool is_stored_as(const api::Kind& served) const { return &served == &storage_; }
  // Decoded anew.
  std::shared_ptr<const api::Message> message(const api::Kind& served) const;
  // The same with another resourceVersion.
  std::shared_ptr<const CachedItem> at(std::int64_t revision) const;

  std::size_t bytes() const override;
  // The node of a pod.
  std::string_view topic() const override { return topic_; }

 private:
  CachedItem(const api::Kinds& kinds, const api::Kind& storage, EntryPtr entry, const api::Message& message);

  const api::Kinds& kinds_;
  const api::Kind& storage_;
  std::string name_;
  std::string ns_;
  std::vector<std::pair<std::string, std::string>> labels_;
  std::vector<std::string> fields_;  // of storage_.selectable
  std::string topic_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const std::string> json_;  // of storage_
};
using ItemPtr = std::shared_ptr<const CachedItem>;
// Null for what is no object of the kind.
ItemPtr as_item(const ObjectPtr& object);

class Caches {
 public:
  // Follows all that is stored, on `home`, from now on. All must outlive it.
  Caches(Loop& home, const api::Kinds& kinds, Store& store);
  ~Caches();

  // Of the resource under which objects of the kind are stored.
  WatchCache& of(const api::Kind& kind) const;
  const api::Kind& storage_of(const api::Kind& kind) const { return kinds_.storage_of(kind); }
  // Whether everything that was there at the start has been read.
  bool are_ready() const;
  // Waits for that.
  Task<Status> wait_ready(Loop& here, Duration limit);

 private:
  const api::Kinds& kinds_;
  std::unordered_map<const api::Kind*, std::unique_ptr<WatchCache>> caches_;
};

}  // namespace gantry::control
