// SPDX-License-Identifier: Apache-2.0
// A few sandboxes made ahead: shims in network, ipc and uts namespaces of their own, wired and addressed, so that
// RunPodSandbox has only to configure one. Nothing goes back into the pool. A sandbox of the pool is known by its
// record (boot_records.h), which whoever takes it removes once the pod's row is written. Loop thread.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/node.h"
#include "cri/sandbox_maker.h"

namespace gantry::cri {

class SandboxPool {
 public:
  SandboxPool(Node& node, SandboxMaker& maker)
      : node_(node), maker_(maker), none_making_(node.loop), tried_(node.loop), draining_(node.loop) {}

  // Fills up, in the background. One that can't be made is logged and tried again, in 1 s at first and then at longer
  // intervals, at most a minute; one whose shim ends is replaced.
  void fill() { fill(Duration::zero()); }
  // A ready one whose packets are as large as the network takes now, or, when none is, one that is made now; for want
  // of an address, one that is being made for the pool.
  Task<Result<MadeSandbox>> take();
  // Ends those that wait, and makes no more.
  Task<> drain();
  // The same, until go_on().
  Task<> hold();
  void go_on();

  std::size_t ready() const { return ready_.size(); }

 private:
  void fill(Duration delay);
  Task<> add_one(Duration delay);
  std::optional<MadeSandbox> take_ready();
  Task<Result<MadeSandbox>> make_one();
  void watch(const MadeSandbox& made);
  Task<> drop(std::string id);
  Task<> end(MadeSandbox made);

  Node& node_;
  SandboxMaker& maker_;
  std::list<MadeSandbox> ready_;
  std::size_t making_ = 0;  // with those that wait to be tried again
  std::size_t trying_ = 0;  // without them
  Event none_making_;
  Event tried_;  // one that was being made is ready, or could not be made
  Event draining_;
  bool drained_ = false;  // for good
};

}  // namespace gantry::cri
