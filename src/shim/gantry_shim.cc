// SPDX-License-Identifier: Apache-2.0
// gantry-shim: static, single-threaded, executed by gantryd from a sealed memfd. Descriptor 3 is the socket on which
// gantryd asks it for the shims of pods (shim/template.h); argument 1 is room for a pod's id in the list of processes.
// With "--in-cgroup PATH" it is another program's beginning: descriptor 3 is the cgroup.procs of a cgroup, which it
// enters before it executes PATH. (A program that a posix_spawn starts is in its parent's cgroup.)
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "shim/template.h"
#include "sys/file.h"
#include "sys/process.h"

namespace {

int execute_in_cgroup(char* path) {
  gantry::OwnFd place(3);
  auto entered = gantry::sys::write_all(place, "0");
  place.close();
  char* const argv[] = {path, nullptr};
  if (entered) ::execv(path, argv);
  std::fprintf(stderr, "%s\n", entered ? std::strerror(errno) : entered.error().message().c_str());
  return 127;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--in-cgroup") == 0) return execute_in_cgroup(argv[2]);
  if (argc != 2) {
    std::fputs("gantry-shim is started by gantryd; it is of no use by itself\n", stderr);
    return 2;
  }
  // What a terminal or service manager sends to a group must not end pods. Blocked, not ignored: what is ignored stays
  // so through execve, and containers would never see a SIGTERM.
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  gantry::sys::reset_signals();
  ::setsid();
  auto served = gantry::shim::serve_template(gantry::OwnFd(3), argv[1], std::strlen(argv[1]));
  if (served) return 0;
  std::fprintf(stderr, "gantry-shim: %s\n", served.error().message().c_str());
  return 1;
}
