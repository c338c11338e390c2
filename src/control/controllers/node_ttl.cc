// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_ttl.h"

#include <array>
#include <limits>

#include "base/text.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kTtl[] = "node.alpha.kubernetes.io/ttl";

struct Step {
  std::size_t least, most;  // nodes
  int seconds;
};
// Upstream's. They overlap, so that one node more or less does not change all of them to and fro.
constexpr std::array<Step, 5> kSteps = {{{0, 100, 0},
                                         {90, 500, 15},
                                         {450, 1000, 30},
                                         {900, 2000, 60},
                                         {1800, std::numeric_limits<std::size_t>::max(), 300}}};

}  // namespace

NodeTtl::NodeTtl(ControllerParts parts)
    : parts_(std::move(parts)), queue_(parts_.queues(), "ttl", [this](std::string name) { return work(name); }) {
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    const bool is_other = change.before == nullptr || change.now == nullptr;
    if (is_other && take_count(parts_.informers.of<core::Node>().all().size())) {
      for (const auto& node : parts_.informers.of<core::Node>().objects()) queue_.add(node->metadata().name());
    }
    if (change.now != nullptr) queue_.add(static_cast<const core::Node&>(*change.now).metadata().name());
  });
}

void NodeTtl::start() { queue_.start(); }

bool NodeTtl::take_count(std::size_t nodes) {
  const std::size_t before = step_;
  while (nodes > kSteps[step_].most) ++step_;
  while (nodes < kSteps[step_].least) --step_;
  return step_ != before;
}

Task<Status> NodeTtl::work(std::string name) {
  const auto node = parts_.informers.of<core::Node>().find("", name);
  if (node == nullptr) co_return Status();
  const std::string wanted = cat(kSteps[step_].seconds);
  const auto found = node->metadata().annotations().find(kTtl);
  if (found != node->metadata().annotations().end() && found->second == wanted) co_return Status();
  api::Value metadata = api::Value::object(
      {{"uid", node->metadata().uid()}, {"annotations", api::Value::object({{kTtl, wanted}})}});
  co_return done_or_late(co_await parts_.client.patch<core::Node>(
      "", name, api::PatchForm::kMerge, api::Value::object({{"metadata", std::move(metadata)}})));
}

}  // namespace gantry::control
