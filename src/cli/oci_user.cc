// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_user.h"

#include <cerrno>

#include "base/text.h"
#include "sys/file.h"

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

Result<bool> is_in_own_user_namespace(pid_t pid) {
  auto folder = proc();
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto own = sys::fstatat(*folder, "self/ns/user", 0);
  if (!own) return std::unexpected(std::move(own.error()));
  auto its = sys::fstatat(*folder, cat(pid, "/ns/user").c_str(), 0);
  if (!its) return std::unexpected(std::move(its.error()));
  return own->st_ino == its->st_ino && own->st_dev == its->st_dev;
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
