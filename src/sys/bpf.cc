// SPDX-License-Identifier: Apache-2.0
#include "sys/bpf.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gantry::sys {
namespace {

long bpf(bpf_cmd command, bpf_attr& attr) { return ::syscall(SYS_bpf, command, &attr, sizeof(attr)); }

std::unexpected<Error> failed(const char* call) { return std::unexpected(Error::from_errno(errno, call)); }

std::uint64_t pointer(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

// The verifier gives up with EAGAIN when a signal waits for its thread, be it only a wake-up of the kernel's own (Linux
// commit c3494801cd17): none is let in meanwhile, and it is asked again.
long load(bpf_attr& attr) {
  constexpr int kAttempts = 30;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  long fd = bpf(BPF_PROG_LOAD, attr);
  for (int attempt = 1; fd < 0 && errno == EAGAIN && attempt < kAttempts; ++attempt) fd = bpf(BPF_PROG_LOAD, attr);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return fd;
}

// The last lines of the verifier's log, which say what it refused.
std::string tail(const std::string& log) {
  std::string text(log.c_str());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.size() > 400 ? text.substr(text.size() - 400) : text;
}

}  // namespace

Result<BpfProgFd> bpf_prog_load(bpf_prog_type type, bpf_attach_type attach_type, const char* name,
                                std::span<const bpf_insn> instructions) {
  bpf_attr attr{};
  attr.prog_type = type;
  attr.expected_attach_type = attach_type;
  attr.insns = pointer(instructions.data());
  attr.insn_cnt = static_cast<std::uint32_t>(instructions.size());
  attr.license = pointer("Apache-2.0");
  std::strncpy(attr.prog_name, name, sizeof(attr.prog_name) - 1);
  long fd = load(attr);
  if (fd >= 0) return BpfProgFd(static_cast<int>(fd));
  if (errno != EINVAL && errno != EACCES) return failed("bpf BPF_PROG_LOAD");

  // Once more for the reason.
  int error = errno;
  std::string log(65536, '\0');
  attr.log_level = 1;
  attr.log_buf = pointer(log.data());
  attr.log_size = static_cast<std::uint32_t>(log.size());
  fd = load(attr);
  if (fd >= 0) return BpfProgFd(static_cast<int>(fd));
  return std::unexpected(Error::from_errno(error, "bpf BPF_PROG_LOAD: verifier: \"" + tail(log) + "\""));
}

Status bpf_prog_attach(FdRef cgroup, FdRef program, bpf_attach_type type, FdRef replace) {
  bpf_attr attr{};
  attr.target_fd = static_cast<std::uint32_t>(cgroup.get());
  attr.attach_bpf_fd = static_cast<std::uint32_t>(program.get());
  attr.attach_type = type;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (replace.is_open()) {
    attr.attach_flags |= BPF_F_REPLACE;
    attr.replace_bpf_fd = static_cast<std::uint32_t>(replace.get());
  }
  if (bpf(BPF_PROG_ATTACH, attr) < 0) return failed("bpf BPF_PROG_ATTACH");
  return {};
}

Status bpf_prog_detach(FdRef cgroup, FdRef program, bpf_attach_type type) {
  bpf_attr attr{};
  attr.target_fd = static_cast<std::uint32_t>(cgroup.get());
  attr.attach_bpf_fd = static_cast<std::uint32_t>(program.get());
  attr.attach_type = type;
  if (bpf(BPF_PROG_DETACH, attr) < 0) return failed("bpf BPF_PROG_DETACH");
  return {};
}

Result<std::vector<std::uint32_t>> bpf_prog_query(FdRef cgroup, bpf_attach_type type) {
  std::vector<std::uint32_t> ids(64);
  bpf_attr attr{};
  attr.query.target_fd = static_cast<std::uint32_t>(cgroup.get());
  attr.query.attach_type = type;
  attr.query.prog_ids = pointer(ids.data());
  attr.query.prog_cnt = static_cast<std::uint32_t>(ids.size());
  if (bpf(BPF_PROG_QUERY, attr) < 0) return failed("bpf BPF_PROG_QUERY");
  ids.resize(attr.query.prog_cnt);
  return ids;
}

Result<BpfProgFd> bpf_prog_get_fd_by_id(std::uint32_t id) {
  bpf_attr attr{};
  attr.prog_id = id;
  long fd = bpf(BPF_PROG_GET_FD_BY_ID, attr);
  if (fd < 0) return failed("bpf BPF_PROG_GET_FD_BY_ID");
  return BpfProgFd(static_cast<int>(fd));
}

Result<BpfProgInfo> bpf_prog_info_of(FdRef program) {
  bpf_prog_info info{};
  bpf_attr attr{};
  attr.info.bpf_fd = static_cast<std::uint32_t>(program.get());
  attr.info.info_len = sizeof(info);
  attr.info.info = pointer(&info);
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, attr) < 0) return failed("bpf BPF_OBJ_GET_INFO_BY_FD");
  return BpfProgInfo{info.id, std::string(info.name, ::strnlen(info.name, sizeof(info.name)))};
}

}  // namespace gantry::sys
