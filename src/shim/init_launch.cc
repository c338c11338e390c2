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
#include "shim/launcher.h"
#include "shim/user_namespace.h"
#include "shim/world.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/namespaces.h"
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

constexpr auto kInitFlags = sys::CloneFlag::kNewPid | sys::CloneFlag::kNewMount;

// As clone3, and it returns in the new process, too; by a child that enters the user namespace first.
Result<sys::Cloned> clone_in_users(FdRef users, FdRef cgroup) {
  auto notes = Notes::make();
  if (!notes) return std::unexpected(std::move(notes.error()));
  auto midwife = sys::clone3(sys::CloneFlag::kClearSighand, cgroup);
  if (!midwife) return midwife;
  if (midwife->pid == 0) {
    if (!enter_users(users)) ::_exit(126);
    auto born =
        sys::clone3_told(kInitFlags | sys::CloneFlag::kClearSighand | sys::CloneFlag::kParent, {}, &notes->get()->born);
    if (born && born->pid == 0) return born;
    ::_exit(born ? 0 : 126);
  }
  if (auto ended = sys::wait_child_end(midwife->pidfd); !ended) return std::unexpected(std::move(ended.error()));
  pid_t born = notes->get()->born;
  if (born == 0) return fail(Code::kInternal, "it could not be made in the pod's user namespace");
  // Our own child that nobody has waited for: the number is still its.
  auto pidfd = sys::pidfd_open(born);
  if (!pidfd) return std::unexpected(std::move(pidfd.error()));
  return sys::Cloned{born, std::move(*pidfd)};
}

}  // namespace

Result<Init> launch_init(FdRef program, FdRef cgroup, FdRef null, FdRef users) {
  if (auto s = sys::fchmod(program, 0111); !s) return std::unexpected(std::move(s.error()));
  auto pair = sys::seqpacket_pair(false);
  if (!pair) return std::unexpected(std::move(pair.error()));
  auto cloned =
      users.is_open() ? clone_in_users(users, cgroup) : sys::clone3(kInitFlags | sys::CloneFlag::kClearSighand, cgroup);
  if (!cloned) return std::unexpected(std::move(cloned.error()));
  if (cloned->pid == 0) become_init(program, null, pair->right);
  pair->right.close();
  // A few system calls away, or it has ended.
  char byte;
  auto received = sys::receive_packet(pair->left, std::span(&byte, 1));
  if (!received) return std::unexpected(std::move(received.error()));
  if (received->fds.empty()) return fail(Code::kInternal, "it ended before it was ready");
  return Init{std::move(cloned->pidfd), cloned->pid, MountFd(received->fds[0].release())};
}

}  // namespace gantry::shim
