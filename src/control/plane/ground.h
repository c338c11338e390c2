// SPDX-License-Identifier: Apache-2.0
// What everything else of a control plane stands on: who it is, what it remembers, the kinds, and the caches of all
// that is stored.
#pragma once

#include <memory>

#include "api/kind.h"
#include "base/metrics.h"
#include "control/encryption/encrypted_store.h"
#include "control/encryption/encryption_config.h"
#include "control/identity/cluster_identity.h"
#include "control/plane/options.h"
#include "control/server/caches.h"
#include "control/server/objects.h"
#include "control/store/store.h"

namespace gantry::control {

struct Ground {
  Ground(Loop& home, ClusterIdentity made_identity, std::unique_ptr<Store> opened, const EncryptionConfig& encryption);

  metrics::Registry metrics;
  ClusterIdentity identity;
  api::Kinds kinds;
  EncryptedStore* encrypted = nullptr;  // the store, if it is one
  std::unique_ptr<Store> store;
  Objects objects;
  Caches caches;
};

// Blocking, and runs the loop. An etcd that does not answer is waited for until `stopping`, then it is kUnavailable.
Result<std::unique_ptr<Ground>> make_ground(Loop& home, const PlaneOptions& options, Event& stopping);

// kubernetes_build_info.
void add_build_info(metrics::Registry& registry, const std::string& version);

// The store's file, when it is one.
std::string sqlite_path(const PlaneOptions& options);

// Writes again what is not encrypted as it should be.
Task<> renew_encryption(Loop& home, EncryptedStore& store);

// How the identity of these options is made, and made anew before its certificates end.
IdentityOptions identity_options(const PlaneOptions& options);

// Runs the loop until the task ended.
Status run_to_end(Loop& loop, Task<Status> task);

// The wall clock.
api::Timestamp wall_clock();

}  // namespace gantry::control
