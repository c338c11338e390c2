// SPDX-License-Identifier: Apache-2.0
// The cgroups above those of pods, by kubelet's rules:
//
//   ROOT/kubepods               what pods may take of the node together: all that it has, less what it keeps for itself
//                               (memory.max, pids.max, cpu.weight); the guaranteed ones are here
//   ROOT/kubepods/burstable     cpu.weight is what its pods request together
//   ROOT/kubepods/besteffort    cpu.weight is the least
//
// What evictionHard keeps free is in the limit: eviction is to come before it. As kubelet's do, they stay while no pod
// is in them (Cgroup::keep), where the runtime would remove them, and their limits with them. Where the hierarchy has
// no controller for any of it there is nothing to do.
//
// With the cgroup driver systemd they are its slices kubepods.slice, kubepods-burstable.slice and
// kubepods-besteffort.slice, and systemd, which has their limits to itself, is asked for the same over the bus.
//
// Owner: the agent. Loop thread; the kernel's files on a pool.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cgroups/driver.h"
#include "cgroups/resources.h"
#include "cgroups/systemd_units.h"

namespace gantry::cgroups {
class Hierarchy;
}
namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

// What the node keeps for itself: quantities by the resource's name, of which cpu, memory and pid count here.
struct NodeReserve {
  std::map<std::string, std::string> system, kube;
  bool is_enforced = true;  // enforceNodeAllocatable has "pods"; else they may take all that there is
};

struct MachineSize {
  std::int64_t cpus = 0;
  std::int64_t memory = 0, pids = 0;  // bytes; 0: not known
};

// kInvalidArgument when more is kept than there is, with the resource's name.
Result<cgroups::Resources> limits_of_all_pods(const MachineSize& machine, const NodeReserve& reserve);

// What the burstable ones request together, in thousandths of a CPU.
std::int64_t burstable_cpu(const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& pods);

struct QosPlace {
  const cgroups::Hierarchy* hierarchy;
  std::string root;      // "/..." or empty; of no account with systemd
  std::string instance;  // the mark of what this node makes; empty: beneath another's runtime, which removes none
  cgroups::DriverKind driver = cgroups::DriverKind::kCgroupfs;
};
// Makes those that are missing and sets their limits. Blocking, some system calls. What this host has no controller for
// is left out.
Status set_qos_cgroups(const QosPlace& place, const cgroups::Resources& all_pods, std::int64_t burstable_milli_cpu);

// The slices as they should be, the upper one first. Pure.
std::vector<cgroups::SliceLimits> qos_slices(const cgroups::Resources& all_pods, std::int64_t burstable_milli_cpu);

class QosCgroups {
 public:
  using Pods = std::function<std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>()>;
  // The loop, the pool and the hierarchy outlive it and what is under way. `pods` are those that take something of the
  // node now; it is not called after stop().
  QosCgroups(Loop& loop, Pool& disk, QosPlace place, NodeReserve reserve, Pods pods);

  // Once, before the first pod begins. Only what can't be so is an error; what the kernel refuses is logged.
  Task<Status> start();
  // Other pods are here than before. Soon; often called, it is done once.
  void refresh();
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
