// SPDX-License-Identifier: Apache-2.0
// A folder of keys of a test's own, in memory, and what a server loads from it.
#pragma once

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>

#include "control/identity/cluster_identity.h"

namespace gantry::control {

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() {
    char path[] = "/dev/shm/gantry-identity-test-XXXXXX";
    if (::mkdtemp(path) == nullptr) ADD_FAILURE() << "mkdtemp " << path;
    root_ = path;
    options_.folder = root_ / "pki";
  }
  ~IdentityTest() override { std::filesystem::remove_all(root_); }

  ClusterIdentity load() {
    Result<ClusterIdentity> identity = load_identity(options_);
    if (!identity) {
      ADD_FAILURE() << identity.error().message();
      std::abort();
    }
    return std::move(*identity);
  }

  std::filesystem::path root_;
  IdentityOptions options_;
};

}  // namespace gantry::control
