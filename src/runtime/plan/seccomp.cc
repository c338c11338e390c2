// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/seccomp.h"

#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {

const SeccompPlan* SeccompCache::find(const std::string& key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  programs_.splice(programs_.begin(), programs_, found->second);
  return &found->second->plan;
}

void SeccompCache::keep(std::string key, const SeccompPlan& plan) {
  if (capacity_ == 0) return;
  if (programs_.size() >= capacity_) {
    by_key_.erase(programs_.back().key);
    programs_.pop_back();
  }
  programs_.push_front({std::move(key), plan});
  by_key_[programs_.front().key] = programs_.begin();
}

Result<SeccompPlan> SeccompCache::runtime_default(CapabilitySet bounding) {
  std::string key = cat("default ", bounding);
  if (const SeccompPlan* kept = find(key)) return *kept;
  auto plan = compile_seccomp(default_seccomp_profile(bounding));
  if (plan) keep(std::move(key), *plan);
  return plan;
}

Result<SeccompPlan> SeccompCache::profile(std::string_view json, std::string_view where, CapabilitySet bounding) {
  if (json.size() > kMaxSeccompProfileBytes) {
    return fail(Code::kResourceExhausted,
                cat(where, " has ", json.size(), " bytes: at most ", kMaxSeccompProfileBytes, " are taken"));
  }
  std::string key = cat("profile ", bounding, " ", json);
  if (const SeccompPlan* kept = find(key)) return *kept;
  if (auto stored = store_ != nullptr ? store_->find(key) : std::nullopt) return std::move(*stored);
  auto parsed = parse_seccomp_profile(json, bounding);
  if (!parsed) return fail_with(std::move(parsed.error()), where);
  auto plan = compile_seccomp(*parsed);
  if (!plan) return fail_with(std::move(plan.error()), where);
  if (store_ != nullptr) store_->keep(key, *plan);
  keep(std::move(key), *plan);
  return plan;
}

}  // namespace gantry::runtime
