// SPDX-License-Identifier: Apache-2.0
// Sandboxes and containers in the node's SQLite file: a row each, with its id, its state and its CRI status message,
// which is what must be known of it after a reboot. Configurations are never here: they may hold secrets
// (boot_records.h).
//
// A row in an intent state (starting, creating, removing) is written before the first thing outside the process is made
// or removed. What has been written is there after a loss of power, but for the two states that a reboot ends anyway:
// a container that runs, and a sandbox that is not ready any more. Loop thread; each call is one transaction on the
// store's own thread.
#pragma once

#include <string>
#include <vector>

#include "base/database.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/objects.h"

namespace gantry::cri {

// Give these to db::Database::open.
db::Schema state_schema();

struct SandboxRow {
  SandboxState state{};
  std::string cgroup;
  v1::PodSandboxStatus status;
};
struct ContainerRow {
  ContainerState state{};
  std::string sandbox_id;
  std::string cgroup;
  v1::ContainerStatus status;
};
struct StateRows {
  // The boot in which the rows were last written; empty in a new store.
  std::string boot_id;
  std::vector<SandboxRow> sandboxes;
  std::vector<ContainerRow> containers;
  // Rows that can't be read, as sentences; they stay in the file.
  std::vector<std::string> unreadable;
};

class StateStore {
 public:
  explicit StateStore(db::Database& database) : database_(database) {}

  Task<Result<StateRows>> load();
  Task<Status> set_boot_id(std::string boot_id);

  // Adds the row or replaces it.
  Task<Status> put(const Sandbox& sandbox);
  Task<Status> put(const Container& container);
  Task<Status> erase_sandbox(std::string id);
  Task<Status> erase_container(std::string id);

 private:
  db::Database& database_;
};

}  // namespace gantry::cri
