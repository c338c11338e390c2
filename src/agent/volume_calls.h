// SPDX-License-Identifier: Apache-2.0
// Calls for pods' volumes that may take long or never come back: what is behind a path of the host can be a server that
// is dead. Each has a thread of its own, so one that hangs holds up nobody else's, and may be left behind when the
// agent ends. So many run at once; those that come later wait, as do those that name what another one works on (two
// pods with one local volume and two fsGroups), and who waits may give up.
//
// Owner: the environment of the pods' workers. Loop thread. A pod has one call at a time; that is for its worker to
// see to.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "volumes/prepare.h"

namespace gantry::agent {

// What a call has done for a pod: made its volumes, or bound places within them by the index of a container's mount.
struct VolumeOutcome {
  Status status;
  volumes::PreparedVolumes volumes;
  std::map<int, std::string> sub_paths;
};

class VolumeCalls {
 public:
  struct Call {
    bool is_done = false;
    VolumeOutcome outcome;  // when it is done; whoever waits for it takes it
  };
  using Work = std::move_only_function<VolumeOutcome()>;

  // `leave`: what does not hang has ended by then.
  VolumeCalls(Loop& loop, std::size_t most, Duration leave = std::chrono::seconds(2));
  ~VolumeCalls();
  VolumeCalls(const VolumeCalls&) = delete;
  VolumeCalls& operator=(const VolumeCalls&) = delete;

  // `work` owns all that it uses. While it runs no other of any of these keys does. `done` is called on the loop when
  // the call is done, not from within this.
  std::shared_ptr<Call> begin(std::set<std::string> keys, Work work, std::function<void()> done);
  // True: it did not run, and does not any more. False: it runs or is done, and its end has to be waited for.
  bool give_up(const Call& call);
  // Nothing is called any more. Waits for what runs, and leaves behind what hangs.
  void close();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
