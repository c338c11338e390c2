// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_rootless.h"

#include <linux/capability.h>
#include <spawn.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "base/text.h"
#include "runtime/oci/id_namespace.h"
#include "runtime/oci/sources.h"
#include "runtime/plan/host_facts.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

namespace oci = runtime::oci;

constexpr std::size_t kMaxWords = 1024;

// newuidmap and newgidmap are set-user-id programs, which allow what /etc/subuid and /etc/subgid give the caller.
Status run_mapper(const char* program, pid_t pid, const std::vector<oci::IdMapping>& mappings) {
  std::vector<std::string> words = {program, std::to_string(pid)};
  for (const oci::IdMapping& each : mappings) {
    for (std::uint32_t id : {each.container, each.host, each.size}) words.push_back(std::to_string(id));
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  auto errors = sys::pipe();
  if (!errors) return std::unexpected(std::move(errors.error()));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, errors->write_end.get(), 2);
  pid_t mapper = 0;
  int error = ::posix_spawnp(&mapper, program, &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return fail_with(Error::from_errno(error, cat("execute ", program)), "more than the own id is to be mapped");
  auto pidfd = sys::pidfd_open(mapper);
  if (!pidfd) return std::unexpected(std::move(pidfd.error()));
  errors->write_end.close();
  auto said = sys::read_all(errors->read_end, kMaxWords);
  auto status = sys::wait_child_end(*pidfd);
  if (!status) return std::unexpected(std::move(status.error()));
  if (status->code == 0 && status->signal == 0) return {};
  std::string why = said && !said->empty() ? as_utf8(*said, kMaxWords) : cat(program, " ended with ", status->code);
  return fail(Code::kPermissionDenied, std::string(trimmed(why)));
}

bool is_own_id_alone(const oci::IdMappings& ids) {
  auto is = [](const std::vector<oci::IdMapping>& mappings, std::uint32_t own) {
    return mappings.size() == 1 && mappings[0].size == 1 && mappings[0].host == own;
  };
  return is(ids.uids, ::geteuid()) && is(ids.gids, ::getegid());
}

// This process is in the new namespace.
Status map_own_id(const oci::IdMappings& ids) {
  auto proc = sys::open_dir(sys::kCwd, "/proc/self");
  if (!proc) return std::unexpected(std::move(proc.error()));
  // Else a group that is denied something could be left.
  if (auto s = sys::write_file(*proc, "setgroups", "deny"); !s) return s;
  auto s = oci::write_id_maps(::getpid(), ids);
  return s ? s : fail_with(std::move(s.error()), "linux");
}

// This process keeps its ids, for the sake of files that are only theirs, and makes files in the namespace, too, which
// nobody can whom it does not know.
Status check_own_ids(const oci::IdMappings& ids) {
  auto check = [](const std::vector<oci::IdMapping>& mappings, std::uint32_t own, std::string_view field) -> Status {
    for (const oci::IdMapping& each : mappings) {
      if (own >= each.host && own - each.host < each.size) return {};
    }
    return invalid_argument(cat("linux.", field, ": does not map the caller's own id, ", own));
  };
  auto s = check(ids.uids, ::geteuid(), "uidMappings");
  return s ? check(ids.gids, ::getegid(), "gidMappings") : s;
}

Status make_user_namespace(const oci::IdMappings& ids, const Outside* outside) {
  if (auto s = check_own_ids(ids); !s) return s;
  bool is_own = is_own_id_alone(ids);
  if (auto s = sys::unshare(sys::CloneFlag::kNewUser); !s)
    return fail_with(std::move(s.error()), "linux.namespaces: a user namespace of who is not root");
  if (is_own) return map_own_id(ids);
  if (outside == nullptr) return fail(Code::kInternal, "nobody has stayed outside to map ids");
  return outside->ask(std::string_view(&kMapIds, 1));
}

Status join_user_namespace(const oci::Source& source) {
  auto space = oci::open_namespace(source.path);
  auto s = space ? sys::setns(*space, sys::CloneFlag::kNewUser) : std::unexpected(std::move(space.error()));
  return s ? s : fail_with(std::move(s.error()), source.field);
}

// Whether this mount namespace is the own user namespace's.
bool may_mount() {
  auto probe = sys::clone_mount(sys::kCwd, "/", sys::Recursive::kNo);
  return probe || !probe.error().is_privilege();
}

bool has_privileges(const runtime::HostFacts& host) {
  return (host.capabilities & runtime::capability_bit(CAP_SYS_ADMIN)) != 0;
}

}  // namespace

bool is_rootless() {
  if (::geteuid() != 0) return true;
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  return proc && runtime::is_in_user_namespace(*proc);
}

std::string default_state_folder() {
  const char* folder = ::getenv("XDG_RUNTIME_DIR");
  const char* user = ::getenv("USER");
  // The root of a user namespace is told from the host's as other runtimes do it.
  bool is_other = ::geteuid() != 0 || (is_rootless() && (user == nullptr || std::string_view(user) != "root"));
  if (folder == nullptr || *folder == '\0' || !is_other) return "/run/gantry-oci";
  return cat(folder, "/gantry-oci");
}

bool needs_outside(const oci::PlannedContainer& planned, const runtime::HostFacts& host, bool has_hooks) {
  if (!has_privileges(host)) return has_hooks || (planned.plan.namespaces.new_user && !is_own_id_alone(planned.ids));
  return host.in_user_namespace && has_hooks && !may_mount();
}

Status map_ids_of(pid_t pid, const oci::IdMappings& ids) {
  auto s = run_mapper("newuidmap", pid, ids.uids);
  if (!s) return fail_with(std::move(s.error()), "linux.uidMappings");
  s = run_mapper("newgidmap", pid, ids.gids);
  return s ? s : fail_with(std::move(s.error()), "linux.gidMappings");
}

Result<bool> enter_for(oci::PlannedContainer& planned, const runtime::HostFacts& host, const Outside* outside) {
  runtime::NamespacePlan& plan = planned.plan.namespaces;
  if (has_privileges(host) && !host.in_user_namespace) return false;
  if (!has_privileges(host)) {
    if (!plan.new_user && plan.join_user == runtime::kNoFd)
      return fail(Code::kPermissionDenied, "linux.namespaces: who is not root needs a user namespace");
    auto s = plan.new_user ? make_user_namespace(planned.ids, outside)
                           : join_user_namespace(planned.sources[static_cast<std::size_t>(plan.join_user)]);
    if (!s) return std::unexpected(std::move(s.error()));
    plan.new_user = false;
    plan.join_user = runtime::kNoFd;
    planned.ids = {};
  }
  if (may_mount()) return false;
  auto s = sys::unshare(sys::CloneFlag::kNewMount);
  return s ? Result<bool>(true) : std::unexpected(std::move(s.error()));
}

}  // namespace gantry::cli
