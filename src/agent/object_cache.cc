// SPDX-License-Identifier: Apache-2.0
#include "agent/object_cache.h"

#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "api/client/informer.h"
#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr Duration kPatience = std::chrono::seconds(5);

template <typename M>
api::Informer::Options options_for(api::Client& client, const ObjectName& name) {
  return {.target = client.target<M>(),
          .query = {.ns = name.namespace_, .label_selector = {}, .field_selector = cat("metadata.name=", name.name)},
          .make = [] { return std::make_unique<M>(); },
          .trim = [](api::Message* object) { static_cast<M*>(object)->mutable_metadata()->clear_managed_fields(); }};
}

bool is_immutable(const api::Message& object, ObjectKind kind) {
  return kind == ObjectKind::kConfigMap ? static_cast<const core::ConfigMap&>(object).immutable()
                                        : static_cast<const core::Secret&>(object).immutable();
}

// What is under way of a watch that nobody needs any more ends with its next line.
Task<> outlive(std::shared_ptr<api::Informer> informer) { co_await informer->wait_ended(); }

}  // namespace

struct ObjectCache::Impl : std::enable_shared_from_this<Impl> {
  struct Entry {
    std::shared_ptr<api::Informer> informer;  // null: it is immutable
    api::Informer::ObjectPtr fixed;           // then this is it
    std::set<Holder::Held*> holders;
  };

  explicit Impl(api::Client& of) : client(of) {}

  void add(const ObjectName& name, Holder::Held* holder);
  void drop(const ObjectName& name, Holder::Held* holder);
  void end(Entry& entry) const;
  void take(const ObjectName& name, const api::Informer::Change& change);
  void tell(const Entry& entry) const;
  static Task<> tell_synced(std::weak_ptr<Impl> weak, ObjectName name, std::shared_ptr<api::Informer> informer);
  static Task<Result<api::Informer::ObjectPtr>> find(std::shared_ptr<Impl> impl, ObjectName name);

  api::Client& client;
  std::map<ObjectName, Entry> entries;
};

struct ObjectCache::Holder::Held : std::enable_shared_from_this<Held> {
  std::weak_ptr<Impl> cache;
  std::function<void()> changed;
  ObjectNames names;
  bool is_told = false;  // a post is under way
};

void ObjectCache::Impl::add(const ObjectName& name, Holder::Held* holder) {
  Entry& entry = entries[name];
  entry.holders.insert(holder);
  if (entry.informer || entry.fixed) return;
  auto options = name.kind == ObjectKind::kConfigMap ? options_for<core::ConfigMap>(client, name)
                                                     : options_for<core::Secret>(client, name);
  entry.informer = std::make_shared<api::Informer>(client, std::move(options));
  entry.informer->on_change([weak = weak_from_this(), name](const api::Informer::Change& change) {
    if (auto impl = weak.lock()) impl->take(name, change);
  });
  auto informer = entry.informer;  // start() may run far enough to change what is in `entries`
  client.here().spawn(tell_synced(weak_from_this(), name, informer));
  client.here().spawn(outlive(informer));
  informer->start();
}

void ObjectCache::Impl::drop(const ObjectName& name, Holder::Held* holder) {
  auto found = entries.find(name);
  if (found == entries.end()) return;
  found->second.holders.erase(holder);
  if (!found->second.holders.empty()) return;
  end(found->second);
  entries.erase(found);
}

void ObjectCache::Impl::end(Entry& entry) const {
  if (auto informer = std::exchange(entry.informer, nullptr)) informer->stop();
}

// Inside of the informer's own call.
void ObjectCache::Impl::take(const ObjectName& name, const api::Informer::Change& change) {
  auto found = entries.find(name);
  if (found == entries.end()) return;
  Entry& entry = found->second;
  if (change.now && is_immutable(*change.now, name.kind)) {
    entry.fixed = change.now;
    client.here().post([informer = std::exchange(entry.informer, nullptr)] {
      if (informer) informer->stop();
    });
  }
  tell(entry);
}

void ObjectCache::Impl::tell(const Entry& entry) const {
  for (auto* holder : entry.holders) {
    if (std::exchange(holder->is_told, true)) continue;
    client.here().post([weak = holder->weak_from_this()] {
      auto held = weak.lock();
      if (!held) return;
      held->is_told = false;
      held->changed();
    });
  }
}

// Of an object that is not there nothing else is heard.
Task<> ObjectCache::Impl::tell_synced(std::weak_ptr<Impl> weak, ObjectName name,
                                      std::shared_ptr<api::Informer> informer) {
  for (bool is_synced = false; !is_synced;) {
    is_synced = co_await informer->wait_synced_for(kPatience);
    auto impl = weak.lock();
    if (!impl) co_return;
    auto found = impl->entries.find(name);
    if (found == impl->entries.end() || found->second.informer != informer) co_return;
    if (is_synced) impl->tell(found->second);
  }
}

Task<Result<api::Informer::ObjectPtr>> ObjectCache::Impl::find(std::shared_ptr<Impl> impl, ObjectName name) {
  auto found = impl->entries.find(name);
  if (found == impl->entries.end()) {
    co_return fail(Code::kFailedPrecondition, cat("no pod of this node refers to ", name.namespace_, "/", name.name));
  }
  if (found->second.fixed) co_return found->second.fixed;
  const auto informer = found->second.informer;
  if (!informer->is_synced() && !co_await informer->wait_synced_for(kPatience)) {
    const char* kind = name.kind == ObjectKind::kConfigMap ? "configmap" : "secret";
    co_return fail(Code::kUnavailable, cat("failed to sync ", kind, " cache: timed out waiting for the condition"));
  }
  // It may have turned out to be immutable.
  found = impl->entries.find(name);
  if (found != impl->entries.end() && found->second.fixed) co_return found->second.fixed;
  co_return informer->find(api::object_key(name.namespace_, name.name));
}

ObjectCache::ObjectCache(api::Client& client) : impl_(std::make_shared<Impl>(client)) {}

ObjectCache::~ObjectCache() {
  for (auto& [name, entry] : impl_->entries) impl_->end(entry);
  impl_->entries.clear();
}

ObjectCache::Holder ObjectCache::hold(std::function<void()> changed) {
  Holder holder;
  holder.held_ = std::make_shared<Holder::Held>();
  holder.held_->cache = impl_;
  holder.held_->changed = std::move(changed);
  return holder;
}

ObjectCache::Holder::Holder(Holder&&) noexcept = default;
ObjectCache::Holder& ObjectCache::Holder::operator=(Holder&& other) noexcept {
  std::swap(held_, other.held_);
  return *this;
}
ObjectCache::Holder::~Holder() { need({}); }

// The new ones first: one that stays is not asked for anew.
void ObjectCache::Holder::need(ObjectNames names) {
  auto cache = held_ ? held_->cache.lock() : nullptr;
  if (!cache) return;
  const ObjectNames before = std::exchange(held_->names, std::move(names));
  for (const auto& name : held_->names) cache->add(name, held_.get());
  for (const auto& name : before) {
    if (!held_->names.contains(name)) cache->drop(name, held_.get());
  }
}

Task<ObjectCache::Found<core::ConfigMap>> ObjectCache::config_map(std::string namespace_, std::string name) {
  auto found = co_await Impl::find(impl_, {ObjectKind::kConfigMap, std::move(namespace_), std::move(name)});
  if (!found) co_return std::unexpected(std::move(found.error()));
  co_return std::static_pointer_cast<const core::ConfigMap>(*found);
}

Task<ObjectCache::Found<core::Secret>> ObjectCache::secret(std::string namespace_, std::string name) {
  auto found = co_await Impl::find(impl_, {ObjectKind::kSecret, std::move(namespace_), std::move(name)});
  if (!found) co_return std::unexpected(std::move(found.error()));
  co_return std::static_pointer_cast<const core::Secret>(*found);
}

std::size_t ObjectCache::watched() const {
  std::size_t count = 0;
  for (const auto& [name, entry] : impl_->entries) count += entry.informer != nullptr;
  return count;
}

}  // namespace gantry::agent
