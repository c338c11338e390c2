// SPDX-License-Identifier: Apache-2.0
// bpf(2) for programs attached to a cgroup (Linux 5.6 for BPF_F_REPLACE). Needs CAP_BPF with CAP_NET_ADMIN, or
// CAP_SYS_ADMIN; finding a program by its id needs CAP_SYS_ADMIN.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

using BpfProgFd = TypedFd<struct BpfProgTag>;

// BPF_PROG_LOAD. `name` has at most 15 bytes. A program that the verifier refuses fails with the end of the verifier's
// own words.
Result<BpfProgFd> bpf_prog_load(bpf_prog_type type, bpf_attach_type attach_type, const char* name,
                                std::span<const bpf_insn> instructions);
// BPF_PROG_ATTACH with BPF_F_ALLOW_MULTI: beside what is attached, or, when `replace` is open, in the place of that
// program.
Status bpf_prog_attach(FdRef cgroup, FdRef program, bpf_attach_type type, FdRef replace = {});
Status bpf_prog_detach(FdRef cgroup, FdRef program, bpf_attach_type type);
// BPF_PROG_QUERY: ids of the programs attached to this cgroup itself. The kernel allows 64.
Result<std::vector<std::uint32_t>> bpf_prog_query(FdRef cgroup, bpf_attach_type type);
Result<BpfProgFd> bpf_prog_get_fd_by_id(std::uint32_t id);
struct BpfProgInfo {
  std::uint32_t id = 0;
  std::string name;  // that it was loaded with
};
// BPF_OBJ_GET_INFO_BY_FD.
Result<BpfProgInfo> bpf_prog_info_of(FdRef program);

}  // namespace gantry::sys
