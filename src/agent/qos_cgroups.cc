// SPDX-License-Identifier: Apache-2.0
#include "agent/qos_cgroups.h"

#include <algorithm>
#include <map>
#include <utility>

#include "agent/node_machine.h"
#include "agent/pod_resources.h"
#include "api/quantity.h"
#include "base/log.h"
#include "base/text.h"
#include "cgroups/hierarchy.h"
#include "cgroups/slices.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

namespace {

using api::Quantity;

// The configuration was checked when it was read.
Quantity kept(const NodeReserve& reserve, const std::string& name) {
  Quantity sum;
  for (const auto* part : {&reserve.system, &reserve.kube}) {
    const auto found = part->find(name);
    if (found == part->end()) continue;
    if (auto amount = Quantity::parse(found->second)) sum.add(*amount);
  }
  return sum;
}

Result<std::int64_t> left_of(std::int64_t whole, std::int64_t taken, const char* name) {
  if (taken < whole) return whole - taken;
  return invalid_argument(cat("systemReserved and kubeReserved keep ", taken, " of ", name, ", and the node has ",
                              whole, ": nothing is left for pods"));
}

Status limit(const QosPlace& place, Qos qos, const cgroups::Resources& limits) {
  auto made = cgroups::CgroupfsDriver(*place.hierarchy, place.instance).make(qos_cgroup(place.root, qos));
  if (!made) return std::unexpected(std::move(made.error()));
  if (!place.instance.empty()) {
    if (auto kept = made->cgroup.keep(); !kept) return kept;
  }
  auto applied = cgroups::apply(made->cgroup, limits);
  return applied ? Status() : std::unexpected(std::move(applied.error()));
}

cgroups::Resources weight_of(std::int64_t milli_cpu) {
  cgroups::Resources resources;
  resources.cpu.shares = static_cast<std::uint64_t>(cpu_shares(milli_cpu));
  return resources;
}

}  // namespace

Result<cgroups::Resources> limits_of_all_pods(const MachineSize& machine, const NodeReserve& given) {
  const NodeReserve reserve = given.is_enforced ? given : NodeReserve();
  auto cpu = left_of(machine.cpus * 1000, kept(reserve, "cpu").milli_value(), "cpu (thousandths)");
  if (!cpu) return std::unexpected(std::move(cpu.error()));
  cgroups::Resources limits = weight_of(*cpu);
  if (machine.memory > 0) {
    auto memory = left_of(machine.memory, kept(reserve, "memory").value(), "memory");
    if (!memory) return std::unexpected(std::move(memory.error()));
    limits.memory.limit = *memory;
  }
  if (machine.pids > 0) {
    auto pids = left_of(machine.pids, kept(reserve, "pid").value(), "pid");
    if (!pids) return std::unexpected(std::move(pids.error()));
    limits.pids = *pids;
  }
  return limits;
}

std::int64_t burstable_cpu(const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& pods) {
  constexpr std::int64_t kMost = std::int64_t{1} << 50;
  std::int64_t sum = 0;
  for (const auto& pod : pods) {
    if (qos_of(*pod) != Qos::kBurstable) continue;
    const auto requests = pod_requests(*pod);
    if (const auto found = requests.find("cpu"); found != requests.end()) sum = std::min(sum + found->second, kMost);
  }
  return sum;
}

// The upper one first: its controllers are switched on for those beneath it when they are made.
Status set_qos_cgroups(const QosPlace& place, const cgroups::Resources& all_pods, std::int64_t burstable_milli_cpu) {
  if (auto done = limit(place, Qos::kGuaranteed, all_pods); !done) return done;
  if (auto done = limit(place, Qos::kBurstable, weight_of(burstable_milli_cpu)); !done) return done;
  return limit(place, Qos::kBestEffort, weight_of(0));
}

std::vector<cgroups::SliceLimits> qos_slices(const cgroups::Resources& all_pods, std::int64_t burstable_milli_cpu) {
  const auto limits_of = [](Qos qos, const cgroups::Resources& resources) {
    cgroups::SliceLimits slice{.name = qos_slice(qos), .description = "Pods of Kubernetes"};
    if (resources.cpu.shares) slice.cpu_weight = cgroups::cpu_weight_from_shares(*resources.cpu.shares);
    if (resources.memory.limit) slice.memory_max = static_cast<std::uint64_t>(*resources.memory.limit);
    if (resources.pids) slice.tasks_max = static_cast<std::uint64_t>(*resources.pids);
    return slice;
  };
  return {limits_of(Qos::kGuaranteed, all_pods), limits_of(Qos::kBurstable, weight_of(burstable_milli_cpu)),
          limits_of(Qos::kBestEffort, weight_of(0))};
}

namespace {

// What systemd was told of a slice, of the one that has this number: another may have taken its place.
struct Told {
  std::uint64_t id = 0;
  cgroups::SliceLimits limits;
};

std::uint64_t id_of(const cgroups::Hierarchy& hierarchy, const std::string& slice) {
  auto cgroup = hierarchy.open(cgroups::slice_path(slice));
  return cgroup ? cgroup->id().value_or(0) : 0;
}

// Nobody is asked when all is as it was told last.
Status tell_slices(const cgroups::Hierarchy& hierarchy, const std::vector<cgroups::SliceLimits>& slices,
                   std::map<std::string, Told>* told) {
  for (const auto& slice : slices) {
    const auto known = told->find(slice.name);
    const std::uint64_t id = id_of(hierarchy, slice.name);
    if (id != 0 && known != told->end() && known->second.id == id && known->second.limits == slice) continue;
    if (auto limited = cgroups::limit_slice(slice); !limited) return limited;
    (*told)[slice.name] = {id_of(hierarchy, slice.name), slice};
  }
  return {};
}

}  // namespace

struct QosCgroups::Impl : std::enable_shared_from_this<Impl> {
  Loop& loop;
  Pool& disk;
  QosPlace place;
  NodeReserve reserve;
  Pods pods;
  cgroups::Resources limits;
  std::map<std::string, Told> told;  // by slice; of what runs on the pool, one at a time
  bool begun = false;                // start() has come to its end, and there is something to set
  bool is_due = false;
  bool is_setting = false;
  bool stopped = false;

  Impl(Loop& l, Pool& d, QosPlace p, NodeReserve r, Pods f)
      : loop(l), disk(d), place(std::move(p)), reserve(std::move(r)), pods(std::move(f)) {}

  static Task<> set(std::shared_ptr<Impl> self);
};

Task<> QosCgroups::Impl::set(std::shared_ptr<Impl> self) {
  self->is_setting = true;
  while (std::exchange(self->is_due, false) && !self->stopped) {
    const std::int64_t burstable = burstable_cpu(self->pods());
    auto done = co_await self->disk.run([self, burstable] {
      if (self->place.driver == cgroups::DriverKind::kCgroupfs) {
        return set_qos_cgroups(self->place, self->limits, burstable);
      }
      return tell_slices(*self->place.hierarchy, qos_slices(self->limits, burstable), &self->told);
    });
    if (!done) log::warning("the limits of all pods, trying again with the next", {{"error", done.error()}});
  }
  self->is_setting = false;
}

QosCgroups::QosCgroups(Loop& loop, Pool& disk, QosPlace place, NodeReserve reserve, Pods pods)
    : impl_(std::make_shared<Impl>(loop, disk, std::move(place), std::move(reserve), std::move(pods))) {}

Task<Status> QosCgroups::start() {
  auto impl = impl_;
  const cgroups::Hierarchy* hierarchy = impl->place.hierarchy;
  const auto has = [&](const char* controller) { return hierarchy->has(controller); };
  if (hierarchy == nullptr || !(has("cpu") || has("memory") || has("pids"))) co_return Status();
  auto machine = co_await impl->disk.run([]() -> Result<MachineSize> {
    auto read = read_node_machine();
    if (!read) return std::unexpected(std::move(read.error()));
    return MachineSize{read->cpus, static_cast<std::int64_t>(read->memory), read->max_pids};
  });
  if (!machine) co_return fail_with(std::move(machine.error()), "what this machine has");
  auto limits = limits_of_all_pods(*machine, impl->reserve);
  if (!limits) co_return std::unexpected(std::move(limits.error()));
  if (impl->stopped) co_return fail(Code::kCancelled, "stopped");
  impl->limits = std::move(*limits);
  impl->begun = true;
  impl->is_due = true;
  co_await Impl::set(impl);
  co_return Status();
}

void QosCgroups::refresh() {
  if (!impl_->begun || impl_->stopped) return;
  impl_->is_due = true;
  if (!impl_->is_setting) impl_->loop.spawn(Impl::set(impl_));
}

void QosCgroups::stop() { impl_->stopped = true; }

}  // namespace gantry::agent
