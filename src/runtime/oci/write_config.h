// SPDX-License-Identifier: Apache-2.0
// The way back: a plan as config.json, for another OCI runtime. What a plan has of the host by descriptor, the caller
// gives paths of. Values otherwise.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cgroups/device_filter.h"
#include "runtime/launch/run_hooks.h"
#include "runtime/oci/config.h"
#include "runtime/plan/plan.h"

namespace gantry::runtime::oci {

struct ConfigParts {
  // Those that are new or joined (by a path); what is not named is the runtime's own.
  std::vector<std::pair<NamespaceKind, std::string>> namespaces;
  std::string cgroups_path;
  std::string root_path;
  std::vector<std::string> sources;               // of each of the plan's mounts; "" of one that is a new file system
  IdMappings ids;                                 // of the user namespace among `namespaces`
  std::string device_folder;                      // where their nodes are, as beneath /dev; "": they are to be made
  std::vector<cgroups::DeviceRule> device_rules;  // none: every device may be used
  std::string seccomp;                            // linux.seccomp, or ""
  std::map<std::string, std::vector<Hook>, std::less<>> hooks;  // by their kind: "createContainer"
  std::map<std::string, std::string> annotations;
};

// Devices and links that every OCI runtime makes are left out.
std::string write_config(const Plan& plan, const ConfigParts& parts);
// The file of `exec --process`.
std::string write_process(const ProcessPlan& process);

}  // namespace gantry::runtime::oci
