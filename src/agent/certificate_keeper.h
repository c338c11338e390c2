// SPDX-License-Identifier: Apache-2.0
// CertificateKeeper: a certificate of this node that is asked of the cluster, kept in files and renewed in time:
// between 70 and 90 % of its life, at a moment of its own, so that a thousand nodes don't come at once. What fails is
// tried again for as long as it takes; the one that there is stays in use.
//
// Owner: main, to the end of the process. Loop thread; files on the pool.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/certificate_request.h"
#include "agent/certificate_store.h"
#include "agent/cluster.h"

namespace gantry::agent {

// When a certificate is renewed that is good for that time; `random` from 0 to 1.
std::chrono::system_clock::time_point renewal_of(const CertificateFacts& facts, double random);

class CertificateKeeper {
 public:
  struct Options {
    std::string signer;
    CertificateStore store;
    // What it shall be for; asked anew each time. Without alternative names where some are needed it waits.
    std::function<CertificateNames()> names;
    // A new one is stored; also once for one that was there at the start.
    std::function<void(const StoredCertificate&)> changed;
    // False: one that is not there is not asked for, only renewed.
    bool asks_first = true;
  };
  // All outlive it.
  CertificateKeeper(Cluster& cluster, Pool& disk, Options options);
  CertificateKeeper(const CertificateKeeper&) = delete;
  CertificateKeeper& operator=(const CertificateKeeper&) = delete;

  void start();
  void stop();
  // The names may have changed.
  void look_again() { wake_.set(); }

 private:
  Task<> run();
  Task<Status> renew(CertificateNames names);
  Task<> wait(Duration time);
  bool is_good_for(const CertificateFacts& facts, const CertificateNames& names) const;

  Cluster& cluster_;
  Pool& disk_;
  const Options options_;
  Event wake_;
  bool stopped_ = false;
};

// The serving certificate's names: what the Node says it is reached at.
CertificateNames serving_names(const Cluster& cluster);

}  // namespace gantry::agent
