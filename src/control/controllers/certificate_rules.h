// SPDX-License-Identifier: Apache-2.0
// What Kubernetes' own signers (kubernetes.io/...) will sign, and what a CertificateSigningRequest says of itself.
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/time.h"
#include "control/pki/authority.h"

namespace k8s::io::api::certificates::v1 {
class CertificateSigningRequest;
}

namespace gantry::control {

inline constexpr std::string_view kClientSigner = "kubernetes.io/kube-apiserver-client";
inline constexpr std::string_view kKubeletClientSigner = "kubernetes.io/kube-apiserver-client-kubelet";
inline constexpr std::string_view kKubeletServingSigner = "kubernetes.io/kubelet-serving";

using Csr = k8s::io::api::certificates::v1::CertificateSigningRequest;

// One of these three.
bool is_own_signer(std::string_view signer);
// Why the signer would not sign it; nothing when it would.
Status check_for_signer(std::string_view signer, const SigningRequest& request, const std::vector<std::string>& usages);
std::vector<std::string> usages_of(const Csr& csr);

bool has_condition(const Csr& csr, std::string_view type);
void add_condition(Csr* csr, std::string_view type, std::string_view reason, std::string_view message,
                   api::Timestamp now);

// When a certificate begins and ends that is signed now: as long as was asked for, from ten minutes to a year.
CertificateOrder order_of(const Csr& csr, const SigningRequest& request, api::Timestamp now);

// Whether nobody needs the request any more: an hour after it was decided, a day after it was made when nobody has, or
// when its certificate has ended.
bool is_past(const Csr& csr, api::Timestamp now);

}  // namespace gantry::control
