// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/certificate_controllers.h"

#include <algorithm>
#include <set>

#include "api/ip_network.h"
#include "api/names.h"
#include "base/text.h"
#include "control/server/node_users.h"
#include "kubernetes/authorization/v1/authorization.pb.h"
#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace authorization = k8s::io::api::authorization::v1;
namespace core = k8s::io::api::core::v1;

namespace {

// Roles may come later than who needs them.
constexpr Duration kAskAgain = std::chrono::seconds(30);
constexpr Duration kCleanEvery = std::chrono::hours(1);

void watch_requests(api::Informers& informers, api::WorkQueue& queue) {
  informers.of<Csr>().on_change([&queue](const api::Informer::Change& change) {
    if (change.now != nullptr) queue.add(static_cast<const Csr&>(*change.now).metadata().name());
  });
}

using Names = std::set<std::string>;

// One way to write each name: who verifies a certificate knows no case.
std::string one_form(std::string_view name) {
  const std::string low = lowered(name);
  const Result<api::IpAddress> address = api::parse_ip(low);
  return address ? to_string(*address) : low;
}

// Neither a wildcard nor another way to write what may be somebody else's.
bool is_plain(const AlternativeNames& names) {
  const bool plain_names = std::ranges::all_of(names.dns, [](const std::string& name) {
    return api::check_dns1123_subdomain(name).empty() && !api::parse_ip(name);
  });
  // A client takes ::ffff:1.2.3.4 for 1.2.3.4.
  return plain_names && std::ranges::all_of(names.ips, [](const std::string& text) {
           return one_form(text) == text && !text.starts_with("::ffff:");
         });
}

struct NodeNames {
  Names dns, ips;
};
NodeNames names_of(const core::Node& node) {
  NodeNames names{.dns = {one_form(node.metadata().name())}, .ips = {}};
  for (const core::NodeAddress& address : node.status().addresses()) {
    const bool is_ip = address.type() == "InternalIP" || address.type() == "ExternalIP";
    (is_ip ? names.ips : names.dns).insert(one_form(address.address()));
  }
  return names;
}

bool all_in(const std::vector<std::string>& some, const Names& all) {
  return std::ranges::all_of(some, [&all](const std::string& one) { return all.contains(one); });
}
bool any_in(const std::vector<std::string>& some, const auto& others) {
  return std::ranges::any_of(
      some, [&others](const std::string& one) { return std::ranges::find(others, one) != others.end(); });
}

}  // namespace

CertificateApprover::CertificateApprover(ControllerParts parts, AlternativeNames taken)
    : parts_(std::move(parts)),
      taken_(std::move(taken)),
      queue_(parts_.queues(), "csrapproving", [this](std::string name) { return work(name); }, 4) {
  for (std::string& name : taken_.dns) name = one_form(name);
  for (std::string& address : taken_.ips) address = one_form(address);
  watch_requests(parts_.informers, queue_);
  // What a node is known by, and the API servers.
  (void)parts_.informers.of<core::Node>();
  (void)parts_.informers.of<core::Endpoints>();
}

Task<Result<bool>> CertificateApprover::may(const Csr& csr, std::string subresource) {
  authorization::SubjectAccessReview review;
  auto* spec = review.mutable_spec();
  spec->set_user(csr.spec().username());
  spec->set_uid(csr.spec().uid());
  *spec->mutable_groups() = csr.spec().groups();
  for (const auto& [key, values] : csr.spec().extra()) *(*spec->mutable_extra())[key].mutable_items() = values.items();
  auto* what = spec->mutable_resource_attributes();
  what->set_group("certificates.k8s.io");
  what->set_version("*");
  what->set_resource("certificatesigningrequests");
  what->set_subresource(std::move(subresource));
  what->set_verb("create");
  const auto answer = co_await parts_.client.create(review);
  if (!answer) co_return std::unexpected(answer.error().as_error());
  co_return answer->status().allowed();
}

// Whose address a name is nobody has checked but those who write Node objects, each his own: what two claim, or what
// the API server has, is nobody's.
bool CertificateApprover::are_own_names(const std::string& node, const AlternativeNames& names) const {
  if (!is_plain(names)) return false;
  const auto object = parts_.informers.of<core::Node>().find("", node);
  if (object == nullptr) return false;
  const NodeNames own = names_of(*object);
  if (!all_in(names.dns, own.dns) || !all_in(names.ips, own.ips)) return false;
  if (any_in(names.dns, taken_.dns) || any_in(names.ips, taken_.ips)) return false;
  if (const auto servers = parts_.informers.of<core::Endpoints>().find("default", "kubernetes"); servers != nullptr) {
    for (const core::EndpointSubset& subset : servers->subsets()) {
      for (const core::EndpointAddress& each : subset.addresses()) {
        if (any_in(names.ips, Names{one_form(each.ip())})) return false;
      }
    }
  }
  return std::ranges::none_of(parts_.informers.of<core::Node>().objects(), [&](const auto& other) {
    if (other->metadata().name() == node) return false;
    const NodeNames theirs = names_of(*other);
    return any_in(names.dns, theirs.dns) || any_in(names.ips, theirs.ips);
  });
}

Task<Status> CertificateApprover::approve(Csr csr, std::string message) {
  add_condition(&csr, "Approved", "AutoApproved", message, parts_.now());
  co_return done_or_late(co_await parts_.client.update(csr, "approval"));
}

Task<Status> CertificateApprover::work(std::string name) {
  const auto csr = parts_.informers.of<Csr>().find("", name);
  if (csr == nullptr || !csr->status().certificate().empty()) co_return Status();
  if (has_condition(*csr, "Approved") || has_condition(*csr, "Denied")) co_return Status();
  const std::string& signer = csr->spec().signer_name();
  if (signer != kKubeletClientSigner && signer != kKubeletServingSigner) co_return Status();
  const Result<SigningRequest> request = read_signing_request(csr->spec().request());
  if (!request || !check_for_signer(signer, *request, usages_of(*csr))) co_return Status();

  const bool is_self = csr->spec().username() == request->subject.common_name;
  std::vector<std::pair<std::string, std::string>> ways;
  if (signer == kKubeletClientSigner) {
    if (is_self) {
      ways.emplace_back("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
    }
    ways.emplace_back("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
  } else if (is_self && are_own_names(csr->spec().username().substr(kNodeUserPrefix.size()), request->names)) {
    ways.emplace_back("selfnodeserver", "Auto approving kubelet serving certificate after SubjectAccessReview.");
  }
  for (auto& [subresource, message] : ways) {
    const Result<bool> allowed = co_await may(*csr, subresource);
    if (!allowed) co_return std::unexpected(allowed.error());
    if (*allowed) co_return co_await approve(*csr, message);
  }
  if (asked_again_.insert(name).second) parts_.here.spawn(ask_again(name));
  co_return Status();
}

// However often the request changes meanwhile, once.
Task<> CertificateApprover::ask_again(std::string name) {
  co_await parts_.here.sleep_for(kAskAgain);
  asked_again_.erase(name);
  queue_.add(std::move(name));
}

CertificateSigner::CertificateSigner(ControllerParts parts, Authority authority, std::string chain)
    : parts_(std::move(parts)),
      authority_(std::move(authority)),
      chain_(std::move(chain)),
      queue_(parts_.queues(), "csrsigning", [this](std::string name) { return work(name); }, 4) {
  watch_requests(parts_.informers, queue_);
}

void CertificateSigner::sign_with(Authority authority, std::string chain) {
  authority_ = std::move(authority);
  chain_ = std::move(chain);
}

Task<Status> CertificateSigner::work(std::string name) {
  const auto csr = parts_.informers.of<Csr>().find("", name);
  if (csr == nullptr || !csr->status().certificate().empty() || !is_own_signer(csr->spec().signer_name())) {
    co_return Status();
  }
  if (!has_condition(*csr, "Approved") || has_condition(*csr, "Denied") || has_condition(*csr, "Failed")) {
    co_return Status();
  }
  Csr updated = *csr;
  const api::Timestamp now = parts_.now();
  const Result<SigningRequest> request = read_signing_request(csr->spec().request());
  Status good;
  if (!request) {
    good = std::unexpected(request.error());
  } else {
    good = check_for_signer(csr->spec().signer_name(), *request, usages_of(*csr));
  }
  if (!good) {
    add_condition(&updated, "Failed", "SignerValidationFailure", good.error().message(), now);
    co_return done_or_late(co_await parts_.client.update_status(updated));
  }
  const CertificateOrder order = order_of(*csr, *request, now);
  if (authority_.certificate().not_after <= CertificateTime(std::chrono::seconds(now.seconds))) {
    co_return fail(Code::kFailedPrecondition, "the cluster's CA has ended: nothing can be signed");
  }
  Result<std::string> issued = authority_.issue(request->key, order);
  if (!issued) co_return std::unexpected(std::move(issued.error()));
  updated.mutable_status()->set_certificate(*issued + chain_);
  co_return done_or_late(co_await parts_.client.update_status(updated));
}

CertificateCleaner::CertificateCleaner(ControllerParts parts)
    : parts_(std::move(parts)), queue_(parts_.queues(), "csrcleaner", [this](std::string name) { return work(name); }) {
  parts_.informers.of<Csr>().on_change([this](const api::Informer::Change& change) {
    if (change.before == nullptr) queue_.add(static_cast<const Csr&>(*change.now).metadata().name());
  });
}

Task<Status> CertificateCleaner::work(std::string name) {
  const auto csr = parts_.informers.of<Csr>().find("", name);
  if (csr == nullptr) co_return Status();
  if (!is_past(*csr, parts_.now())) {
    queue_.add_after(name, kCleanEvery);
    co_return Status();
  }
  const api::Answer<void> gone = co_await parts_.client.remove<Csr>(
      "", name, {.uid = csr->metadata().uid(), .resource_version = csr->metadata().resource_version()});
  if (!gone && gone.error().is_conflict()) queue_.add_after(name, kCleanEvery);
  co_return done_or_late(gone);
}

}  // namespace gantry::control
