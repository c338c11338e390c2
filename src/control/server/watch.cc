// SPDX-License-Identifier: Apache-2.0
#include "control/server/watch.h"

#include <google/protobuf/message.h>

#include <random>

#include "api/codec.h"
#include "api/json.h"
#include "api/metadata.h"
#include "api/wire.h"
#include "base/log.h"
#include "base/text.h"
#include "control/server/wire_form.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/meta/v1/status.pb.h"

namespace gantry::control {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBookmarkInterval = std::chrono::seconds(60);
constexpr auto kVersionWait = std::chrono::seconds(3);
// Who does not say how long is sent away some time between these, so that not all come again at once.
constexpr std::int64_t kLeastSeconds = 1800;
constexpr std::int64_t kMostSeconds = 3600;
constexpr std::string_view kInitialEventsEnd = "k8s.io/initial-events-end";

std::chrono::seconds random_lifetime() {
  static thread_local std::minstd_rand random(std::random_device{}());
  return std::chrono::seconds(std::uniform_int_distribution<std::int64_t>(kLeastSeconds, kMostSeconds)(random));
}

// One watch under way; owned by the coroutine that writes it.
struct Stream {
  const api::Kind& kind;
  Selection selection;
  AnswerForm form;
  IncludeObject include;
  bool bookmarks = false;
  bool initial_events = false;
  std::function<api::Timestamp()> now;
  metrics::Counter* events = nullptr;
  Clock::time_point end;
  std::optional<Snapshot> initial;
  std::string prefix;  // of the keys that are followed
  std::string key;     // the only one; empty: all of the prefix
  std::shared_ptr<CacheWatcher> watcher;
};

bool is_protobuf(const Stream& stream) {
  return stream.form.encoding == Encoding::kProtobuf && stream.form.view == View::kObject;
}

// In protobuf: a frame around an object with its envelope.
Task<Status> write_frame(http::BodyWriter& body, std::string_view type, std::string_view object) {
  const std::string head = api::watch_frame(type, object.size());
  const std::string_view pieces[] = {head, object};
  co_return co_await body.write(pieces);
}

Task<> write_error(const Stream& stream, http::BodyWriter& body, const Failure& failure) {
  if (is_protobuf(stream)) {
    k8s::io::apimachinery::pkg::apis::meta::v1::Status status;
    (void)api::decode(to_status(failure), &status, {.strict = false});
    const Result<std::string> object = api::encode_protobuf(&status);
    if (object) (void)co_await write_frame(body, "ERROR", *object);
    co_return;
  }
  const std::string line = cat(R"({"type":"ERROR","object":)", api::write_json(to_status(failure)), "}\n");
  (void)co_await body.write(line);
}

// An object that has no such form ends the watch: who follows would else believe that there is none.
Task<Status> write_unshown(const Stream& stream, http::BodyWriter& body, Error error) {
  log::warning("an object can't be shown to who watches", {{"kind", stream.kind.gvk.kind}, {"error", error.message()}});
  co_await write_error(stream, body, from_error(error));
  co_return std::unexpected(std::move(error));
}

Task<Status> write_event(const Stream& stream, http::BodyWriter& body, std::string_view type, const CachedItem& item) {
  if (stream.events != nullptr) stream.events->add();
  if (is_protobuf(stream)) {
    const Result<std::string> bytes = object_bytes(item, stream.kind);
    if (!bytes) co_return co_await write_unshown(stream, body, bytes.error());
    const std::string object = api::wrap(stream.kind.gvk.api_version(), stream.kind.gvk.kind, *bytes);
    co_return co_await write_frame(body, type, object);
  }
  const std::string head = cat(R"({"type":")", type, R"(","object":)");
  if (stream.form.view == View::kObject) {
    const std::shared_ptr<const std::string> json = item.json(stream.kind);
    const std::string_view pieces[] = {head, *json, "}\n"};
    co_return co_await body.write(pieces);
  }
  const Result<std::string> object =
      show_object(stream.kind, *item.message(stream.kind), stream.form, stream.include, stream.now().seconds);
  if (!object) co_return co_await write_unshown(stream, body, object.error());
  const std::string_view pieces[] = {head, *object, "}\n"};
  co_return co_await body.write(pieces);
}

Task<Status> write_bookmark(const Stream& stream, http::BodyWriter& body, std::int64_t revision, bool initial_end) {
  const std::unique_ptr<api::Message> empty = stream.kind.make();
  api::ObjectMeta* metadata = api::mutable_metadata_of(empty.get());
  metadata->set_resource_version(std::to_string(revision));
  if (initial_end) (*metadata->mutable_annotations())[std::string(kInitialEventsEnd)] = "true";
  (void)api::normalize(empty.get());
  Result<std::string> object = show_object(stream.kind, *empty, stream.form, stream.include, stream.now().seconds);
  if (is_protobuf(stream) && object) co_return co_await write_frame(body, "BOOKMARK", *object);
  const std::string line = cat(R"({"type":"BOOKMARK","object":)", object ? *object : "null", "}\n");
  co_return co_await body.write(line);
}

// What a change is to who sees only what is selected; empty: nothing.
struct Seen {
  std::string_view type;
  ItemPtr item;
};
std::optional<Seen> seen(const Stream& stream, const CacheEvent& event) {
  const ItemPtr item = as_item(event.object);
  if (item == nullptr) return std::nullopt;
  const bool selected = item->matches(stream.kind, stream.selection);
  if (event.kind == CacheEvent::Kind::kRemoved) {
    if (!selected) return std::nullopt;
    return Seen{"DELETED", item};
  }
  const ItemPtr previous = event.previous == nullptr ? nullptr : as_item(event.previous);
  const bool was_selected = previous != nullptr && previous->matches(stream.kind, stream.selection);
  if (selected) return Seen{was_selected ? "MODIFIED" : "ADDED", item};
  // As it was when it was last selected, and since when it is not: who follows finds it by what it knew.
  if (was_selected) return Seen{"DELETED", previous->at(event.revision())};
  return std::nullopt;
}

// Wakes the watch for its bookmarks, and when it must end.
Task<> pace(std::shared_ptr<CacheWatcher> watcher, std::shared_ptr<Event> closed, Clock::time_point end) {
  for (;;) {
    const auto left = std::chrono::duration_cast<Duration>(end - Clock::now());
    const Duration wait = std::clamp<Duration>(left, std::chrono::milliseconds(1), kBookmarkInterval);
    const bool over = co_await closed->wait_for(wait);
    watcher->request_progress();
    // Once is enough at the end: follow() looks at the time after each batch.
    if (over || Clock::now() >= end) co_return;
  }
}

Task<Status> write_initial(Stream& stream, http::BodyWriter& body) {
  std::vector<ItemPtr> items;
  const auto take = [&](const ObjectPtr& object) {
    ItemPtr item = as_item(object);
    if (item != nullptr && item->matches(stream.kind, stream.selection)) items.push_back(std::move(item));
    return true;
  };
  if (stream.key.empty()) {
    stream.initial->visit(stream.prefix, "", take);
  } else if (ObjectPtr object = stream.initial->find(stream.key)) {
    take(object);
  }
  for (const ItemPtr& item : items) {
    if (Status written = co_await write_event(stream, body, "ADDED", *item); !written) co_return written;
  }
  const std::int64_t revision = stream.initial->revision();
  stream.initial.reset();  // it keeps all objects of its time
  if (stream.initial_events) co_return co_await write_bookmark(stream, body, revision, true);
  co_return Status();
}

Task<> follow(Stream stream, http::BodyWriter& body) {
  if (stream.initial) {
    if (Status written = co_await write_initial(stream, body); !written) co_return;
  }
  Clock::time_point bookmark_at = Clock::now() + kBookmarkInterval;
  while (!body.closed()->is_set() && Clock::now() < stream.end) {
    Result<CacheBatch> batch = co_await stream.watcher->next();
    if (!batch) {
      if (is_compacted(batch.error())) {
        co_await write_error(stream, body, expired("too old resource version"));
      } else if (!batch.error().is_cancelled()) {
        co_await write_error(stream, body, from_error(batch.error()));
      }
      co_return;
    }
    for (const CacheEventPtr& event : batch->events) {
      const std::optional<Seen> change = seen(stream, *event);
      if (!change) continue;
      if (Status written = co_await write_event(stream, body, change->type, *change->item); !written) co_return;
    }
    if (stream.bookmarks && Clock::now() >= bookmark_at) {
      if (Status written = co_await write_bookmark(stream, body, batch->revision, false); !written) co_return;
      bookmark_at = Clock::now() + kBookmarkInterval;
    }
  }
}

}  // namespace

Task<Outcome<http::Reply>> watch(Call& call, const Caches& caches, ListOptions options, AnswerForm form,
                                 IncludeObject include, std::function<api::Timestamp()> now, metrics::Counter* events) {
  WatchCache& cache = caches.of(call.kind);
  const api::Kind& storage = call.kind.conversion ? caches.storage_of(call.kind) : call.kind;
  Stream stream{.kind = call.kind,
                .selection = std::move(options.selection),
                .form = form,
                .include = include,
                .bookmarks = options.bookmarks,
                .initial_events = options.initial_events,
                .now = std::move(now),
                .events = events,
                .end = Clock::now() + options.timeout.value_or(random_lifetime())};
  stream.prefix = storage_key(storage, call.info.ns, "");
  WatchScope scope{.prefix = stream.prefix};
  std::optional<std::string> name = stream.selection.fields.exact("metadata.name");
  if (!call.info.name.empty()) name = call.info.name;
  if (name && !name->empty() && (!storage.namespaced || !call.info.ns.empty())) {
    stream.key = storage_key(storage, call.info.ns, *name);
    scope = {.key = stream.key};
    // What the key says need not be looked up in each event.
    if (stream.selection.fields.requirements().size() == 1 && stream.selection.fields.exact("metadata.name") == name) {
      stream.selection.fields = {};
    }
  } else if (std::optional<std::string> node = stream.selection.fields.exact("spec.nodeName"); node && !node->empty()) {
    scope.topic = *node;
  }

  const bool from_now = options.revision.value_or(0) == 0;
  std::int64_t after = options.revision.value_or(0);
  if (!from_now) {
    Status reached = co_await cache.wait_until(call.here, after, kVersionWait);
    if (!reached) {
      if (!reached.error().is_deadline()) co_return fail(from_error(reached.error()));
      co_return fail(too_large_version(after, cache.revision()));
    }
  }
  if (from_now || options.initial_events) {
    if (options.revision || options.initial_events) {
      if (Status ready = co_await cache.wait_until(call.here, after, kVersionWait); !ready) {
        co_return fail(from_error(ready.error()));
      }
      stream.initial = cache.snapshot();
    } else {
      Result<Snapshot> fresh = co_await cache.fresh(call.here);
      if (!fresh) co_return fail(from_error(fresh.error()));
      stream.initial = std::move(*fresh);
    }
    after = stream.initial->revision();
  }
  stream.watcher = cache.watch(call.here, std::move(scope), after);

  http::Reply reply;
  std::string type = content_type(form);
  if (is_protobuf(stream)) type += ";stream=watch";
  reply.response.headers.emplace_back("Content-Type", std::move(type));
  reply.stream = [stream = std::move(stream), &here = call.here](http::BodyWriter& body) mutable -> Task<> {
    here.spawn(pace(stream.watcher, body.closed(), stream.end));
    return follow(std::move(stream), body);
  };
  co_return reply;
}

}  // namespace gantry::control
