// SPDX-License-Identifier: Apache-2.0
// The parts that config.cc puts together. Private to this folder.
#pragma once

#include "runtime/oci/config.h"
#include "runtime/plan/fields.h"

namespace gantry::runtime::oci {

inline constexpr std::uint32_t kMaxId = 0xfffffffe;  // the one above it means "no change" to the kernel

// scheduler, ioPriority and execCPUAffinity of a process.
void read_schedule(const Fields& process, Process& out);
void read_process(const Fields& fields, Process& process);
void read_linux(const Fields& fields, Linux& out);
// linux.resources
void read_resources(const Fields& fields, Linux& out);

}  // namespace gantry::runtime::oci
