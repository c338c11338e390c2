// SPDX-License-Identifier: Apache-2.0
// EventRecorder: what `kubectl describe` shows beneath a pod or a node: v1 Events with the words that kubelet has for
// what it does. Same events are counted (event_correlator.h). Nobody waits for them: they are written one after the
// other, no faster than the configuration allows, tried again while the API server is away, and lost when that takes
// long.
//
// Owner: the agent. Loop thread, the client's. The client outlives the loop's last turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/backoff.h"
#include "agent/token_bucket.h"
#include "api/client/client.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

enum class EventType : std::uint8_t { kNormal, kWarning };

struct EventLimits {
  RateLimit rate{50, 100};  // eventRecordQPS and eventBurst
  // What waits to be written; the oldest goes for the newest.
  std::size_t waiting = 1000;
  // Older ones are not tried again.
  Duration age = std::chrono::minutes(10);
  BackoffLimits again{std::chrono::milliseconds(500), std::chrono::seconds(10), std::chrono::minutes(1)};
};

class EventRecorder {
 public:
  // `node_uid` says it as far as it is known; "" before.
  EventRecorder(api::Client& client, std::string node_name, std::function<std::string()> node_uid);
  // Stops it.
  ~EventRecorder();
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  // Before anything is recorded: others than those of kubelet.
  void limit(EventLimits limits);
  // Of a pod, or of the container of that name in it. A reason is one word ("BackOff"); a message is cut after a
  // kilobyte.
  void record(const k8s::io::api::core::v1::Pod& pod, EventType type, std::string_view reason, std::string_view message,
              std::string_view container = {});
  // Of this node.
  void record_node(EventType type, std::string_view reason, std::string_view message);
  // What waits is lost.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
