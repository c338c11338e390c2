// SPDX-License-Identifier: Apache-2.0
#include "tests/support/store/contract.h"

#include <optional>
#include <utility>

#include "control/store/watch_cache.h"

namespace gantry::test {

using control::kAbsent;
using control::kAnyRevision;
using control::ListRequest;
using control::Store;
using control::StoreEvent;

namespace {

using Check = std::function<void(bool, const std::string&)>;

Task<> writes(Store& store, Loop& here, std::string prefix, Check check) {
  std::string key = prefix + "w/a";
  auto made = co_await store.write(here, {key, "1", kAbsent, {}});
  check(made && made->done && made->entry->create_revision == made->revision, "a key is made");
  auto again = co_await store.write(here, {key, "2", kAbsent, {}});
  check(again && !again->done && again->entry && again->entry->value == "1",
        "not twice, and the present entry is told");
  auto changed = co_await store.write(here, {key, "2", made->revision, {}});
  check(changed && changed->done && changed->entry->create_revision == made->revision &&
            changed->entry->mod_revision == changed->revision && changed->revision > made->revision,
        "it is changed on its revision");
  auto stale = co_await store.write(here, {key, std::nullopt, made->revision, {}});
  check(stale && !stale->done && stale->entry->mod_revision == changed->revision, "a removal on an old one is refused");
  auto removed = co_await store.write(here, {key, std::nullopt, changed->revision, {}});
  check(removed && removed->done && removed->entry->value == "2", "a removal tells what was removed");
  auto none = co_await store.write(here, {key, std::nullopt, kAnyRevision, {}});
  check(none && !none->done && !none->entry, "what is not there is not removed");
  auto any = co_await store.write(here, {key, "3", kAnyRevision, {}});
  check(any && any->done && any->entry->create_revision == any->revision, "any revision will do when that is said");
  auto then = co_await store.get(here, key, made->revision);
  check(then && then->entry && then->entry->value == "1", "a past revision is read");
  auto ahead = co_await store.get(here, key, any->revision + 1000000);
  check(!ahead && control::is_ahead(ahead.error()), "a revision ahead is an error of its own");
  auto bytes = co_await store.write(here, {prefix + "w/b\xff", std::string("\0\xfe", 2), kAbsent, {}});
  check(bytes && bytes->done, "keys and values are bytes");
  auto read = co_await store.get(here, prefix + "w/b\xff");
  check(read && read->entry && read->entry->value == std::string("\0\xfe", 2), "and read as such");
}

Task<> lists(Store& store, Loop& here, std::string prefix, Check check) {
  for (int i = 0; i < 100; ++i) {
    auto done =
        co_await store.write(here, {prefix + "l/" + std::to_string(100 + i), std::string(20000, 'v'), kAbsent, {}});
    if (!done) check(false, "write: " + done.error().message());
  }
  auto count = co_await store.count(here, prefix + "l/");
  check(count && *count == 100, "a count");
  auto all = co_await store.list(here, ListRequest{.prefix = prefix + "l/"});
  check(all && all->entries.size() == 100 && !all->more && all->rest == 0, "a list of all");
  auto page = co_await store.list(here, ListRequest{.prefix = prefix + "l/", .limit = 30});
  check(page && page->entries.size() == 30 && page->more && page->rest == 70, "a page, and how many are left");
  auto gone = co_await store.write(here, {prefix + "l/199", std::nullopt, kAnyRevision, {}});
  auto rest = co_await store.list(
      here, ListRequest{.prefix = prefix + "l/", .after = page->entries.back()->key, .revision = page->revision});
  check(gone && rest && rest->entries.size() == 70 && rest->revision == page->revision,
        "the list goes on at its revision");
  auto small = co_await store.list(here, ListRequest{.prefix = prefix + "l/", .max_bytes = 100000});
  check(small && small->more && small->entries.size() >= 5 && small->entries.size() < 50 &&
            static_cast<std::size_t>(small->rest) + small->entries.size() == 99,
        "a list is bounded by bytes");
}

Task<> watches(Store& store, Loop& here, std::string prefix, Check check) {
  auto start = co_await store.current_revision(here);
  if (!start) co_return check(false, start.error().message());
  auto watcher = store.watch(here, prefix + "e/", *start);
  co_await store.write(here, {prefix + "e/a", "1", kAbsent, {}});
  co_await store.write(here, {prefix + "other", "x", kAbsent, {}});
  co_await store.write(here, {prefix + "e/a", "2", kAnyRevision, {}});
  auto last = co_await store.write(here, {prefix + "e/a", std::nullopt, kAnyRevision, {}});
  auto other = co_await store.write(here, {prefix + "other", "y", kAnyRevision, {}});
  if (!last || !other) co_return check(false, "write");
  watcher->request_progress(other->revision);
  std::vector<StoreEvent> events;
  std::int64_t seen = 0;
  while (seen < other->revision) {
    auto batch = co_await watcher->next();
    if (!batch) co_return check(false, "watch: " + batch.error().message());
    for (auto& event : batch->events) events.push_back(std::move(event));
    seen = batch->revision;
  }
  check(events.size() == 3 && events[0].is_create() && events[1].previous && events[1].previous->value == "1" &&
            events[2].kind == StoreEvent::Kind::kRemove && events[2].previous->value == "2" &&
            events[2].revision() == last->revision,
        "a watch tells events, what was before, and how far it is");
  auto compacted = co_await store.compact(here, other->revision);
  check(compacted.has_value(), "compaction");
  auto late = store.watch(here, prefix + "e/", *start);
  auto batch = co_await late->next();
  check(batch ? batch->events.size() >= 1 && batch->events[0].is_create() : control::is_compacted(batch.error()),
        "a watch of compacted history says so, or still tells all of it");
  auto old = co_await store.get(here, prefix + "e/a", *start);
  check(!old && control::is_compacted(old.error()), "and so does a read");
}

Task<> expiry(Store& store, Loop& here, std::string prefix, Check check) {
  auto made = co_await store.write(here, {prefix + "t/a", "1", kAbsent, std::chrono::seconds(1)});
  if (!made) co_return check(false, "write: " + made.error().message());
  auto watcher = store.watch(here, prefix + "t/", made->revision);
  auto batch = co_await watcher->next();
  while (batch && batch->events.empty()) batch = co_await watcher->next();
  check(batch && batch->events[0].kind == StoreEvent::Kind::kRemove, "an entry is removed when its time is up");
}

// A copy that follows the store sees each write as soon as it was answered, also when the last one was of another
// prefix.
Task<> caches(Store& store, Loop& here, std::string prefix, Check check) {
  control::WatchCache::Options options{.prefix = prefix + "c/", .make = [](control::EntryPtr entry) {
                                         return std::make_shared<const control::CachedObject>(std::move(entry));
                                       }};
  control::WatchCache cache(here, store, std::move(options));
  bool fresh = true;
  for (int i = 0; i < 30; ++i) {
    std::string key = prefix + "c/" + std::to_string(i % 7);
    auto written = co_await store.write(here, {key, std::to_string(i), kAnyRevision, {}});
    auto other = co_await store.write(here, {prefix + "other", std::to_string(i), kAnyRevision, {}});
    auto now = co_await cache.fresh(here, std::chrono::minutes(1));
    if (!written || !other || !now) co_return check(false, "a cache: " + (now ? "write" : now.error().message()));
    auto object = now->find(key);
    fresh = fresh && now->revision() >= other->revision && object && object->revision() == written->revision;
  }
  check(fresh, "a watch cache is as consistent as the store");
  auto listed = co_await store.list(here, ListRequest{.prefix = prefix + "c/"});
  check(listed && listed->entries.size() == cache.snapshot().size(), "and as complete");
}

// Those who follow the store come and go with their loops.
Task<> leavers(Store& store, Loop& here, std::string prefix, Check check) {
  for (int i = 0; i < 20; ++i) {
    auto leaving = std::make_unique<Loop>();
    auto watcher = store.watch(*leaving, prefix + "v/", 0);
    leaving->spawn([](std::unique_ptr<control::Watcher> watcher) -> Task<> {
      (void)co_await watcher->next();
    }(std::move(watcher)));
    if (i % 2 == 0) leaving.reset();
    auto written = co_await store.write(here, {prefix + "v/a", std::to_string(i), kAnyRevision, {}});
    if (!written) co_return check(false, "write: " + written.error().message());
  }
  check(true, "a watch may end with its loop");
}

Task<> all(Store& store, Loop& here, std::string prefix, Check check) {
  co_await writes(store, here, prefix, check);
  co_await lists(store, here, prefix, check);
  co_await watches(store, here, prefix, check);
  co_await expiry(store, here, prefix, check);
  co_await caches(store, here, prefix, check);
  co_await leavers(store, here, prefix, check);
  here.stop();
}

}  // namespace

void check_contract(Store& store, Loop& loop, const std::string& prefix, const Check& check) {
  loop.post([&] { loop.spawn(all(store, loop, prefix, check)); });
  loop.run();
}

}  // namespace gantry::test
