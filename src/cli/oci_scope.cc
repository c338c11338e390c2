// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_scope.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "base/text.h"
#include "cgroups/slices.h"
#include "cgroups/systemd_units.h"
#include "cli/oci_cgroup.h"
#include "runtime/plan/text.h"
#include "sys/file.h"
#include "sys/inotify.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kKeeper = "keeper";
// A scope of that name, or a slice above, may be on its way out.
constexpr int kAttempts = 5;
constexpr std::chrono::seconds kPatience{10};

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Ends when nobody has the pipe's other end any more.
[[noreturn]] void keep(FdRef word) {
  ::dup2(word.get(), 0);
  (void)sys::close_range(1, false);
  char byte;
  (void)sys::read(FdRef(0), &byte, 1);
  ::_exit(0);
}

}  // namespace

std::string Scope::path() const { return cat(cgroups::slice_path(slice), "/", unit); }

Result<Scope> container_scope(const std::string& cgroups_path, const std::string& id) {
  std::string_view rest = cgroups_path;
  std::string_view slice = runtime::take_until(rest, ':'), prefix = runtime::take_until(rest, ':'), name = rest;
  if (cgroups_path.empty()) {
    prefix = "gantry-oci";
    name = id;
  }
  auto refuse = [&](std::string_view why) {
    return invalid_argument(cat("linux.cgroupsPath: ", quoted(cgroups_path), " is wrong: ", why));
  };
  bool is_whole = !name.empty() && name.find_first_of(":/") == name.npos && prefix.find('/') == prefix.npos;
  if (!is_whole) return refuse("with --systemd-cgroup \"SLICE:PREFIX:NAME\" was expected");
  if (name.ends_with(".slice")) return refuse("a scope in a slice was expected, not a slice");
  auto parsed = cgroups::parse_slice(slice.empty() ? "system.slice" : slice);
  if (!parsed) return fail_with(std::move(parsed.error()), "linux.cgroupsPath");
  return Scope{std::move(*parsed), cat(prefix, prefix.empty() ? "" : "-", name, ".scope")};
}

Result<KeptScope> KeptScope::make(const Scope& scope, const std::string& id) {
  auto word = sys::pipe();
  if (!word) return std::unexpected(std::move(word.error()));
  auto cloned = sys::clone3(sys::CloneFlag::kNone, {});
  if (!cloned) return std::unexpected(std::move(cloned.error()));
  if (cloned->pid == 0) keep(word->read_end);
  KeptScope kept(scope.path(), std::move(cloned->pidfd), std::move(word->write_end));
  cgroups::ScopeUnit unit{.name = scope.unit,
                          .description = cat("Container ", id),
                          .slice = scope.slice,
                          .first = cloned->pid,
                          .slices = {}};
  for (int attempt = 0;; ++attempt) {
    auto made = cgroups::start_scope(unit);
    if (!made) return std::unexpected(std::move(made.error()));
    if (*made) break;
    if (attempt == kAttempts)
      return fail(Code::kAlreadyExists, cat("linux.cgroupsPath: systemd has a unit ", scope.unit, " already"));
  }
  auto cgroup = open_cgroup(kept.path_);
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  // Out of the scope itself: a cgroup with processes in it has no children with limits.
  auto child = cgroup->make_child(kKeeper);
  if (!child) return std::unexpected(std::move(child.error()));
  auto moved = sys::write_file(child->dir(), "cgroup.procs", std::to_string(cloned->pid));
  if (!moved) return std::unexpected(std::move(moved.error()));
  return kept;
}

KeptScope::~KeptScope() {
  if (!keeper_.is_open()) return;
  (void)sys::pidfd_send_signal(keeper_, SIGKILL);
  (void)sys::wait_child_end(keeper_);
  if (auto cgroup = open_cgroup(path_)) (void)cgroup->remove_child(kKeeper);
}

Status wait_for_scope_end(const std::string& container) {
  std::string scope = parent_of(container);
  auto deadline = Clock::now() + kPatience;
  auto events = sys::inotify_init();
  if (!events) return std::unexpected(std::move(events.error()));
  auto slice = open_cgroup(parent_of(scope));
  if (slice) {
    // Armed before it is looked for.
    auto watched = sys::inotify_add_watch(*events, slice->dir(), IN_DELETE | IN_DELETE_SELF);
    if (!watched) return std::unexpected(std::move(watched.error()));
  }
  for (;;) {
    auto there = open_cgroup(scope);
    if (!there) return there.error().is_not_found() ? Status() : std::unexpected(std::move(there.error()));
    if (auto s = sys::wait_readable(*events, deadline); !s)
      return fail_with(std::move(s.error()), cat("end of ", scope));
    (void)sys::inotify_read(*events);
  }
}

}  // namespace gantry::cli
