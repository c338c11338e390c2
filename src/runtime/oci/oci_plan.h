// SPDX-License-Identifier: Apache-2.0
// A bundle's configuration to a plan. Nothing here touches a file or the kernel: what the plan needs opened is listed,
// in the order of the descriptor indices, and opened by sources.h.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/oci/config.h"
#include "runtime/plan/build_plan.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/seccomp.h"

namespace gantry::runtime::oci {

// Something of the host that goes along with a plan, as a descriptor.
struct Source {
  enum class Kind {
    kRoot,          // a detached clone of the root folder, with what is mounted beneath
    kBind,          // of a mount's source
    kFilesystem,    // a file system of `type` that is made where the host's paths are known
    kHostCgroups,   // the host's cgroup hierarchy
    kNamespace,     // the file of a namespace
    kPidNamespace,  // a pidfd of a process that is in the PID namespace whose file this is
    kDevice,        // of the host's node at the same path, where a user namespace makes none
  };
  Kind kind = Kind::kBind;
  std::string path;  // absolute, or relative to the bundle
  bool is_recursive = true;
  std::string type;                  // kFilesystem
  std::vector<std::string> options;  // kFilesystem
  std::uint64_t attributes = 0;      // kFilesystem
  bool copies_up = false;            // kFilesystem: begins with what the root has at the mount's place
  IdMappings ids;                    // kBind, kFilesystem: of its files; empty: they are as they are
  bool maps_ids_of_tree = false;     // and of what is mounted beneath
  bool must_be_procfs = false;       // kBind: the root of one
  std::size_t mount = 0;             // kBind, kFilesystem: the plan's mount that it goes to; kDevice: its device
  std::string sets;                  // kNamespace: what of the configuration changes it: "hostname"; may be empty
  std::string field;                 // for messages: "mounts[3].source"
};

struct PlannedContainer {
  Plan plan;
  std::vector<Source> sources;        // plan's descriptors 0, 1, ...
  IdMappings ids;                     // of the new user namespace
  std::string mount_label;            // of the file systems that are made
  std::vector<std::string> warnings;  // what the specification wants said, and not refused
};

// `host` bounds what can be given. The plan has no gate yet.
Result<PlannedContainer> plan_config(const Config& config, const HostFacts& host, SeccompCache& seccomp);

// The process part alone, for exec; the plan joins a process whose pidfd is descriptor 0.
Result<PlannedContainer> plan_exec_process(const Config& config, const Process& process, const HostFacts& host,
                                           SeccompCache& seccomp);

// The parts. Private to this folder.
FdIndex add_source(PlannedContainer& out, Source source);
Status plan_root_of(const Config& config, PlannedContainer& out);
Status plan_process_of(const Config& config, const Process& process, const HostFacts& host, SeccompCache& seccomp,
                       PlannedContainer& out);

}  // namespace gantry::runtime::oci
