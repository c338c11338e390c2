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

Status write_id_maps(pid_t pid, const IdMappings& ids) {
  auto folder = sys::open_dir(sys::kCwd, cat("/proc/", pid).c_str());
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

Result<OwnFd> user_namespace_of(const IdMappings& ids) {
  auto pipe = sys::pipe();
  if (!pipe) return std::unexpected(std::move(pipe.error()));
  auto child = sys::clone3(sys::CloneFlag::kNewUser | sys::CloneFlag::kClearSighand, {});
  if (!child) return std::unexpected(std::move(child.error()));
  if (child->pid == 0) wait_for_end_of(*pipe);
  auto space = [&]() -> Result<OwnFd> {
    if (auto s = write_id_maps(child->pid, ids); !s) return std::unexpected(std::move(s.error()));
    return sys::openat(sys::kCwd, cat("/proc/", child->pid, "/ns/user").c_str(), O_RDONLY);
  }();
  pipe->write_end.close();
  if (auto ended = sys::wait_child_end(child->pidfd); !ended) return std::unexpected(std::move(ended.error()));
  return space;
}

}  // namespace gantry::runtime::oci
