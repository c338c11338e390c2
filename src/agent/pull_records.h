// SPDX-License-Identifier: Apache-2.0
// PullRecords: which pods may use which images that are on the node. An image that was pulled with one pod's secret is
// another's only when that one shows a secret that was good for it, too, or pulls it himself: then the registry says.
// What the agent has not pulled (preloaded images) is judged by the policy (pull_verification.h).
//
// An intent is on the disk before a pull begins and until it has ended, so that an image which came while the agent was
// killed is never taken for a preloaded one. A pull that was given up may end later by itself: its intent stays until
// the image was pulled, or is not there an hour later.
//
// Owner: the agent. Loop thread; files on the pool.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/pull_record_files.h"
#include "agent/pull_verification.h"
#include "base/lock.h"
#include "base/loop.h"
#include "base/task.h"

namespace gantry::agent {

// How a credential is told from others without telling it: a hash, hex.
std::string hash_of(const images::Credentials& credentials);

class PullRecords {
 public:
  // The pool outlives it and what is under way.
  PullRecords(Loop& loop, Pool& disk, std::string folder, PullVerification rules);
  PullRecords(const PullRecords&) = delete;
  PullRecords& operator=(const PullRecords&) = delete;

  // First of all, and once: what an earlier agent knew.
  Task<Status> load();

  enum class Use : std::uint8_t { kFree, kSecretDecides, kNot };
  // `image` is the name that a pod has for it, `id` the image's.
  Use use_of(const std::string& image, const std::string& id) const;
  // The pod has these: one of them was good for it. What is new of them is kept for the next time.
  Task<bool> is_good(std::string image, std::string id, std::vector<PullCredentials> shown);

  // Before a pull. An error: it must not begin.
  Task<Status> begin(std::string image);
  // It has ended well; `by` without a secret: with what the node has, or with nothing.
  Task<> succeeded(std::string image, std::string id, PullCredentials by);
  Task<> failed(std::string image);
  // Nobody waits for it any more.
  void given_up(const std::string& image);

  // Forgets what is known of images that are not here. `began`: before they were listed; what came since stays.
  // `names` are all that images here are called.
  Task<> keep_only(std::set<std::string> ids, std::set<std::string> names, std::chrono::system_clock::time_point began);

 private:
  struct Intent {
    int under_way = 0;
    bool may_end_later = false;
    std::chrono::system_clock::time_point since;
  };
  bool was_pulled_here(const std::string& image, const std::string& id) const;
  Task<> record(std::string image, std::string id, std::vector<RecordedSecret> secrets, bool every_pod);
  Task<> end_intent(std::string image);

  Pool& disk_;
  const std::shared_ptr<const PullRecordFiles> files_;
  const PullVerification rules_;
  Lock writing_;
  std::map<std::string, Intent> intents_;        // by the image's name as pods have it
  std::map<std::string, PulledRecord> records_;  // by the image's id
  std::set<std::string> broken_;                 // files
};

}  // namespace gantry::agent
