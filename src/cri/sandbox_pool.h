// SPDX-License-Identifier: Apache-2.0
// A few sandboxes made ahead: shims in network, ipc and uts namespaces of their own, wired and addressed, so that
// RunPodSandbox has only to configure one. Nothing goes back into the pool. A sandbox of the pool is known by its
// record (boot_records.h), which whoever takes it removes once the pod's row is written. Loop thread.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "cri/node.h"
#include "cri/sandbox_maker.h"

namespace gantry::cri {

class SandboxPool {
 public:
  SandboxPool(Node& node, SandboxMaker& maker) : node_(node), maker_(maker), none_making_(node.loop) {}

  // Fills up, in the background; one that can't be made is logged and tried again with the next take().
  void fill();
  // A ready one, or, when none is, one that is made now.
  Task<Result<MadeSandbox>> take();
  // Ends those that wait, and makes no more.
  Task<> drain();

  std::size_t ready() const { return ready_.size(); }

 private:
  Task<> add_one();
  Task<Result<MadeSandbox>> make_one();
  void watch(const MadeSandbox& made);
  Task<> drop(std::string id);
  Task<> end(MadeSandbox made);

  Node& node_;
  SandboxMaker& maker_;
  std::list<MadeSandbox> ready_;
  std::size_t making_ = 0;
  Event none_making_;
  bool draining_ = false;
};

}  // namespace gantry::cri
