// SPDX-License-Identifier: Apache-2.0
// The second process of a pod: holds the read ends of the containers' output and their log files, and writes one into
// the other in the CRI format, so that the shim never waits for a disk. It outlives gantryd as the shim does. It loses
// nothing: when a disk is full it stops reading that container's pipes, which stops the container, and tries again
// every second. Who is attached to a container gets its output from here, too (attached_readers.h).
//
// The shim talks to it over a socket pair, one packet a message: the kinds below, with the packets of protocol.h.
#pragma once

#include <cstdint>

#include "base/owned_fd.h"

namespace gantry::shim {

// Kinds between shim and log writer; bodies are ContainerReference but where another is named.
inline constexpr std::uint16_t kLogAdd =
    100;  // fds: the log file (or /dev/null), then stdout and stderr read ends, or a pty master
inline constexpr std::uint16_t kLogReopen = 101;  // fds: the new file
inline constexpr std::uint16_t kLogDrain =
    102;  // read what is there, write it, drop the container; answered with kLogDrained
inline constexpr std::uint16_t kLogDrained = 103;   // to the shim
inline constexpr std::uint16_t kLogAttach = 104;    // AttachRequest with a number of the shim's own; fds as kAttach's
inline constexpr std::uint16_t kLogDetached = 105;  // to the shim: AttachReference; that reader is no more
inline constexpr std::uint16_t kLogCutOff = 106;    // the same, because it was too slow

// Serves until `shim` closes and every pipe has ended.
[[noreturn]] void run_log_writer(OwnFd shim);

}  // namespace gantry::shim
