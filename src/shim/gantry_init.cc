// SPDX-License-Identifier: Apache-2.0
// A process that does as little as one can, under one of two names:
//
//   gantry-init    pid 1 of a PID namespace that a pod shares. It reaps what the containers orphan. It ends with the
//                  namespace: the shim kills it.
//   gantry-keeper  keeps a pod's scope of systemd alive (cgroups/scopes.h). Its input is a pipe of gantryd's, which
//                  says one byte when the scope is made and recorded: without it nobody knows of the scope, and it
//                  ends. Then it has no privilege and no descriptor.
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

bool become_keeper() {
  char word;
  if (read(0, &word, 1) != 1) return false;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return chdir("/") == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0 &&
         syscall(SYS_close_range, 0U, ~0U, 0U) == 0;
}

}  // namespace

int main(int, char** argv) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  // Executed from a memfd, it would be called by its descriptor's number.
  prctl(PR_SET_NAME, argv[0], 0, 0, 0);
  if (strcmp(argv[0], "gantry-keeper") == 0 && !become_keeper()) return 1;
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, nullptr);
  for (;;) {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    int signal;
    sigwait(&children, &signal);
  }
}
