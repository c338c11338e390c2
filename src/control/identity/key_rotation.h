// SPDX-License-Identifier: Apache-2.0
// How a cluster changes its CA and the key of service accounts' tokens while it goes on, in three steps over the files
// of key_files.h. Each may be killed anywhere and done again: the cluster is as it was, or as it is to be.
//   prepare   a new one is made, or taken, and trusted beside those that are there. Nothing uses it yet.
//   rotate    the new one is used (made first, if it is not there): the CA issues, the key signs. The old one's
//             certificates and tokens stay good, and who trusts the old CA alone trusts the new one's certificates.
//   retire    those that are no longer used are trusted no more.
// A server that runs takes what is new by itself. Blocking.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/identity/cluster_identity.h"

namespace gantry::control {

enum class KeyUse { kCa, kToken };

// `given`: a new CA that is there already; its certificate may have others behind it, which have signed it.
Status prepare_key(const std::string& folder, KeyUse use, const std::optional<KeyPair>& given = std::nullopt);
Status rotate_key(const std::string& folder, KeyUse use);
Status retire_keys(const std::string& folder, KeyUse use);

struct KeyState {
  KeyUse use;
  std::string_view state;  // "in use", "prepared", "trusted"
  std::string id;          // of a CA its pin ("sha256:..."), of a token's key what tokens name it by
  std::string name;        // a CA's common name
  std::optional<CertificateTime> not_after;
};
// All that are trusted, CAs first.
Result<std::vector<KeyState>> list_keys(const std::string& folder);

}  // namespace gantry::control
