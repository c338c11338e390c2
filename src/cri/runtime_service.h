// SPDX-License-Identifier: Apache-2.0
// The container runtime as the agent sees it: the CRI's own messages (proto/cri/runtime/v1/api.proto), in process. The
// gRPC server (server.h) serves the same object to crictl and others; the agent may be given one that speaks gRPC to
// another runtime instead.
//
// All calls run on the loop thread. Requests are taken by value: a caller may drop its own. Errors carry the gRPC code
// that a CRI client would see. Calls are idempotent as the CRI says: a retry of one that is under way joins it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/task.h"

namespace runtime::v1 {
class VersionRequest;
class VersionResponse;
class StatusRequest;
class StatusResponse;
class RuntimeConfigRequest;
class RuntimeConfigResponse;
class RunPodSandboxRequest;
class RunPodSandboxResponse;
class StopPodSandboxRequest;
class StopPodSandboxResponse;
class RemovePodSandboxRequest;
class RemovePodSandboxResponse;
class PodSandboxStatusRequest;
class PodSandboxStatusResponse;
class ListPodSandboxRequest;
class ListPodSandboxResponse;
class CreateContainerRequest;
class CreateContainerResponse;
class StartContainerRequest;
class StartContainerResponse;
class StopContainerRequest;
class StopContainerResponse;
class RemoveContainerRequest;
class RemoveContainerResponse;
class ListContainersRequest;
class ListContainersResponse;
class ContainerStatusRequest;
class ContainerStatusResponse;
class ContainerStatsRequest;
class ContainerStatsResponse;
class ListContainerStatsRequest;
class ListContainerStatsResponse;
class ExecSyncRequest;
class ExecSyncResponse;
class ExecRequest;
class ExecResponse;
class UpdateContainerResourcesRequest;
class UpdateContainerResourcesResponse;
class UpdatePodSandboxResourcesRequest;
class UpdatePodSandboxResourcesResponse;
class AttachRequest;
class AttachResponse;
class CheckpointContainerRequest;
class CheckpointContainerResponse;
class PortForwardRequest;
class PortForwardResponse;
class PodSandboxStatsRequest;
class PodSandboxStatsResponse;
class ListPodSandboxStatsRequest;
class ListPodSandboxStatsResponse;
class UpdateRuntimeConfigRequest;
class UpdateRuntimeConfigResponse;
class ListMetricDescriptorsRequest;
class ListMetricDescriptorsResponse;
class ListPodSandboxMetricsRequest;
class ListPodSandboxMetricsResponse;
class ReopenContainerLogRequest;
class ReopenContainerLogResponse;
class ListImagesRequest;
class ListImagesResponse;
class ImageStatusRequest;
class ImageStatusResponse;
class PullImageRequest;
class PullImageResponse;
class RemoveImageRequest;
class RemoveImageResponse;
class ImageFsInfoRequest;
class ImageFsInfoResponse;
class GetEventsRequest;
class ContainerEventResponse;
}  // namespace runtime::v1

namespace gantry {
class Event;
}

namespace gantry::cri {

namespace v1 = ::runtime::v1;

class RuntimeService {
 public:
  virtual ~RuntimeService() = default;

  virtual Task<Result<v1::VersionResponse>> version(v1::VersionRequest) = 0;
  virtual Task<Result<v1::StatusResponse>> status(v1::StatusRequest) = 0;
  virtual Task<Result<v1::RuntimeConfigResponse>> runtime_config(v1::RuntimeConfigRequest) = 0;
  virtual Task<Result<v1::UpdateRuntimeConfigResponse>> update_runtime_config(v1::UpdateRuntimeConfigRequest) = 0;

  virtual Task<Result<v1::RunPodSandboxResponse>> run_pod_sandbox(v1::RunPodSandboxRequest) = 0;
  virtual Task<Result<v1::StopPodSandboxResponse>> stop_pod_sandbox(v1::StopPodSandboxRequest) = 0;
  virtual Task<Result<v1::RemovePodSandboxResponse>> remove_pod_sandbox(v1::RemovePodSandboxRequest) = 0;
  virtual Task<Result<v1::PodSandboxStatusResponse>> pod_sandbox_status(v1::PodSandboxStatusRequest) = 0;
  virtual Task<Result<v1::ListPodSandboxResponse>> list_pod_sandbox(v1::ListPodSandboxRequest) = 0;

  virtual Task<Result<v1::CreateContainerResponse>> create_container(v1::CreateContainerRequest) = 0;
  virtual Task<Result<v1::StartContainerResponse>> start_container(v1::StartContainerRequest) = 0;
  virtual Task<Result<v1::StopContainerResponse>> stop_container(v1::StopContainerRequest) = 0;
  virtual Task<Result<v1::RemoveContainerResponse>> remove_container(v1::RemoveContainerRequest) = 0;
  virtual Task<Result<v1::ListContainersResponse>> list_containers(v1::ListContainersRequest) = 0;
  virtual Task<Result<v1::ContainerStatusResponse>> container_status(v1::ContainerStatusRequest) = 0;
  virtual Task<Result<v1::ContainerStatsResponse>> container_stats(v1::ContainerStatsRequest) = 0;
  virtual Task<Result<v1::ListContainerStatsResponse>> list_container_stats(v1::ListContainerStatsRequest) = 0;
  // Of ready pods.
  virtual Task<Result<v1::PodSandboxStatsResponse>> pod_sandbox_stats(v1::PodSandboxStatsRequest) = 0;
  virtual Task<Result<v1::ListPodSandboxStatsResponse>> list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest) = 0;
  virtual Task<Result<v1::ListMetricDescriptorsResponse>> list_metric_descriptors(v1::ListMetricDescriptorsRequest) = 0;
  virtual Task<Result<v1::ListPodSandboxMetricsResponse>> list_pod_sandbox_metrics(
      v1::ListPodSandboxMetricsRequest) = 0;
  virtual Task<Result<v1::ReopenContainerLogResponse>> reopen_container_log(v1::ReopenContainerLogRequest) = 0;

  // The process is killed when its time is up, and when `over`, if given, is set before it ended: nobody waits for the
  // answer any more. Whoever gives `over` sets it in the end, after an answer too. Of what the process has started
  // nothing is killed: an exec has no cgroup of its own.
  virtual Task<Result<v1::ExecSyncResponse>> exec_sync(v1::ExecSyncRequest, std::shared_ptr<Event> over) = 0;
  virtual Task<Result<v1::ExecResponse>> exec(v1::ExecRequest) = 0;
  virtual Task<Result<v1::AttachResponse>> attach(v1::AttachRequest) = 0;
  virtual Task<Result<v1::UpdateContainerResourcesResponse>> update_container_resources(
      v1::UpdateContainerResourcesRequest) = 0;
  virtual Task<Result<v1::UpdatePodSandboxResourcesResponse>> update_pod_sandbox_resources(
      v1::UpdatePodSandboxResourcesRequest) = 0;
  // Writes the state of a running container to a file, which it outlives: it goes on. Stopped at the next safe point
  // when its time is up, or when `over`, if given, is set; then nothing is there.
  virtual Task<Result<v1::CheckpointContainerResponse>> checkpoint_container(v1::CheckpointContainerRequest,
                                                                             std::shared_ptr<Event> over) = 0;
  virtual Task<Result<v1::PortForwardResponse>> port_forward(v1::PortForwardRequest) = 0;

  // Calls `observer` on the loop thread for every state change of a sandbox or container (created, started, stopped,
  // deleted), after it is recorded. An event has the status of its pod sandbox and those of all of the pod's containers
  // at that moment; those of a sandbox have its id as container id.
  using Observer = std::function<void(const v1::ContainerEventResponse&)>;
  virtual void observe(Observer observer) = 0;
  // The same, until `over` is set or `take` answers false: it can't hold more (RESOURCE_EXHAUSTED). The first to ask
  // also gets what happened while nobody was here, of the last five minutes.
  using EventTaker = std::function<bool(const v1::ContainerEventResponse&)>;
  virtual Task<Status> get_container_events(v1::GetEventsRequest, EventTaker take, std::shared_ptr<Event> over) = 0;
};

class ImageService {
 public:
  virtual ~ImageService() = default;

  virtual Task<Result<v1::ListImagesResponse>> list_images(v1::ListImagesRequest) = 0;
  virtual Task<Result<v1::ImageStatusResponse>> image_status(v1::ImageStatusRequest) = 0;
  // A pull that is under way with the same credentials is joined. It is ended when `over` of all who wait for it is
  // set; who gives none waits to the end.
  virtual Task<Result<v1::PullImageResponse>> pull_image(v1::PullImageRequest, std::shared_ptr<Event> over) = 0;
  virtual Task<Result<v1::RemoveImageResponse>> remove_image(v1::RemoveImageRequest) = 0;
  virtual Task<Result<v1::ImageFsInfoResponse>> image_fs_info(v1::ImageFsInfoRequest) = 0;
};

}  // namespace gantry::cri
