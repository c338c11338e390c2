// SPDX-License-Identifier: Apache-2.0
// EventRecorder: what a controller tells people of objects, as Event objects beside them (`kubectl describe`). The same
// word about the same object is one event that counts. Nobody waits for it, and one that can not be written is lost.
//
// One loop's thread; it must live as long as the loop runs.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "control/controllers/controller.h"

namespace gantry::control {

class EventRecorder {
 public:
  // What an event is about.
  struct About {
    std::string api_version;
    std::string kind;
    std::string ns;
    std::string name;
    std::string uid;
    std::string resource_version;
  };

  // `component` is who says it: "persistentvolume-controller".
  EventRecorder(ControllerParts parts, std::string component);

  void normal(About about, std::string_view reason, std::string message) {
    record(std::move(about), "Normal", reason, std::move(message));
  }
  void warning(About about, std::string_view reason, std::string message) {
    record(std::move(about), "Warning", reason, std::move(message));
  }
  // Of an object of a kind that is known here.
  template <typename M>
  About about(const M& object) const {
    const api::Target target = parts_.client.target<M>();
    const auto& metadata = object.metadata();
    return {target.api_version(), target.kind,    metadata.namespace_(),
            metadata.name(),      metadata.uid(), metadata.resource_version()};
  }

 private:
  struct Said {
    std::string name;  // of the event
    int count = 0;
    int64_t said_at = 0;
    bool is_writing = false;
  };
  void record(About about, std::string_view type, std::string_view reason, std::string message);
  Task<> write(std::string key, About about, std::string type, std::string reason, std::string message);

  ControllerParts parts_;
  std::string component_;
  std::unordered_map<std::string, Said> said_;
  std::deque<std::string> order_;  // of said_, for which there is a limit
  uint64_t last_name_ = 0;
};

}  // namespace gantry::control
