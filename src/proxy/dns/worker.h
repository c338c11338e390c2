// SPDX-License-Identifier: Apache-2.0
// The DNS worker: a process of its own, the same executable run again as `gantryd dns-worker IDENTITY`, that gantryd's
// end does not end. It is nobody (65534), in mount, network, IPC and UTS namespaces of its own, with an empty root, no
// capability, rlimits and a seccomp allow-list without socket(2): it has what it is given, and descriptor 3, at which
// it listens for gantryd.
#pragma once

namespace gantry::dns {

// The programs' main() goes here first when argv[1] is this word.
inline constexpr char kWorkerCommand[] = "dns-worker";
inline constexpr int kFeedListenerFd = 3;

// Returns the exit code; single-threaded, to be called before anything else in main().
int worker_main(int argc, char** argv);

}  // namespace gantry::dns
