// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_cidr_teller.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

constexpr Duration kLongestPause = std::chrono::seconds(30);

// What is no network is the runtime's to refuse.
std::vector<api::IpNetwork> networks_of(const std::string& ranges) {
  std::vector<api::IpNetwork> networks;
  for (const std::string& range : std::vector<std::string>(absl::StrSplit(ranges, ','))) {
    if (auto network = api::parse_network(range)) networks.push_back(*network);
  }
  return networks;
}

}  // namespace

PodCidrTeller::PodCidrTeller(Cluster& cluster, cri::RuntimeService& runtime, std::function<void()> told,
                             Duration first_pause)
    : cluster_(cluster),
      runtime_(runtime),
      told_(std::move(told)),
      first_pause_(first_pause),
      node_changed_(cluster.loop()) {
  cluster_.node().on_change([this](const api::Informer::Change&) { node_changed_.set(); });
}

void PodCidrTeller::start() { cluster_.loop().spawn(run()); }

void PodCidrTeller::stop() {
  stopped_ = true;
  node_changed_.set();
}

std::string PodCidrTeller::wanted() const {
  const auto node = cluster_.node_object();
  if (node == nullptr) return {};
  const auto& spec = node->spec();
  return spec.pod_cidrs().empty() ? spec.pod_cidr() : absl::StrJoin(spec.pod_cidrs(), ",");
}

Task<bool> PodCidrTeller::has_network() {
  auto status = co_await runtime_.status({});
  if (!status) co_return true;  // not known
  co_return std::ranges::none_of(status->status().conditions(), [](const auto& condition) {
    return condition.type() == "NetworkReady" && !condition.status();
  });
}

Task<> PodCidrTeller::run() {
  std::string taken, refused, complaint;
  Duration pause = first_pause_;
  while (!stopped_) {
    node_changed_.reset();
    const std::string ranges = wanted();
    if (ranges.empty() || ranges == taken) {
      co_await node_changed_.wait();
      continue;
    }
    if (ranges != refused) pause = first_pause_;
    v1::UpdateRuntimeConfigRequest request;
    request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(ranges);
    auto done = co_await runtime_.update_runtime_config(std::move(request));
    if (stopped_) co_return;
    if (done) {
      log::info("the runtime was told of the pods' ranges", {{"ranges", ranges}});
      taken = ranges;
      complaint.clear();
      if (in_the_way_) in_the_way_({});
      told_();
      continue;
    }
    if (done.error().message() != complaint) {
      log::error("the runtime does not take the pods' ranges, trying again",
                 {{"ranges", ranges}, {"error", done.error()}});
    }
    complaint = done.error().message();
    refused = ranges;
    if (done.error().code() == Code::kFailedPrecondition && in_the_way_ && !co_await has_network()) {
      if (stopped_) co_return;
      in_the_way_(networks_of(ranges));
    }
    // Another change of the Node comes with each heartbeat of its status, and is no reason to hurry.
    for (const auto until = std::chrono::steady_clock::now() + pause; !stopped_ && wanted() == ranges;) {
      const auto wait = until - std::chrono::steady_clock::now();
      if (wait <= wait.zero()) break;
      node_changed_.reset();
      (void)co_await node_changed_.wait_for(wait);
    }
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace gantry::agent
