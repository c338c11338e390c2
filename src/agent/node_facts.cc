// SPDX-License-Identifier: Apache-2.0
#include "agent/node_facts.h"

#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/node_machine.h"
#include "cgroups/hierarchy.h"

namespace gantry::agent {
namespace {

std::uint64_t memory_of_machine() {
  auto pages = ::sysconf(_SC_PHYS_PAGES);
  auto size = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 1;
}

std::vector<std::string> huge_pages_of_machine() {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : read_hugepages()) {
    if (bytes > 0) names.push_back(name);
  }
  return names;
}

}  // namespace

NodeFacts facts_of(const AgentConfig& config) {
  return {.node_name = config.node_name,
          .host_ip = config.host_ip,
          .pod_logs_dir = config.pod_logs_dir,
          .root_dir = config.root_dir,
          .cgroup_root = config.cgroup_root,
          .cgroup_driver = config.cgroup_driver,
          .pod_pids_limit = config.pod_pids_limit,
          .kills_whole_containers =
              !config.single_process_oom_kill && config.hierarchy != nullptr && config.hierarchy->has("memory"),
          .resources = {.memory_capacity = config.memory_capacity == 0 ? memory_of_machine() : config.memory_capacity,
                        .huge_pages = huge_pages_of_machine(),
                        .quota_period = config.limits_cpu ? config.cpu_period.count() : 0},
          .masked_paths = config.masked_paths,
          .read_only_paths = config.read_only_paths,
          .seccomp_by_default = config.seccomp_by_default,
          .cluster_domain = config.cluster_domain,
          .cluster_dns = config.cluster_dns};
}

}  // namespace gantry::agent
