// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/expectations.h"

#include <vector>

namespace gantry::control::workloads {

void Expectations::expect_made(const std::string& owner_uid, const std::string& pod_key, Duration now) {
  making_.insert_or_assign(pod_key, Expected{owner_uid, now});
  of_owner_[owner_uid].made.insert(pod_key);
}

void Expectations::expect_gone(const std::string& owner_uid, const std::string& pod_uid, Duration now) {
  removing_.insert_or_assign(pod_uid, Expected{owner_uid, now});
  of_owner_[owner_uid].gone.insert(pod_uid);
}

std::string Expectations::forget(Table& table, const std::string& key, bool made) {
  const auto found = table.find(key);
  if (found == table.end()) return {};
  std::string owner = std::move(found->second.owner);
  table.erase(found);
  if (const auto all = of_owner_.find(owner); all != of_owner_.end()) {
    (made ? all->second.made : all->second.gone).erase(key);
    if (all->second.made.empty() && all->second.gone.empty()) of_owner_.erase(all);
  }
  return owner;
}

void Expectations::forget_owner(const std::string& owner_uid) {
  const auto found = of_owner_.find(owner_uid);
  if (found == of_owner_.end()) return;
  for (const std::string& key : found->second.made) making_.erase(key);
  for (const std::string& uid : found->second.gone) removing_.erase(uid);
  of_owner_.erase(found);
}

std::set<std::string> Expectations::expire(Duration now) {
  std::vector<std::string> made, gone;
  for (const auto& [key, expected] : making_) {
    if (now - expected.since >= kPatience) made.push_back(key);
  }
  for (const auto& [uid, expected] : removing_) {
    if (now - expected.since >= kPatience) gone.push_back(uid);
  }
  std::set<std::string> owners;
  for (const std::string& key : made) owners.insert(forget_made(key));
  for (const std::string& uid : gone) owners.insert(forget_gone(uid));
  return owners;
}

}  // namespace gantry::control::workloads
