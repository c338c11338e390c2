// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_user.h"

#include <cerrno>
#include <utility>

#include "base/text.h"
#include "sys/file.h"
#include "sys/same_file.h"

namespace gantry::cli {
namespace {

constexpr const char* kScore = "self/oom_score_adj";
constexpr std::size_t kMaxScore = 16;

Result<DirFd> proc() { return sys::open_dir(sys::kCwd, "/proc"); }

Status set_limit(int resource, const rlimit& limit) {
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0) return {};
  return std::unexpected(Error::from_errno(errno, cat("process.rlimits: setrlimit of resource ", resource)));
}

Status set_score(std::string_view score) {
  auto folder = proc();
  return folder ? sys::write_file(*folder, kScore, score) : std::unexpected(std::move(folder.error()));
}

}  // namespace

Result<sys::CloneFlag> shared_namespaces(pid_t pid) {
  auto folder = proc();
  if (!folder) return std::unexpected(std::move(folder.error()));
  constexpr std::pair<const char*, sys::CloneFlag> kKinds[] = {
      {"pid", sys::CloneFlag::kNewPid},  {"cgroup", sys::CloneFlag::kNewCgroup}, {"net", sys::CloneFlag::kNewNet},
      {"ipc", sys::CloneFlag::kNewIpc},  {"uts", sys::CloneFlag::kNewUts},       {"user", sys::CloneFlag::kNewUser},
      {"time", sys::CloneFlag::kNewTime}};
  auto shared = sys::CloneFlag::kNone;
  for (auto [name, kind] : kKinds) {
    auto own = sys::fstatat(*folder, cat("self/ns/", name).c_str(), 0);
    if (!own) return std::unexpected(std::move(own.error()));
    auto its = sys::fstatat(*folder, cat(pid, "/ns/", name).c_str(), 0);
    if (!its) return std::unexpected(std::move(its.error()));
    if (sys::is_same_file(*own, *its)) shared |= kind;
  }
  return shared;
}

Status Inherited::set(runtime::ProcessPlan& process) {
  for (const runtime::RlimitPlan& wanted : process.rlimits) {
    rlimit own{};
    if (::getrlimit(static_cast<__rlimit_resource>(wanted.resource), &own) < 0)
      return std::unexpected(Error::from_errno(errno, cat("process.rlimits: getrlimit ", wanted.resource)));
    if (wanted.hard <= own.rlim_max) continue;
    if (auto s = set_limit(wanted.resource, {own.rlim_cur, wanted.hard}); !s) return s;
    limits_.push_back({wanted.resource, own});
  }
  if (!process.set_oom_score_adj) return {};
  auto folder = proc();
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto own = sys::read_file(*folder, kScore, kMaxScore);
  if (!own) return std::unexpected(std::move(own.error()));
  if (auto s = set_score(std::to_string(process.oom_score_adj)); !s)
    return fail_with(std::move(s.error()), cat("process.oomScoreAdj ", process.oom_score_adj));
  score_ = std::move(*own);
  process.set_oom_score_adj = false;
  return {};
}

Inherited::~Inherited() {
  // It was allowed to have them a moment ago.
  for (const Limit& limit : limits_) (void)set_limit(limit.resource, limit.own);
  if (!score_.empty()) (void)set_score(score_);
}

}  // namespace gantry::cli
