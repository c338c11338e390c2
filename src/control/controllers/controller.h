// SPDX-License-Identifier: Apache-2.0
// Controller: something that brings what is nearer to what shall be, as a user of the API like any other. Each is a
// file of its own, here, in workloads/, in services/ or in scheduler/. It says in its constructor what it watches, and
// begins to work with start(), when all of that is known. One loop's thread; everything must live as long as the loop
// runs.
//
// A write bears a precondition (uid, resourceVersion) or a name that says what it is, so that what a former leader
// sends late changes nothing.
#pragma once

#include <functional>
#include <string>

#include "api/client/client.h"
#include "api/client/informer.h"
#include "api/client/work_queue.h"
#include "api/time.h"

namespace gantry::control {

struct ControllerParts {
  Loop& here;
  api::Client& client;
  api::Informers& informers;
  std::function<api::Timestamp()> now;   // the wall clock
  api::QueueMetrics* metrics = nullptr;  // null: nobody counts what queues do

  // Where a controller's queues work.
  api::WorkQueue::Home queues() const { return {here, metrics}; }
};

// Of an object of a namespace: as informers and queues have it.
template <typename M>
std::string key_of(const M& object) {
  return api::object_key(object.metadata().namespace_(), object.metadata().name());
}

// The queue begins when all of the informer's objects are known.
inline Task<> start_when_known(api::Informer& informer, api::WorkQueue& queue) {
  co_await informer.wait_synced();
  queue.start();
}

// What became of a write to an object that may be gone by now, which is as well.
template <typename T>
Status done_or_gone(const api::Answer<T>& answer) {
  if (answer || answer.error().is_not_found()) return {};
  return std::unexpected(answer.error().as_error());
}
// The same where nothing is lost if somebody else was faster: his change comes by itself.
template <typename T>
Status done_or_late(const api::Answer<T>& answer) {
  return !answer && answer.error().is_conflict() ? Status() : done_or_gone(answer);
}

class Controller {
 public:
  Controller() = default;
  virtual ~Controller() = default;
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;
  virtual void start() = 0;
  // When the lease is lost and nothing can be asked any more: lets go of what it keeps. What it does may still run.
  virtual void stop() {}
};

}  // namespace gantry::control
