// SPDX-License-Identifier: Apache-2.0
#include "agent/node_admission.h"

#include <map>
#include <string>
#include <utility>

#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;

struct NodeAdmission::Impl : std::enable_shared_from_this<Impl> {
  // A Node of the moment, for one pod.
  struct Look {
    bool is_done = false;
    std::shared_ptr<const core::Node> node;  // null: it could not be read
  };

  Impl(Cluster* of, AdmissionRules r, std::function<void()> call)
      : cluster(of), rules(std::move(r)), changed(std::move(call)) {}

  static Task<> wait_for_node(std::weak_ptr<Impl> weak, Cluster& cluster) {
    co_await cluster.node().wait_synced();
    if (auto impl = weak.lock(); impl && impl->changed) impl->changed();
  }

  static Task<> look(std::weak_ptr<Impl> weak, Cluster& cluster, std::string uid) {
    auto answer = co_await cluster.urgent_client().get<core::Node>("", cluster.node_name());
    auto impl = weak.lock();
    if (!impl || !impl->changed) co_return;
    Look& look = impl->looks[uid];
    look.is_done = true;
    if (answer) look.node = std::make_shared<core::Node>(std::move(*answer));
    impl->changed();
  }

  Cluster* const cluster;
  const AdmissionRules rules;
  std::function<void()> changed;  // empty: stopped
  std::map<std::string, Look> looks;
};

NodeAdmission::NodeAdmission(Cluster* cluster, AdmissionRules rules, std::function<void()> changed)
    : impl_(std::make_shared<Impl>(cluster, std::move(rules), std::move(changed))) {
  if (cluster != nullptr) cluster->loop().spawn(Impl::wait_for_node(impl_, *cluster));
}

NodeAdmission::~NodeAdmission() { stop(); }

void NodeAdmission::stop() { impl_->changed = nullptr; }

NodeAdmission::Answer NodeAdmission::ask(const core::Pod& pod, bool is_static,
                                         const std::vector<std::shared_ptr<const core::Pod>>& others) {
  Cluster* cluster = impl_->cluster;
  if (cluster == nullptr) return {.refused = refusal(pod, is_static, nullptr, others, impl_->rules)};
  // A static pod may be what the API server needs.
  if (!is_static && !cluster->node().is_synced()) return {.is_known = false};
  std::shared_ptr<const core::Node> node = cluster->node_object();
  const auto look = impl_->looks.find(pod.metadata().uid());
  const bool has_looked = look != impl_->looks.end();
  if (has_looked && !look->second.is_done) return {.is_known = false};
  if (has_looked && look->second.node) node = look->second.node;
  Answer answer{.refused = refusal(pod, is_static, node.get(), others, impl_->rules)};
  if (has_looked) impl_->looks.erase(look);
  if (answer.refused && answer.refused->reason == kNodeAffinityReason && !has_looked && !is_static) {
    impl_->looks[pod.metadata().uid()] = {};
    cluster->loop().spawn(Impl::look(impl_, *cluster, pod.metadata().uid()));
    return {.is_known = false};
  }
  return answer;
}

}  // namespace gantry::agent
