// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/id_namespace.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <tuple>

#include "base/text.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::runtime::oci {
namespace {

// The child's end is its parent's as well.
[[noreturn]] void wait_for_end_of(sys::Pipe& pipe) {
  pipe.write_end.close();
  char byte;
  (void)sys::read(pipe.read_end, &byte, 1);
  ::_exit(0);
}

}  // namespace

Status write_id_maps(FdRef proc, pid_t pid, const IdMappings& ids) {
  auto folder = sys::open_dir(proc, std::to_string(pid).c_str());
  if (!folder) return std::unexpected(std::move(folder.error()));
  for (auto [file, field, mappings] :
       {std::tuple("uid_map", "uidMappings", &ids.uids), std::tuple("gid_map", "gidMappings", &ids.gids)}) {
    auto s = sys::write_file(*folder, file, id_map_text(*mappings));
    if (s) continue;
    if (s.error().sys() == EPERM)
      return fail(Code::kPermissionDenied, cat(field, ": a host id in it is none that the caller may map"));
    return fail_with(std::move(s.error()), field);
  }
  return {};
}

Status write_id_maps(pid_t pid, const IdMappings& ids) {
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  return proc ? write_id_maps(*proc, pid, ids) : std::unexpected(std::move(proc.error()));
}

Result<OwnFd> user_namespace_of(FdRef proc, const IdMappings& ids) {
  auto pipe = sys::pipe();
  if (!pipe) return std::unexpected(std::move(pipe.error()));
  auto child = sys::clone3(sys::CloneFlag::kNewUser | sys::CloneFlag::kClearSighand, {});
  if (!child) return std::unexpected(std::move(child.error()));
  if (child->pid == 0) wait_for_end_of(*pipe);
  auto space = [&]() -> Result<OwnFd> {
    if (auto s = write_id_maps(proc, child->pid, ids); !s) return std::unexpected(std::move(s.error()));
    return sys::openat(proc, cat(child->pid, "/ns/user").c_str(), O_RDONLY);
  }();
  pipe->write_end.close();
  // Who ignores SIGCHLD has nothing to reap: then this is an error, and the end of the child all the same.
  (void)sys::wait_child_end(child->pidfd);
  return space;
}

Result<OwnFd> user_namespace_of(const IdMappings& ids) {
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  if (!proc) return std::unexpected(std::move(proc.error()));
  return user_namespace_of(*proc, ids);
}

}  // namespace gantry::runtime::oci
