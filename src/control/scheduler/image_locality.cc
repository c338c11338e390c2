// SPDX-License-Identifier: Apache-2.0
// Nodes that have the pod's images, by their size. What is on few nodes counts less, so that not all pods go there.
#include <algorithm>

#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::int64_t kMegabyte = std::int64_t{1} << 20;
constexpr std::int64_t kLeast = 23 * kMegabyte;
constexpr std::int64_t kMostEach = 1000 * kMegabyte;

// "busybox" is "busybox:latest".
std::string with_tag(const std::string& image) {
  const auto colon = image.rfind(':'), slash = image.rfind('/');
  const bool has_tag = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  return has_tag ? image : image + ":latest";
}

class ImageLocalityRule final : public Rule {
 public:
  ImageLocalityRule(const PodInfo& pod, const ClusterState& cluster)
      : Rule(RuleId::kImageLocality, 1), cluster_(cluster) {
    for (const auto* containers : {&pod.spec().init_containers(), &pod.spec().containers()}) {
      for (const core::Container& container : *containers) images_.push_back(with_tag(container.image()));
    }
  }

  std::vector<std::int64_t> rate(std::span<const NodeState* const> nodes) const override {
    const auto is_there = [&](const std::string& image) { return cluster_.nodes_with_image(image) > 0; };
    if (std::ranges::none_of(images_, is_there)) return {};
    const std::int64_t most = kMostEach * static_cast<std::int64_t>(images_.size());
    std::vector<std::int64_t> points;
    for (const NodeState* node : nodes) {
      const std::int64_t sum = std::clamp(bytes_on(*node), kLeast, most);
      points.push_back(kMostPoints * (sum - kLeast) / (most - kLeast));
    }
    return points;
  }

 private:
  std::int64_t bytes_on(const NodeState& node) const {
    std::int64_t sum = 0;
    for (const std::string& image : images_) {
      const auto found = node.images.find(image);
      if (found == node.images.end()) continue;
      const double spread =
          static_cast<double>(cluster_.nodes_with_image(image)) / static_cast<double>(cluster_.nodes().size());
      sum += static_cast<std::int64_t>(static_cast<double>(found->second) * spread);
    }
    return sum;
  }

  const ClusterState& cluster_;
  std::vector<std::string> images_;
};

}  // namespace

RulePtr image_locality_rule(const PodInfo& pod, const ClusterState& cluster) {
  return std::make_unique<ImageLocalityRule>(pod, cluster);
}

}  // namespace gantry::control::scheduling
