// SPDX-License-Identifier: Apache-2.0
// UsageBook: what each node and its pods use now. One writes, when it has read a node; any thread reads.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "control/resource_metrics/usage.h"

namespace gantry::control {

class UsageBook {
 public:
  explicit UsageBook(std::chrono::milliseconds resolution) : resolution_(resolution) {}

  // What a node answered.
  void put(const std::string& node, TakenReading reading);
  // It did not answer. For the second time in a row: nothing is known of it until it does. Its last reading stays, for
  // the rate to the next.
  void miss(const std::string& node);
  // Forgets all others.
  void keep(const std::set<std::string>& nodes);

  // Null: nothing is known.
  std::shared_ptr<const NodeUse> of(const std::string& node) const;

 private:
  struct Known {
    TakenReading last;
    std::shared_ptr<const NodeUse> use;
    int missed = 0;  // times in a row
  };
  const std::chrono::milliseconds resolution_;
  mutable std::mutex mutex_;
  std::map<std::string, Known> nodes_;
};

}  // namespace gantry::control
