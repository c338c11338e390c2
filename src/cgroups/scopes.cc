// SPDX-License-Identifier: Apache-2.0
#include "cgroups/scopes.h"

#include <algorithm>
#include <vector>

#include "base/subprocess.h"
#include "base/text.h"
#include "cgroups/cgroup.h"
#include "cgroups/slices.h"
#include "cgroups/systemd_units.h"
#include "sys/file.h"
#include "sys/pipe.h"

namespace gantry::cgroups {
namespace {

constexpr char kKeeper[] = "keeper";
constexpr char kSliceDescription[] = "Pods of Gantry";
// What systemd is taking away, a scope or a slice above it, is there and can't be used; then it is gone, and is made.
constexpr int kAttempts = 5;

Status keep(const Hierarchy& hierarchy, const std::string& path, const std::string& instance, pid_t keeper) {
  auto scope = hierarchy.open(path);
  if (!scope) return std::unexpected(std::move(scope.error()));
  auto child = scope->make_child(kKeeper);
  if (!child && child.error().is_already_exists()) child = scope->open_child(kKeeper);
  if (!child) return std::unexpected(std::move(child.error()));
  if (auto moved = sys::write_file(child->dir(), "cgroup.procs", std::to_string(keeper)); !moved) return moved;
  return instance.empty() ? Status() : scope->mark(instance);
}

// What is known of a slice before its pod's scope is there.
struct Level {
  SliceUnit unit;
  std::string path;
  bool is_there = false;
};

// The slices that are ours, or are ours to make.
Result<std::vector<Level>> own_levels(const Hierarchy& hierarchy, const std::string& instance,
                                      const std::vector<std::string>& names) {
  std::vector<Level> own;
  for (const auto& name : names) {
    Level level{.unit = {.name = name, .description = kSliceDescription, .cpu_weight = {}}, .path = slice_path(name)};
    auto cgroup = hierarchy.open(level.path);
    if (!cgroup && !cgroup.error().is_not_found()) return std::unexpected(std::move(cgroup.error()));
    level.is_there = cgroup.has_value();
    auto mark = cgroup ? cgroup->marked_by() : Result<std::optional<std::string>>(instance);
    if (!mark) return std::unexpected(std::move(mark.error()));
    if (*mark == instance) own.push_back(std::move(level));
  }
  return own;
}

std::vector<SliceUnit> absent(const std::vector<Level>& levels) {
  std::vector<SliceUnit> units;
  for (const auto& level : levels) {
    if (!level.is_there) units.push_back(level.unit);
  }
  return units;
}

// Now that a scope is in them they stay. One that was there may have ended before the scope came, and have been made
// anew by systemd itself: nobody would end that. `made`: those that were not there were made by us.
Status own(const Hierarchy& hierarchy, const std::string& instance, const std::vector<Level>& levels, bool made) {
  for (const auto& level : levels) {
    auto cgroup = hierarchy.open(level.path);
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    auto mark = cgroup->marked_by();
    if (!mark) return std::unexpected(std::move(mark.error()));
    if (*mark == instance) continue;
    if (level.is_there || !made) {
      auto taken = start_slice(level.unit);
      if (!taken) return std::unexpected(std::move(taken.error()));
      if (!*taken) continue;
    }
    if (auto marked = cgroup->mark(instance); !marked) return marked;
  }
  return {};
}

// A scope that is there is entered, without asking systemd.
Status enter(const Hierarchy& hierarchy, const std::string& instance, const PodScope& scope, pid_t keeper) {
  std::size_t slash = scope.path.rfind('/');
  ScopeUnit unit{.name = scope.path.substr(slash + 1),
                 .description = scope.description,
                 .slice = std::string(kRootSlice),
                 .first = keeper,
                 .slices = {}};
  if (slash > 0) unit.slice = scope.path.substr(0, slash).substr(scope.path.rfind('/', slash - 1) + 1);
  Result<std::vector<Level>> levels;
  bool made_slices = false;
  for (int attempt = 0;; ++attempt) {
    auto kept = keep(hierarchy, scope.path, instance, keeper);
    if (kept) return own(hierarchy, instance, *levels, made_slices);
    if (!kept.error().is_not_found() || attempt == kAttempts) return kept;
    levels = own_levels(hierarchy, instance, slice_levels(unit.slice));
    if (!levels) return std::unexpected(std::move(levels.error()));
    if (!levels->empty() && levels->back().unit.name == unit.slice) levels->back().unit.cpu_weight = scope.cpu_weight;
    unit.slices = absent(*levels);
    auto made = start_scope(unit);
    made_slices = made && *made && !unit.slices.empty();
    // One of the slices may have a file of the machine's owner, who says then what it is like.
    if (made && !*made && !unit.slices.empty()) {
      unit.slices.clear();
      made = start_scope(unit);
    }
    if (!made) return std::unexpected(std::move(made.error()));
  }
}

bool is_kept(const Hierarchy& hierarchy, const std::string& path) {
  auto keeper = hierarchy.open(cat(path, "/", kKeeper));
  auto events = keeper ? keeper->events() : Result<Cgroup::Events>(std::unexpected(keeper.error()));
  return events && events->populated;
}

}  // namespace

Result<std::string> enter_systemd_scope(const Hierarchy& hierarchy, const std::string& name, pid_t keeper) {
  PodScope scope{.path = "/" + name, .description = "Pods and shims of Gantry", .cpu_weight = {}};
  auto entered = enter(hierarchy, "", scope, keeper);
  if (!entered) return fail_with(std::move(entered.error()), "enter the scope " + name);
  return scope.path;
}

Task<Status> PodScopes::make(PodScope scope) {
  if (is_kept(hierarchy_, scope.path)) co_return Status();
  constexpr std::string_view kWords = "the pod's scope";
  auto word = sys::pipe();
  if (!word) co_return std::unexpected(std::move(word.error()));
  Command command{.executable = keeper_program_,
                  .path = {},
                  .argv = {"gantry-keeper", scope.path.substr(scope.path.rfind('/') + 1)},
                  .envp = {},
                  .input = word->read_end,
                  .output = {},
                  .error = {},
                  .fds = {}};
  auto keeper = spawn(command);
  if (!keeper) co_return fail_with(std::move(keeper.error()), kWords);
  word->read_end.close();
  pid_t pid = keeper->pid();
  // Not even memory that all of the pod lacks is a reason to end it. Where that can't be said it has our own score.
  (void)sys::write_file(sys::kCwd, cat("/proc/", pid, "/oom_score_adj").c_str(), "-1000");
  if (!bus_thread_) bus_thread_.emplace(loop_, 1);
  auto made = co_await bus_thread_->run([&hierarchy = hierarchy_, instance = instance_, scope = std::move(scope), pid] {
    return enter(hierarchy, instance, scope, pid);
  });
  // Not before: until it is reaped its number is its own.
  loop_.spawn([](Loop& loop, Process child) -> Task<> { (void)co_await child.wait(loop); }(loop_, std::move(*keeper)));
  // Without this word it ends with our end of the pipe, and the scope with it.
  if (made) made = sys::write_all(word->write_end, "+");
  if (!made) co_return fail_with(std::move(made.error()), kWords);
  co_return Status();
}

Task<Status> PodScopes::end(std::string path, std::chrono::nanoseconds limit) const {
  auto scope = hierarchy_.open(path);
  if (!scope) co_return scope.error().is_not_found() ? Status() : std::unexpected(std::move(scope.error()));
  if (auto killed = scope->kill(); !killed && !killed.error().is_not_found()) co_return killed;
  co_return co_await scope->wait_empty(loop_, limit);
}

}  // namespace gantry::cgroups
