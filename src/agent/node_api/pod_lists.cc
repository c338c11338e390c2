// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/pod_lists.h"

#include "api/codec.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

// The items' texts, with what stands around them.
class ListText {
 public:
  void add(const core::Pod& pod) {
    if (!is_first_) text_ += ',';
    is_first_ = false;
    api::encode_json(pod, &text_);
  }
  std::string take() { return std::move(text_) + "]}\n"; }

 private:
  std::string text_ = R"({"kind":"PodList","apiVersion":"v1","metadata":{},"items":[)";
  bool is_first_ = true;
};

}  // namespace

std::string pod_list(const std::vector<PodInfo>& pods) {
  ListText list;
  for (const PodInfo& info : pods) {
    // One that only ends, whose manifest went while gantryd was away: nobody knows it any more.
    if (!info.pod) continue;
    core::Pod pod = *info.pod;
    pod.mutable_metadata()->set_uid(info.uid);
    if (info.status) *pod.mutable_status() = *info.status;
    list.add(pod);
  }
  return list.take();
}

std::string running_pod_list(const ::runtime::v1::ListPodSandboxResponse& sandboxes,
                             const ::runtime::v1::ListContainersResponse& containers) {
  ListText list;
  for (const auto& sandbox : sandboxes.items()) {
    core::Pod pod;
    pod.mutable_metadata()->set_name(sandbox.metadata().name());
    pod.mutable_metadata()->set_namespace_(sandbox.metadata().namespace_());
    pod.mutable_metadata()->set_uid(sandbox.metadata().uid());
    for (const auto& container : containers.containers()) {
      if (container.pod_sandbox_id() != sandbox.id()) continue;
      core::Container& found = *pod.mutable_spec()->add_containers();
      found.set_name(container.metadata().name());
      found.set_image(container.image().image());
    }
    if (pod.spec().containers_size() > 0) list.add(pod);
  }
  return list.take();
}

}  // namespace gantry::agent
