// SPDX-License-Identifier: Apache-2.0
// CountedRuntime: the container runtime as the agent has it, which counts and times what is asked of it, by kubelet's
// names: kubelet_runtime_operations_total, _errors_total and _duration_seconds by operation_type. An operation counts
// when it has ended; events, which go on, are none. What is answered is the runtime's.
//
// Owner: main. Loop thread; text() on any.
#pragma once

#include <string>
#include <string_view>

#include "base/metrics.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

namespace v1 = ::runtime::v1;

class CountedRuntime final : public cri::RuntimeService, public cri::ImageService {
 public:
  // Both outlive it; it outlives the calls that are under way.
  CountedRuntime(cri::RuntimeService& runtime, cri::ImageService& images);

  std::string text() const { return registry_.text(); }

  Task<Result<v1::VersionResponse>> version(v1::VersionRequest) override;
  Task<Result<v1::StatusResponse>> status(v1::StatusRequest) override;
  Task<Result<v1::RuntimeConfigResponse>> runtime_config(v1::RuntimeConfigRequest) override;
  Task<Result<v1::UpdateRuntimeConfigResponse>> update_runtime_config(v1::UpdateRuntimeConfigRequest) override;
  Task<Result<v1::RunPodSandboxResponse>> run_pod_sandbox(v1::RunPodSandboxRequest) override;
  Task<Result<v1::StopPodSandboxResponse>> stop_pod_sandbox(v1::StopPodSandboxRequest) override;
  Task<Result<v1::RemovePodSandboxResponse>> remove_pod_sandbox(v1::RemovePodSandboxRequest) override;
  Task<Result<v1::PodSandboxStatusResponse>> pod_sandbox_status(v1::PodSandboxStatusRequest) override;
  Task<Result<v1::ListPodSandboxResponse>> list_pod_sandbox(v1::ListPodSandboxRequest) override;
  Task<Result<v1::CreateContainerResponse>> create_container(v1::CreateContainerRequest) override;
  Task<Result<v1::StartContainerResponse>> start_container(v1::StartContainerRequest) override;
  Task<Result<v1::StopContainerResponse>> stop_container(v1::StopContainerRequest) override;
  Task<Result<v1::RemoveContainerResponse>> remove_container(v1::RemoveContainerRequest) override;
  Task<Result<v1::ListContainersResponse>> list_containers(v1::ListContainersRequest) override;
  Task<Result<v1::ContainerStatusResponse>> container_status(v1::ContainerStatusRequest) override;
  Task<Result<v1::ContainerStatsResponse>> container_stats(v1::ContainerStatsRequest) override;
  Task<Result<v1::ListContainerStatsResponse>> list_container_stats(v1::ListContainerStatsRequest) override;
  Task<Result<v1::PodSandboxStatsResponse>> pod_sandbox_stats(v1::PodSandboxStatsRequest) override;
  Task<Result<v1::ListPodSandboxStatsResponse>> list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest) override;
  Task<Result<v1::ListMetricDescriptorsResponse>> list_metric_descriptors(v1::ListMetricDescriptorsRequest) override;
  Task<Result<v1::ListPodSandboxMetricsResponse>> list_pod_sandbox_metrics(v1::ListPodSandboxMetricsRequest) override;
  Task<Result<v1::ReopenContainerLogResponse>> reopen_container_log(v1::ReopenContainerLogRequest) override;
  Task<Result<v1::ExecSyncResponse>> exec_sync(v1::ExecSyncRequest, std::shared_ptr<Event> over) override;
  Task<Result<v1::ExecResponse>> exec(v1::ExecRequest) override;
  Task<Result<v1::AttachResponse>> attach(v1::AttachRequest) override;
  Task<Result<v1::UpdateContainerResourcesResponse>> update_container_resources(
      v1::UpdateContainerResourcesRequest) override;
  Task<Result<v1::UpdatePodSandboxResourcesResponse>> update_pod_sandbox_resources(
      v1::UpdatePodSandboxResourcesRequest) override;
  Task<Result<v1::CheckpointContainerResponse>> checkpoint_container(v1::CheckpointContainerRequest,
                                                                     std::shared_ptr<Event> over) override;
  Task<Result<v1::PortForwardResponse>> port_forward(v1::PortForwardRequest) override;
  void observe(Observer observer) override;
  Task<Status> get_container_events(v1::GetEventsRequest, EventTaker take, std::shared_ptr<Event> over) override;

  Task<Result<v1::ListImagesResponse>> list_images(v1::ListImagesRequest) override;
  Task<Result<v1::ImageStatusResponse>> image_status(v1::ImageStatusRequest) override;
  Task<Result<v1::PullImageResponse>> pull_image(v1::PullImageRequest, std::shared_ptr<Event> over) override;
  Task<Result<v1::RemoveImageResponse>> remove_image(v1::RemoveImageRequest) override;
  Task<Result<v1::ImageFsInfoResponse>> image_fs_info(v1::ImageFsInfoRequest) override;

 private:
  // `operation` is a literal.
  template <typename Response>
  Task<Result<Response>> counted(std::string_view operation, Task<Result<Response>> call);

  cri::RuntimeService& runtime_;
  cri::ImageService& images_;
  metrics::Registry registry_;
  metrics::Family<metrics::Counter>& all_;
  metrics::Family<metrics::Counter>& errors_;
  metrics::Family<metrics::Histogram>& seconds_;
};

}  // namespace gantry::agent
