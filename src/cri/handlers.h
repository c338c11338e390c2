// SPDX-License-Identifier: Apache-2.0
// Runtime handlers: OCI runtimes of the host, by which a pod's containers are made when RunPodSandbox names one.
// Nothing of a pod without a handler comes here. What gantryd executes of a runtime itself (features, delete) has a
// limit; what makes processes is the shim's to execute (shim/by_runtime.h).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/runtime_handler.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

// Null when there is none of this name.
const RuntimeHandler* find_handler(const std::vector<RuntimeHandler>& handlers, std::string_view name);
// What is allowed of the annotations; the container's count more than the pod's.
std::map<std::string, std::string> told_annotations(const RuntimeHandler& handler, const v1::ContainerConfig& container,
                                                    const v1::PodSandboxConfig& pod);

// Where a runtime's commands for one container find their things. `folder` is the container's bundle.
struct RuntimeFolders {
  std::string root;    // --root: one for each pod
  std::string folder;  // a bundle
  std::string log;     // beneath it
};
// PATH FLAGS --root ... COMMAND...
std::vector<std::string> runtime_arguments(const RuntimeHandler& handler, const RuntimeFolders& folders,
                                           std::vector<std::string> command);
// All of a runtime's environment.
std::vector<std::string> runtime_environment();

// What a runtime wrote to --log when it failed: its errors, the last of them, in one line. Empty when there are none.
// `folder` is open. Blocking; bounded.
std::string logged_errors(FdRef folder, const std::string& name);

// Executes the runtime in its own time; what it wrote to standard output. The error has its standard error.
Task<Result<std::string>> run_runtime(Loop& loop, std::string path, std::vector<std::string> arguments);

// Whether `features` lists the option: of a mount ("rro").
bool has_mount_option(std::string_view features, std::string_view option);
// Of namespaces ("user").
bool has_namespace(std::string_view features, std::string_view kind);

}  // namespace gantry::cri
