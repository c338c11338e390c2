// SPDX-License-Identifier: Apache-2.0
#include "base/exit_status.h"

#include <sys/wait.h>

#include <cerrno>

namespace gantry {

Result<std::optional<ExitStatus>> reap(FdRef pidfd, bool wait) {
  // libstdc++'s idtype_t has no name for a wait by pidfd that would do in a switch, hence the cast.
  constexpr auto kByPidfd = static_cast<idtype_t>(P_PIDFD);
  siginfo_t info{};
  while (::waitid(kByPidfd, static_cast<id_t>(pidfd.get()), &info, WEXITED | (wait ? 0 : WNOHANG)) < 0) {
    if (errno != EINTR) return std::unexpected(Error::from_errno(errno, "waitid"));
  }
  if (info.si_pid == 0) return std::optional<ExitStatus>();
  if (info.si_code == CLD_EXITED) return std::optional(ExitStatus{info.si_status, 0});
  return std::optional(ExitStatus{128 + info.si_status, info.si_status});
}

}  // namespace gantry
