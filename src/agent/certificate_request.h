// SPDX-License-Identifier: Apache-2.0
// Asks a cluster for a certificate (CertificateSigningRequest), and waits until somebody has decided. On the client's
// loop.
#pragma once

#include <chrono>
#include <string>

#include "agent/node_key.h"
#include "api/client/client.h"

namespace gantry::agent {

inline constexpr char kNodeClientSigner[] = "kubernetes.io/kube-apiserver-client-kubelet";
inline constexpr char kNodeServingSigner[] = "kubernetes.io/kubelet-serving";

// "system:node:NAME" of the group system:nodes.
CertificateNames node_names(const std::string& node_name);

struct CertificateOrder {
  std::string signer;
  CertificateNames names;
  std::chrono::minutes patience = std::chrono::minutes(15);  // then kDeadlineExceeded
};

// With a new key. kPermissionDenied: the request was denied, or could not be signed; the message has the words.
Task<Result<KeyAndCertificate>> request_certificate(api::Client& client, CertificateOrder order);

}  // namespace gantry::agent
