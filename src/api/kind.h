// SPDX-License-Identifier: Apache-2.0
// Kind: what one kind of the Kubernetes API is, apart from its schema: its names, where it is stored, what can be done
// with it, and plain functions for what is particular to it. The API server, discovery and OpenAPI read this and know
// no kind by name; each kind is one file of src/api/kinds/GROUP, which returns its Kind, and kinds/all.cc lists them.
//
// Functions take messages (google::protobuf::Message& is always one of `descriptor`); over() makes them from functions
// over the kind's own type. All are pure and may run on any thread. Absent ones mean: nothing is particular.
//
// What every kind has in common is not here but in the server: metadata (names, uid, generation, deletion), resource
// versions, that status is not written through the main resource nor spec through status.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/problem.h"
#include "api/schema.h"
#include "api/time.h"
#include "api/value.h"

namespace google::protobuf {
class Message;
class Descriptor;
}  // namespace google::protobuf

namespace gantry::api {

using Message = google::protobuf::Message;

// "apps", "v1", "Deployment". The core group is "".
struct GroupVersionKind {
  std::string group;
  std::string version;
  std::string kind;

  // "v1", "apps/v1"
  std::string api_version() const;
  friend bool operator==(const GroupVersionKind&, const GroupVersionKind&) = default;
};

enum class Verb : uint16_t {
  kGet = 1 << 0,
  kList = 1 << 1,
  kWatch = 1 << 2,
  kCreate = 1 << 3,
  kUpdate = 1 << 4,
  kPatch = 1 << 5,
  kDelete = 1 << 6,
  kDeleteCollection = 1 << 7,
};
using Verbs = uint16_t;
inline constexpr Verbs kAllVerbs = 0xff;
constexpr Verbs operator|(Verb a, Verb b) { return static_cast<Verbs>(a) | static_cast<Verbs>(b); }
constexpr Verbs operator|(Verbs a, Verb b) { return static_cast<Verbs>(a | static_cast<Verbs>(b)); }
constexpr bool has(Verbs verbs, Verb verb) { return (verbs & static_cast<Verbs>(verb)) != 0; }

// How an object may be changed through its main resource or a subresource that is a view of it ("status", "approval").
struct UpdateRules {
  // Brings what a client sent to what it may change: everything else is put back from `old`. Metadata is the server's.
  // Absent: all but status through the main resource, status alone through "status".
  std::function<void(const Message& old, Message* updated)> prepare;
  // The rules between old and new; those that hold for any object are Kind::validate.
  std::function<FieldProblems(const Message& old, const Message& updated)> validate;
  // Kind::validate is not asked again: what was created holds, and `validate` says all there is to say of a change.
  bool changes_alone = false;
};

struct Subresource {
  std::string name;       // "status", "scale", "binding", "log"
  GroupVersionKind kind;  // what it takes and answers; empty group, version and kind: the object itself
  Verbs verbs = 0;
  // For those that are a view of the object itself and take get, update and patch.
  std::optional<UpdateRules> update;
};

// autoscaling/v1 Scale of the kinds that have replicas.
struct ScaleRules {
  // Where spec.replicas and status.replicas stand in JSON: {"spec", "replicas"}.
  std::vector<std::string> replicas_path;
  std::vector<std::string> status_replicas_path;
  // The label selector as text; "" for none.
  std::function<std::string(const Message&)> selector;
};

struct Column {
  std::string name;         // "Ready"
  std::string type;         // "string", "integer", "number", "boolean", "date"
  std::string format;       // "name" for the first column, else ""
  std::string description;  // one sentence
  int priority = 0;         // above 0: with -o wide only
};

// What kubectl get shows. Absent row: Name and Age.
struct TableRules {
  std::vector<Column> columns;
  // One cell a column: string, integer or null. `now` is for ages, in seconds since 1970.
  std::function<std::vector<Value>(const Message&, int64_t now)> row;
};

// A kind that is served in another version or group than it is stored in: the same object in the other's words.
struct Conversion {
  GroupVersionKind storage;
  std::function<Status(const Message& served, Message* stored)> to_storage;
  std::function<Status(const Message& stored, Message* served)> from_storage;
};

struct Kind {
  GroupVersionKind gvk;
  std::string plural;    // "pods", the resource's name in paths
  std::string singular;  // "pod"
  std::vector<std::string> short_names;
  std::vector<std::string> categories;  // "all"
  bool namespaced = true;
  Verbs verbs = kAllVerbs;

  const google::protobuf::Descriptor* descriptor = nullptr;
  // An empty message of the kind.
  std::function<std::unique_ptr<Message>()> make;

  // After "/registry/": "pods", "minions", "services/specs". Empty: nothing is stored, as of reviews, whose only verb
  // is create.
  std::string storage;
  // Seconds after which an object ends by itself; 0: never.
  int64_t lifetime = 0;
  std::optional<Conversion> conversion;

  // What is wrong with a name, or "".
  std::string (*check_name)(std::string_view name) = nullptr;  // absent: check_dns1123_subdomain
  // metadata.generation counts changes of what is neither metadata nor status.
  bool has_generation = false;
  bool has_status = false;
  // An update names the resourceVersion that it changes: one without is refused instead of changing what is there.
  bool updates_by_version = false;
  // A PUT of an object that is not there makes it.
  bool put_creates = false;
  // A deletion that removes it answers the object as it was, instead of a Status that says so.
  bool answers_deleted = false;
  // A create keeps the status that comes with it, as of nodes, which register themselves.
  bool creates_with_status = false;

  // Precondition of all that follow: normalized (codec.h); what they change is normalized afterwards by the server.
  std::function<void(Message*)> set_defaults;
  // Before a create, after defaults: drops what a client may not set. (status is dropped by the server.)
  std::function<void(Message*)> prepare_create;
  // Every rule that an object breaks by itself, apart from metadata.
  std::function<FieldProblems(const Message&)> validate;
  UpdateRules update;
  // What the client is told of an object that it may have, "spec.x: deprecated".
  std::function<std::vector<std::string>(const Message&)> warnings;

  // Fields by which lists and watches can be narrowed, beside metadata.name and metadata.namespace.
  std::vector<std::string> selectable;
  // The text of the field `selectable[i]` in `fields[i]`.
  std::function<std::vector<std::string>(const Message&)> selectable_values;

  TableRules table;
  std::vector<Subresource> subresources;
  std::optional<ScaleRules> scale;

  // Deletion takes time, as of a pod: the grace period in seconds that holds when the client asked for `requested`. 0:
  // removed at once. Absent: always at once.
  std::function<int64_t(const Message&, std::optional<int64_t> requested)> grace_period;
  // Called when deletion begins but finalizers or grace hold the object: a namespace becomes Terminating.
  std::function<void(Message*)> begin_deletion;
  // True while something beside metadata.finalizers holds it: spec.finalizers of a namespace.
  std::function<bool(const Message&)> is_held;
  // What becomes of dependents when the client does not say: orphaned, else removed in the background.
  bool orphans_by_default = false;
  // The garbage collector takes no notice of it: a deletion never waits for that, whatever the client says. Events.
  bool is_uncollected = false;

  const Subresource* find_subresource(std::string_view name) const;
  const Schema& schema() const;
};

// Makes the functions above from functions over the kind's own type M.
template <typename M>
std::function<void(Message*)> over(void (*call)(M*)) {
  return [call](Message* message) { call(static_cast<M*>(message)); };
}
template <typename R, typename M>
std::function<R(const Message&)> over(R (*call)(const M&)) {
  return [call](const Message& message) { return call(static_cast<const M&>(message)); };
}
template <typename M>
std::function<void(const Message&, Message*)> over(void (*call)(const M&, M*)) {
  return [call](const Message& old, Message* updated) { call(static_cast<const M&>(old), static_cast<M*>(updated)); };
}
template <typename M>
std::function<FieldProblems(const Message&, const Message&)> over(FieldProblems (*call)(const M&, const M&)) {
  return [call](const Message& old, const Message& updated) {
    return call(static_cast<const M&>(old), static_cast<const M&>(updated));
  };
}
template <typename M>
std::function<std::vector<Value>(const Message&, int64_t)> over(std::vector<Value> (*call)(const M&, int64_t)) {
  return [call](const Message& message, int64_t now) { return call(static_cast<const M&>(message), now); };
}
template <typename M>
std::function<int64_t(const Message&, std::optional<int64_t>)> over(int64_t (*call)(const M&, std::optional<int64_t>)) {
  return [call](const Message& message, std::optional<int64_t> requested) {
    return call(static_cast<const M&>(message), requested);
  };
}

// A Kind with the names, the type M, and nothing particular.
template <typename M>
Kind make_kind(std::string plural, std::string singular, std::vector<std::string> short_names = {}) {
  Kind kind;
  kind.plural = std::move(plural);
  kind.singular = std::move(singular);
  kind.short_names = std::move(short_names);
  kind.descriptor = M::descriptor();
  kind.make = [] { return std::make_unique<M>(); };
  return kind;
}

// All kinds that are served. Immutable; made once by main and passed by reference. Pointers into it stay.
class Kinds {
 public:
  // Fills gvk from each message's options and checks that names and storage are unique; a mistake ends the process, for
  // it is the program's.
  explicit Kinds(std::vector<Kind> kinds);
  Kinds(const Kinds&) = delete;
  Kinds& operator=(const Kinds&) = delete;

  // Null if there is none.
  const Kind* find_resource(std::string_view group, std::string_view version, std::string_view plural) const;
  const Kind* find_kind(const GroupVersionKind& gvk) const;
  // In the order in which discovery lists groups and their kinds.
  const std::vector<Kind>& all() const { return kinds_; }
  // The Kind under which objects of `kind` are stored: itself, or what its conversion names.
  const Kind& storage_of(const Kind& kind) const;

 private:
  std::vector<Kind> kinds_;
  std::unordered_map<std::string, const Kind*> by_resource_;  // "apps/v1/deployments"
  std::unordered_map<std::string, const Kind*> by_kind_;      // "apps/v1/Deployment"
};

}  // namespace gantry::api
