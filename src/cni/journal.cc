// SPDX-License-Identifier: Apache-2.0
#include "cni/journal.h"

namespace gantry::cni {
namespace {

constexpr std::string_view kTables =
    "CREATE TABLE cni_attachments(sandbox_id TEXT PRIMARY KEY, netns TEXT NOT NULL, config TEXT NOT NULL,"
    "  args TEXT NOT NULL, capabilities TEXT NOT NULL, result TEXT NOT NULL) WITHOUT ROWID;";

Status discard_count(Result<std::int64_t> changed) {
  if (!changed) return std::unexpected(std::move(changed.error()));
  return {};
}

}  // namespace

db::Schema journal_schema() { return {.user = "cni", .migrations = {kTables}}; }

Task<Status> Journal::begin(Attachment attachment) {
  known_.insert(attachment.sandbox_id);
  return database_.run([row = std::move(attachment)](db::Connection& connection) -> Status {
    return discard_count(
        connection.execute("INSERT INTO cni_attachments(sandbox_id, netns, config, args, capabilities, result) "
                           "VALUES(?, ?, ?, ?, ?, ?)",
                           {row.sandbox_id, row.netns, row.config, row.args, row.capabilities, row.result}));
  });
}

Task<Status> Journal::set_result(std::string sandbox_id, std::string result) {
  return database_.run_lazily(
      [id = std::move(sandbox_id), result = std::move(result)](db::Connection& connection) -> Status {
        return discard_count(
            connection.execute("UPDATE cni_attachments SET result = ? WHERE sandbox_id = ?", {result, id}));
      });
}

Task<Result<std::optional<Attachment>>> Journal::find(std::string sandbox_id) {
  if (!is_read_) {
    auto ids = co_await sandboxes();
    if (!ids) co_return std::unexpected(std::move(ids.error()));
    known_.insert(ids->begin(), ids->end());
    is_read_ = true;
  }
  if (!known_.contains(sandbox_id)) co_return std::nullopt;
  co_return co_await database_.read(
      [id = std::move(sandbox_id)](db::Connection& connection) -> Result<std::optional<Attachment>> {
        auto rows = connection.query(
            "SELECT netns, config, args, capabilities, result FROM cni_attachments WHERE sandbox_id = ?", {id});
        if (!rows) return std::unexpected(std::move(rows.error()));
        auto there = rows->next();
        if (!there) return std::unexpected(std::move(there.error()));
        if (!*there) return std::nullopt;
        return Attachment{id, rows->string(0), rows->string(1), rows->string(2), rows->string(3), rows->string(4)};
      });
}

Task<Result<std::vector<std::string>>> Journal::sandboxes() {
  return database_.read([](db::Connection& connection) -> Result<std::vector<std::string>> {
    auto rows = connection.query("SELECT sandbox_id FROM cni_attachments");
    if (!rows) return std::unexpected(std::move(rows.error()));
    std::vector<std::string> ids;
    for (;;) {
      auto more = rows->next();
      if (!more) return std::unexpected(std::move(more.error()));
      if (!*more) return ids;
      ids.push_back(rows->string(0));
    }
  });
}

Task<Status> Journal::end(std::string sandbox_id) {
  auto ended = co_await database_.run_lazily([&sandbox_id](db::Connection& connection) -> Status {
    return discard_count(connection.execute("DELETE FROM cni_attachments WHERE sandbox_id = ?", {sandbox_id}));
  });
  if (ended) known_.erase(sandbox_id);
  co_return ended;
}

}  // namespace gantry::cni
