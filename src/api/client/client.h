// SPDX-License-Identifier: Apache-2.0
// Client: the Kubernetes API as its users see it: objects of any kind, by messages or, where kinds don't matter, by
// documents. Fields that this program does not know are dropped when an object is read, so programs that change objects
// of others patch them.
//
// Bound to one loop; every call is a coroutine there. What it is given by reference must live until the call ends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/client/api_error.h"
#include "api/client/transport.h"
#include "api/kind.h"
#include "api/value.h"

namespace gantry::api {

// A resource as its paths name it.
struct Target {
  std::string group;
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;
  Verbs verbs = kAllVerbs;

  // "v1", "apps/v1"
  std::string api_version() const;
  // "/api/v1/namespaces/default/pods/web/status"; with an empty namespace all of them, with an empty name the
  // collection.
  std::string path(std::string_view ns, std::string_view name = {}, std::string_view subresource = {}) const;
};
Target target_of(const Kind& kind);

struct ListQuery {
  std::string ns;  // empty: all
  std::string label_selector;
  std::string field_selector;
};

struct RemoveQuery {
  std::string uid;               // precondition
  std::string resource_version;  // precondition
  std::optional<int64_t> grace_period;
  std::string propagation;  // "Background", "Foreground", "Orphan"
};

enum class PatchForm { kMerge, kStrategicMerge, kJson, kApply };

class Client {
 public:
  // All must outlive it. `program` names this one in managed fields and in the server's log.
  Client(Loop& here, Transport& transport, const Kinds& kinds, std::string program)
      : here_(here), transport_(transport), kinds_(kinds), program_(std::move(program)) {}

  template <typename M>
  Task<Answer<M>> get(std::string ns, std::string name) {
    return one<M>("GET", target<M>().path(ns, name), {}, {});
  }
  // Page by page.
  template <typename M>
  Task<Answer<std::vector<M>>> list(ListQuery query) {
    std::vector<M> items;
    const TakeItem take = [&items](const Value& document) -> Answer<void> {
      M item;
      if (Answer<void> read = decode_item(document, &item); !read) return read;
      items.push_back(std::move(item));
      return {};
    };
    Answer<void> done = co_await visit(target<M>(), query, take);
    if (!done) co_return fail(std::move(done.error()));
    co_return std::move(items);
  }
  // In the namespace that its metadata names.
  template <typename M>
  Task<Answer<M>> create(const M& object) {
    return one<M>("POST", target<M>().path(object.metadata().namespace_()), "application/json", encode_text(object));
  }
  template <typename M>
  Task<Answer<M>> update(const M& object, std::string_view subresource = {}) {
    return one<M>("PUT", target<M>().path(object.metadata().namespace_(), object.metadata().name(), subresource),
                  "application/json", encode_text(object));
  }
  template <typename M>
  Task<Answer<M>> update_status(const M& object) {
    return update(object, "status");
  }
  template <typename M>
  Task<Answer<M>> patch(std::string ns, std::string name, PatchForm form, Value document,
                        std::string subresource = {}) {
    return one<M>("PATCH", patch_path(target<M>().path(ns, name, subresource), form), content_type(form),
                  document_text(document));
  }
  template <typename M>
  Task<Answer<void>> remove(std::string ns, std::string name, RemoveQuery query = {}) {
    return remove_path(target<M>().path(ns, name), std::move(query));
  }

  // Of any resource:
  Task<Answer<Value>> document(std::string method, std::string path, std::string type = {}, std::string body = {});
  // An object's PartialObjectMetadata.
  Task<Answer<Value>> metadata(std::string path);
  Task<Answer<void>> patch_path_with(std::string path, PatchForm form, Value document);
  Task<Answer<void>> remove_path(std::string path, RemoveQuery query);
  // Each item of a collection, page by page. With metadata_only they are PartialObjectMetadata.
  using TakeItem = std::function<Answer<void>(const Value& item)>;
  Task<Answer<void>> visit(Target target, ListQuery query, TakeItem take, bool metadata_only = false,
                           std::string* resource_version = nullptr);
  // A watch. `take` is given each of its events: a line of JSON, of the objects or of their PartialObjectMetadata; or
  // what a WatchEvent is in protobuf, where the server has that form of the objects, and a line of JSON where not.
  enum class WatchForm { kJson, kMetadata, kProtobuf };
  Task<Answer<void>> follow(std::string path, WatchForm form, TakeLine take);

  template <typename M>
  Target target() const {
    return target_of(M::descriptor());
  }
  Target target_of(const google::protobuf::Descriptor* descriptor) const;
  Loop& here() const { return here_; }

  static Answer<void> decode_item(const Value& document, Message* message);
  static std::string content_type(PatchForm form);

 private:
  template <typename M>
  Task<Answer<M>> one(std::string method, std::string path, std::string type, std::string body) {
    M object;
    Answer<void> done =
        co_await exchange(std::move(method), std::move(path), std::move(type), std::move(body), &object);
    if (!done) co_return fail(std::move(done.error()));
    co_return std::move(object);
  }
  Task<Answer<Value>> ask(http::Request request);
  Task<Answer<void>> exchange(std::string method, std::string path, std::string type, std::string body, Message* out);
  static std::string encode_text(const Message& message);
  static std::string document_text(const Value& document);
  std::string patch_path(std::string path, PatchForm form) const;

  Loop& here_;
  Transport& transport_;
  const Kinds& kinds_;
  std::string program_;
};

// What may stand in a query's value, the rest as %XX.
std::string escape_query(std::string_view text);

}  // namespace gantry::api
