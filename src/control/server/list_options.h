// SPDX-License-Identifier: Apache-2.0
// What a list or watch asks for by its query: selectors, versions, pages. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "api/field_selector.h"
#include "api/label_selector.h"
#include "control/server/failure.h"
#include "control/server/request_info.h"

namespace gantry::control {

struct Selection {
  api::LabelSelector labels;
  api::FieldSelector fields;

  bool everything() const { return labels.selects_everything() && fields.selects_everything(); }
  bool matches(const api::Kind& kind, const api::Message& message) const;
};

// Where the next page begins. Opaque to clients; it names nothing that they could not list.
struct ContinueToken {
  std::int64_t revision = 0;  // -1: as things are now, since the list's own version is forgotten
  std::string after;          // the last key of the page before, without the prefix that was listed

  std::string to_string() const;
  static Outcome<ContinueToken> parse(std::string_view text);
};

enum class VersionMatch { kUnset, kNotOlderThan, kExact };

struct ListOptions {
  Selection selection;
  std::optional<std::int64_t> revision;  // resourceVersion, 0 included; empty: not given
  VersionMatch match = VersionMatch::kUnset;
  std::size_t limit = 0;  // 0: none
  std::optional<ContinueToken> page;
  // Of watches:
  bool bookmarks = false;
  bool initial_events = false;
  std::optional<std::chrono::seconds> timeout;
};

// 400 for what can't be read, 422 for what does not go together, as upstream.
Outcome<ListOptions> parse_list_options(const api::Kind& kind, const RequestInfo& info);

}  // namespace gantry::control
