// SPDX-License-Identifier: Apache-2.0
// How a machine becomes a node of a cluster of which it knows three things: where its API server is, a token that lets
// it ask for a certificate, and the hash of the key of the cluster's CA. Nothing that the server says is believed, and
// the token is not sent, before the CA with that hash has vouched for it.
//
// The CA is among the certificates that gantry-control shows. Of other servers it is in kube-public/cluster-info, which
// they show to anybody, signed with the token (as kubeadm has it).
#pragma once

#include <string>

#include "api/client/kubeconfig.h"
#include "base/loop.h"
#include "base/result.h"

namespace gantry::agent {

struct JoinOptions {
  std::string server;   // "https://10.0.0.1:6443"
  std::string token;    // "abcdef.0123456789abcdef"
  std::string ca_hash;  // "sha256:HEX"
  std::string node_name;
  std::string kubeconfig = "/etc/gantry/kubeconfig";  // is written
  std::string root_dir = "/var/lib/kubelet";          // the certificate is kept in its folder pki
};

// kInvalidArgument names what is no good.
Status check_join(const JoinOptions& options);
// The CA of the cluster, as PEM.
Task<Result<std::string>> find_ca(Loop& loop, const JoinOptions& options);
// All of it: after it gantryd can start with `kubeconfig`. Files are written when all else has gone well.
Task<Status> join(Loop& loop, JoinOptions options);

// The kubeconfig of a node whose certificate and key are in a file.
std::string node_kubeconfig(const std::string& server, const std::string& ca_pem, const std::string& node_name,
                            const std::string& certificate_path);

}  // namespace gantry::agent
