// SPDX-License-Identifier: Apache-2.0
// The SQLite store's rows, and the statements over them. Every write of a key is a row of its own, numbered by its
// revision; the newest row of a key is what the key is now, older ones are history, and a removal is a row too:
//
//   control_entry   revision -> key, create revision, the revision it replaced (0: none), removed?, value
//     index         key, revision, removed?: lists and counts read no value
//   control_expiry  time, revision: what has a time to live. An entry that was written again is passed over
//   control_state   compacted: no reader asks for what was before. swept: up to there the rows are gone
//
// The store's revision is the newest row's, or `compacted` if that is above (a restored store, a removal swept away).
// The functions are called within a transaction of their connection.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/database.h"
#include "control/store/store.h"

namespace gantry::control {

std::span<const db::Schema> history_schemas();

// The least string above all that begin with `prefix`; of "" (or only 0xff bytes) one above every key.
std::string end_of_prefix(std::string_view prefix);

struct Bounds {
  std::int64_t revision = 0;
  std::int64_t compacted = 0;
  std::int64_t swept = 0;
};
Result<Bounds> read_bounds(db::Connection& connection);

// `revision` 0: the newest. Errors: is_compacted, is_ahead.
Result<GetAnswer> read_entry(db::Connection& connection, std::string_view key, std::int64_t revision);
Result<ListAnswer> read_list(db::Connection& connection, const ListRequest& request);
Result<std::int64_t> read_count(db::Connection& connection, std::string_view prefix);
Result<StoreCounts> read_counts(db::Connection& connection);
// Events after `after`, at most some thousand rows read and about `max_bytes` answered.
Result<EventBatch> read_events(db::Connection& connection, std::string_view prefix, std::int64_t after,
                               std::size_t max_bytes);

// Decides and makes one write as revision `revision`; `now` is in milliseconds since 1970. The event is the one to
// tell, when it was done.
struct Decision {
  WriteAnswer answer;
  StoreEvent event;
};
Result<Decision> apply_write(db::Connection& connection, const Write& write, std::int64_t revision, std::int64_t now);

// When the next entry expires, in milliseconds since 1970; 0: none does.
Result<std::int64_t> next_expiry(db::Connection& connection);
// Removes at most `limit` entries whose time was up at `now`, as writes of revisions from `revision` on.
Result<std::vector<StoreEvent>> expire(db::Connection& connection, std::int64_t revision, std::int64_t now, int limit);

// Compaction: first the mark, which must be durable, then rows step by step. Answers how many rows are left to look at.
Status set_compacted(db::Connection& connection, std::int64_t revision);
Result<std::int64_t> sweep(db::Connection& connection, int limit);

}  // namespace gantry::control
