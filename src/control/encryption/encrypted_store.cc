// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/encrypted_store.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"

namespace gantry::control {

namespace {

using Prefixes = std::shared_ptr<const std::vector<EncryptedPrefix>>;

const ValueKeys* keys_of(const Prefixes& prefixes, std::string_view key) {
  for (const EncryptedPrefix& each : *prefixes) {
    if (key.starts_with(each.prefix)) return each.keys.get();
  }
  return nullptr;
}

bool concerns(const Prefixes& prefixes, std::string_view prefix) {
  return std::ranges::any_of(*prefixes, [prefix](const EncryptedPrefix& each) {
    return prefix.starts_with(each.prefix) || each.prefix.starts_with(prefix);
  });
}

// In plain. Null stays null.
Result<EntryPtr> opened(const Prefixes& prefixes, const EntryPtr& entry) {
  const ValueKeys* keys = entry == nullptr ? nullptr : keys_of(prefixes, entry->key);
  if (keys == nullptr) return entry;
  Result<ValueKeys::Opened> plain = keys->open(entry->value, entry->key);
  if (!plain) return fail_with(std::move(plain.error()), cat("decrypt ", entry->key));
  return std::make_shared<Entry>(
      Entry{entry->key, std::move(plain->plain), entry->create_revision, entry->mod_revision});
}

// Without its value when it cannot be decrypted. Who can write to the store and has no key writes in plain, and must
// not be believed where everything is encrypted.
EntryPtr opened_or_empty(const Prefixes& prefixes, const EntryPtr& entry) {
  Result<EntryPtr> plain = opened(prefixes, entry);
  if (plain) return std::move(*plain);
  log::error("a value of the store can't be decrypted", {{"error", plain.error()}});
  return std::make_shared<Entry>(Entry{entry->key, {}, entry->create_revision, entry->mod_revision});
}

class OpeningWatcher final : public Watcher {
 public:
  OpeningWatcher(std::unique_ptr<Watcher> inner, Prefixes prefixes)
      : inner_(std::move(inner)), prefixes_(std::move(prefixes)) {}

  Task<Result<EventBatch>> next() override {
    Result<EventBatch> batch = co_await inner_->next();
    if (!batch) co_return batch;
    for (StoreEvent& event : batch->events) {
      // A removal has no value.
      if (event.kind == StoreEvent::Kind::kPut) event.entry = opened_or_empty(prefixes_, event.entry);
      event.previous = opened_or_empty(prefixes_, event.previous);
    }
    co_return batch;
  }
  void request_progress(std::int64_t revision) override { inner_->request_progress(revision); }
  std::int64_t seen_through() const override { return inner_->seen_through(); }

 private:
  std::unique_ptr<Watcher> inner_;
  Prefixes prefixes_;
};

Task<Result<GetAnswer>> open_get(Prefixes prefixes, Task<Result<GetAnswer>> inner) {
  Result<GetAnswer> answer = co_await inner;
  if (!answer) co_return answer;
  Result<EntryPtr> entry = opened(prefixes, answer->entry);
  if (!entry) co_return std::unexpected(std::move(entry.error()));
  answer->entry = std::move(*entry);
  co_return answer;
}

Task<Result<ListAnswer>> open_list(Prefixes prefixes, Task<Result<ListAnswer>> inner) {
  Result<ListAnswer> answer = co_await inner;
  if (!answer) co_return answer;
  for (EntryPtr& entry : answer->entries) entry = opened_or_empty(prefixes, entry);
  co_return answer;
}

Task<Result<WriteAnswer>> open_write(Prefixes prefixes, Task<Result<WriteAnswer>> inner, bool removes) {
  Result<WriteAnswer> answer = co_await inner;
  if (!answer) co_return answer;
  Result<EntryPtr> entry = opened(prefixes, answer->entry);
  // It is gone, whatever it was.
  if (!entry && answer->done && removes) co_return answer;
  if (!entry) co_return std::unexpected(std::move(entry.error()));
  answer->entry = std::move(*entry);
  co_return answer;
}

// Writes what of the page is kept in an old form. Who changes an entry meanwhile does the same.
Task<Result<std::size_t>> renew_page(Loop& here, Store& inner, const ValueKeys& keys,
                                     const std::vector<EntryPtr>& page) {
  std::size_t renewed = 0;
  for (const EntryPtr& entry : page) {
    Result<ValueKeys::Opened> plain = keys.open(entry->value, entry->key);
    if (!plain) {
      log::error("a value of the store can't be decrypted, leaving it as it is",
                 {{"key", entry->key}, {"error", plain.error()}});
    }
    if (!plain || !plain->outdated) continue;
    Result<std::string> sealed = keys.seal(plain->plain, entry->key);
    if (!sealed) co_return std::unexpected(std::move(sealed.error()));
    Result<WriteAnswer> written = co_await inner.write(
        here, Write{.key = entry->key, .value = std::move(*sealed), .expected = entry->mod_revision, .ttl = {}});
    if (!written) co_return std::unexpected(std::move(written.error()));
    if (written->done) ++renewed;
  }
  co_return renewed;
}

Task<Result<WriteAnswer>> refuse(Error error) { co_return std::unexpected(std::move(error)); }

}  // namespace

EncryptedStore::EncryptedStore(std::unique_ptr<Store> inner, std::vector<EncryptedPrefix> prefixes)
    : inner_(std::move(inner)), prefixes_(std::make_shared<const std::vector<EncryptedPrefix>>(std::move(prefixes))) {}

Task<Result<GetAnswer>> EncryptedStore::get(Loop& here, std::string key, std::int64_t revision) {
  if (keys_of(prefixes_, key) == nullptr) return inner_->get(here, std::move(key), revision);
  return open_get(prefixes_, inner_->get(here, std::move(key), revision));
}

Task<Result<ListAnswer>> EncryptedStore::list(Loop& here, ListRequest request) {
  if (!concerns(prefixes_, request.prefix)) return inner_->list(here, std::move(request));
  return open_list(prefixes_, inner_->list(here, std::move(request)));
}

Task<Result<std::int64_t>> EncryptedStore::count(Loop& here, std::string prefix) {
  return inner_->count(here, std::move(prefix));
}
Task<Result<std::int64_t>> EncryptedStore::current_revision(Loop& here) { return inner_->current_revision(here); }
Task<Result<StoreCounts>> EncryptedStore::counts(Loop& here) { return inner_->counts(here); }

Task<Result<WriteAnswer>> EncryptedStore::write(Loop& here, Write write) {
  const ValueKeys* keys = keys_of(prefixes_, write.key);
  if (keys == nullptr) return inner_->write(here, std::move(write));
  const bool removes = !write.value;
  if (write.value) {
    Result<std::string> sealed = keys->seal(*write.value, write.key);
    if (!sealed) return refuse(std::move(sealed.error()).with_context(cat("encrypt ", write.key)));
    write.value = std::move(*sealed);
  }
  return open_write(prefixes_, inner_->write(here, std::move(write)), removes);
}

std::unique_ptr<Watcher> EncryptedStore::watch(Loop& here, std::string prefix, std::int64_t after) {
  const bool is_concerned = concerns(prefixes_, prefix);
  std::unique_ptr<Watcher> inner = inner_->watch(here, std::move(prefix), after);
  if (!is_concerned) return inner;
  return std::make_unique<OpeningWatcher>(std::move(inner), prefixes_);
}

Task<Result<std::size_t>> EncryptedStore::renew(Loop& here) {
  std::size_t renewed = 0;
  for (const EncryptedPrefix& each : *prefixes_) {
    // Events end by themselves, and would not if they were written again.
    if (each.prefix.starts_with("/registry/events/")) continue;
    ListRequest request{.prefix = each.prefix};
    for (bool more = true; more;) {
      Result<ListAnswer> page = co_await inner_->list(here, request);
      if (!page) co_return std::unexpected(std::move(page.error()));
      Result<std::size_t> some = co_await renew_page(here, *inner_, *each.keys, page->entries);
      if (!some) co_return some;
      renewed += *some;
      more = page->more;
      if (more) request.after = page->entries.back()->key;
    }
  }
  co_return renewed;
}

Task<Status> EncryptedStore::compact(Loop& here, std::int64_t revision) { return inner_->compact(here, revision); }

}  // namespace gantry::control
