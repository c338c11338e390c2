// SPDX-License-Identifier: Apache-2.0
#include "control/identity/cluster_identity.h"

#include <fcntl.h>

#include <algorithm>

#include "api/text.h"
#include "base/text.h"
#include "control/pki/files.h"
#include "sys/file.h"
#include "sys/folders.h"

namespace gantry::control {

namespace {

using std::chrono::hours;

constexpr auto kYear = hours(24 * 365);
constexpr auto kAuthorityLife = 10 * kYear;
constexpr auto kCertificateLife = kYear;
constexpr auto kRenewBefore = hours(24 * 30);

Result<OwnFd> open_folder(const std::string& path) {
  if (Status made = sys::make_folders(path, 0700); !made) return std::unexpected(std::move(made.error()));
  Result<OwnFd> folder = sys::openat(FdRef(AT_FDCWD), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!folder) return std::unexpected(std::move(folder.error()).with_context(path));
  return folder;
}

// Nothing when there is no such file.
Result<std::optional<std::string>> read_if_there(FdRef folder, const std::string& name) {
  Result<std::string> text = read_pem_file(folder, name);
  if (text) return std::move(*text);
  if (text.error().is_not_found()) return std::nullopt;
  return std::unexpected(std::move(text.error()));
}

// The key first: a key without its certificate gets one at the next start, the other way round nothing goes.
Status write_pair(FdRef folder, const std::string& name, const KeyPair& pair) {
  if (Status written = write_private_file(folder, name + ".key", pair.key_pem); !written) return written;
  return write_private_file(folder, name + ".crt", pair.certificate_pem);
}

Result<Authority> load_authority(FdRef folder) {
  Result<std::optional<std::string>> certificate = read_if_there(folder, "ca.crt");
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  Result<std::optional<std::string>> key = read_if_there(folder, "ca.key");
  if (!key) return std::unexpected(std::move(key.error()));
  if (*certificate) {
    if (!*key) return fail(Code::kFailedPrecondition, "ca.crt is there, but its key ca.key is not");
    return Authority::read(**certificate, **key);
  }
  Result<Authority> made = Authority::make("kubernetes", kAuthorityLife);
  if (!made) return made;
  if (Status written = write_pair(folder, "ca", {made->certificate_pem(), made->key().pem()}); !written) {
    return std::unexpected(std::move(written.error()));
  }
  return made;
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

Result<KeyPair> load_pair(FdRef folder, const std::string& name, const Authority& authority,
                          const CertificateOrder& order) {
  Result<std::optional<std::string>> certificate = read_if_there(folder, name + ".crt");
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  Result<std::optional<std::string>> key = read_if_there(folder, name + ".key");
  if (!key) return std::unexpected(std::move(key.error()));
  if (*certificate && *key) {
    KeyPair present{std::move(**certificate), std::move(**key)};
    if (is_good(authority, present, order)) return present;
  }
  Result<PrivateKey> made = PrivateKey::generate();
  if (!made) return std::unexpected(std::move(made.error()));
  Result<std::string> issued = authority.issue(made->public_key(), order);
  if (!issued) return std::unexpected(std::move(issued.error()).with_context(cat("certificate ", name)));
  KeyPair pair{std::move(*issued), made->pem()};
  if (Status written = write_pair(folder, name, pair); !written) return std::unexpected(std::move(written.error()));
  return pair;
}

Result<PrivateKey> load_token_key(FdRef folder) {
  Result<std::optional<std::string>> present = read_if_there(folder, "sa.key");
  if (!present) return std::unexpected(std::move(present.error()));
  if (*present) return PrivateKey::read(**present);
  Result<PrivateKey> made = PrivateKey::generate();
  if (!made) return made;
  if (Status written = write_private_file(folder, "sa.pub", made->public_key().pem()); !written) {
    return std::unexpected(std::move(written.error()));
  }
  if (Status written = write_private_file(folder, "sa.key", made->pem()); !written) {
    return std::unexpected(std::move(written.error()));
  }
  return made;
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
  for (const std::string& address : options.addresses) add(&order.names.ips, address);
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

http::TlsServerOptions ClusterIdentity::tls() const {
  return {.certificate_pem = serving.certificate_pem,
          .key_pem = serving.key_pem,
          .client_ca_pem = authority.certificate_pem(),
          .http2 = true};
}

http::TlsClientOptions ClusterIdentity::tls_to_nodes() const {
  return {.ca_pem = authority.certificate_pem(),
          .certificate_pem = node_client.certificate_pem,
          .key_pem = node_client.key_pem};
}

Result<ClusterIdentity> load_identity(const IdentityOptions& options) {
  Result<OwnFd> folder = open_folder(options.folder);
  if (!folder) return std::unexpected(std::move(folder.error()));
  Result<Authority> authority = load_authority(*folder);
  if (!authority) return std::unexpected(std::move(authority.error()).with_context(options.folder));
  Result<KeyPair> serving = load_pair(*folder, "apiserver", *authority, serving_order(options));
  if (!serving) return std::unexpected(std::move(serving.error()));
  Result<KeyPair> node_client =
      load_pair(*folder, "apiserver-kubelet-client", *authority,
                client_order("kube-apiserver-kubelet-client", std::string(kKubeletClientsGroup)));
  if (!node_client) return std::unexpected(std::move(node_client.error()));
  Result<KeyPair> admin = load_pair(*folder, "admin", *authority, client_order("kubernetes-admin", "system:masters"));
  if (!admin) return std::unexpected(std::move(admin.error()));
  Result<PrivateKey> token_key = load_token_key(*folder);
  if (!token_key) return std::unexpected(std::move(token_key.error()));
  return ClusterIdentity{.authority = std::move(*authority),
                         .serving = std::move(*serving),
                         .node_client = std::move(*node_client),
                         .admin = std::move(*admin),
                         .token_key = std::move(*token_key)};
}

std::string admin_kubeconfig(const ClusterIdentity& identity, const std::string& server) {
  return cat("apiVersion: v1\nkind: Config\nclusters:\n- name: gantry\n  cluster:\n    server: ", server,
             "\n    certificate-authority-data: ", api::encode_base64(identity.authority.certificate_pem()),
             "\nusers:\n- name: kubernetes-admin\n  user:\n    client-certificate-data: ",
             api::encode_base64(identity.admin.certificate_pem),
             "\n    client-key-data: ", api::encode_base64(identity.admin.key_pem),
             "\ncontexts:\n- name: gantry\n  context:\n    cluster: gantry\n    user: kubernetes-admin\n"
             "current-context: gantry\n");
}

Status write_admin_kubeconfig(const std::string& data_dir, const std::string& text) {
  Result<OwnFd> folder = open_folder(data_dir);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return write_private_file(*folder, "admin.kubeconfig", text);
}

}  // namespace gantry::control
