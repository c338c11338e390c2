// SPDX-License-Identifier: Apache-2.0
#include "agent/counted_runtime.h"

#include <chrono>
#include <utility>

#include "cri/runtime/v1/api.pb.h"

namespace gantry::agent {

namespace {

// Kubelet's.
constexpr double kBuckets[] = {0.005,         0.0125,          0.03125,          0.078125,          0.1953125,
                               0.48828125,    1.220703125,     3.0517578125,     7.62939453125,     19.073486328125,
                               47.6837158203125, 119.20928955078125, 298.0232238769531, 745.0580596923828};

}  // namespace

CountedRuntime::CountedRuntime(cri::RuntimeService& runtime, cri::ImageService& images)
    : runtime_(runtime),
      images_(images),
      all_(registry_.counters("kubelet_runtime_operations_total",
                              "Cumulative number of runtime operations by operation type.", {"operation_type"})),
      errors_(registry_.counters("kubelet_runtime_operations_errors_total",
                                 "Cumulative number of runtime operation errors by operation type.",
                                 {"operation_type"})),
      seconds_(registry_.histograms("kubelet_runtime_operations_duration_seconds",
                                    "Duration in seconds of runtime operations. Broken down by operation type.",
                                    {"operation_type"}, kBuckets)) {}

template <typename Response>
Task<Result<Response>> CountedRuntime::counted(std::string_view operation, Task<Result<Response>> call) {
  const auto begun = std::chrono::steady_clock::now();
  Result<Response> answer = co_await std::move(call);
  all_.at({operation}).add();
  if (!answer) errors_.at({operation}).add();
  seconds_.at({operation}).observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  co_return answer;
}

Task<Result<v1::VersionResponse>> CountedRuntime::version(v1::VersionRequest request) {
  return counted("version", runtime_.version(std::move(request)));
}

Task<Result<v1::StatusResponse>> CountedRuntime::status(v1::StatusRequest request) {
  return counted("status", runtime_.status(std::move(request)));
}

Task<Result<v1::RuntimeConfigResponse>> CountedRuntime::runtime_config(v1::RuntimeConfigRequest request) {
  return counted("runtime_config", runtime_.runtime_config(std::move(request)));
}

Task<Result<v1::UpdateRuntimeConfigResponse>> CountedRuntime::update_runtime_config(
    v1::UpdateRuntimeConfigRequest request) {
  return counted("update_runtime_config", runtime_.update_runtime_config(std::move(request)));
}

Task<Result<v1::RunPodSandboxResponse>> CountedRuntime::run_pod_sandbox(v1::RunPodSandboxRequest request) {
  return counted("run_podsandbox", runtime_.run_pod_sandbox(std::move(request)));
}

Task<Result<v1::StopPodSandboxResponse>> CountedRuntime::stop_pod_sandbox(v1::StopPodSandboxRequest request) {
  return counted("stop_podsandbox", runtime_.stop_pod_sandbox(std::move(request)));
}

Task<Result<v1::RemovePodSandboxResponse>> CountedRuntime::remove_pod_sandbox(v1::RemovePodSandboxRequest request) {
  return counted("remove_podsandbox", runtime_.remove_pod_sandbox(std::move(request)));
}

Task<Result<v1::PodSandboxStatusResponse>> CountedRuntime::pod_sandbox_status(v1::PodSandboxStatusRequest request) {
  return counted("podsandbox_status", runtime_.pod_sandbox_status(std::move(request)));
}

Task<Result<v1::ListPodSandboxResponse>> CountedRuntime::list_pod_sandbox(v1::ListPodSandboxRequest request) {
  return counted("list_podsandbox", runtime_.list_pod_sandbox(std::move(request)));
}

Task<Result<v1::CreateContainerResponse>> CountedRuntime::create_container(v1::CreateContainerRequest request) {
  return counted("create_container", runtime_.create_container(std::move(request)));
}

Task<Result<v1::StartContainerResponse>> CountedRuntime::start_container(v1::StartContainerRequest request) {
  return counted("start_container", runtime_.start_container(std::move(request)));
}

Task<Result<v1::StopContainerResponse>> CountedRuntime::stop_container(v1::StopContainerRequest request) {
  return counted("stop_container", runtime_.stop_container(std::move(request)));
}

Task<Result<v1::RemoveContainerResponse>> CountedRuntime::remove_container(v1::RemoveContainerRequest request) {
  return counted("remove_container", runtime_.remove_container(std::move(request)));
}

Task<Result<v1::ListContainersResponse>> CountedRuntime::list_containers(v1::ListContainersRequest request) {
  return counted("list_containers", runtime_.list_containers(std::move(request)));
}

Task<Result<v1::ContainerStatusResponse>> CountedRuntime::container_status(v1::ContainerStatusRequest request) {
  return counted("container_status", runtime_.container_status(std::move(request)));
}

Task<Result<v1::ContainerStatsResponse>> CountedRuntime::container_stats(v1::ContainerStatsRequest request) {
  return counted("container_stats", runtime_.container_stats(std::move(request)));
}

Task<Result<v1::ListContainerStatsResponse>> CountedRuntime::list_container_stats(
    v1::ListContainerStatsRequest request) {
  return counted("list_container_stats", runtime_.list_container_stats(std::move(request)));
}

Task<Result<v1::PodSandboxStatsResponse>> CountedRuntime::pod_sandbox_stats(v1::PodSandboxStatsRequest request) {
  return counted("podsandbox_stats", runtime_.pod_sandbox_stats(std::move(request)));
}

Task<Result<v1::ListPodSandboxStatsResponse>> CountedRuntime::list_pod_sandbox_stats(
    v1::ListPodSandboxStatsRequest request) {
  return counted("list_podsandbox_stats", runtime_.list_pod_sandbox_stats(std::move(request)));
}

Task<Result<v1::ListMetricDescriptorsResponse>> CountedRuntime::list_metric_descriptors(
    v1::ListMetricDescriptorsRequest request) {
  return counted("list_metric_descriptors", runtime_.list_metric_descriptors(std::move(request)));
}

Task<Result<v1::ListPodSandboxMetricsResponse>> CountedRuntime::list_pod_sandbox_metrics(
    v1::ListPodSandboxMetricsRequest request) {
  return counted("list_podsandbox_metrics", runtime_.list_pod_sandbox_metrics(std::move(request)));
}

Task<Result<v1::ReopenContainerLogResponse>> CountedRuntime::reopen_container_log(
    v1::ReopenContainerLogRequest request) {
  return counted("reopen_container_log", runtime_.reopen_container_log(std::move(request)));
}

Task<Result<v1::ExecSyncResponse>> CountedRuntime::exec_sync(v1::ExecSyncRequest request, std::shared_ptr<Event> over) {
  return counted("exec_sync", runtime_.exec_sync(std::move(request), std::move(over)));
}

Task<Result<v1::ExecResponse>> CountedRuntime::exec(v1::ExecRequest request) {
  return counted("exec", runtime_.exec(std::move(request)));
}

Task<Result<v1::AttachResponse>> CountedRuntime::attach(v1::AttachRequest request) {
  return counted("attach", runtime_.attach(std::move(request)));
}

Task<Result<v1::UpdateContainerResourcesResponse>> CountedRuntime::update_container_resources(
    v1::UpdateContainerResourcesRequest request) {
  return counted("update_container", runtime_.update_container_resources(std::move(request)));
}

Task<Result<v1::UpdatePodSandboxResourcesResponse>> CountedRuntime::update_pod_sandbox_resources(
    v1::UpdatePodSandboxResourcesRequest request) {
  return counted("update_podsandbox_resources", runtime_.update_pod_sandbox_resources(std::move(request)));
}

Task<Result<v1::CheckpointContainerResponse>> CountedRuntime::checkpoint_container(
    v1::CheckpointContainerRequest request, std::shared_ptr<Event> over) {
  return counted("checkpoint_container", runtime_.checkpoint_container(std::move(request), std::move(over)));
}

Task<Result<v1::PortForwardResponse>> CountedRuntime::port_forward(v1::PortForwardRequest request) {
  return counted("port_forward", runtime_.port_forward(std::move(request)));
}

Task<Result<v1::ListImagesResponse>> CountedRuntime::list_images(v1::ListImagesRequest request) {
  return counted("list_images", images_.list_images(std::move(request)));
}

Task<Result<v1::ImageStatusResponse>> CountedRuntime::image_status(v1::ImageStatusRequest request) {
  return counted("image_status", images_.image_status(std::move(request)));
}

Task<Result<v1::PullImageResponse>> CountedRuntime::pull_image(
    v1::PullImageRequest request, std::shared_ptr<Event> over) {
  return counted("pull_image", images_.pull_image(std::move(request), std::move(over)));
}

Task<Result<v1::RemoveImageResponse>> CountedRuntime::remove_image(v1::RemoveImageRequest request) {
  return counted("remove_image", images_.remove_image(std::move(request)));
}

Task<Result<v1::ImageFsInfoResponse>> CountedRuntime::image_fs_info(v1::ImageFsInfoRequest request) {
  return counted("image_fs_info", images_.image_fs_info(std::move(request)));
}

void CountedRuntime::observe(Observer observer) { runtime_.observe(std::move(observer)); }

Task<Status> CountedRuntime::get_container_events(v1::GetEventsRequest request, EventTaker take,
                                                  std::shared_ptr<Event> over) {
  return runtime_.get_container_events(std::move(request), std::move(take), std::move(over));
}

}  // namespace gantry::agent
