// SPDX-License-Identifier: Apache-2.0
#include "cri/remote/remote_runtime.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {

Result<std::string> parse_endpoint(const std::string& endpoint) {
  constexpr std::string_view kScheme = "unix://";
  const std::string path = endpoint.starts_with(kScheme) ? endpoint.substr(kScheme.size()) : endpoint;
  if (path.starts_with('/') && !path.ends_with('/')) return path;
  return invalid_argument(cat("endpoint ", quoted(endpoint), ": expected unix:///PATH or an absolute path"));
}

// ---- what changes

// The state of everything that the runtime has, as it was listed last.
struct RemoteRuntime::Relist : std::enable_shared_from_this<Relist> {
  struct Seen {
    int state = 0;
    std::string sandbox;
  };
  using World = std::map<std::string, Seen>;  // by id, of sandboxes and containers

  Relist(Loop& l, RemoteRuntime& r, Duration p) : loop(l), runtime(r), period(p), wake(l) {}

  static Task<> run(std::shared_ptr<Relist> self);
  static Task<> follow(std::shared_ptr<Relist> self);
  Task<Result<World>> list();
  void tell(const World& now);

  Loop& loop;
  RemoteRuntime& runtime;  // outlives what runs here: stop() comes before its end
  const Duration period;
  std::vector<Observer> observers;
  World before;
  Event wake;
  std::shared_ptr<Event> over;
  bool stopped = false;
};

Task<Result<RemoteRuntime::Relist::World>> RemoteRuntime::Relist::list() {
  World world;
  auto sandboxes = co_await runtime.list_pod_sandbox({});
  if (!sandboxes) co_return std::unexpected(std::move(sandboxes.error()));
  if (stopped) co_return world;
  for (const auto& one : sandboxes->items()) world[one.id()] = {one.state(), one.id()};
  auto containers = co_await runtime.list_containers({});
  if (!containers) co_return std::unexpected(std::move(containers.error()));
  for (const auto& one : containers->containers()) world[one.id()] = {one.state(), one.pod_sandbox_id()};
  co_return world;
}

void RemoteRuntime::Relist::tell(const World& now) {
  const auto event = [this](const std::string& id, const Seen& seen, v1::ContainerEventType type) {
    v1::ContainerEventResponse said;
    said.set_container_id(id);
    said.set_container_event_type(type);
    said.mutable_pod_sandbox_status()->set_id(seen.sandbox);
    for (const auto& observer : observers) observer(said);
  };
  const auto type_of = [](const std::string& id, const Seen& seen) {
    if (seen.sandbox == id) {
      return seen.state == v1::SANDBOX_READY ? v1::CONTAINER_STARTED_EVENT : v1::CONTAINER_STOPPED_EVENT;
    }
    if (seen.state == v1::CONTAINER_CREATED) return v1::CONTAINER_CREATED_EVENT;
    return seen.state == v1::CONTAINER_RUNNING ? v1::CONTAINER_STARTED_EVENT : v1::CONTAINER_STOPPED_EVENT;
  };
  const World was = std::exchange(before, now);
  for (const auto& [id, seen] : now) {
    auto found = was.find(id);
    if (found == was.end() || found->second.state != seen.state) event(id, seen, type_of(id, seen));
  }
  for (const auto& [id, seen] : was) {
    if (!now.contains(id)) event(id, seen, v1::CONTAINER_DELETED_EVENT);
  }
}

Task<> RemoteRuntime::Relist::run(std::shared_ptr<Relist> self) {
  bool was_there = true;
  while (!self->stopped) {
    self->wake.reset();
    auto world = co_await self->list();
    if (self->stopped) break;
    if (world) {
      self->tell(*world);
    } else if (was_there) {
      log::error("the runtime does not answer, asking again", {{"error", world.error()}});
    }
    was_there = world.has_value();
    (void)co_await self->wake.wait_for(self->period);
  }
}

// A runtime that has no events has said so, or will at each try.
Task<> RemoteRuntime::Relist::follow(std::shared_ptr<Relist> self) {
  while (!self->stopped) {
    self->over = std::make_shared<Event>(self->loop);
    auto done = co_await self->runtime.get_container_events(
        {},
        [self](const v1::ContainerEventResponse&) {
          self->wake.set();
          return !self->stopped;
        },
        self->over);
    self->over->set();
    if (self->stopped || (!done && done.error().code() == Code::kUnimplemented)) break;
    co_await self->loop.sleep_for(self->period);
  }
}

// ---- calls

RemoteRuntime::RemoteRuntime(Loop& loop, RemoteOptions options)
    : options_(std::move(options)),
      runtime_(loop, options_.runtime_socket),
      images_(loop, options_.image_socket.empty() ? options_.runtime_socket : options_.image_socket),
      relist_(std::make_shared<Relist>(loop, *this, options_.relist_period)) {}

RemoteRuntime::~RemoteRuntime() { stop(); }

void RemoteRuntime::start() {
  relist_->loop.spawn(Relist::run(relist_));
  relist_->loop.spawn(Relist::follow(relist_));
}

void RemoteRuntime::stop() {
  if (std::exchange(relist_->stopped, true)) return;
  relist_->wake.set();
  if (relist_->over) relist_->over->set();
}

std::optional<Duration> RemoteRuntime::limit_of(std::int64_t seconds) const {
  constexpr std::int64_t kMost = std::int64_t{10} * 365 * 24 * 3600;
  if (seconds <= 0) return std::nullopt;
  return options_.limit + std::chrono::seconds(std::min(seconds, kMost));
}

template <typename Response, typename Request>
Task<Result<Response>> RemoteRuntime::ask(RpcClient& client, std::string path, Request request,
                                          RpcClient::Terms terms) {
  auto answer = co_await client.call(std::move(path), request.SerializeAsString(), std::move(terms));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  Response response;
  if (!response.ParseFromString(*answer)) co_return fail(Code::kInternal, "the runtime's answer is no such message");
  co_return response;
}

void RemoteRuntime::observe(Observer observer) { relist_->observers.push_back(std::move(observer)); }

Task<Status> RemoteRuntime::get_container_events(v1::GetEventsRequest request, EventTaker take,
                                                 std::shared_ptr<Event> over) {
  return runtime_.follow(
      "/runtime.v1.RuntimeService/GetContainerEvents", request.SerializeAsString(),
      [take = std::move(take)](std::string text) {
        v1::ContainerEventResponse event;
        return event.ParseFromString(text) && take(event);
      },
      std::move(over));
}

Task<Result<v1::VersionResponse>> RemoteRuntime::version(v1::VersionRequest request) {
  return ask<v1::VersionResponse>(runtime_, "/runtime.v1.RuntimeService/Version", std::move(request),
                                  {.limit = options_.limit, .over = {}});
}

Task<Result<v1::StatusResponse>> RemoteRuntime::status(v1::StatusRequest request) {
  return ask<v1::StatusResponse>(runtime_, "/runtime.v1.RuntimeService/Status", std::move(request),
                                 {.limit = options_.limit, .over = {}});
}

Task<Result<v1::RuntimeConfigResponse>> RemoteRuntime::runtime_config(v1::RuntimeConfigRequest request) {
  return ask<v1::RuntimeConfigResponse>(runtime_, "/runtime.v1.RuntimeService/RuntimeConfig", std::move(request),
                                        {.limit = options_.limit, .over = {}});
}

Task<Result<v1::UpdateRuntimeConfigResponse>> RemoteRuntime::update_runtime_config(
    v1::UpdateRuntimeConfigRequest request) {
  return ask<v1::UpdateRuntimeConfigResponse>(runtime_, "/runtime.v1.RuntimeService/UpdateRuntimeConfig",
                                              std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::RunPodSandboxResponse>> RemoteRuntime::run_pod_sandbox(v1::RunPodSandboxRequest request) {
  return ask<v1::RunPodSandboxResponse>(runtime_, "/runtime.v1.RuntimeService/RunPodSandbox", std::move(request),
                                        {.limit = 2 * options_.limit, .over = {}});
}

Task<Result<v1::StopPodSandboxResponse>> RemoteRuntime::stop_pod_sandbox(v1::StopPodSandboxRequest request) {
  return ask<v1::StopPodSandboxResponse>(runtime_, "/runtime.v1.RuntimeService/StopPodSandbox", std::move(request),
                                         {.limit = options_.limit, .over = {}});
}

Task<Result<v1::RemovePodSandboxResponse>> RemoteRuntime::remove_pod_sandbox(v1::RemovePodSandboxRequest request) {
  return ask<v1::RemovePodSandboxResponse>(runtime_, "/runtime.v1.RuntimeService/RemovePodSandbox", std::move(request),
                                           {.limit = options_.limit, .over = {}});
}

Task<Result<v1::PodSandboxStatusResponse>> RemoteRuntime::pod_sandbox_status(v1::PodSandboxStatusRequest request) {
  return ask<v1::PodSandboxStatusResponse>(runtime_, "/runtime.v1.RuntimeService/PodSandboxStatus", std::move(request),
                                           {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ListPodSandboxResponse>> RemoteRuntime::list_pod_sandbox(v1::ListPodSandboxRequest request) {
  return ask<v1::ListPodSandboxResponse>(runtime_, "/runtime.v1.RuntimeService/ListPodSandbox", std::move(request),
                                         {.limit = options_.limit, .over = {}});
}

Task<Result<v1::CreateContainerResponse>> RemoteRuntime::create_container(v1::CreateContainerRequest request) {
  return ask<v1::CreateContainerResponse>(runtime_, "/runtime.v1.RuntimeService/CreateContainer", std::move(request),
                                          {.limit = options_.limit, .over = {}});
}

Task<Result<v1::StartContainerResponse>> RemoteRuntime::start_container(v1::StartContainerRequest request) {
  return ask<v1::StartContainerResponse>(runtime_, "/runtime.v1.RuntimeService/StartContainer", std::move(request),
                                         {.limit = options_.limit, .over = {}});
}

Task<Result<v1::StopContainerResponse>> RemoteRuntime::stop_container(v1::StopContainerRequest request) {
  // 0 is at once here.
  const auto limit = limit_of(std::max<std::int64_t>(request.timeout(), 1));
  return ask<v1::StopContainerResponse>(runtime_, "/runtime.v1.RuntimeService/StopContainer", std::move(request),
                                        {.limit = limit, .over = {}});
}

Task<Result<v1::RemoveContainerResponse>> RemoteRuntime::remove_container(v1::RemoveContainerRequest request) {
  return ask<v1::RemoveContainerResponse>(runtime_, "/runtime.v1.RuntimeService/RemoveContainer", std::move(request),
                                          {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ListContainersResponse>> RemoteRuntime::list_containers(v1::ListContainersRequest request) {
  return ask<v1::ListContainersResponse>(runtime_, "/runtime.v1.RuntimeService/ListContainers", std::move(request),
                                         {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ContainerStatusResponse>> RemoteRuntime::container_status(v1::ContainerStatusRequest request) {
  return ask<v1::ContainerStatusResponse>(runtime_, "/runtime.v1.RuntimeService/ContainerStatus", std::move(request),
                                          {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ContainerStatsResponse>> RemoteRuntime::container_stats(v1::ContainerStatsRequest request) {
  return ask<v1::ContainerStatsResponse>(runtime_, "/runtime.v1.RuntimeService/ContainerStats", std::move(request),
                                         {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ListContainerStatsResponse>> RemoteRuntime::list_container_stats(
    v1::ListContainerStatsRequest request) {
  return ask<v1::ListContainerStatsResponse>(runtime_, "/runtime.v1.RuntimeService/ListContainerStats",
                                             std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::PodSandboxStatsResponse>> RemoteRuntime::pod_sandbox_stats(v1::PodSandboxStatsRequest request) {
  return ask<v1::PodSandboxStatsResponse>(runtime_, "/runtime.v1.RuntimeService/PodSandboxStats", std::move(request),
                                          {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ListPodSandboxStatsResponse>> RemoteRuntime::list_pod_sandbox_stats(
    v1::ListPodSandboxStatsRequest request) {
  return ask<v1::ListPodSandboxStatsResponse>(runtime_, "/runtime.v1.RuntimeService/ListPodSandboxStats",
                                              std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ListMetricDescriptorsResponse>> RemoteRuntime::list_metric_descriptors(
    v1::ListMetricDescriptorsRequest request) {
  return ask<v1::ListMetricDescriptorsResponse>(runtime_, "/runtime.v1.RuntimeService/ListMetricDescriptors",
                                                std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ListPodSandboxMetricsResponse>> RemoteRuntime::list_pod_sandbox_metrics(
    v1::ListPodSandboxMetricsRequest request) {
  return ask<v1::ListPodSandboxMetricsResponse>(runtime_, "/runtime.v1.RuntimeService/ListPodSandboxMetrics",
                                                std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ReopenContainerLogResponse>> RemoteRuntime::reopen_container_log(
    v1::ReopenContainerLogRequest request) {
  return ask<v1::ReopenContainerLogResponse>(runtime_, "/runtime.v1.RuntimeService/ReopenContainerLog",
                                             std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ExecSyncResponse>> RemoteRuntime::exec_sync(v1::ExecSyncRequest request, std::shared_ptr<Event> over) {
  const auto limit = limit_of(request.timeout());
  return ask<v1::ExecSyncResponse>(runtime_, "/runtime.v1.RuntimeService/ExecSync", std::move(request),
                                   {.limit = limit, .over = std::move(over)});
}

Task<Result<v1::ExecResponse>> RemoteRuntime::exec(v1::ExecRequest request) {
  return ask<v1::ExecResponse>(runtime_, "/runtime.v1.RuntimeService/Exec", std::move(request),
                               {.limit = options_.limit, .over = {}});
}

Task<Result<v1::AttachResponse>> RemoteRuntime::attach(v1::AttachRequest request) {
  return ask<v1::AttachResponse>(runtime_, "/runtime.v1.RuntimeService/Attach", std::move(request),
                                 {.limit = options_.limit, .over = {}});
}

Task<Result<v1::UpdateContainerResourcesResponse>> RemoteRuntime::update_container_resources(
    v1::UpdateContainerResourcesRequest request) {
  return ask<v1::UpdateContainerResourcesResponse>(runtime_, "/runtime.v1.RuntimeService/UpdateContainerResources",
                                                   std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::UpdatePodSandboxResourcesResponse>> RemoteRuntime::update_pod_sandbox_resources(
    v1::UpdatePodSandboxResourcesRequest request) {
  return ask<v1::UpdatePodSandboxResourcesResponse>(runtime_, "/runtime.v1.RuntimeService/UpdatePodSandboxResources",
                                                    std::move(request), {.limit = options_.limit, .over = {}});
}

Task<Result<v1::CheckpointContainerResponse>> RemoteRuntime::checkpoint_container(
    v1::CheckpointContainerRequest request, std::shared_ptr<Event> over) {
  const auto limit = limit_of(request.timeout());
  return ask<v1::CheckpointContainerResponse>(runtime_, "/runtime.v1.RuntimeService/CheckpointContainer",
                                              std::move(request), {.limit = limit, .over = std::move(over)});
}

Task<Result<v1::PortForwardResponse>> RemoteRuntime::port_forward(v1::PortForwardRequest request) {
  return ask<v1::PortForwardResponse>(runtime_, "/runtime.v1.RuntimeService/PortForward", std::move(request),
                                      {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ListImagesResponse>> RemoteRuntime::list_images(v1::ListImagesRequest request) {
  return ask<v1::ListImagesResponse>(images_, "/runtime.v1.ImageService/ListImages", std::move(request),
                                     {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ImageStatusResponse>> RemoteRuntime::image_status(v1::ImageStatusRequest request) {
  return ask<v1::ImageStatusResponse>(images_, "/runtime.v1.ImageService/ImageStatus", std::move(request),
                                      {.limit = options_.limit, .over = {}});
}

Task<Result<v1::PullImageResponse>> RemoteRuntime::pull_image(v1::PullImageRequest request,
                                                              std::shared_ptr<Event> over) {
  return ask<v1::PullImageResponse>(images_, "/runtime.v1.ImageService/PullImage", std::move(request),
                                    {.limit = {}, .over = std::move(over)});
}

Task<Result<v1::RemoveImageResponse>> RemoteRuntime::remove_image(v1::RemoveImageRequest request) {
  return ask<v1::RemoveImageResponse>(images_, "/runtime.v1.ImageService/RemoveImage", std::move(request),
                                      {.limit = options_.limit, .over = {}});
}

Task<Result<v1::ImageFsInfoResponse>> RemoteRuntime::image_fs_info(v1::ImageFsInfoRequest request) {
  return ask<v1::ImageFsInfoResponse>(images_, "/runtime.v1.ImageService/ImageFsInfo", std::move(request),
                                      {.limit = options_.limit, .over = {}});
}
}  // namespace gantry::cri
