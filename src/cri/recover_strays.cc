// SPDX-License-Identifier: Apache-2.0
// What lives, or has left traces, and that this node's store does not know (recovery.cc has the rest of recover()).
#include <sys/socket.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "cgroups/slices.h"
#include "cni/network.h"
#include "cri/boot_records.h"
#include "cri/pod_cgroups.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::cri {
namespace {

// For a shim that gets to run this is plenty; one that hangs is not dead.
constexpr std::chrono::seconds kHelloLimit{2};

std::string pod_name(const v1::PodSandboxMetadata& metadata) {
  return cat(metadata.namespace_(), "/", metadata.name());  // names have no slash
}

}  // namespace

Task<> Runtime::recover_strays() {
  auto folders = sys::list_dir(node_.folders.run_sandboxes());
  if (!folders) {
    report(cat("list the sandboxes of this boot: ", folders.error().message()));
  } else {
    for (auto& id : *folders) {
      if (!sandboxes_.contains(id) && !taking_back_.contains(id)) co_await recover_folder(id);
    }
  }
  if (is_foreign()) co_return;
  co_await recover_links();
  if (node_.cni) co_await recover_cni();
  recover_cgroups();
}

Task<> Runtime::recover_folder(std::string id) {
  auto folder = node_.folders.open_run_sandbox(id);
  if (!folder) co_return;
  auto pooled = has_pool_record(*folder);
  // A sandbox of the pool: its record says that no pod ever had it. One with no record at all and no shim in it is what
  // an interrupted removal left.
  bool ours = pooled && *pooled && !is_foreign();
  auto config = read_sandbox_record(*folder);
  if (pooled && !*pooled && !is_foreign()) {
    auto shim = sys::connect_unix(*folder, std::string(Layout::kShimSocket).c_str(), SOCK_SEQPACKET);
    ours = !shim && config && !*config;
  }
  if (!ours) {
    if (config && *config) strangers_[pod_name((*config)->metadata())] = id;
    report(cat("pod sandbox ", id, " lives, or its records do, and this node's store does not know it: left alone"));
    co_return;
  }
  // Nobody waits for that.
  node_.loop.spawn(end_stray(std::move(id)));
}

// Two sandboxes of one pod would share its volumes, logs and cgroup. One whose shim is dead is in nobody's way.
Task<Status> Runtime::refuse_beside_stranger(v1::PodSandboxMetadata metadata) {
  auto found = strangers_.find(pod_name(metadata));
  if (found == strangers_.end()) co_return Status();
  std::string id = found->second;
  auto folder = node_.folders.open_run_sandbox(id);
  auto shim = folder
                  ? co_await shim::Client::connect(node_.loop, *folder, std::string(Layout::kShimSocket), kHelloLimit)
                  : Result<std::unique_ptr<shim::Client>>(std::unexpected(folder.error()));
  if (!shim && (shim.error().is_not_found() || shim.error().is_gone())) {
    strangers_.erase(pod_name(metadata));
    co_return Status();
  }
  auto config = folder ? read_sandbox_record(*folder) : Result<std::optional<v1::PodSandboxConfig>>(std::nullopt);
  std::string cgroup = config && *config
                           ? pod_cgroup_path(node_.cgroup_driver, node_.cgroup_root, (*config)->linux().cgroup_parent(),
                                             (*config)->metadata().uid(), id)
                           : "the pod";
  co_return fail(Code::kFailedPrecondition,
                 cat("a pod ", pod_name(metadata), " runs in sandbox ", id, " (shim pid ",
                     shim ? std::to_string((*shim)->pid()) : "unknown: it does not answer",
                     "), which this node's store does not know: put the store back, or end that pod by cgroup.kill in ",
                     cgroup, " and ", shim_cgroup_path(node_.cgroup_root, id)));
}

Task<> Runtime::end_stray(std::string id) {
  auto released = co_await maker_.release(id);
  Status removed = released ? co_await maker_.remove_folders(id) : Status();
  for (auto* undone : {&released, &removed}) {
    if (!*undone) report(cat("end sandbox ", id, " of an earlier pool: ", undone->error().message()));
  }
}

Task<> Runtime::recover_links() {
  auto links = co_await node_.network_thread.run([&network = node_.network] { return network.list(); });
  std::set<std::string> owners;
  if (links) {
    for (const auto& link : *links) owners.insert(link.sandbox_id);
  } else {
    report(cat("list the pods' links: ", links.error().message()));
  }
  // A record of an address without its link: the sandbox is not there any more.
  for (const auto& held : node_.network.held()) owners.insert(held.sandbox_id);
  std::vector<std::string> ended;
  for (const auto& id : owners) {
    if (taking_back_.contains(id)) continue;
    auto sandbox = sandboxes_.find(id);
    if (sandbox != sandboxes_.end() && !sandbox->second->released) continue;
    // Whose folder lives and whose row does not was reported; its shim may live, too.
    if (sandbox == sandboxes_.end() && node_.folders.open_run_sandbox(id)) continue;
    if (node_.instance.new_store) {
      report(cat("a link of pod sandbox ", id, " lives, and this node's store does not know it: left alone"));
      continue;
    }
    ended.push_back(id);
  }
  auto detached =
      co_await node_.network_thread.run([&network = node_.network, &ended] { return network.detach(ended); });
  if (!detached) report(cat("give back the network of pods that have ended: ", detached.error().message()));
}

// An attachment of no sandbox: its row is the last trace of a removal. Nobody waits for plugins.
Task<> Runtime::recover_cni() {
  auto attached = co_await node_.cni->attached();
  if (!attached) {
    report(cat("list the CNI attachments: ", attached.error().message()));
    co_return;
  }
  for (const auto& id : *attached) {
    if (is_known(id)) continue;
    node_.loop.spawn([](Runtime& self, std::string sandbox_id) -> Task<> {
      auto left = co_await self.node_.cni->detach(sandbox_id);
      if (!left) self.report(cat("give back the network of pod sandbox ", sandbox_id, ": ", left.error().message()));
    }(*this, id));
  }
}

// Sandboxes that the store does not know may live; what plugins keep for them stays.
Task<> Runtime::collect_cni() {
  auto folders = sys::list_dir(node_.folders.run_sandboxes());
  if (!folders) co_return;
  auto collected = co_await node_.cni->collect(std::move(*folders));
  if (!collected) log::warning("CNI plugins' leftovers", {{"error", collected.error()}});
}

// Scopes with our mark in `slice` and in the slices in it.
void Runtime::recover_scopes(const cgroups::Cgroup& slice, int levels) {
  auto names = slice.children();
  if (!names || levels < 0) return;
  for (const auto& name : *names) {
    std::string id(sandbox_of_scope(name));
    if (id.empty() && !name.ends_with(".slice")) continue;
    auto child = slice.open_child(name);
    if (!child) continue;
    if (id.empty()) {
      recover_scopes(*child, levels - 1);
    } else if (auto mark = child->marked_by(); mark && *mark == std::optional(node_.instance.id) && !is_known(id)) {
      report(cat("processes live in cgroup ", child->path(), ", which this node's store does not know: left alone"));
    }
  }
}

// One with a folder was dealt with there: it is being ended, or was reported.
bool Runtime::is_known(const std::string& sandbox_id) const {
  return sandboxes_.contains(sandbox_id) || taking_back_.contains(sandbox_id) ||
         node_.folders.open_run_sandbox(sandbox_id).has_value();
}

void Runtime::recover_cgroups() {
  recover_scopes(node_.cgroups.hierarchy().root(), cgroups::kMaxSliceLevels);
  auto look = [&](const std::string& parent, const auto& known) {
    auto cgroup = node_.cgroups.open(parent);
    if (!cgroup) return;
    auto names = cgroup->children();
    if (!names) return;
    for (const auto& name : *names) {
      std::string path = cat(parent, "/", name);
      auto child = cgroup->open_child(name);
      auto mark = child ? child->marked_by() : Result<std::optional<std::string>>(std::nullopt);
      if (known(name) || !mark || *mark != std::optional(node_.instance.id)) continue;
      // With its children, for nothing is being made in them yet; but not those beside one in which something lives.
      auto events = child->events();
      if (!events || events->populated || !cgroup->remove_child(name)) {
        report(cat("processes live in cgroup ", path, ", which this node's store does not know: left alone"));
      }
    }
  };
  look(node_.cgroup_root + "/shims", [&](const std::string& name) { return is_known(name); });
  // A pod's own, or one above pods (kubepods/burstable).
  std::string parent = node_.cgroup_root + "/kubepods";
  look(parent, [&](const std::string& name) {
    std::string path = cat(parent, "/", name);
    auto has = [&](const auto& pair) {
      return pair.second->cgroup == path || pair.second->cgroup.starts_with(path + "/");
    };
    return std::ranges::any_of(sandboxes_.all(), has) || std::ranges::any_of(taking_back_, has);
  });
}

}  // namespace gantry::cri
