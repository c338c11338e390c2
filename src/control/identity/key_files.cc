// SPDX-License-Identifier: Apache-2.0
#include "control/identity/key_files.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>

#include "base/text.h"
#include "control/pki/files.h"
#include "sys/file.h"

namespace gantry::control {

namespace {

// The certificates of the chain are the authority's from the first one on that has its key. What stands before that is
// of one that was never used.
Result<std::string> chain_of(const Authority& authority, const std::string& pem) {
  Result<std::vector<std::string>> certificates = split_certificates(pem);
  if (!certificates) return std::unexpected(std::move(certificates.error()));
  std::string chain;
  for (const std::string& each : *certificates) {
    Result<Certificate> certificate = read_certificate(each);
    if (!certificate) return std::unexpected(std::move(certificate.error()));
    if (!chain.empty() || certificate->key == authority.certificate().key) chain += each;
  }
  return chain;
}

}  // namespace

Result<OwnFd> lock_key_folder(const std::string& path) {
  Result<OwnFd> folder = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!folder) return fail_with(std::move(folder.error()), path);
  while (::flock(folder->get(), LOCK_EX) < 0) {
    if (errno != EINTR) return std::unexpected(Error::from_errno(errno, cat("lock ", path)));
  }
  return folder;
}

Result<std::optional<std::string>> read_if_there(FdRef folder, const std::string& name) {
  Result<std::string> text = read_pem_file(folder, name);
  if (text) return std::move(*text);
  if (text.error().is_not_found()) return std::nullopt;
  return std::unexpected(std::move(text.error()));
}

Result<std::string> read_needed(FdRef folder, const std::string& name) {
  Result<std::optional<std::string>> text = read_if_there(folder, name);
  if (!text) return std::unexpected(std::move(text.error()));
  if (!*text) return fail(Code::kFailedPrecondition, cat(name, " is not there"));
  return std::move(**text);
}

Result<AuthorityFiles> read_authority(FdRef folder) {
  Result<std::string> certificates = read_needed(folder, kCaCertificates);
  if (!certificates) return std::unexpected(std::move(certificates.error()));
  Result<std::optional<std::string>> key = read_if_there(folder, kCaKey);
  if (!key) return std::unexpected(std::move(key.error()));
  if (!*key) return fail(Code::kFailedPrecondition, "ca.crt is there, but its key ca.key is not");
  Result<Authority> authority = Authority::read(*certificates, **key);
  if (!authority) return fail_with(std::move(authority.error()), "ca.crt and ca.key");
  AuthorityFiles files{.authority = std::move(*authority), .trusted_pem = std::move(*certificates), .chain_pem = {}};
  Result<std::optional<std::string>> chain = read_if_there(folder, kCaChain);
  if (!chain) return std::unexpected(std::move(chain.error()));
  if (!*chain) return files;
  Result<std::string> own = chain_of(files.authority, **chain);
  if (!own) return fail_with(std::move(own.error()), kCaChain);
  files.chain_pem = std::move(*own);
  return files;
}

Result<TokenKeyFiles> read_token_keys(FdRef folder) {
  Result<std::string> text = read_needed(folder, kTokenKey);
  if (!text) return std::unexpected(std::move(text.error()));
  Result<PrivateKey> signing = PrivateKey::read(*text);
  if (!signing) return fail_with(std::move(signing.error()), kTokenKey);
  TokenKeyFiles files{.signing = std::move(*signing), .verifying = {}};
  Result<std::optional<std::string>> others = read_if_there(folder, kTokenKeys);
  if (!others) return std::unexpected(std::move(others.error()));
  if (!*others) return files;
  Result<std::vector<PublicKey>> keys = PublicKey::read_all(**others);
  if (!keys) return fail_with(std::move(keys.error()), kTokenKeys);
  files.verifying = std::move(*keys);
  return files;
}

std::string pem_of(const std::vector<PublicKey>& keys) {
  std::string text;
  for (auto each = keys.begin(); each != keys.end(); ++each) {
    if (std::find(keys.begin(), each, *each) == each) text += each->pem();
  }
  return text;
}

}  // namespace gantry::control
