// SPDX-License-Identifier: Apache-2.0
// What clients say of the pods' addresses (UpdateRuntimeConfig): a kubelet or the agent names its Node's podCIDRs.
#include "base/log.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "netns/pod_network.h"

namespace gantry::cri {
namespace {

constexpr std::size_t kMaxRanges = 16;

Result<std::vector<netns::Cidr>> parse_ranges(std::string_view text) {
  std::vector<netns::Cidr> ranges;
  for (std::string_view part : split(text, ',')) {
    auto range = netns::Cidr::parse(trimmed(part));
    if (!range) return std::unexpected(std::move(range.error()));
    ranges.push_back(*range);
    if (ranges.size() > kMaxRanges) return invalid_argument(cat("has more than ", kMaxRanges, " ranges"));
  }
  return ranges;
}

}  // namespace

// Also over a restart it is kept, for clients say it once, and shown in the verbose status. CNI plugins are told of it;
// the built-in network takes it, unless whoever set up this node has said where its addresses come from.
Task<Result<v1::UpdateRuntimeConfigResponse>> Runtime::update_runtime_config(v1::UpdateRuntimeConfigRequest request) {
  const std::string& text = request.runtime_config().network_config().pod_cidr();
  if (text.empty()) co_return v1::UpdateRuntimeConfigResponse();
  auto ranges = parse_ranges(text);
  if (!ranges) co_return fail_from(ranges, "runtime_config.network_config.pod_cidr");
  auto taken = co_await flights_.join(cat("take the pods' ranges ", text),
                                      [this, ranges = std::move(*ranges)] { return take_ranges(ranges); });
  if (!taken) co_return fail_from(taken, "runtime_config.network_config.pod_cidr");
  co_return v1::UpdateRuntimeConfigResponse();
}

Task<Status> Runtime::take_ranges(std::vector<netns::Cidr> ranges) {
  auto turn = co_await range_turn_.acquire();
  std::vector<std::string> names;
  for (const auto& range : ranges) names.push_back(range.to_string());
  const bool is_new = names != pod_cidrs_;
  if (is_new) log::info("the client names the pods' ranges", {{"ranges", joined(names, ",")}});
  if (!node_.uses_cni && node_.takes_range) {
    const netns::Cidr* wanted = nullptr;
    for (const auto& range : ranges) {
      if (wanted == nullptr && range.family() == netns::Family::kV4) {
        wanted = &range;
      } else if (is_new) {
        log::warning("the built-in network has one range, of IPv4: another one is not used",
                     {{"range", range.to_string()}});
      }
    }
    Status used = wanted == nullptr ? invalid_argument("names no IPv4 range, which the built-in network needs")
                                    : co_await use_range(*wanted);
    range_refused_ = used ? std::nullopt : std::optional(used.error());
    if (!used) co_return used;
  }
  if (!is_new) co_return Status();
  auto recorded = co_await store_.set_pod_cidrs(names);
  if (!recorded) co_return fail_from(recorded, "record the pods' ranges");
  pod_cidrs_ = std::move(names);
  co_return Status();
}

// Sandboxes of the pool have addresses of the former range, and those that just ended may have some still: both go
// first. A pod that is being made meanwhile has the network refuse the range.
Task<Status> Runtime::use_range(netns::Cidr range) {
  if (auto own = need_own_store(); !own) co_return own;
  const bool changes = range_ != range;
  if (changes) {
    if (auto nobody = need_nobody_outside(range); !nobody) co_return nobody;
    co_await pool_.hold();
    co_await maker_.drain();
  }
  auto set = co_await node_.network_thread.run([&network = node_.network, range] { return network.set_range(range); });
  if (set) {
    if (changes) log::info("pods' addresses are of another range now", {{"range", range.to_string()}});
    range_ = range;
  }
  if (changes && range_) pool_.go_on();
  co_return set;
}

Status Runtime::need_nobody_outside(const netns::Cidr& range) const {
  for (const auto& [id, sandbox] : sandboxes_) {
    auto address = netns::IpAddress::parse(sandbox->status.network().ip());
    if (!address || range.contains(*address) || !sandbox->kind().own_net || sandbox->released) continue;
    const auto& metadata = sandbox->status.metadata();
    return fail(Code::kFailedPrecondition,
                cat("range ", range.to_string(), ": pod ", metadata.namespace_(), "/", metadata.name(), " (sandbox ",
                    id, ") has address ", address->to_string(), " and has to end first"));
  }
  return {};
}

Status Runtime::no_range() const {
  std::string message =
      "the pods have no range of addresses yet: give --pod-cidr, or have the cluster give this node its podCIDRs";
  if (range_refused_) message += cat("; refused was ", range_refused_->message());
  return fail(Code::kUnavailable, std::move(message));
}

}  // namespace gantry::cri
