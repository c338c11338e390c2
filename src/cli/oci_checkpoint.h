// SPDX-License-Identifier: Apache-2.0
// gantry-oci checkpoint and restore: a container's processes to a folder of files and back, by CRIU
// (runtime/criu/criu.h), with runc's flags. CRIU is told what of a container is the host's and comes from its
// configuration: bind mounts, covers of masked paths, namespaces that it has joined, pipes that are its standard
// streams. What lies in the folder is data of whoever wrote it: CRIU alone reads it, but for the names of those pipes,
// which go back to CRIU and nowhere else.
#pragma once

#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cli/oci_container.h"
#include "cli/oci_create.h"
#include "cli/oci_log.h"
#include "runtime/criu/criu_wire.h"
#include "runtime/oci/oci_plan.h"

namespace gantry::cli {

struct CriuOptions {
  std::string image_path = "checkpoint", work_path, parent_path, cgroups_mode;
  std::vector<std::string> empty_namespaces;
  bool tcp_established = false, external_sockets = false, shell_job = false, file_locks = false, auto_dedup = false;
  // What is refused by name.
  bool lazy_pages = false;
  std::string page_server;
  int status_fd = -1;
  std::string lsm_profile, lsm_mount_context;
};

struct CheckpointOptions {
  std::string id;
  CriuOptions criu;
  bool leaves_running = false, pre_dump = false;
};
Status checkpoint_container(const std::string& root, const CheckpointOptions& options, Log& log);

struct RestoreOptions {
  CreateOptions create;
  CriuOptions criu;
};
// The container's exit code, or 0 when it detaches.
Result<int> restore_container(const std::string& root, const RestoreOptions& options, Log& log);

// The rest is between the two.

// Where images are, and where CRIU works and writes its log.
struct ImageFolders {
  OwnFd images, work;
  std::string log;
};
// `makes` them when they are not there.
Result<ImageFolders> open_image_folders(const CriuOptions& options, const char* log, bool makes);
// What both ask CRIU alike; the error names the flag.
Result<runtime::CriuRequest> common_request(const CriuOptions& options, const ImageFolders& folders, const char* log);

// Of a network or PID namespace that was joined; "" for what CRIU knows otherwise.
std::string external_name(runtime::oci::NamespaceKind kind);

// A mount that comes from the host: its place in the container, and which of the plan's sources it is.
struct HostMount {
  std::string target;
  std::size_t source;
};
std::vector<HostMount> host_mounts(const runtime::oci::PlannedContainer& container);

}  // namespace gantry::cli
