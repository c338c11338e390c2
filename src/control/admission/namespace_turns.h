// SPDX-License-Identifier: Apache-2.0
// Whoever changes something that a whole namespace shares takes turns with others of this server, in the order of
// asking: the store refuses all but one who change a thing at once, and each try again costs all of them. Whoever is
// dropped while he waits, with his loop, has no turn. Any thread.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/loop.h"
#include "base/task.h"

namespace gantry::control {

class NamespaceTurns {
 public:
  // Ends with its life. The NamespaceTurns must outlive it.
  class Turn {
   public:
    Turn(NamespaceTurns& turns, std::string ns) : turns_(&turns), ns_(std::move(ns)) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), ns_(std::move(other.ns_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->end(ns_);
    }

   private:
    NamespaceTurns* turns_;
    std::string ns_;
  };

  Task<Turn> take(Loop& here, std::string ns);

 private:
  struct Waiter;
  struct Place;

  void end(const std::string& ns);
  // Under the mutex.
  void pass_on(const std::string& ns);

  std::mutex mutex_;
  std::map<std::string, std::list<std::shared_ptr<Waiter>>> waiting_;  // of namespaces in which it is somebody's turn
};

}  // namespace gantry::control
