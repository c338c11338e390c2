// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/certificate_rules.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "control/server/node_users.h"
#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kLongest = hours(24 * 365);
constexpr seconds kShortest = minutes(10);
// For clocks that are behind. What is asked for a short time ends then and not earlier.
constexpr seconds kBackdate = minutes(5);
constexpr seconds kShort = hours(8);

constexpr int64_t kDecidedFor = 3600;       // seconds
constexpr int64_t kPendingFor = 24 * 3600;  // seconds

using Words = std::set<std::string>;

Status refuse(std::string_view why) { return invalid_argument(std::string(why)); }

bool is_any_of(const std::vector<std::string>& usages, const Words& full, const Words& without_rsa) {
  const Words words(usages.begin(), usages.end());
  return words == full || words == without_rsa;
}

Status check_client(const std::vector<std::string>& usages) {
  const std::vector<std::string> allowed = client_usages();
  for (const std::string& usage : usages) {
    if (std::ranges::find(allowed, usage) == allowed.end()) {
      return refuse(cat("invalid usage for client certificate: ", usage));
    }
  }
  if (std::ranges::find(usages, "client auth") != usages.end()) return {};
  return refuse("missing required usage for client certificate: client auth");
}

Status check_node(const SigningRequest& request) {
  if (request.subject.organizations != std::vector<std::string>{std::string(kNodesGroup)}) {
    return refuse("subject organization is not system:nodes");
  }
  if (!request.subject.common_name.starts_with(kNodeUserPrefix)) {
    return refuse("subject common name does not begin with system:node:");
  }
  if (!request.names.emails.empty()) return refuse("Email subjectAltNames are not allowed");
  if (!request.names.uris.empty()) return refuse("URI subjectAltNames are not allowed");
  return {};
}

Status check_kubelet_client(const SigningRequest& request, const std::vector<std::string>& usages) {
  if (Status node = check_node(request); !node) return node;
  if (!request.names.dns.empty()) return refuse("DNS subjectAltNames are not allowed");
  if (!request.names.ips.empty()) return refuse("IP subjectAltNames are not allowed");
  if (is_any_of(usages, {"digital signature", "key encipherment", "client auth"}, {"digital signature", "client auth"}))
    return {};
  return refuse("usages did not match [client auth digital signature key encipherment]");
}

Status check_kubelet_serving(const SigningRequest& request, const std::vector<std::string>& usages) {
  if (Status node = check_node(request); !node) return node;
  if (request.names.dns.empty() && request.names.ips.empty()) return refuse("DNS or IP subjectAltName is required");
  if (is_any_of(usages, {"digital signature", "key encipherment", "server auth"}, {"digital signature", "server auth"}))
    return {};
  return refuse("usages did not match [digital signature key encipherment server auth]");
}

CertificateTime time_of(api::Timestamp time) { return CertificateTime(seconds(time.seconds)); }

bool is_older(bool has_time, int64_t time, int64_t limit, api::Timestamp now) {
  return has_time && now.seconds - time > limit;
}

}  // namespace

bool is_own_signer(std::string_view signer) {
  return signer == kClientSigner || signer == kKubeletClientSigner || signer == kKubeletServingSigner;
}

Status check_for_signer(std::string_view signer, const SigningRequest& request,
                        const std::vector<std::string>& usages) {
  if (signer == kClientSigner) return check_client(usages);
  if (signer == kKubeletClientSigner) return check_kubelet_client(request, usages);
  if (signer == kKubeletServingSigner) return check_kubelet_serving(request, usages);
  return refuse(cat(quoted(signer), " is not signed for here"));
}

std::vector<std::string> usages_of(const Csr& csr) { return {csr.spec().usages().begin(), csr.spec().usages().end()}; }

bool has_condition(const Csr& csr, std::string_view type) {
  return std::ranges::any_of(csr.status().conditions(), [type](const auto& condition) {
    return condition.type() == type && condition.status() == "True";
  });
}

void add_condition(Csr* csr, std::string_view type, std::string_view reason, std::string_view message,
                   api::Timestamp now) {
  auto* condition = csr->mutable_status()->add_conditions();
  condition->set_type(std::string(type));
  condition->set_status("True");
  condition->set_reason(std::string(reason));
  condition->set_message(std::string(message));
  condition->mutable_last_update_time()->set_seconds(now.seconds);
  condition->mutable_last_transition_time()->set_seconds(now.seconds);
}

CertificateOrder order_of(const Csr& csr, const SigningRequest& request, api::Timestamp now) {
  seconds life = kLongest;
  if (csr.spec().has_expiration_seconds()) {
    life = std::clamp(seconds(csr.spec().expiration_seconds()), kShortest, kLongest);
  }
  const CertificateTime from = time_of(now);
  CertificateOrder order{.subject = {.common_name = request.subject.common_name,
                                     .organizations = request.subject.organizations,
                                     .other_kinds = {}},
                         .names = request.names,
                         .usages = usages_of(csr),
                         .not_before = from - kBackdate,
                         .not_after = from + (life < kShort ? life : life - kBackdate)};
  return order;
}

bool is_past(const Csr& csr, api::Timestamp now) {
  const auto& metadata = csr.metadata();
  if (csr.status().conditions().empty()) {
    return is_older(metadata.has_creation_timestamp(), metadata.creation_timestamp().seconds(), kPendingFor, now);
  }
  const bool issued = !csr.status().certificate().empty();
  for (const auto& condition : csr.status().conditions()) {
    const bool waits = condition.type() == "Approved" && !issued;
    const bool decided = condition.type() == "Approved" || condition.type() == "Denied" || condition.type() == "Failed";
    if (decided && is_older(condition.has_last_update_time(), condition.last_update_time().seconds(),
                            waits ? kPendingFor : kDecidedFor, now)) {
      return true;
    }
  }
  if (!issued) return false;
  const Result<Certificate> certificate = read_certificate(csr.status().certificate());
  return certificate && certificate->not_after <= time_of(now);
}

}  // namespace gantry::control
