// SPDX-License-Identifier: Apache-2.0
#include "agent/certificate_keeper.h"

#include <algorithm>
#include <random>
#include <set>

#include "api/ip_network.h"
#include "base/log.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::agent {

namespace {

using std::chrono::system_clock;

constexpr Duration kFirstPause = std::chrono::seconds(1), kLongestPause = std::chrono::minutes(2);
// Clocks are set: it is looked at again at the latest after this.
constexpr Duration kLongestSleep = std::chrono::hours(1);

double random_part() {
  std::random_device device;
  return std::uniform_real_distribution<double>(0, 1)(device);
}

}  // namespace

system_clock::time_point renewal_of(const CertificateFacts& facts, double random) {
  const auto life = std::chrono::duration<double>(facts.not_after - facts.not_before);
  return facts.not_before + std::chrono::duration_cast<system_clock::duration>(life * (0.7 + 0.2 * random));
}

CertificateNames serving_names(const Cluster& cluster) {
  CertificateNames names = node_names(cluster.node_name());
  const std::shared_ptr<const Cluster::Node> node = cluster.node_object();
  if (node == nullptr) return names;
  for (const auto& address : node->status().addresses()) {
    if (address.type() == "Hostname" || address.type().ends_with("DNS")) names.dns.push_back(address.address());
    if (!address.type().ends_with("IP")) continue;
    // As the certificate's will be written (read_certificate); what is no address is left out.
    if (auto ip = api::parse_ip(address.address())) names.ips.push_back(api::to_string(*ip));
  }
  for (auto* list : {&names.dns, &names.ips}) {
    std::ranges::sort(*list);
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  return names;
}

CertificateKeeper::CertificateKeeper(Cluster& cluster, Pool& disk, Options options)
    : cluster_(cluster), disk_(disk), options_(std::move(options)), wake_(cluster.loop()) {}

void CertificateKeeper::start() { cluster_.loop().spawn(run()); }

void CertificateKeeper::stop() {
  stopped_ = true;
  wake_.set();
}

// One that says more than is wanted is good, too.
bool CertificateKeeper::is_good_for(const CertificateFacts& facts, const CertificateNames& names) const {
  const auto has_all = [](const std::vector<std::string>& has, const std::vector<std::string>& wanted) {
    const std::set<std::string> all(has.begin(), has.end());
    return std::ranges::all_of(wanted, [&all](const std::string& one) { return all.contains(one); });
  };
  return has_all(facts.dns, names.dns) && has_all(facts.ips, names.ips) && system_clock::now() < facts.not_after;
}

Task<Status> CertificateKeeper::renew(CertificateNames names) {
  auto issued = co_await request_certificate(cluster_.client(), {.signer = options_.signer, .names = std::move(names)});
  if (!issued) co_return std::unexpected(std::move(issued.error()));
  StoredCertificate stored{std::move(issued->certificate_pem), std::move(issued->key_pem)};
  auto kept = co_await disk_.run(
      [store = options_.store, stored]() mutable { return store.put(stored.certificate_pem, stored.key_pem); });
  if (!kept) co_return kept;
  log::info("the node has a new certificate", {{"signer", options_.signer}});
  options_.changed(stored);
  co_return Status();
}

Task<> CertificateKeeper::wait(Duration time) {
  (void)co_await wake_.wait_for(time);
  wake_.reset();
}

Task<> CertificateKeeper::run() {
  const double part = random_part();
  Duration pause = kFirstPause;
  auto current = co_await disk_.run([store = options_.store] { return store.current(); });
  if (!current) log::warning("a certificate that is kept is no good", {{"error", current.error()}});
  if (!stopped_ && current && *current) options_.changed(**current);
  while (!stopped_) {
    CertificateNames names = options_.names();
    const bool needs_names = options_.signer == kNodeServingSigner;
    if (needs_names && names.dns.empty() && names.ips.empty()) {
      co_await wait(kLongestSleep);
      continue;
    }
    current = co_await disk_.run([store = options_.store] { return store.current(); });
    const bool is_there = current && *current;
    if (!is_there && !options_.asks_first) {
      co_await wait(kLongestSleep);
      continue;
    }
    auto facts = is_there ? read_certificate((*current)->certificate_pem, (*current)->key_pem)
                          : Result<CertificateFacts>(invalid_argument("there is none"));
    if (facts && is_good_for(*facts, names) && system_clock::now() < renewal_of(*facts, part)) {
      pause = kFirstPause;
      const Duration left = renewal_of(*facts, part) - system_clock::now();
      co_await wait(std::min(left, kLongestSleep));
      continue;
    }
    Status renewed = co_await renew(std::move(names));
    if (stopped_) co_return;
    const bool is_over = facts && facts->not_after <= system_clock::now();
    if (!renewed && is_over && options_.signer == kNodeClientSigner) {
      log::error(
          "the node's certificate has expired, and with it the cluster gives no new one: join the cluster again "
          "(gantry join), then start gantryd anew",
          {{"error", renewed.error()}});
      co_await wait(kLongestSleep);
      continue;
    }
    if (!renewed) {
      log::warning("the node gets no new certificate, retrying",
                   {{"signer", options_.signer}, {"error", renewed.error()}});
    }
    // Also after one that was given: what it lacks, the next one may lack, too.
    co_await cluster_.loop().sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace gantry::agent
