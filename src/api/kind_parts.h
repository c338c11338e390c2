// SPDX-License-Identifier: Apache-2.0
// What the files of src/api/kinds make their Kinds from: usual subresources, and the cells of tables. Pure; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/object_meta.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class MicroTime;
class Time;
}  // namespace k8s::io::apimachinery::pkg::apis::meta::v1

namespace k8s::io::apimachinery::pkg::util::intstr {
class IntOrString;
}

namespace gantry::api {

// --- Subresources ---

// has_status and the subresource "status", whose rules are not those of the spec, which it does not change.
void add_status(Kind* kind, UpdateRules rules = {.changes_alone = true});
// Another view of the object itself, with get, update and patch: "approval".
void add_view(Kind* kind, std::string name, UpdateRules rules = {});
// What is done to or through the object: {"", "v1", "Binding"}.
void add_action(Kind* kind, std::string name, GroupVersionKind takes, Verbs verbs);
// What a proxy takes.
inline constexpr Verbs kProxyVerbs = Verb::kCreate | Verb::kDelete | Verb::kGet | Verb::kPatch | Verb::kUpdate;
// "scale". Replicas are spec.replicas and status.replicas; `selector` as in ScaleRules.
void add_scale(Kind* kind, std::function<std::string(const Message&)> selector);

// --- Updates ---

// Equal as what is stored: both normalized, maps in any order.
bool equal(const Message& a, const Message& b);

// --- Tables ---

Column name_column();
Column age_column();
Column column(std::string name, std::string type, std::string description);
// Shown with -o wide only.
Column wide_column(std::string name, std::string type, std::string description);

inline constexpr std::string_view kNone = "<none>";
inline constexpr std::string_view kUnset = "<unset>";
inline constexpr std::string_view kUnknownText = "<unknown>";

// "<none>" for an empty text.
Value or_none(std::string text);
Value or_unset(std::string text);
// The time from then until now, "5m"; "<unknown>" for the zero time.
std::string since(const k8s::io::apimachinery::pkg::apis::meta::v1::Time& time, int64_t now);
std::string since(const k8s::io::apimachinery::pkg::apis::meta::v1::MicroTime& time, int64_t now);
// Since the object was created.
Value age(const ObjectMeta& meta, int64_t now);

// "80" or "http".
std::string int_or_string_text(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& value);

// "a,b,c"
std::string joined(const std::vector<std::string>& words, std::string_view between = ",");

// "a,b + 3 more..."
std::string first_few(std::vector<std::string> words, size_t most, std::string_view between = ",");

// The text of a selector, "a=b,c in (d,e)"; empty when it selects everything.
std::string selector_text(const LabelSelectorMessage& selector);
std::string selector_text(const google::protobuf::Map<std::string, std::string>& labels);

// The columns of kinds of which there is no more to show: the name, and when the object was created.
std::vector<Column> name_and_creation_columns();
std::vector<Value> name_and_creation_row(const ObjectMeta& meta);
template <typename M>
TableRules name_and_creation() {
  return {name_and_creation_columns(), [](const Message& message, int64_t) {
            return name_and_creation_row(static_cast<const M&>(message).metadata());
          }};
}

}  // namespace gantry::api
