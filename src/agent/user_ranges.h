// SPDX-License-Identifier: Apache-2.0
// The ids of pods with a user namespace (spec.hostUsers: false). Each has a range of its own, of users and of groups
// alike, from before its sandbox is made until nothing of it runs any more; no two pods have one id in common. As with
// kubelet the record is in the pod's folder, ROOT/pods/UID/userns, and there before anything has the ids: whatever
// gantryd was killed at, the next one finds who has which. A reboot ends all who had some.
//
// They are taken from what /etc/subuid and /etc/subgid give to the user "kubelet"; without such lines from all ids but
// those of a first range, which are the host's, and of a last one, in which the kernel's "no id" is. As kubelet's, the
// choice is at random: agents that share a machine and know nothing of each other hardly ever meet.
//
// of() does not block, all others do. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::agent {

struct UserRange {
  std::uint32_t first = 0, length = 0;
  friend bool operator==(const UserRange&, const UserRange&) = default;
};

// What pods' ranges are taken from, by the texts of the two files. The error: they name the user "kubelet" and not the
// same single range, or one that is not made of ranges of `per_pod`, beyond the first of them.
Result<UserRange> ids_for_pods(std::string_view subuid, std::string_view subgid, std::uint32_t per_pod);

class UserRanges {
 public:
  // userNamespaces.idsPerPod, of which there is a multiple in each record that is new.
  static constexpr std::uint32_t kUnit = 65536;

  struct Places {
    std::string pods;  // the folder of pods' folders
    std::string subuid = "/etc/subuid", subgid = "/etc/subgid";
  };

  // Precondition: per_pod is a multiple of kUnit, and not 0.
  UserRanges(Places places, std::uint32_t per_pod) : places_(std::move(places)), per_pod_(per_pod) {}

  // Once, before the first take(): who has which. A record whose pod's folder holds nothing else, of a pod that is not
  // among `with_sandbox`, is of one that never came to be, and removed. The error says why no pod gets new ids.
  Status load(const std::set<std::string>& with_sandbox);

  // The pod's, recorded before this returns; the same as long as it has them.
  Result<UserRange> take(const std::string& uid);
  // What the pod has; nothing when it has none.
  std::optional<UserRange> of(const std::string& uid) const;
  // Of a pod of which nothing runs any more. One that has none is fine.
  Status release(const std::string& uid);

 private:
  Status load_all(const std::set<std::string>& with_sandbox);
  Status load_one(const std::string& uid, bool has_sandbox);
  Status remove_record(const std::string& uid) const;
  Status write_record(const std::string& uid, UserRange range) const;
  std::string folder_of(const std::string& uid) const { return places_.pods + "/" + uid; }
  std::optional<UserRange> free_range() const;

  const Places places_;
  const std::uint32_t per_pod_;
  std::mutex writing_;        // held over the disk by who changes what is below; taken before mutex_
  mutable std::mutex mutex_;  // of ranges_, while it is changed, and in of()
  Status loaded_;             // its error keeps new pods from ids
  UserRange all_;
  std::map<std::string, UserRange> ranges_;  // by uid
};

}  // namespace gantry::agent
