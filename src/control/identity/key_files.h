// SPDX-License-Identifier: Apache-2.0
// The files of a cluster's CA and of the keys of service accounts' tokens, in the folder pki of the data folder:
//   ca.key        the key of the CA that issues; of the certificates in ca.crt the one that has it is this CA's
//   ca.crt        who is trusted: the CA that issues, and others beside it: older ones, and one that is to come
//   ca-chain.crt  the CA's certificates by those before it, the newest first; they stand behind what it issues, so that
//                 who trusts an older one alone trusts that, too
//   ca-next.key   the key of a CA that is trusted already and does not issue yet
//   sa.key        signs tokens
//   sa.pub        by which tokens are verified: the key that signs, and others beside it
//   sa-next.key   verifies already and does not sign yet
// Each is replaced as a whole. What is in use changes by the renaming of one file, NAME-next.key to NAME.key; whatever
// of the others is written before or after it, or is not, changes who is trusted and nothing else. Blocking.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "control/pki/authority.h"
#include "control/pki/key.h"

namespace gantry::control {

inline constexpr char kCaKey[] = "ca.key", kCaCertificates[] = "ca.crt", kCaChain[] = "ca-chain.crt",
                      kCaNextKey[] = "ca-next.key";
inline constexpr char kTokenKey[] = "sa.key", kTokenKeys[] = "sa.pub", kTokenNextKey[] = "sa-next.key";

// How long a CA that is made here is good for.
inline constexpr std::chrono::hours kAuthorityLife{24 * 365 * 10};

// The folder, locked for as long as it is open: who writes waits for who reads and writes. kNotFound when there is
// none.
Result<OwnFd> lock_key_folder(const std::string& path);

// Nothing when there is no such file.
Result<std::optional<std::string>> read_if_there(FdRef folder, const std::string& name);
// kFailedPrecondition when there is no such file.
Result<std::string> read_needed(FdRef folder, const std::string& name);

struct AuthorityFiles {
  Authority authority;
  std::string trusted_pem;  // ca.crt
  std::string chain_pem;    // what of ca-chain.crt is the authority's; may be empty
};
// What is there; kFailedPrecondition when something is missing. The CA may have ended.
Result<AuthorityFiles> read_authority(FdRef folder);

struct TokenKeyFiles {
  PrivateKey signing;
  std::vector<PublicKey> verifying;  // as sa.pub has them, which may lack the one that signs
};
Result<TokenKeyFiles> read_token_keys(FdRef folder);
// The texts of these keys one after the other, each once.
std::string pem_of(const std::vector<PublicKey>& keys);

}  // namespace gantry::control
