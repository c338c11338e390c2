// SPDX-License-Identifier: Apache-2.0
#include "control/identity/key_rotation.h"

#include <algorithm>

#include "base/text.h"
#include "control/identity/key_files.h"
#include "sys/file.h"
#include "sys/private_file.h"

namespace gantry::control {

namespace {

// A key that signs but is not in use yet; nothing when none was prepared.
Result<std::optional<PrivateKey>> read_next(FdRef folder, const char* name) {
  Result<std::optional<std::string>> text = read_if_there(folder, name);
  if (!text) return std::unexpected(std::move(text.error()));
  if (!*text) return std::nullopt;
  Result<PrivateKey> key = PrivateKey::read(**text);
  if (!key) return fail_with(std::move(key.error()), name);
  return std::optional(std::move(*key));
}

// The certificate that has this key; nothing when none has.
Result<std::optional<std::string>> find_certificate(const std::vector<std::string>& certificates,
                                                    const PublicKey& key) {
  for (const std::string& each : certificates) {
    Result<Certificate> certificate = read_certificate(each);
    if (!certificate) return std::unexpected(std::move(certificate.error()));
    if (certificate->key == key) return each;
  }
  return std::nullopt;
}

Status use_next(FdRef folder, const char* next, const char* in_use) {
  if (Status renamed = sys::renameat2(folder, next, folder, in_use, 0); !renamed) {
    return fail_with(std::move(renamed.error()), cat("rename ", next));
  }
  return sys::fsync(folder);
}

// Others would not know which of them is whose.
std::string next_name() {
  return cat("kubernetes@", std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
}

// The CA that is prepared, when it and its certificate are there.
Result<std::optional<Authority>> read_next_authority(FdRef folder, const AuthorityFiles& files) {
  Result<std::optional<PrivateKey>> key = read_next(folder, kCaNextKey);
  if (!key) return std::unexpected(std::move(key.error()));
  if (!*key) return std::nullopt;
  Result<std::vector<std::string>> trusted = split_certificates(files.trusted_pem);
  if (!trusted) return std::unexpected(std::move(trusted.error()));
  Result<std::optional<std::string>> certificate = find_certificate(*trusted, (*key)->public_key());
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  if (!*certificate) return std::nullopt;
  Result<Authority> authority = Authority::read(**certificate, (*key)->pem());
  if (!authority) return std::unexpected(std::move(authority.error()));
  return std::optional(std::move(*authority));
}

struct Authorities {
  AuthorityFiles files;
  std::optional<Authority> next;
  std::vector<std::string> trusted;  // certificates in PEM
};
Result<Authorities> read_authorities(FdRef folder) {
  Result<AuthorityFiles> files = read_authority(folder);
  if (!files) return std::unexpected(std::move(files.error()));
  Result<std::optional<Authority>> next = read_next_authority(folder, *files);
  if (!next) return std::unexpected(std::move(next.error()));
  Result<std::vector<std::string>> trusted = split_certificates(files->trusted_pem);
  if (!trusted) return std::unexpected(std::move(trusted.error()));
  return Authorities{std::move(*files), std::move(*next), std::move(*trusted)};
}

Result<KeyPair> take_given(const KeyPair& given) {
  Result<Authority> authority = Authority::read(given.certificate_pem, given.key_pem);
  if (!authority) return std::unexpected(std::move(authority.error()));
  if (Status good = authority->check_time(std::chrono::system_clock::now()); !good) {
    return std::unexpected(std::move(good.error()));
  }
  Result<std::vector<std::string>> certificates = split_certificates(given.certificate_pem);
  if (!certificates) return std::unexpected(std::move(certificates.error()));
  KeyPair taken{.certificate_pem = {}, .key_pem = authority->key().pem()};
  for (const std::string& each : *certificates) taken.certificate_pem += each;
  return taken;
}

// A key of which only the key was written gets its certificate now.
Result<KeyPair> make_next(FdRef folder) {
  Result<std::optional<PrivateKey>> left = read_next(folder, kCaNextKey);
  if (!left) return std::unexpected(std::move(left.error()));
  Result<PrivateKey> key = *left ? Result<PrivateKey>(std::move(**left)) : PrivateKey::generate();
  if (!key) return std::unexpected(std::move(key.error()));
  Result<Authority> made = Authority::make(std::move(*key), next_name(), kAuthorityLife);
  if (!made) return std::unexpected(std::move(made.error()));
  return KeyPair{made->certificate_pem(), made->key().pem()};
}

Status prepare_authority(FdRef folder, const std::optional<KeyPair>& given) {
  Result<AuthorityFiles> files = read_authority(folder);
  if (!files) return std::unexpected(std::move(files.error()));
  Result<std::optional<Authority>> prepared = read_next_authority(folder, *files);
  if (!prepared) return std::unexpected(std::move(prepared.error()));
  if (*prepared && !given) return {};
  Result<KeyPair> next = given ? take_given(*given) : make_next(folder);
  if (!next) return std::unexpected(std::move(next.error()));
  Result<Authority> authority = Authority::read(next->certificate_pem, next->key_pem);
  if (!authority) return std::unexpected(std::move(authority.error()));
  if (authority->certificate().key == files->authority.certificate().key) {
    return fail(Code::kFailedPrecondition, "this CA is in use already");
  }
  if (*prepared && (*prepared)->certificate().key == authority->certificate().key) return {};
  if (*prepared)
    return fail(Code::kFailedPrecondition, "another CA is prepared already: rotate it, or remove ca-next.key");
  // As the rotation will do.
  if (Result<std::string> vouched = files->authority.vouch_for(*authority); !vouched) {
    return std::unexpected(std::move(vouched.error()));
  }
  const std::string trusted = next->certificate_pem + files->trusted_pem;
  if (!split_certificates(trusted)) return fail(Code::kFailedPrecondition, "too many CAs are trusted: keys retire ca");
  if (Status written = sys::write_private_file(folder, kCaNextKey, next->key_pem); !written) return written;
  return sys::write_private_file(folder, kCaCertificates, trusted);
}

Status rotate_authority(FdRef folder) {
  if (Status prepared = prepare_authority(folder, std::nullopt); !prepared) return prepared;
  Result<AuthorityFiles> files = read_authority(folder);
  if (!files) return std::unexpected(std::move(files.error()));
  Result<std::optional<Authority>> next = read_next_authority(folder, *files);
  if (!next) return std::unexpected(std::move(next.error()));
  if (!*next) return fail(Code::kInternal, "the CA that was prepared is gone");
  if (Status good = (*next)->check_time(std::chrono::system_clock::now()); !good) return good;
  Result<std::string> vouched = files->authority.vouch_for(**next);
  if (!vouched) return std::unexpected(std::move(vouched.error()));
  if (Status written = sys::write_private_file(folder, kCaChain, *vouched + files->chain_pem); !written) return written;
  return use_next(folder, kCaNextKey, kCaKey);
}

// The CA that issues, those that have signed it, and one that is prepared.
Status retire_authorities(FdRef folder) {
  const Result<Authorities> all = read_authorities(folder);
  if (!all) return std::unexpected(all.error());
  std::vector<std::string> kept{all->files.authority.certificate_pem()};
  if (all->next) kept.push_back(all->next->certificate_pem());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    for (const std::string& each : all->trusted) {
      if (std::ranges::find(kept, each) == kept.end() && is_issuer(each, kept[i])) kept.push_back(each);
    }
  }
  std::string text;
  for (const std::string& each : kept) text += each;
  if (Status written = sys::write_private_file(folder, kCaCertificates, text); !written) return written;
  if (Status gone = sys::unlinkat(folder, kCaChain, 0); !gone && !gone.error().is_not_found()) return gone;
  return sys::fsync(folder);
}

Status prepare_token_key(FdRef folder) {
  Result<TokenKeyFiles> files = read_token_keys(folder);
  if (!files) return std::unexpected(std::move(files.error()));
  Result<std::optional<PrivateKey>> left = read_next(folder, kTokenNextKey);
  if (!left) return std::unexpected(std::move(left.error()));
  if (!*left) {
    Result<PrivateKey> made = PrivateKey::generate();
    if (!made) return std::unexpected(std::move(made.error()));
    if (Status written = sys::write_private_file(folder, kTokenNextKey, made->pem()); !written) return written;
    *left = std::move(*made);
  }
  std::vector<PublicKey> keys{(*left)->public_key(), files->signing.public_key()};
  keys.insert(keys.end(), files->verifying.begin(), files->verifying.end());
  const std::string text = pem_of(keys);
  if (text == pem_of(files->verifying)) return {};
  if (!PublicKey::read_all(text)) {
    return fail(Code::kFailedPrecondition, "too many keys are trusted: keys retire token");
  }
  return sys::write_private_file(folder, kTokenKeys, text);
}

Status rotate_token_key(FdRef folder) {
  if (Status prepared = prepare_token_key(folder); !prepared) return prepared;
  return use_next(folder, kTokenNextKey, kTokenKey);
}

Status retire_token_keys(FdRef folder) {
  Result<TokenKeyFiles> files = read_token_keys(folder);
  if (!files) return std::unexpected(std::move(files.error()));
  Result<std::optional<PrivateKey>> next = read_next(folder, kTokenNextKey);
  if (!next) return std::unexpected(std::move(next.error()));
  std::vector<PublicKey> keys{files->signing.public_key()};
  if (*next) keys.push_back((*next)->public_key());
  return sys::write_private_file(folder, kTokenKeys, pem_of(keys));
}

template <typename Step>
Status in_folder(const std::string& path, Step step) {
  Result<OwnFd> folder = lock_key_folder(path);
  if (!folder && folder.error().is_not_found()) {
    return fail(Code::kFailedPrecondition, cat(path, " is not there: the first start of gantry-control makes it"));
  }
  if (!folder) return std::unexpected(std::move(folder.error()));
  Status done = step(*folder);
  if (!done) return fail_with(std::move(done.error()), path);
  return done;
}

std::string_view state_of(const PublicKey& key, const PublicKey& in_use, const std::optional<PublicKey>& next) {
  if (key == in_use) return "in use";
  return next && key == *next ? "prepared" : "trusted";
}

Status list_authorities(FdRef folder, std::vector<KeyState>* list) {
  const Result<Authorities> all = read_authorities(folder);
  if (!all) return std::unexpected(all.error());
  const auto next_key = all->next ? std::optional(all->next->certificate().key) : std::nullopt;
  for (const std::string& each : all->trusted) {
    Result<Certificate> certificate = read_certificate(each);
    if (!certificate) return std::unexpected(std::move(certificate.error()));
    list->push_back({.use = KeyUse::kCa,
                     .state = state_of(certificate->key, all->files.authority.certificate().key, next_key),
                     .id = certificate->key.pin(),
                     .name = certificate->subject.common_name,
                     .not_after = certificate->not_after});
  }
  return {};
}

Status list_token_keys(FdRef folder, std::vector<KeyState>* list) {
  Result<TokenKeyFiles> files = read_token_keys(folder);
  if (!files) return std::unexpected(std::move(files.error()));
  Result<std::optional<PrivateKey>> next = read_next(folder, kTokenNextKey);
  if (!next) return std::unexpected(std::move(next.error()));
  const auto next_key = *next ? std::optional((*next)->public_key()) : std::nullopt;
  for (const PublicKey& each : files->verifying) {
    list->push_back({.use = KeyUse::kToken,
                     .state = state_of(each, files->signing.public_key(), next_key),
                     .id = each.id(),
                     .name = {},
                     .not_after = std::nullopt});
  }
  return {};
}

}  // namespace

Status prepare_key(const std::string& folder, KeyUse use, const std::optional<KeyPair>& given) {
  return in_folder(folder,
                   [&](FdRef fd) { return use == KeyUse::kCa ? prepare_authority(fd, given) : prepare_token_key(fd); });
}

Status rotate_key(const std::string& folder, KeyUse use) {
  return in_folder(folder, use == KeyUse::kCa ? rotate_authority : rotate_token_key);
}

Status retire_keys(const std::string& folder, KeyUse use) {
  return in_folder(folder, use == KeyUse::kCa ? retire_authorities : retire_token_keys);
}

Result<std::vector<KeyState>> list_keys(const std::string& folder) {
  std::vector<KeyState> list;
  Status listed = in_folder(folder, [&list](FdRef fd) {
    Status done = list_authorities(fd, &list);
    return done ? list_token_keys(fd, &list) : done;
  });
  if (!listed) return std::unexpected(std::move(listed.error()));
  return list;
}

}  // namespace gantry::control
