// SPDX-License-Identifier: Apache-2.0
// Attachments of pods to networks by CNI, in the node's SQLite file: a row is on the disk before the first plugin is
// run, and goes when the DEL of all of them is confirmed. It has the configuration and what the plugins were told, so
// that a DEL says what the ADD said, whatever is in /etc/cni/net.d by then. Loop thread; each call is a transaction on
// the store's own thread, but for find() of a sandbox that has no row: which ones have is remembered, so that pods
// which were never attached end without waiting for the store.
//
// The result is written without a sync: it is there after a crash, and after a loss of power with the row of the
// sandbox, which is synced after it. Without it a DEL goes without prevResult.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/database.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::cni {

// Give it to db::Database::open.
db::Schema journal_schema();

struct Attachment {
  std::string sandbox_id;
  std::string netns;         // the path of its network namespace
  std::string config;        // a text for parse_network_list()
  std::string args;          // CNI_ARGS
  std::string capabilities;  // a JSON object
  std::string result;        // of the last plugin's ADD; "" before that
};

class Journal {
 public:
  explicit Journal(db::Database& database) : database_(database) {}

  Task<Status> begin(Attachment attachment);
  Task<Status> set_result(std::string sandbox_id, std::string result);
  Task<Result<std::optional<Attachment>>> find(std::string sandbox_id);
  Task<Result<std::vector<std::string>>> sandboxes();
  // One that is not there is fine.
  Task<Status> end(std::string sandbox_id);

 private:
  db::Database& database_;
  // All that have a row, and perhaps some that have none any more; once it was read.
  std::set<std::string, std::less<>> known_;
  bool is_read_ = false;
};

}  // namespace gantry::cni
