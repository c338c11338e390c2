// SPDX-License-Identifier: Apache-2.0
#include "shim/user_namespace.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <vector>

#include "runtime/launch/launch.h"
#include "shim/launcher.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::shim {

Status enter_users(FdRef users) {
  // Whoever is in there already may trace, but not what can't be dumped and was the host's.
  if (auto s = sys::prctl(PR_SET_DUMPABLE, 0); !s) return s;
  if (auto s = sys::setns(users, sys::CloneFlag::kNewUser); !s)
    return fail_with(std::move(s.error()), "user namespace");
  if (::setgroups(0, nullptr) < 0) return std::unexpected(Error::from_errno(errno, "setgroups"));
  if (::setresgid(0, 0, 0) < 0) return std::unexpected(Error::from_errno(errno, "setresgid"));
  if (::setresuid(0, 0, 0) < 0) return std::unexpected(Error::from_errno(errno, "setresuid"));
  // A change of ids makes a process dumpable where fs.suid_dumpable says so.
  return sys::prctl(PR_SET_DUMPABLE, 0);
}

Status run_as_root_of(FdRef users, const std::function<Status()>& steps) {
  auto report = sys::seqpacket_pair(false);
  if (!report) return std::unexpected(std::move(report.error()));
  auto child = sys::clone3(sys::CloneFlag::kClearSighand, {});
  if (!child) return std::unexpected(std::move(child.error()));
  if (child->pid == 0) {
    auto done = enter_users(users);
    if (done) done = steps();
    if (!done) runtime::end_launch(report->right, done.error());
    ::_exit(0);
  }
  report->right.close();
  auto progress = read_progress(report->left);
  if (auto ended = sys::wait_child_end(child->pidfd); !ended) return std::unexpected(std::move(ended.error()));
  if (!progress) return std::unexpected(std::move(progress.error()));
  if (*progress && (*progress)->failed) return std::unexpected(std::move(*(*progress)->failed));
  return {};
}

Status enter_new_namespaces_of(FdRef users, FdRef proc, sys::CloneFlag kinds) {
  auto pair = sys::seqpacket_pair(false);
  if (!pair) return std::unexpected(std::move(pair.error()));
  auto made = run_as_root_of(users, [&]() -> Status {
    if (auto s = sys::unshare(kinds); !s) return s;
    std::vector<OwnFd> spaces;
    for (auto [kind, file] :
         {std::pair(sys::CloneFlag::kNewNet, "self/ns/net"), std::pair(sys::CloneFlag::kNewIpc, "self/ns/ipc"),
          std::pair(sys::CloneFlag::kNewUts, "self/ns/uts")}) {
      if (!sys::has(kinds, kind)) continue;
      auto space = sys::openat(proc, file, O_RDONLY);
      if (!space) return std::unexpected(std::move(space.error()));
      spaces.push_back(std::move(*space));
    }
    std::vector<FdRef> fds(spaces.begin(), spaces.end());
    return sys::send_packet(pair->right, "n", fds);
  });
  if (!made) return made;
  char byte;
  auto received = sys::receive_packet(pair->left, std::span(&byte, 1));
  if (!received) return std::unexpected(std::move(received.error()));
  for (const OwnFd& space : received->fds) {
    if (auto s = sys::setns(space, sys::CloneFlag::kNone); !s) return s;
  }
  return received->fds_lost ? fail(Code::kResourceExhausted, "no descriptor is free in the shim") : Status();
}

}  // namespace gantry::shim
