// SPDX-License-Identifier: Apache-2.0
// Seccomp profiles, compiled (seccomp(2)). Compiling one takes about half a millisecond, so programs are kept: one for
// each distinct (profile, capability set). The default profile is what people know from docker and containerd: a list
// of what is allowed, some of it only with a capability, everything else EPERM, and clone3 ENOSYS so that libc falls
// back to clone, whose flags can be seen. Calls newer than a profile give ENOSYS, not EPERM: programs then fall back as
// on an older kernel. A process of an architecture that the profile does not name is killed.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "runtime/plan/capabilities.h"
#include "runtime/plan/plan.h"

namespace gantry::runtime {

inline constexpr std::size_t kMaxSeccompProfileBytes = 1U << 20;

// Where programs of profiles are kept for longer than a SeccompCache lives. `key` is all that a program was made from.
class SeccompStore {
 public:
  virtual ~SeccompStore() = default;
  virtual std::optional<SeccompPlan> find(std::string_view key) = 0;
  virtual void keep(std::string_view key, const SeccompPlan& plan) = 0;
};

// One thread at a time.
class SeccompCache {
 public:
  // `capacity` programs are kept (each some KiB), the least recently used is dropped first. `store`, if there is one,
  // has those of profiles, too.
  explicit SeccompCache(std::size_t capacity = 64, SeccompStore* store = nullptr)
      : capacity_(capacity), store_(store) {}

  // The default profile for a container with this bounding set.
  Result<SeccompPlan> runtime_default(CapabilitySet bounding);
  // A profile in docker's or OCI's JSON form. `where` is for messages: what it is. A name that nobody knows
  // is left out, as runc does: the default action stands for it. One that leaves calls to an agent (SCMP_ACT_NOTIFY)
  // has SECCOMP_FILTER_FLAG_NEW_LISTENER among its flags.
  Result<SeccompPlan> profile(std::string_view json, std::string_view where, CapabilitySet bounding);

  std::size_t size() const { return programs_.size(); }

 private:
  struct Entry {
    std::string key;
    SeccompPlan plan;
  };
  const SeccompPlan* find(const std::string& key);
  void keep(std::string key, const SeccompPlan& plan);

  std::size_t capacity_;
  SeccompStore* store_;
  std::list<Entry> programs_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
};

}  // namespace gantry::runtime
