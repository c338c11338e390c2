// SPDX-License-Identifier: Apache-2.0
// The profile gantry-default: what docker's and containerd's default profiles of 2026 allow and deny. It stands behind
// the masks, read-only mounts and capabilities, for the containers that have less of those. Its ABI is pinned: a newer
// parser's would mediate more kinds of things, and deny what is not named here.
#include "cri/security_modules.h"

namespace gantry::cri {

const std::string_view kDefaultAppArmorText = R"(abi <abi/3.0>,

profile gantry-default flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  capability,
  umount,
  deny mount,

  # Ours, and the host's tools; and the container's processes among themselves.
  signal (receive) peer=unconfined,
  signal (send, receive) peer=gantry-default,
  ptrace (readby, tracedby) peer=unconfined,
  ptrace (read, trace, readby, tracedby) peer=gantry-default,

  # Of /proc only processes' own files and /proc/sys/kernel/shm* may be written.
  deny /proc/* w,
  deny /proc/[^1-9s]*/** w,
  deny /proc/s[^y]*/** w,
  deny /proc/sys[^/]*/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,
  deny /proc/sys/kernel/sh[^m]** w,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,

  # Of /sys only cgroups.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
)";

}  // namespace gantry::cri
