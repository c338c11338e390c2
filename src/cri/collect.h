// SPDX-License-Identifier: Apache-2.0
// Reads what a process writes into pipes, into memory, up to a limit. What is over it is read and dropped, so that the
// process is never held up and this one's memory is bounded. Loop thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/owned_fd.h"

namespace gantry::cri {

// Bytes that several collectors may still keep together.
struct CollectBudget {
  std::size_t left = 0;
};

class Collector {
 public:
  // Starts at once. `pipe` is a non-blocking read end.
  Collector(Loop& loop, OwnFd pipe, std::shared_ptr<CollectBudget> budget);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // Reads what is in the pipe now, and ends. What is written later, by a process that was left behind, is not waited
  // for.
  std::string finish();

 private:
  struct State;
  static Task<> collect(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

struct Pipe {
  OwnFd read, write;
};
enum class OurEnd { kRead, kWrite };
// The end that is ours is non-blocking.
Result<Pipe> make_pipe(OurEnd ours);

}  // namespace gantry::cri
