// SPDX-License-Identifier: Apache-2.0
#include "shim/init_launch.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <span>

#include "runtime/launch/launch.h"
#include "shim/world.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

Status send_processes(FdRef socket) {
  auto processes = private_proc();
  if (!processes) return std::unexpected(std::move(processes.error()));
  FdRef fds[] = {*processes};
  return sys::send_packet(socket, "p", fds);
}

[[noreturn]] void become_init(FdRef program, FdRef null, FdRef socket) {
  (void)sys::prctl(PR_SET_DUMPABLE, 0);
  if (!send_processes(socket)) ::_exit(126);
  for (int standard : {0, 1, 2}) {
    if (::dup2(null.get(), standard) < 0) ::_exit(126);
  }
  if (!sys::chroot(runtime::kStagingEmpty) || ::chdir("/") < 0) ::_exit(126);
  for (unsigned capability = 0; ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; ++capability) {
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) ::_exit(126);
  // Without capabilities its own program, mode 0111, is unreadable to it: the kernel makes such a process non-dumpable
  // from birth.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) < 0 || !sys::close_range(3, true)) ::_exit(126);
  char name[] = "gantry-init";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  ::syscall(SYS_execveat, program.get(), "", argv, envp, AT_EMPTY_PATH);
  ::_exit(127);
}

}  // namespace

Result<Init> launch_init(FdRef program, FdRef cgroup, FdRef null) {
  if (auto s = sys::fchmod(program, 0111); !s) return std::unexpected(std::move(s.error()));
  auto pair = sys::seqpacket_pair(false);
  if (!pair) return std::unexpected(std::move(pair.error()));
  auto cloned =
      sys::clone3(sys::CloneFlag::kNewPid | sys::CloneFlag::kNewMount | sys::CloneFlag::kClearSighand, cgroup);
  if (!cloned) return std::unexpected(std::move(cloned.error()));
  if (cloned->pid == 0) become_init(program, null, pair->right);
  pair->right.close();
  // A few system calls away, or it has ended.
  char byte;
  auto received = sys::receive_packet(pair->left, std::span(&byte, 1));
  if (!received) return std::unexpected(std::move(received.error()));
  if (received->fds.empty()) return fail(Code::kInternal, "it ended before it was ready");
  return Init{std::move(cloned->pidfd), MountFd(received->fds[0].release())};
}

}  // namespace gantry::shim
