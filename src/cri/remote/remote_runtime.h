// SPDX-License-Identifier: Apache-2.0
// Another CRI runtime on this node (containerd, CRI-O, another gantryd) behind the interfaces of runtime_service.h, by
// gRPC over its unix socket.
//
// Other runtimes lose events: observers are told what a list of each second has found to be otherwise than the one
// before, and events of the runtime's, where it has them, only bring the next list forward. So several changes may be
// one, and one that was taken back between two lists is none.
//
// Owner: main. Loop thread. It outlives the loop's last turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/loop.h"
#include "cri/remote/rpc_client.h"
#include "cri/runtime_service.h"

namespace gantry::cri {

struct RemoteOptions {
  std::string runtime_socket, image_socket;  // absolute paths; without image_socket it is the runtime's
  // As kubelet's runtimeRequestTimeout: of calls that take no time of their own.
  Duration limit = std::chrono::minutes(2);
  Duration relist_period = std::chrono::seconds(1);
};

// "unix:///run/containerd/containerd.sock" or an absolute path; kInvalidArgument for other texts.
Result<std::string> parse_endpoint(const std::string& endpoint);

class RemoteRuntime final : public RuntimeService, public ImageService {
 public:
  RemoteRuntime(Loop& loop, RemoteOptions options);
  ~RemoteRuntime() override;

  // Begins to list, and goes on until stop().
  void start();
  void stop();

  Task<Result<v1::VersionResponse>> version(v1::VersionRequest request) override;
  Task<Result<v1::StatusResponse>> status(v1::StatusRequest request) override;
  Task<Result<v1::RuntimeConfigResponse>> runtime_config(v1::RuntimeConfigRequest request) override;
  Task<Result<v1::UpdateRuntimeConfigResponse>> update_runtime_config(v1::UpdateRuntimeConfigRequest request) override;
  Task<Result<v1::RunPodSandboxResponse>> run_pod_sandbox(v1::RunPodSandboxRequest request) override;
  Task<Result<v1::StopPodSandboxResponse>> stop_pod_sandbox(v1::StopPodSandboxRequest request) override;
  Task<Result<v1::RemovePodSandboxResponse>> remove_pod_sandbox(v1::RemovePodSandboxRequest request) override;
  Task<Result<v1::PodSandboxStatusResponse>> pod_sandbox_status(v1::PodSandboxStatusRequest request) override;
  Task<Result<v1::ListPodSandboxResponse>> list_pod_sandbox(v1::ListPodSandboxRequest request) override;
  Task<Result<v1::CreateContainerResponse>> create_container(v1::CreateContainerRequest request) override;
  Task<Result<v1::StartContainerResponse>> start_container(v1::StartContainerRequest request) override;
  Task<Result<v1::StopContainerResponse>> stop_container(v1::StopContainerRequest request) override;
  Task<Result<v1::RemoveContainerResponse>> remove_container(v1::RemoveContainerRequest request) override;
  Task<Result<v1::ListContainersResponse>> list_containers(v1::ListContainersRequest request) override;
  Task<Result<v1::ContainerStatusResponse>> container_status(v1::ContainerStatusRequest request) override;
  Task<Result<v1::ContainerStatsResponse>> container_stats(v1::ContainerStatsRequest request) override;
  Task<Result<v1::ListContainerStatsResponse>> list_container_stats(v1::ListContainerStatsRequest request) override;
  Task<Result<v1::PodSandboxStatsResponse>> pod_sandbox_stats(v1::PodSandboxStatsRequest request) override;
  Task<Result<v1::ListPodSandboxStatsResponse>> list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest request) override;
  Task<Result<v1::ListMetricDescriptorsResponse>> list_metric_descriptors(
      v1::ListMetricDescriptorsRequest request) override;
  Task<Result<v1::ListPodSandboxMetricsResponse>> list_pod_sandbox_metrics(
      v1::ListPodSandboxMetricsRequest request) override;
  Task<Result<v1::ReopenContainerLogResponse>> reopen_container_log(v1::ReopenContainerLogRequest request) override;
  Task<Result<v1::ExecSyncResponse>> exec_sync(v1::ExecSyncRequest request, std::shared_ptr<Event> over) override;
  Task<Result<v1::ExecResponse>> exec(v1::ExecRequest request) override;
  Task<Result<v1::AttachResponse>> attach(v1::AttachRequest request) override;
  Task<Result<v1::UpdateContainerResourcesResponse>> update_container_resources(
      v1::UpdateContainerResourcesRequest request) override;
  Task<Result<v1::UpdatePodSandboxResourcesResponse>> update_pod_sandbox_resources(
      v1::UpdatePodSandboxResourcesRequest request) override;
  Task<Result<v1::CheckpointContainerResponse>> checkpoint_container(v1::CheckpointContainerRequest request,
                                                                     std::shared_ptr<Event> over) override;
  Task<Result<v1::PortForwardResponse>> port_forward(v1::PortForwardRequest request) override;
  Task<Result<v1::ListImagesResponse>> list_images(v1::ListImagesRequest request) override;
  Task<Result<v1::ImageStatusResponse>> image_status(v1::ImageStatusRequest request) override;
  Task<Result<v1::PullImageResponse>> pull_image(v1::PullImageRequest request, std::shared_ptr<Event> over) override;
  Task<Result<v1::RemoveImageResponse>> remove_image(v1::RemoveImageRequest request) override;
  Task<Result<v1::ImageFsInfoResponse>> image_fs_info(v1::ImageFsInfoRequest request) override;

  void observe(Observer observer) override;
  Task<Status> get_container_events(v1::GetEventsRequest request, EventTaker take,
                                    std::shared_ptr<Event> over) override;

 private:
  template <typename Response, typename Request>
  static Task<Result<Response>> ask(RpcClient& client, std::string path, Request request, RpcClient::Terms terms);
  // Of a call that has a time of its own, in seconds; 0: as long as it takes.
  std::optional<Duration> limit_of(std::int64_t seconds) const;

  struct Relist;
  const RemoteOptions options_;
  RpcClient runtime_, images_;
  std::shared_ptr<Relist> relist_;
};

}  // namespace gantry::cri
