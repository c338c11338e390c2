// SPDX-License-Identifier: Apache-2.0
// The steps of a launch, in their order. Internal to this folder. Each reads its part of the plan from the reader that
// is passed along, and leaves it at the next one's.
#pragma once

#include <iterator>
#include <optional>
#include <span>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/launch/launch.h"
#include "runtime/launch/target.h"
#include "runtime/plan/plan_reader.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::runtime {

// Where the kernel's file systems are mounted in the root. A bind goes there only by a target that says so.
inline constexpr const char* kKernelFolders[] = {"/proc",    "/sys",     "/sys/fs/cgroup", "/dev",
                                                 "/dev/pts", "/dev/shm", "/dev/mqueue"};

// The plan's first part.
struct Namespaces {
  bool new_pid = false, new_cgroup = false, new_net = false, new_ipc = false, new_uts = false;
  bool new_user = false, new_time = false;
  const char* time_offsets = "";
  bool in_user = false;
  FdIndex join_process = kNoFd, join_pid = kNoFd;
  bool join_process_user = false, join_process_time = false;
  FdIndex join_net = kNoFd, join_ipc = kNoFd, join_uts = kNoFd, join_cgroup = kNoFd, join_user = kNoFd;
  FdIndex join_time = kNoFd;
  bool raise_loopback = false;
  std::uint32_t root_uid = 0, root_gid = 0;
  // What the process takes on at execve, and before.
  bool set_oom_score_adj = false;
  std::int32_t oom_score_adj = 0;
  const char *apparmor_profile = "", *selinux_label = "";
  bool enter_user() const;
  bool need_midwife() const;
};
Result<Namespaces> read_namespaces(PlanReader& reader);

// The root's part, and one mount's.
struct RootPart {
  FdIndex store = kNoFd, upper = kNoFd, rootfs = kNoFd;
  const char* overlay = "";
  bool read_only = false;
  sys::Propagation propagation = sys::Propagation::kUnchanged;
};
RootPart read_root_part(PlanReader& reader);
struct MountPart {
  MountKind kind = MountKind::kFilesystem;
  const char *target = "", *type = "";
  PlanReader options{std::string_view()};
  std::uint32_t option_count = 0;
  FdIndex source = kNoFd;
  bool is_file = false;
  sys::MountAttr tree_set{}, tree_clear{}, set{}, clear{};
  sys::Propagation tree_propagation{}, propagation{};
};
MountPart read_mount_part(PlanReader& reader);

// The folder in which the last component of a path lies, and that component.
struct Parent {
  OwnFd folder;
  const char* name;
};

class Launch {
 public:
  explicit Launch(LaunchRequest& request)
      : request_(request), reader_(std::string_view(request.plan.data(), request.plan.size())) {}

  // Up to execve; returns only with an error.
  Status run();
  // launch.h's attend_birth().
  Status attend_birth();

 private:
  struct Ways {
    bool join = false;    // an exec
    bool second = false;  // another process goes on, in the PID namespace that is joined
  };

  // launch.cc
  Status leave_keyring();
  Status wait_for_byte(FdRef fd);
  Status wait_at_hold(FdRef fd);
  Status enter_namespaces();
  Status take_processes();
  std::optional<MountFd> own_processes();
  Status join_pid_namespace();
  Status check_processes();
  Result<MountFd> processes_of_target();

  // namespaces.cc
  Status join(FdIndex index, sys::CloneFlag kind, const char* name);
  Status join_by_file();
  Status join_namespaces();
  Status make_time_namespace();
  Status enter_user_namespace();
  Status become_root();

  // outside.cc
  Status give_from_outside();
  Status make_roots_outside();
  Status take_root(MountFd& root, const char* place) const;

  // root.cc
  Status read_root();
  Status make_mounts();
  Status make_mount();
  Status mount_overlay(const RootPart& part) const;
  static Result<MountFd> mount_image(const char* overlay, const char* sub_path);
  static Result<MountFd> clone_in_turn(FdRef source, bool is_file);
  Status check_place(FdRef place, const char* target) const;
  Status note_mount(FdRef mount, const char* target);
  Result<Parent> device_parent(const char* path) const;
  Status make_devices();
  static Status bind_device(FdRef node, const Parent& parent);
  Status make_links();
  Status make_proc();
  Status take_host_proc(const char* path);
  Result<OwnFd> open_proc(const char* folder, const char* path);
  Status write_sysctls();
  Result<OwnFd> covered_place(const char* path) const;
  Status mask_paths();
  Status protect_paths();
  Status enter_root();
  Status enter_joined_root() const;
  Status pivot_into_root();
  Status enter_root_in(FdRef mount_namespace);

  // hooks.cc
  Status run_hooks_before_root();
  Status move_root_to(FdRef host);

  // process.cc
  Status open_terminal();
  Status take_own_null();
  Status take_on_attributes();
  Status read_limits();
  Status set_limits();
  Status enter_folder(const char* cwd);
  Status set_schedule();
  Status load_filter(std::string_view program, std::uint32_t flags);
  Status hand_over_listener(int listener);
  Status become_user_and_execute();
  Status drop_bounding(std::uint64_t keep);
  Status set_ids(std::uint32_t uid, std::uint32_t gid, std::span<const std::uint32_t> groups);
  Status set_capabilities(std::uint64_t effective, std::uint64_t permitted, std::uint64_t inheritable,
                          std::uint64_t ambient);
  Status keep_standard_streams();
  Status hand_over();
  Status wait_for_start();
  Status read_arguments();
  template <typename Use>
  Status at_program(Use use);
  Status execute();
  Status own_standard_streams(std::uint32_t uid);

  // For the notes' times.
  void began();
  void ended(LaunchStep step);

  bool flag() { return reader_.integer<std::uint8_t>() != 0; }
  // The descriptor that an index names; not open for kNoFd or one that is out of range.
  FdRef fd(FdIndex index) const;

  bool is_pods() const { return request_.hooks == nullptr || request_.hooks->is_pods; }

  LaunchRequest& request_;
  PlanReader reader_;
  // At the plan's rlimits, which are read once more when it is time to set them.
  PlanReader limits_{std::string_view()};
  bool terminal_ = false;
  unsigned preserved_fds_ = 0;
  FdRef start_, start_report_;
  const char** argv_ = nullptr;
  const char** envp_ = nullptr;
  Namespaces spaces_;
  Ways namespaces_;
  std::size_t next_image_ = 0;  // of those that a midwife has made
  bool keeps_groups_ = false;   // setgroups(2) is denied in the user namespace
  // The new root, O_PATH; of an exec, the joined process's.
  OwnFd root_;
  bool read_only_ = false;
  sys::Propagation propagation_ = sys::Propagation::kUnchanged;
  // The procfs and /dev that were mounted in the root, for what is written and made there: used by descriptor and never
  // across a mount, so that neither a link of the image nor a volume comes between. The procfs is one apart when the
  // root has none, or one in which this process is not; in a user namespace it is the host's then.
  OwnFd proc_, dev_;
  // Each tmpfs that is made read-only when all that lies in it is there.
  std::vector<OwnFd> late_read_only_;
  // With a joined PID namespace: its procfs, for the root; of one that is not the pod's, whose that is.
  MountFd processes_;
  OwnFd shown_space_;
  // The mounts that lie at kKernelFolders.
  struct KernelMount {
    std::optional<std::uint64_t> id;
    OwnFd fd;
  };
  KernelMount kernel_mounts_[std::size(kKernelFolders)];
};

std::unexpected<Error> pid_namespace_ended();

// A procfs of the PID namespace `space` (pidns, Linux 6.18), or, when that is not open, of the one that this process is
// in.
Result<MountFd> new_procfs(FdRef space);

// The parent of `path`, made if missing.
Result<Parent> ensure_parent(FdRef root, const char* path, sys::Resolve also);

}  // namespace gantry::runtime
