// SPDX-License-Identifier: Apache-2.0
// Keeps somebody informed of all entries of one prefix of the store: first what is there, then every change, in order;
// after the store forgot too much, all of it again. It lasts until it is destroyed, through errors, of which it logs
// one in a row and tries again. Threads: made and destroyed on `home`, where the functions are called; ready() and
// wait() as well.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/store/store.h"

namespace gantry::control {

class StoreFollower {
 public:
  struct Calls {
    // All that there is now; what was known before is no more.
    std::function<void(const std::vector<EntryPtr>&)> reset;
    std::function<void(const std::vector<StoreEvent>&)> change;
  };
  // `home` and `store` must outlive it.
  StoreFollower(Loop& home, Store& store, std::string prefix, Calls calls);
  ~StoreFollower();
  StoreFollower(const StoreFollower&) = delete;
  StoreFollower& operator=(const StoreFollower&) = delete;

  // Returns when all has been told that was in the store before the call; or at the end, or when the store fails.
  Task<> ready();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::control
