// SPDX-License-Identifier: Apache-2.0
#include "control/identity/cluster_identity.h"

#include <fcntl.h>

#include <algorithm>
#include <tuple>

#include "api/ip_network.h"
#include "api/text.h"
#include "base/text.h"
#include "control/identity/key_files.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/private_file.h"

namespace gantry::control {

namespace {

using std::chrono::hours;

constexpr auto kCertificateLife = hours(24 * 365);
constexpr auto kRenewBefore = hours(24 * 30);

// The key first: a key without its certificate gets one at the next start, the other way round nothing goes.
Status write_pair(FdRef folder, const std::string& name, const KeyPair& pair) {
  if (Status written = sys::write_private_file(folder, name + ".key", pair.key_pem); !written) return written;
  return sys::write_private_file(folder, name + ".crt", pair.certificate_pem);
}

// With one that has ended nothing is served; it can still be replaced (key_rotation.h).
Result<AuthorityFiles> read_authority_that_issues(FdRef folder) {
  Result<AuthorityFiles> files = read_authority(folder);
  if (!files) return files;
  if (Status good = files->authority.check_time(std::chrono::system_clock::now()); !good) {
    return fail_with(std::move(good.error()), kCaCertificates);
  }
  return files;
}

Result<AuthorityFiles> load_authority(FdRef folder, bool make_missing) {
  Result<std::optional<std::string>> certificate = read_if_there(folder, kCaCertificates);
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  if (*certificate || !make_missing) return read_authority_that_issues(folder);
  // A key without its certificate is one that a crash, or somebody, has left.
  Result<std::optional<std::string>> present = read_if_there(folder, kCaKey);
  if (!present) return std::unexpected(std::move(present.error()));
  Result<PrivateKey> key = *present ? PrivateKey::read(**present) : PrivateKey::generate();
  if (!key) return fail_with(std::move(key.error()), kCaKey);
  Result<Authority> made = Authority::make(std::move(*key), "kubernetes", kAuthorityLife);
  if (!made) return std::unexpected(std::move(made.error()));
  if (Status written = write_pair(folder, "ca", {made->certificate_pem(), made->key().pem()}); !written) {
    return std::unexpected(std::move(written.error()));
  }
  return read_authority_that_issues(folder);
}

bool includes(std::vector<std::string> all, std::vector<std::string> some) {
  std::ranges::sort(all);
  std::ranges::sort(some);
  return std::ranges::includes(all, some);
}

// Whether the pair still does for what is ordered.
bool is_good(const Authority& authority, const KeyPair& pair, const CertificateOrder& order) {
  if (!check_certificate(pair.certificate_pem, pair.key_pem, authority.certificate_pem())) return false;
  Result<Certificate> certificate = read_certificate(pair.certificate_pem);
  if (!certificate) return false;
  const auto until = std::min(std::chrono::system_clock::now() + kRenewBefore, authority.certificate().not_after);
  return certificate->not_after >= until && certificate->subject.common_name == order.subject.common_name &&
         certificate->subject.organizations == order.subject.organizations &&
         includes(certificate->names.dns, order.names.dns) && includes(certificate->names.ips, order.names.ips);
}

// What is in the files is without the chain.
Result<KeyPair> load_pair(FdRef folder, const std::string& name, const AuthorityFiles& files,
                          const CertificateOrder& order) {
  const Authority& authority = files.authority;
  Result<std::optional<std::string>> certificate = read_if_there(folder, name + ".crt");
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  Result<std::optional<std::string>> key = read_if_there(folder, name + ".key");
  if (!key) return std::unexpected(std::move(key.error()));
  if (*certificate && *key) {
    KeyPair present{std::move(**certificate), std::move(**key)};
    // One that was brought may end without it, and another certificate follows.
    if (!present.certificate_pem.ends_with('\n')) present.certificate_pem += '\n';
    if (is_good(authority, present, order)) {
      present.certificate_pem += files.chain_pem;
      return present;
    }
  }
  Result<PrivateKey> made = PrivateKey::generate();
  if (!made) return std::unexpected(std::move(made.error()));
  Result<std::string> issued = authority.issue(made->public_key(), order);
  if (!issued) return std::unexpected(std::move(issued.error()).with_context(cat("certificate ", name)));
  KeyPair pair{std::move(*issued), made->pem()};
  // A CA may be one that says it is, and whose word is worth nothing.
  if (Status good = check_certificate(pair.certificate_pem, pair.key_pem, authority.certificate_pem()); !good) {
    return fail_with(std::move(good.error()), cat("certificate ", name));
  }
  if (Status written = write_pair(folder, name, pair); !written) return std::unexpected(std::move(written.error()));
  pair.certificate_pem += files.chain_pem;
  return pair;
}

Result<TokenKeyFiles> load_token_keys(FdRef folder, bool make_missing) {
  Result<std::optional<std::string>> present = read_if_there(folder, kTokenKey);
  if (!present) return std::unexpected(std::move(present.error()));
  if (!*present && make_missing) {
    Result<PrivateKey> made = PrivateKey::generate();
    if (!made) return std::unexpected(std::move(made.error()));
    // Who takes a key away wants its tokens to be refused.
    if (Status written = sys::write_private_file(folder, kTokenKeys, made->public_key().pem()); !written) {
      return std::unexpected(std::move(written.error()));
    }
    if (Status written = sys::write_private_file(folder, kTokenKey, made->pem()); !written) {
      return std::unexpected(std::move(written.error()));
    }
  }
  Result<TokenKeyFiles> keys = read_token_keys(folder);
  if (!keys || std::ranges::count(keys->verifying, keys->signing.public_key()) > 0) return keys;
  // As it is at the first start, and when somebody has brought another key.
  keys->verifying.insert(keys->verifying.begin(), keys->signing.public_key());
  if (Status written = sys::write_private_file(folder, kTokenKeys, pem_of(keys->verifying)); !written) {
    return std::unexpected(std::move(written.error()));
  }
  return keys;
}

void add(std::vector<std::string>* list, std::string text) {
  if (std::ranges::find(*list, text) == list->end()) list->push_back(std::move(text));
}

CertificateOrder serving_order(const IdentityOptions& options) {
  CertificateOrder order = order_for(kCertificateLife);
  order.subject.common_name = "kube-apiserver";
  order.usages = serving_usages();
  const std::string domain = cat("kubernetes.default.svc.", options.cluster_domain);
  for (const char* name : {"kubernetes", "kubernetes.default", "kubernetes.default.svc", domain.c_str(), "localhost"}) {
    add(&order.names.dns, name);
  }
  for (const std::string& name : options.dns_names) add(&order.names.dns, name);
  for (const char* address : {options.service_address.c_str(), "127.0.0.1", "::1"}) add(&order.names.ips, address);
  for (const std::string& address : options.addresses) {
    // As a certificate says it.
    const Result<api::IpAddress> ip = api::parse_ip(address);
    add(&order.names.ips, ip ? to_string(*ip) : address);
  }
  return order;
}

CertificateOrder client_order(std::string name, std::string group) {
  CertificateOrder order = order_for(kCertificateLife);
  order.subject.common_name = std::move(name);
  order.subject.organizations.push_back(std::move(group));
  order.usages = client_usages();
  return order;
}

}  // namespace

// With the CA itself, which nobody needs who knows it: who is told its hash finds it by that.
http::TlsServerOptions ClusterIdentity::tls() const {
  return {.certificate_pem = serving.certificate_pem + authority.certificate_pem(),
          .key_pem = serving.key_pem,
          .client_ca_pem = trusted_pem,
          .http2 = true};
}

http::TlsClientOptions ClusterIdentity::tls_to_nodes() const {
  return {.ca_pem = trusted_pem, .certificate_pem = node_client.certificate_pem, .key_pem = node_client.key_pem};
}

bool ClusterIdentity::operator==(const ClusterIdentity& other) const {
  const auto all = [](const ClusterIdentity& one) {
    return std::tie(one.authority.certificate_pem(), one.trusted_pem, one.chain_pem, one.serving, one.node_client,
                    one.admin, one.token_verifiers);
  };
  return all(*this) == all(other) && token_key.public_key() == other.token_key.public_key();
}

Result<ClusterIdentity> load_identity(const IdentityOptions& options) {
  if (Status made = sys::make_folders(options.folder, 0700); !made) return std::unexpected(std::move(made.error()));
  Result<OwnFd> folder = lock_key_folder(options.folder);
  if (!folder) return std::unexpected(std::move(folder.error()));
  Result<AuthorityFiles> authority = load_authority(*folder, options.make_missing);
  if (!authority) return std::unexpected(std::move(authority.error()).with_context(options.folder));
  Result<KeyPair> serving = load_pair(*folder, "apiserver", *authority, serving_order(options));
  if (!serving) return std::unexpected(std::move(serving.error()));
  Result<KeyPair> node_client =
      load_pair(*folder, "apiserver-kubelet-client", *authority,
                client_order("kube-apiserver-kubelet-client", std::string(kKubeletClientsGroup)));
  if (!node_client) return std::unexpected(std::move(node_client.error()));
  Result<KeyPair> admin = load_pair(*folder, "admin", *authority, client_order("kubernetes-admin", "system:masters"));
  if (!admin) return std::unexpected(std::move(admin.error()));
  Result<TokenKeyFiles> token_keys = load_token_keys(*folder, options.make_missing);
  if (!token_keys) return std::unexpected(std::move(token_keys.error()).with_context(options.folder));
  return ClusterIdentity{.authority = std::move(authority->authority),
                         .trusted_pem = std::move(authority->trusted_pem),
                         .chain_pem = std::move(authority->chain_pem),
                         .serving = std::move(*serving),
                         .node_client = std::move(*node_client),
                         .admin = std::move(*admin),
                         .token_key = std::move(token_keys->signing),
                         .token_verifiers = std::move(token_keys->verifying)};
}

std::string admin_kubeconfig(const ClusterIdentity& identity, const std::string& server) {
  return cat("apiVersion: v1\nkind: Config\nclusters:\n- name: gantry\n  cluster:\n    server: ", server,
             "\n    certificate-authority-data: ", api::encode_base64(identity.trusted_pem),
             "\nusers:\n- name: kubernetes-admin\n  user:\n    client-certificate-data: ",
             api::encode_base64(identity.admin.certificate_pem),
             "\n    client-key-data: ", api::encode_base64(identity.admin.key_pem),
             "\ncontexts:\n- name: gantry\n  context:\n    cluster: gantry\n    user: kubernetes-admin\n"
             "current-context: gantry\n");
}

Status write_admin_kubeconfig(const std::string& data_dir, const std::string& text) {
  Result<OwnFd> folder = sys::openat(sys::kCwd, data_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!folder) return fail_with(std::move(folder.error()), data_dir);
  return sys::write_private_file(*folder, "admin.kubeconfig", text);
}

}  // namespace gantry::control
