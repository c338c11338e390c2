// SPDX-License-Identifier: Apache-2.0
// What the runtime has of one pod: read by its labels, in full, when something happened. Events only say that it is
// time to look; what is looked at is always the runtime's own word, so that a lost or late event can't mislead. Loop
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/backoff.h"
#include "agent/probe/probe_kind.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

class PodFolders;

struct ObservedContainer {
  enum class State : std::uint8_t { kCreated, kRunning, kExited, kUnknown };

  std::string id, name, sandbox_id;
  std::uint32_t attempt = 0;  // how often it was restarted before
  State state = State::kUnknown;
  std::int64_t created_at = 0, started_at = 0, finished_at = 0;  // nanoseconds since 1970; 0: did not happen
  std::int32_t exit_code = 0;
  std::string reason, message;  // of its end, the termination message included
  std::string image, image_id, log_path;
  std::string hash;                // of the spec that it was made of (container_spec.h); may be empty
  std::int64_t grace_seconds = 0;  // as it was made with
  TimePoint ended;                 // finished_at by the steady clock, not later than now
  bool is_replaced = false;        // it was stopped for another to take its place
  // What its probes say (probe/prober.h); one without probes is started and ready when it runs.
  bool is_started = true;
  bool is_ready = true;
  std::optional<ProbeKind> failed_probe;  // it is to end, or did, because of this one

  bool is_running() const { return state == State::kRunning || state == State::kUnknown; }
  bool is_exited() const { return state == State::kExited; }
};

struct ObservedSandbox {
  std::string id;
  std::uint32_t attempt = 0;
  bool ready = false;
  std::int64_t created_at = 0;
  std::vector<std::string> ips;
};

// Both newest first.
struct ObservedPod {
  std::vector<ObservedSandbox> sandboxes;
  std::vector<ObservedContainer> containers;
  std::string runtime = {};  // what the runtime calls itself: "gantry"

  // The newest of that name, of all sandboxes or of one; null when there is none.
  const ObservedContainer* newest(const std::string& name, const std::string* sandbox_id = nullptr) const;
  bool empty() const { return sandboxes.empty() && containers.empty(); }
};

// Reads pods, and keeps of each what does not change any more.
class PodObserver {
 public:
  // All outlive it and what it has under way.
  PodObserver(cri::RuntimeService& runtime, Pool& disk, const PodFolders& folders)
      : runtime_(runtime), disk_(disk), folders_(folders) {}

  Task<Result<ObservedPod>> observe(std::string uid);

 private:
  Task<Status> add_sandboxes(std::string uid, ObservedPod& pod);
  Task<Status> add_containers(std::string uid, ObservedPod& pod);
  Task<Result<std::vector<ObservedContainer>>> read_container(std::string id, std::string sandbox_id);

  cri::RuntimeService& runtime_;
  Pool& disk_;
  const PodFolders& folders_;
  std::map<std::string, ObservedContainer> exited_;            // by id
  std::map<std::string, std::vector<std::string>> addresses_;  // by sandbox id
};

}  // namespace gantry::agent
