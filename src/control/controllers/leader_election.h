// SPDX-License-Identifier: Apache-2.0
// Leader election by a Lease, as client-go's: of several control planes one works at a time. A holder that could not
// renew stops before its lease can be taken by another, also when the process was stopped and continued: times are of a
// clock that goes on while it stands still (CLOCK_BOOTTIME), and others count from when they saw the lease change.
//
// One loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/client/client.h"
#include "api/time.h"

namespace gantry::control {

struct ElectionOptions {
  std::string ns = "kube-system";
  std::string name;      // "kube-controller-manager"
  std::string identity;  // unlike that of any other process that may live at the same time
  Duration lease = std::chrono::seconds(15);
  Duration renew_limit = std::chrono::seconds(10);
  Duration retry = std::chrono::seconds(2);
};

class LeaderElection {
 public:
  LeaderElection(api::Client& client, ElectionOptions options, std::function<api::Timestamp()> now);

  // Returns when this process holds the lease.
  Task<> acquire();
  // Keeps it, and returns when it could not be renewed for `renew_limit`, or is another's.
  Task<> hold();
  // The lease is this process's, and nobody else can take it yet: hold() has returned, or is about to, when it is not.
  bool is_held() const { return steady_now() < held_until_; }
  // Gives it up, so that another need not wait. Only after hold() has returned or when the holder has stopped its work.
  Task<> release();

 private:
  struct Attempt;
  Task<bool> try_once();
  Task<> attempt(std::shared_ptr<Attempt> attempt);
  Task<bool> try_within(Duration limit);
  Duration steady_now() const;

  api::Client& client_;
  ElectionOptions options_;
  std::function<api::Timestamp()> now_;
  std::string seen_version_;  // of the lease, and when it was first seen
  Duration seen_at_{};
  Duration held_until_{};
  bool is_others_ = false;  // when it was last read
};

}  // namespace gantry::control
