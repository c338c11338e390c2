// SPDX-License-Identifier: Apache-2.0
// From the CRI's words to the runtime's: a ContainerConfig becomes a ContainerSpec and cgroup limits. What it names on
// the host (mounts, devices, profiles, its image's layers) is opened by open_launch(), which blocks. Values otherwise.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cdi/spec.h"
#include "cgroups/device_filter.h"
#include "cgroups/resources.h"
#include "cri/runtime/v1/api.pb.h"
#include "images/layer_view.h"
#include "images/store.h"
#include "runtime/plan/build_plan.h"
#include "runtime/plan/container_spec.h"
#include "shim/protocol.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

// What plugins give a container and no field of the CRI says.
struct Extras {
  std::vector<runtime::RlimitSpec> rlimits;
  std::vector<runtime::SysctlPlan> sysctls;  // of the pod's namespaces
  runtime::SchedulePlan schedule;
  std::string seccomp_profile;  // in place of the configuration's; OCI's JSON
};

// All but what has to be opened: mounts, devices, seccomp profile and root. `config` and `pod` have been validated.
// `edits` are those of its CDI devices and of plugins.
Result<runtime::ContainerSpec> make_spec(const v1::ContainerConfig& config, const v1::PodSandboxConfig& pod,
                                         const cdi::Edits& edits = {}, const Extras& extras = {});
runtime::ImageProcess image_process(const images::ImageConfig& config);
// kInvalidArgument names what is wrong.
Result<cgroups::Resources> make_resources(const v1::LinuxContainerResources& resources);
// Of the pod's own cgroup: its containers' together, and what it costs beside them.
v1::LinuxContainerResources pod_resources(const v1::LinuxPodSandboxConfig& config);

// The signal that stops the container: the config's, else the image's, else SIGTERM.
Result<int> stop_signal(const v1::ContainerConfig& config, const runtime::ImageProcess& image);
// 15 -> SIGNAL_SIGTERM.
v1::Signal signal_value(int signal);
// SIGNAL_SIGTERM -> "SIGTERM".
std::string signal_text(v1::Signal signal);

// The users and groups of an image, read through its layers. Blocking.
Result<runtime::UserDatabase> read_users(FdRef store, const std::vector<std::string>& layers);
// What lies at the mount's image_sub_path; one that is not there, or is neither folder nor file, is kInvalidArgument.
// Blocking.
Result<images::LayerView::Kind> image_mount_kind(FdRef store, const images::ImageVolume& volume,
                                                 const v1::Mount& mount);
// Reads the seccomp profile of a Localhost container into the spec. Blocking.
Status read_seccomp_profile(runtime::ContainerSpec& spec);

// A path of the host's that is to be mounted: open, and looked at.
struct MountSource {
  OwnFd fd;
  bool is_folder = true;
  bool is_procfs = false;
};
// Blocking, for as long as what is behind the path does not answer. One that is not there is made as a folder, as every
// CRI runtime does.
Result<MountSource> open_mount_source(const std::string& path);

struct LaunchRequest {
  v1::ContainerConfig config;
  v1::PodSandboxConfig pod;
  cdi::Edits edits;
  Extras extras;
  std::uint32_t uid = 0, gid = 0;  // of the container's process
  bool owns_devices = true;        // `config`'s devices belong to run_as_user and run_as_group, when they are given
  std::string apparmor_profile;
  images::ContainerRoot root;
  FdRef store;           // the image store
  FdRef cgroups;         // the top of the cgroup hierarchy
  FdRef sandbox_folder;  // of /var/lib/gantry/sandboxes: resolv.conf, hosts, hostname
  OwnFd users;           // the pod's user namespace, if it has one
  // Of the configuration's mounts, by their order; not open: it is an image's.
  std::vector<MountSource> sources;
  // For each of the configuration's mounts a user namespace that maps its ids as the mount wants; not open: as they
  // are.
  std::vector<OwnFd> mount_users;
  // What hooks are told: the container's id, and a folder to make for its bundle, beneath an open one.
  std::string id, bundle_path;
  FdRef bundle_parent;
  bool by_handler = false;  // another OCI runtime makes it in that folder, and runs the hooks
};
// An empty folder in the bundle of such a container, for overlays.
inline constexpr const char* kEmptyPlace = "empty";
// And what only a pod with a user namespace has there: that, what the container writes, its devices.
inline constexpr const char* kUsersPlace = "users";
inline constexpr const char* kUpperPlace = "upper";
inline constexpr const char* kDevicesPlace = "devices";

// What hooks find on the host: a folder with config.json, which names the root and nothing else, and a place for that.
// Removed with this.
class Bundle {
 public:
  // Fails when hooks can't be run; then nothing is left.
  static Result<Bundle> make(const LaunchRequest& request);
  Bundle(Bundle&&) noexcept = default;
  Bundle& operator=(Bundle&&) noexcept = default;
  ~Bundle();

  shim::ContainerHooks hooks;
  OwnFd host;  // a detached copy of all that the host has mounted

 private:
  Bundle() = default;
  OwnFd parent_;
  std::string name_;
};
// All that a plan is made of, open. `fds` are what the spec's indices name.
struct Launch {
  runtime::ContainerSpec spec;
  runtime::FdList fds;
  runtime::UserDatabase users;
  OwnFd log;
  std::optional<Bundle> bundle;  // of a container with hooks
  // Empty for a privileged container, which may use every device.
  std::vector<cgroups::DeviceRule> device_rules;
  runtime::FdIndex devices = runtime::kNoFd;  // by_handler, in a user namespace: nodes, of which none can be made there
};
// Blocking, on our own files and on what is the host's but for mounts.
Result<Launch> open_launch(const LaunchRequest& request);

// The container's log, made with its folders if they are not there: `log_path` beneath `log_directory`, never outside
// of it and through no link. Not open when either is empty. Blocking.
Result<OwnFd> open_log(const std::string& log_directory, const std::string& log_path);

}  // namespace gantry::cri
