// SPDX-License-Identifier: Apache-2.0
#include "cri/state_store.h"

#include "cni/journal.h"
#include "cri/runtime.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

constexpr std::string_view kTables =
    "CREATE TABLE cri_node(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE cri_sandboxes(id TEXT PRIMARY KEY, state INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT "
    "NULL,"
    "  uid TEXT NOT NULL, attempt INTEGER NOT NULL, cgroup TEXT NOT NULL, status BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE cri_containers(id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL, state INTEGER NOT NULL, name TEXT NOT "
    "NULL,"
    "  attempt INTEGER NOT NULL, cgroup TEXT NOT NULL, status BLOB NOT NULL) WITHOUT ROWID;";

Status read_node(db::Connection& connection, StateRows& rows) {
  auto found = connection.query("SELECT key, value FROM cri_node");
  if (!found) return std::unexpected(std::move(found.error()));
  for (;;) {
    auto more = found->next();
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return {};
    if (found->text(0) == "boot_id") rows.boot_id = found->string(1);
    if (found->text(0) == "network") rows.network = found->string(1);
    if (found->text(0) != "pod_cidrs" || found->text(1).empty()) continue;
    for (std::string_view range : split(found->text(1), ',')) rows.pod_cidrs.emplace_back(range);
  }
}

Status read_sandboxes(db::Connection& connection, StateRows& rows) {
  auto found = connection.query("SELECT id, state, cgroup, status FROM cri_sandboxes");
  if (!found) return std::unexpected(std::move(found.error()));
  for (;;) {
    auto more = found->next();
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return {};
    SandboxRow row;
    row.state = static_cast<SandboxState>(found->integer(1));
    row.cgroup = found->string(2);
    std::string_view bytes = found->blob(3);
    if (!row.status.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || row.status.id() != found->text(0)) {
      rows.unreadable.push_back(cat("the row of sandbox ", found->text(0), " is damaged"));
      continue;
    }
    rows.sandboxes.push_back(std::move(row));
  }
}

Status read_containers(db::Connection& connection, StateRows& rows) {
  auto found = connection.query("SELECT id, sandbox_id, state, cgroup, status FROM cri_containers");
  if (!found) return std::unexpected(std::move(found.error()));
  for (;;) {
    auto more = found->next();
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return {};
    ContainerRow row;
    row.sandbox_id = found->string(1);
    row.state = static_cast<ContainerState>(found->integer(2));
    row.cgroup = found->string(3);
    std::string_view bytes = found->blob(4);
    if (!row.status.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || row.status.id() != found->text(0)) {
      rows.unreadable.push_back(cat("the row of container ", found->text(0), " is damaged"));
      continue;
    }
    rows.containers.push_back(std::move(row));
  }
}

Status discard_count(Result<std::int64_t> changed) {
  if (!changed) return std::unexpected(std::move(changed.error()));
  return {};
}

}  // namespace

std::vector<db::Schema> schemas() { return {state_schema(), cni::journal_schema()}; }

db::Schema state_schema() { return {.user = "cri", .migrations = {kTables}}; }

Task<Result<StateRows>> StateStore::load() {
  return database_.read([](db::Connection& connection) -> Result<StateRows> {
    StateRows rows;
    if (auto done = read_node(connection, rows); !done) return std::unexpected(std::move(done.error()));
    if (auto done = read_sandboxes(connection, rows); !done) return std::unexpected(std::move(done.error()));
    if (auto done = read_containers(connection, rows); !done) return std::unexpected(std::move(done.error()));
    return rows;
  });
}

Task<Status> StateStore::set_pod_cidrs(const std::vector<std::string>& ranges) {
  return set("pod_cidrs", joined(ranges, ","));
}

Task<Status> StateStore::set(std::string key, std::string value) {
  return database_.run([key = std::move(key), value = std::move(value)](db::Connection& connection) -> Status {
    return discard_count(connection.execute(
        "INSERT INTO cri_node(key, value) VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
        {key, value}));
  });
}

Task<Status> StateStore::put(const Sandbox& sandbox) {
  auto write = [state = sandbox.state, cgroup = sandbox.cgroup,
                status = sandbox.status](db::Connection& connection) -> Status {
    const auto& metadata = status.metadata();
    std::string bytes = status.SerializeAsString();
    return discard_count(connection.execute(
        "INSERT OR REPLACE INTO cri_sandboxes(id, state, namespace, name, uid, attempt, cgroup, status) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        {status.id(), static_cast<int>(state), metadata.namespace_(), metadata.name(), metadata.uid(),
         metadata.attempt(), cgroup, db::Blob{bytes}}));
  };
  if (sandbox.state == SandboxState::kNotReady) return database_.run_lazily(std::move(write));
  return database_.run(std::move(write));
}

Task<Status> StateStore::put(const Container& container) {
  auto write = [state = container.state, sandbox_id = container.sandbox_id, cgroup = container.cgroup,
                status = container.status](db::Connection& connection) -> Status {
    std::string bytes = status.SerializeAsString();
    return discard_count(connection.execute(
        "INSERT OR REPLACE INTO cri_containers(id, sandbox_id, state, name, attempt, cgroup, status) "
        "VALUES(?, ?, ?, ?, ?, ?, ?)",
        {status.id(), sandbox_id, static_cast<int>(state), status.metadata().name(), status.metadata().attempt(),
         cgroup, db::Blob{bytes}}));
  };
  if (container.state == ContainerState::kRunning || container.state == ContainerState::kCreating)
    return database_.run_lazily(std::move(write));
  return database_.run(std::move(write));
}

Task<Status> StateStore::erase_sandbox(std::string id) {
  return database_.run_lazily([id = std::move(id)](db::Connection& connection) -> Status {
    return discard_count(connection.execute("DELETE FROM cri_sandboxes WHERE id = ?", {id}));
  });
}

Task<Status> StateStore::erase_container(std::string id) {
  return database_.run_lazily([id = std::move(id)](db::Connection& connection) -> Status {
    return discard_count(connection.execute("DELETE FROM cri_containers WHERE id = ?", {id}));
  });
}

}  // namespace gantry::cri
