// SPDX-License-Identifier: Apache-2.0
// Who this control plane is: keys and certificates in the folder pki of its data folder, made at the first start and
// kept, under kubeadm's names, so that a CA that is there already is taken:
//   the CA and the keys of tokens        key_files.h; key_rotation.h replaces them
//   apiserver.crt apiserver.key          what clients are shown
//   apiserver-kubelet-client.crt .key    what nodes are shown when they are asked for logs (O=gantry:kubelet-clients)
//   admin.crt admin.key                  for admin.kubeconfig (O=system:masters)
// Certificates that end within 30 days, that another CA has signed or that lack a name are made anew. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "control/pki/authority.h"
#include "http/tls.h"

namespace gantry::control {

// May what the role system:kubelet-api-admin says and nothing else: a node chooses where it is reached, and may choose
// the API server itself.
inline constexpr std::string_view kKubeletClientsGroup = "gantry:kubelet-clients";

struct IdentityOptions {
  std::string folder;                  // "/var/lib/gantry-control/pki", made if it is not there
  std::vector<std::string> dns_names;  // for the serving certificate, beside those that every cluster has
  std::vector<std::string> addresses;  // the same; numeric
  std::string cluster_domain = "cluster.local";
  std::string service_address = "10.96.0.1";  // of the Service default/kubernetes
  // Whether a CA and a key of tokens are made when there are none; else it is an error.
  bool make_missing = true;
};

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;
  bool operator==(const KeyPair&) const = default;
};

struct ClusterIdentity {
  Authority authority;      // which issues
  std::string trusted_pem;  // the CAs that are trusted, this one among them
  std::string chain_pem;    // stands behind what it issues; may be empty
  // With the chain.
  KeyPair serving;
  KeyPair node_client;
  KeyPair admin;
  PrivateKey token_key;
  std::vector<PublicKey> token_verifiers;  // it, and others

  bool operator==(const ClusterIdentity& other) const;

  http::TlsServerOptions tls() const;
  http::TlsClientOptions tls_to_nodes() const;
};

Result<ClusterIdentity> load_identity(const IdentityOptions& options);

// The names and addresses of this host's interfaces, but for link-local ones.
std::vector<std::string> host_names();
std::vector<std::string> host_addresses();

// A kubeconfig that is complete in itself: the CAs that are trusted, and the admin's certificate and key. `server`:
// "https://127.0.0.1:6443".
std::string admin_kubeconfig(const ClusterIdentity& identity, const std::string& server);
// Mode 0600, in place of what was there.
Status write_admin_kubeconfig(const std::string& data_dir, const std::string& text);

}  // namespace gantry::control
