// SPDX-License-Identifier: Apache-2.0
// Informer: all objects of a resource, kept as they are in the API server: listed once and watched from there on, with
// those told that want to know of changes. A watch that breaks off goes on where it was; one that is too old for that
// (410) begins anew, and what has gone meanwhile is told as removed.
//
// Where the server can, the watch itself begins with what is there (sendInitialEvents), else a list comes first; and what
// it tells is protobuf where that can be had. Who owns which field (metadata.managedFields) is not kept.
// Everything happens on the Client's loop; handlers must not block, and usually fill a WorkQueue.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <typeindex>
#include <unordered_map>
#include <vector>

#include "api/client/client.h"

namespace gantry::api {

// "namespace/name", or "name" of what is in no namespace.
std::string object_key(std::string_view ns, std::string_view name);
// The two parts.
std::pair<std::string, std::string> split_key(std::string_view key);

class Informer {
 public:
  using ObjectPtr = std::shared_ptr<const Message>;
  struct Change {
    ObjectPtr before;  // null: it is new
    ObjectPtr now;     // null: it is gone
    const Message& object() const { return now ? *now : *before; }
  };
  using Handler = std::function<void(const Change&)>;
  // The keys under which an object shall be found.
  using Indexer = std::function<std::vector<std::string>(const Message&)>;

  struct Options {
    Target target;
    ListQuery query;
    // PartialObjectMetadata instead of the objects.
    bool metadata_only = false;
    std::function<std::unique_ptr<Message>()> make;
    // Takes away what nobody here looks at, before an object is kept; null: all of it is kept.
    std::function<void(Message*)> trim;
  };
  Informer(Client& client, Options options);
  Informer(const Informer&) = delete;
  Informer& operator=(const Informer&) = delete;

  // Before start(). Handlers are told of all that is there, in the order in which they were added.
  void on_change(Handler handler) { handlers_.push_back(std::move(handler)); }
  void add_index(std::string name, Indexer indexer);
  void start();
  // Ends it for good, and forgets what was there; nobody is told. Who watches is let go with the next line.
  void stop();
  // Returns when nothing of it is under way any more after stop(): from then on it may be destroyed.
  Task<> wait_ended() { return ended_.wait(); }

  // All that was there at the start has been told.
  bool is_synced() const { return synced_.is_set(); }
  Task<> wait_synced() { return synced_.wait(); }
  // False when `limit` passed first.
  Task<bool> wait_synced_for(Duration limit) { return synced_.wait_for(limit); }

  ObjectPtr find(const std::string& key) const;
  const std::map<std::string, ObjectPtr>& all() const { return objects_; }
  std::vector<ObjectPtr> find_by(const std::string& index, const std::string& key) const;
  const Target& target() const { return options_.target; }

 private:
  struct Index {
    Indexer indexer;
    std::unordered_map<std::string, std::set<std::string>> keys;
  };

  Task<> run();
  Task<> run_to_end();
  Task<Answer<void>> list();
  Task<Answer<void>> watch(bool from_scratch);
  Status take_line(std::string_view line, bool* initial);
  // The type of an event, whose object is read into what is made for that type; null: it tells of an error, and that is
  // returned.
  using ObjectFor = std::function<Message*(std::string_view type)>;
  static Answer<std::string> read_event(std::string_view line, const ObjectFor& object_for);
  Answer<ObjectPtr> read(const Value& document) const;
  void trim(Message* object) const;
  void put(ObjectPtr object);
  void drop(const std::string& key);
  static void unindex(Index& index, const std::string& key, const Message& object);
  void replace_all();
  void tell(const Change& change);

  Client& client_;
  Options options_;
  std::vector<Handler> handlers_;
  std::map<std::string, Index> indexes_;
  std::map<std::string, ObjectPtr> objects_;
  std::map<std::string, ObjectPtr> listed_;  // of a list under way
  std::string version_;                      // where the watch goes on; empty: from scratch
  bool can_watch_list_ = true;
  bool stopped_ = false;
  ApiError broken_;  // what the watch said at its end
  Event synced_, ended_;
  std::minstd_rand random_;
};

// An Informer of one type.
template <typename M>
class InformerOf : public Informer {
 public:
  using Informer::Informer;

  std::shared_ptr<const M> find(std::string_view ns, std::string_view name) const {
    return std::static_pointer_cast<const M>(Informer::find(object_key(ns, name)));
  }
  std::shared_ptr<const M> find_key(const std::string& key) const {
    return std::static_pointer_cast<const M>(Informer::find(key));
  }
  std::vector<std::shared_ptr<const M>> objects() const {
    std::vector<std::shared_ptr<const M>> out;
    for (const auto& [key, object] : all()) out.push_back(std::static_pointer_cast<const M>(object));
    return out;
  }
  std::vector<std::shared_ptr<const M>> by(const std::string& index, const std::string& key) const {
    std::vector<std::shared_ptr<const M>> out;
    for (const ObjectPtr& object : find_by(index, key)) out.push_back(std::static_pointer_cast<const M>(object));
    return out;
  }
};

// One informer for each type, shared by all who ask.
class Informers {
 public:
  explicit Informers(Client& client) : client_(client) {}

  template <typename M>
  InformerOf<M>& of() {
    std::unique_ptr<Informer>& slot = informers_[std::type_index(typeid(M))];
    if (slot == nullptr) {
      Informer::Options options{.target = client_.target<M>(), .make = [] { return std::make_unique<M>(); }};
      slot = std::make_unique<InformerOf<M>>(client_, std::move(options));
    }
    return static_cast<InformerOf<M>&>(*slot);
  }
  void start_all();
  Task<> wait_synced();
  // One more, for resources that are known by name only. Whoever asks starts it and waits for it.
  Informer& add(Informer::Options options);
  void stop_all();

 private:
  Client& client_;
  std::map<std::type_index, std::unique_ptr<Informer>> informers_;
  std::vector<std::unique_ptr<Informer>> others_;
};

}  // namespace gantry::api
