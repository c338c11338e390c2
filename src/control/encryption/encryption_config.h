// SPDX-License-Identifier: Apache-2.0
// The file of `--encryption-provider-config`: upstream's EncryptionConfiguration (apiserver.config.k8s.io/v1), which
// says which resources are encrypted with which keys. Providers are aesgcm, aescbc, secretbox and identity; kms is not
// there. Errors name the field and repeat no secret.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/encryption/value_keys.h"

namespace gantry::control {

class EncryptionConfig {
 public:
  static Result<EncryptionConfig> parse(std::string_view text);
  // Blocking.
  static Result<EncryptionConfig> read(const std::string& path);

  // Of the first entry that has the resource ("secrets", ""; "deployments", "apps"), by name, as `*.apps`, `*.` (the
  // core group) or `*.*`. Null: it is stored as it is.
  std::shared_ptr<const ValueKeys> keys_of(std::string_view plural, std::string_view group) const;

 private:
  struct Rule {
    std::vector<std::string> resources;
    std::shared_ptr<const ValueKeys> keys;
  };
  std::vector<Rule> rules_;
};

}  // namespace gantry::control
