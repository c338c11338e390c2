// SPDX-License-Identifier: Apache-2.0
// Expectations: what an owner has asked for and not seen yet. An informer is behind what was written; until it shows a
// pod that was made, or the end of one that was deleted, that counts as done, and is not asked for again. What is not
// seen within kPatience is given up.
//
// Bound to one thread. Times are any steady clock's.
#pragma once

#include <set>
#include <string>
#include <unordered_map>

#include "base/loop.h"

namespace gantry::control::workloads {

class Expectations {
 public:
  static constexpr Duration kPatience = std::chrono::minutes(5);

  // A pod of that key ("namespace/name") is being made, or one of that uid deleted, for this owner.
  void expect_made(const std::string& owner_uid, const std::string& pod_key, Duration now);
  void expect_gone(const std::string& owner_uid, const std::string& pod_uid, Duration now);
  // It was seen, or there will be nothing to see. The uid of the owner who expected it; "" if nobody did.
  std::string forget_made(const std::string& pod_key) { return forget(making_, pod_key, /*made=*/true); }
  std::string forget_gone(const std::string& pod_uid) { return forget(removing_, pod_uid, /*made=*/false); }
  void forget_owner(const std::string& owner_uid);
  // Gives up what is older than kPatience; the uids of the owners who expected it.
  std::set<std::string> expire(Duration now);

  bool is_settled(const std::string& owner_uid) const { return !of_owner_.contains(owner_uid); }
  bool is_made(const std::string& pod_key) const { return making_.contains(pod_key); }
  bool is_removed(const std::string& pod_uid) const { return removing_.contains(pod_uid); }

 private:
  struct Expected {
    std::string owner;
    Duration since;
  };
  using Table = std::unordered_map<std::string, Expected>;
  struct OfOwner {
    std::set<std::string> made, gone;
  };
  std::string forget(Table& table, const std::string& key, bool made);

  Table making_;    // by the pod's key
  Table removing_;  // by its uid
  std::unordered_map<std::string, OfOwner> of_owner_;  // none of them empty
};

}  // namespace gantry::control::workloads
