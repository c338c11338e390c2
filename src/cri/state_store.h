// SPDX-License-Identifier: Apache-2.0
// Sandboxes and containers in the node's SQLite file: a row each, with its id, its state and its CRI status message,
// which is what must be known of it after a reboot. Configurations are never here: they may hold secrets
// (boot_records.h).
//
// A row in an intent state (starting, creating, removing) is written before the first thing outside the process is made
// or removed. What has been written is there after a loss of power, with these exceptions, which save a sync each:
// - states that a reboot ends anyway: a container that runs, and a sandbox that is not ready any more;
// - a container that is being created: what it has on the disk, its root, has a row of the image store's in the same
//   file, which is synced after it and before the root is made;
// - that a row is gone: until then it says that its sandbox or container is being removed, which the next start does.
// Loop thread; each call is one transaction on the store's own thread, in the order of the calls.
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
  std::string network;                 // "builtin" or "cni": what pods have; empty in a new store
  std::vector<std::string> pod_cidrs;  // as a client named them last
  std::vector<SandboxRow> sandboxes;
  std::vector<ContainerRow> containers;
  // Rows that can't be read, as sentences; they stay in the file.
  std::vector<std::string> unreadable;
};

class StateStore {
 public:
  explicit StateStore(db::Database& database) : database_(database) {}

  Task<Result<StateRows>> load();
  Task<Status> set_boot_id(std::string boot_id) { return set("boot_id", std::move(boot_id)); }
  Task<Status> set_network(std::string network) { return set("network", std::move(network)); }
  Task<Status> set_pod_cidrs(const std::vector<std::string>& ranges);

  // Adds the row or replaces it.
  Task<Status> put(const Sandbox& sandbox);
  Task<Status> put(const Container& container);
  // After a row that said removing, of the container or of its sandbox.
  Task<Status> erase_sandbox(std::string id);
  Task<Status> erase_container(std::string id);

 private:
  Task<Status> set(std::string key, std::string value);

  db::Database& database_;
};

}  // namespace gantry::cri
