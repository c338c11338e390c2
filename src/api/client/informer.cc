// SPDX-License-Identifier: Apache-2.0
#include "api/client/informer.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "api/codec.h"
#include "api/json.h"
#include "api/metadata.h"
#include "base/log.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/meta/v1/object.pb.h"
#include "kubernetes/runtime/runtime.pb.h"

namespace gantry::api {

namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;

namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(200);
constexpr Duration kLongestPause = std::chrono::seconds(30);
constexpr std::string_view kInitialEventsEnd = "k8s.io/initial-events-end";

std::string key_of(const Message& message) {
  const ObjectMeta& metadata = metadata_of(message);
  return object_key(metadata.namespace_(), metadata.name());
}

}  // namespace

std::string object_key(std::string_view ns, std::string_view name) {
  return ns.empty() ? std::string(name) : cat(ns, "/", name);
}

std::pair<std::string, std::string> split_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return {"", std::string(key)};
  return {std::string(key.substr(0, slash)), std::string(key.substr(slash + 1))};
}

Informer::Informer(Client& client, Options options)
    : client_(client),
      options_(std::move(options)),
      synced_(client.here()),
      ended_(client.here()),
      random_(std::random_device{}()) {}

void Informer::add_index(std::string name, Indexer indexer) {
  Index& index = indexes_[std::move(name)];
  if (!index.indexer) index.indexer = std::move(indexer);
}

void Informer::start() { client_.here().spawn(run_to_end()); }

Task<> Informer::run_to_end() {
  co_await run();
  ended_.set();
}

void Informer::stop() {
  stopped_ = true;
  objects_.clear();
  listed_.clear();
  for (auto& [name, index] : indexes_) index.keys.clear();
}

Answer<Informer::ObjectPtr> Informer::read(const Value& document) const {
  std::shared_ptr<Message> object = options_.make();
  if (Answer<void> done = Client::decode_item(document, object.get()); !done) return fail(std::move(done.error()));
  trim(object.get());
  return object;
}

void Informer::trim(Message* object) const {
  mutable_metadata_of(object)->clear_managed_fields();
  if (options_.trim) options_.trim(object);
}

Informer::ObjectPtr Informer::find(const std::string& key) const {
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second;
}

std::vector<Informer::ObjectPtr> Informer::find_by(const std::string& index, const std::string& key) const {
  std::vector<ObjectPtr> out;
  const auto found = indexes_.find(index);
  if (found == indexes_.end()) return out;
  const auto keys = found->second.keys.find(key);
  if (keys == found->second.keys.end()) return out;
  for (const std::string& name : keys->second) out.push_back(objects_.at(name));
  return out;
}

void Informer::tell(const Change& change) {
  for (const Handler& handler : handlers_) handler(change);
}

void Informer::unindex(Index& index, const std::string& key, const Message& object) {
  for (const std::string& old : index.indexer(object)) {
    const auto keys = index.keys.find(old);
    if (keys == index.keys.end()) continue;
    keys->second.erase(key);
    if (keys->second.empty()) index.keys.erase(keys);
  }
}

void Informer::put(ObjectPtr object) {
  const std::string key = key_of(*object);
  ObjectPtr& slot = objects_[key];
  ObjectPtr before = std::exchange(slot, object);
  if (before != nullptr && metadata_of(*before).resource_version() == metadata_of(*object).resource_version()) return;
  for (auto& [name, index] : indexes_) {
    if (before != nullptr) unindex(index, key, *before);
    for (const std::string& now : index.indexer(*object)) index.keys[now].insert(key);
  }
  tell({.before = std::move(before), .now = std::move(object)});
}

void Informer::drop(const std::string& key) {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return;
  const ObjectPtr before = found->second;
  objects_.erase(found);
  for (auto& [name, index] : indexes_) unindex(index, key, *before);
  tell({.before = before, .now = nullptr});
}

void Informer::replace_all() {
  const std::map<std::string, ObjectPtr> listed = std::exchange(listed_, {});
  std::vector<std::string> gone;
  for (const auto& [key, object] : objects_) {
    const auto found = listed.find(key);
    // One that was removed and made again is two objects.
    if (found == listed.end() || metadata_of(*found->second).uid() != metadata_of(*object).uid()) gone.push_back(key);
  }
  for (const std::string& key : gone) drop(key);
  for (const auto& [key, object] : listed) put(object);
  synced_.set();
}

Answer<std::string> Informer::read_event(std::string_view line, const ObjectFor& object_for) {
  const auto cannot = [](const char* why) { return fail(no_answer(Error(Code::kInvalidArgument, why))); };
  if (line.starts_with('{')) {
    Result<Value> event = parse_json(line, ParseLimits{.bytes = line.size() + 1});
    if (!event) return fail(no_answer(event.error()));
    const Value* type = event->find("type");
    const Value* document = event->find("object");
    if (type == nullptr || type->as_string() == nullptr || document == nullptr) {
      return cannot("a line of a watch is no event");
    }
    Message* message = object_for(*type->as_string());
    if (message == nullptr) return fail(read_status(500, write_json(*document)));
    if (Answer<void> done = Client::decode_item(*document, message); !done) return fail(std::move(done.error()));
    return *type->as_string();
  }
  meta::WatchEvent event;
  if (!event.ParseFromArray(line.data(), static_cast<int>(line.size()))) return cannot("a frame of a watch is no event");
  Message* message = object_for(event.type());
  if (message == nullptr) return fail(read_status(500, event.object().raw()));
  if (Status done = decode_stored(event.object().raw(), message); !done) return fail(no_answer(done.error()));
  return std::move(*event.mutable_type());
}

Status Informer::take_line(std::string_view line, bool* initial) {
  if (stopped_) return fail(Code::kCancelled, "the informer was stopped");
  std::shared_ptr<Message> made;
  Answer<std::string> type = read_event(line, [&](std::string_view name) {
    if (name != "ERROR") made = options_.make();
    return made.get();
  });
  if (!type) {
    if (made == nullptr && type.error().code != 0) broken_ = type.error();
    return std::unexpected(type.error().as_error());
  }
  // A bookmark is no object: it is not trimmed.
  if (*type == "BOOKMARK") {
    const ObjectMeta& metadata = metadata_of(*made);
    if (*initial && metadata.annotations().contains(std::string(kInitialEventsEnd))) {
      *initial = false;
      replace_all();
    }
    if (!*initial) version_ = metadata.resource_version();
    return {};
  }
  trim(made.get());
  const ObjectPtr object = std::move(made);
  if (*initial) {
    const std::string key = key_of(*object);
    if (*type == "DELETED") {
      listed_.erase(key);
    } else {
      listed_[key] = object;
    }
    return {};
  }
  version_ = metadata_of(*object).resource_version();
  if (*type == "DELETED") {
    drop(key_of(*object));
  } else {
    put(object);
  }
  return {};
}

Task<Answer<void>> Informer::list() {
  listed_.clear();
  std::string version;
  const Client::TakeItem take = [this](const Value& item) -> Answer<void> {
    Answer<ObjectPtr> object = read(item);
    if (!object) return fail(std::move(object.error()));
    listed_[key_of(**object)] = std::move(*object);
    return {};
  };
  Answer<void> done = co_await client_.visit(options_.target, options_.query, take, options_.metadata_only, &version);
  if (!done) co_return done;
  if (stopped_) {
    listed_.clear();
    co_return Answer<void>();
  }
  replace_all();
  version_ = version;
  co_return Answer<void>();
}

Task<Answer<void>> Informer::watch(bool from_scratch) {
  std::string path = cat(options_.target.path(options_.query.ns), "?watch=true&allowWatchBookmarks=true");
  if (!options_.query.label_selector.empty()) {
    path += cat("&labelSelector=", escape_query(options_.query.label_selector));
  }
  if (!options_.query.field_selector.empty()) {
    path += cat("&fieldSelector=", escape_query(options_.query.field_selector));
  }
  if (from_scratch) {
    listed_.clear();
    path += "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
  } else {
    path += cat("&resourceVersion=", version_);
  }
  bool initial = from_scratch;
  broken_ = {};
  Answer<void> done = co_await client_.follow(
      path, options_.metadata_only ? Client::WatchForm::kMetadata : Client::WatchForm::kProtobuf,
      [this, &initial](std::string_view line) { return take_line(line, &initial); });
  if (!done && broken_.code != 0) co_return fail(std::exchange(broken_, {}));
  co_return done;
}

Task<> Informer::run() {
  Duration pause = kFirstPause;
  while (!stopped_) {
    const bool from_scratch = version_.empty();
    Answer<void> done;
    if (from_scratch && !can_watch_list_) {
      done = co_await list();
      if (done && !stopped_) done = co_await watch(false);
    } else {
      done = co_await watch(from_scratch);
      // A server that does not know the option says so; what else it may dislike a list will tell.
      if (!done && from_scratch && done.error().is_invalid()) {
        can_watch_list_ = false;
        continue;
      }
    }
    if (stopped_ || (!done && done.error().is_cancelled())) co_return;
    if (done && !version_.empty()) {
      pause = kFirstPause;
      co_await client_.here().sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<int>(1, 50)(random_)));
      continue;
    }
    if (!done && done.error().is_gone()) {
      version_.clear();
      if (pause == kFirstPause) {
        pause *= 2;
        continue;
      }
    } else if (!done) {
      log::warning("a watch of the API broke off, retrying",
                   {{"resource", options_.target.plural}, {"error", done.error().message}});
    }
    const auto jitter = std::uniform_int_distribution<Duration::rep>(0, pause.count() / 2)(random_);
    co_await client_.here().sleep_for(pause + Duration(jitter));
    pause = std::min(pause * 2, kLongestPause);
  }
}

void Informers::start_all() {
  for (auto& [type, informer] : informers_) informer->start();
}

Informer& Informers::add(Informer::Options options) {
  others_.push_back(std::make_unique<Informer>(client_, std::move(options)));
  return *others_.back();
}

void Informers::stop_all() {
  for (auto& [type, informer] : informers_) informer->stop();
  for (const auto& informer : others_) informer->stop();
}

Task<> Informers::wait_synced() {
  for (auto& [type, informer] : informers_) co_await informer->wait_synced();
}

}  // namespace gantry::api
