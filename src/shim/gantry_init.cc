// SPDX-License-Identifier: Apache-2.0
// gantry-init: pid 1 of a PID namespace that a pod shares. It reaps what the containers orphan, and nothing else. It
// ends with the namespace: the shim kills it.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int main() {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_NAME, "gantry-init", 0, 0, 0);
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
