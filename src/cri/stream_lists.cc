// SPDX-License-Identifier: Apache-2.0
// The lists again, in several messages.
#include "cri/parts.h"
#include "cri/runtime_impl.h"

namespace gantry::cri {

Task<Result<std::vector<v1::StreamPodSandboxesResponse>>> Runtime::stream_pod_sandboxes(
    v1::StreamPodSandboxesRequest request) {
  v1::ListPodSandboxRequest same;
  same.mutable_filter()->Swap(request.mutable_filter());
  auto all = co_await list_pod_sandbox(std::move(same));
  if (!all) co_return std::unexpected(std::move(all.error()));
  co_return in_parts<v1::StreamPodSandboxesResponse>(*all->mutable_items(),
                                                     [](auto& part) { return part.mutable_pod_sandboxes(); });
}

Task<Result<std::vector<v1::StreamContainersResponse>>> Runtime::stream_containers(
    v1::StreamContainersRequest request) {
  v1::ListContainersRequest same;
  same.mutable_filter()->Swap(request.mutable_filter());
  auto all = co_await list_containers(std::move(same));
  if (!all) co_return std::unexpected(std::move(all.error()));
  co_return in_parts<v1::StreamContainersResponse>(*all->mutable_containers(),
                                                   [](auto& part) { return part.mutable_containers(); });
}

Task<Result<std::vector<v1::StreamContainerStatsResponse>>> Runtime::stream_container_stats(
    v1::StreamContainerStatsRequest request) {
  v1::ListContainerStatsRequest same;
  same.mutable_filter()->Swap(request.mutable_filter());
  auto all = co_await list_container_stats(std::move(same));
  if (!all) co_return std::unexpected(std::move(all.error()));
  co_return in_parts<v1::StreamContainerStatsResponse>(*all->mutable_stats(),
                                                       [](auto& part) { return part.mutable_container_stats(); });
}

}  // namespace gantry::cri
