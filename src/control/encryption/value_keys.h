// SPDX-License-Identifier: Apache-2.0
// ValueKeys: the keys of some resources. The first one is for writing, each of them for reading what bears its prefix,
// `k8s:enc:PROVIDER:v1:KEY:`; so keys are changed by adding one, writing everything again, and taking the old one away.
// Immutable; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/encryption/value_cipher.h"

namespace gantry::control {

class ValueKeys {
 public:
  struct Key {
    std::string prefix;                         // "k8s:enc:aesgcm:v1:first:"; empty with identity
    std::shared_ptr<const ValueCipher> cipher;  // null is identity: values as they are
  };
  // At least one.
  explicit ValueKeys(std::vector<Key> keys) : keys_(std::move(keys)) {}

  // `context` is the store's key.
  Result<std::string> seal(std::string_view plain, std::string_view context) const;

  struct Opened {
    std::string plain;
    bool outdated = false;  // it would be written with another key today
  };
  // kDataLoss for what none of the keys can read.
  Result<Opened> open(std::string_view stored, std::string_view context) const;

 private:
  std::vector<Key> keys_;
};

}  // namespace gantry::control
