// SPDX-License-Identifier: Apache-2.0
#include "cri/server.h"

#include <unistd.h>

#include <functional>
#include <map>
#include <unordered_map>

#include "base/log.h"
#include "cri/parts.h"
#include "cri/rpc_connection.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/text.h"
#include "sys/socket.h"

namespace gantry::cri {

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(Loop& l, SocketFd socket) : loop(l), listener(std::move(socket)), listener_watch(l, listener), all_closed(l) {}

  using Messages = RpcConnection::Messages;
  using Method = std::function<Task<Result<Messages>>(std::string, std::shared_ptr<RpcCall>)>;

  template <typename Service>
  static std::string path_of(std::string_view name) {
    constexpr bool kImages = std::is_same_v<Service, ImageService>;
    return cat("/runtime.v1.", kImages ? "ImageService" : "RuntimeService", "/", name);
  }
  template <typename Request>
  static Result<Request> parse(const std::string& bytes) {
    Request request;
    if (!request.ParseFromString(bytes)) return invalid_argument(cat("the request is no ", request.GetTypeName()));
    return request;
  }

  template <typename Service, typename Request, typename Response, typename... More>
  static Task<Result<Messages>> call(Service* service, Task<Result<Response>> (Service::*method)(Request, More...),
                                     std::string bytes, More... more) {
    auto request = parse<Request>(bytes);
    if (!request) co_return std::unexpected(std::move(request.error()));
    auto response = co_await (service->*method)(std::move(*request), std::move(more)...);
    if (!response) co_return std::unexpected(std::move(response.error()));
    co_return Messages{response->SerializeAsString()};
  }
  template <typename Service, typename Request, typename Response>
  void add(Service& to, std::string_view name, Task<Result<Response>> (Service::*method)(Request)) {
    methods.emplace(path_of<Service>(name),
                    [service = &to, method](std::string bytes, const std::shared_ptr<RpcCall>&) {
                      return call(service, method, std::move(bytes));
                    });
  }
  // One that listens for its end.
  template <typename Service, typename Request, typename Response>
  void add(Service& to, std::string_view name,
           Task<Result<Response>> (Service::*method)(Request, std::shared_ptr<Event>)) {
    methods.emplace(path_of<Service>(name),
                    [service = &to, method](std::string bytes, const std::shared_ptr<RpcCall>& asked) {
                      return call(service, method, std::move(bytes), asked->over());
                    });
  }
  // The streaming form of a list: the same, in messages of about kMaxPartBytes. `items` is the list's field, `field`
  // the one of a part that they go to.
  template <typename StreamRequest, typename Service, typename Request, typename Response, typename Part, typename Item>
  void add_in_parts(Service& to, std::string_view name, Task<Result<Response>> (Service::*list)(Request),
                    google::protobuf::RepeatedPtrField<Item>* (Response::*items)(),
                    google::protobuf::RepeatedPtrField<Item>* (Part::*field)()) {
    methods.emplace(path_of<Service>(name),
                    [service = &to, list, items, field](std::string bytes, const std::shared_ptr<RpcCall>&) {
                      return list_in_parts<StreamRequest>(service, list, items, field, std::move(bytes));
                    });
  }
  template <typename StreamRequest, typename Service, typename Request, typename Response, typename Part, typename Item>
  static Task<Result<Messages>> list_in_parts(Service* service, Task<Result<Response>> (Service::*list)(Request),
                                              google::protobuf::RepeatedPtrField<Item>* (Response::*items)(),
                                              google::protobuf::RepeatedPtrField<Item>* (Part::*field)(),
                                              std::string bytes) {
    auto asked = parse<StreamRequest>(bytes);
    if (!asked) co_return std::unexpected(std::move(asked.error()));
    Request same;
    if constexpr (requires { asked->mutable_filter(); }) same.mutable_filter()->Swap(asked->mutable_filter());
    auto all = co_await (service->*list)(std::move(same));
    if (!all) co_return std::unexpected(std::move(all.error()));
    Messages out;
    for (const Part& part : in_parts<Part>(*((*all).*items)(), [field](Part& each) { return (each.*field)(); })) {
      out.push_back(part.SerializeAsString());
    }
    co_return out;
  }
  static Task<Result<Messages>> events(RuntimeService* runtime, std::string bytes, std::shared_ptr<RpcCall> call) {
    auto request = parse<v1::GetEventsRequest>(bytes);
    if (!request) co_return std::unexpected(std::move(request.error()));
    call->begin();
    auto ended = co_await runtime->get_container_events(
        std::move(*request),
        [call](const v1::ContainerEventResponse& event) { return call->send(event.SerializeAsString()); },
        call->over());
    if (!ended) co_return std::unexpected(std::move(ended.error()));
    co_return Messages{};
  }
  void add_methods(RuntimeService& runtime, ImageService& images);

  static Task<Result<Messages>> dispatch(std::shared_ptr<Impl> self, std::string path, std::string request,
                                         std::shared_ptr<RpcCall> call) {
    auto found = self->methods.find(path);
    if (found == self->methods.end()) {
      co_return fail(Code::kUnimplemented, cat(quoted(path), ": not supported by this version"));
    }
    co_return co_await found->second(std::move(request), std::move(call));
  }

  static Task<> accept(std::shared_ptr<Impl> self) {
    while (!self->stopped) {
      auto ready = co_await self->listener_watch.readable();
      if (!ready || self->stopped) co_return;
      auto socket = sys::accept(self->listener);
      if (socket) {
        self->adopt(std::move(*socket));
        continue;
      }
      if (socket.error().is_would_block()) continue;
      log::warning("accepting a CRI connection, going on in a second", {{"error", socket.error()}});
      // Out of descriptors, most likely: nothing tells when there are some again.
      co_await self->loop.sleep_for(std::chrono::seconds(1));
    }
  }
  void adopt(SocketFd socket) {
    auto peer = sys::peer_credentials(socket);
    if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) {
      log::warning("a CRI connection of another user was refused", {{"uid", peer ? peer->uid : 0}});
      return;
    }
    std::uint64_t number = next_connection++;
    std::weak_ptr<Impl> weak = weak_from_this();
    auto connection = RpcConnection::open(
        loop, std::move(socket),
        // A connection ends before the server's last reference does, or with it.
        [weak](std::string path, std::string request, std::shared_ptr<RpcCall> call) {
          return dispatch(weak.lock(), std::move(path), std::move(request), std::move(call));
        },
        [weak, number] {
          auto self = weak.lock();
          if (!self) return;
          self->connections.erase(number);
          if (self->connections.empty()) self->all_closed.set();
        });
    if (!connection) {
      log::warning("a CRI connection", {{"error", connection.error()}});
      return;
    }
    connections.emplace(number, std::move(*connection));
    all_closed.reset();
  }

  Loop& loop;
  SocketFd listener;
  Watch listener_watch;
  std::unordered_map<std::string, Method> methods;
  std::map<std::uint64_t, std::shared_ptr<RpcConnection>> connections;
  std::uint64_t next_connection = 0;
  Event all_closed;
  bool stopped = false;
};

void Server::Impl::add_methods(RuntimeService& runtime, ImageService& images) {
  add(runtime, "Version", &RuntimeService::version);
  add(runtime, "Status", &RuntimeService::status);
  add(runtime, "RuntimeConfig", &RuntimeService::runtime_config);
  add(runtime, "UpdateRuntimeConfig", &RuntimeService::update_runtime_config);
  add(runtime, "RunPodSandbox", &RuntimeService::run_pod_sandbox);
  add(runtime, "StopPodSandbox", &RuntimeService::stop_pod_sandbox);
  add(runtime, "RemovePodSandbox", &RuntimeService::remove_pod_sandbox);
  add(runtime, "PodSandboxStatus", &RuntimeService::pod_sandbox_status);
  add(runtime, "ListPodSandbox", &RuntimeService::list_pod_sandbox);
  add(runtime, "CreateContainer", &RuntimeService::create_container);
  add(runtime, "StartContainer", &RuntimeService::start_container);
  add(runtime, "StopContainer", &RuntimeService::stop_container);
  add(runtime, "RemoveContainer", &RuntimeService::remove_container);
  add(runtime, "ListContainers", &RuntimeService::list_containers);
  add(runtime, "ContainerStatus", &RuntimeService::container_status);
  add(runtime, "ContainerStats", &RuntimeService::container_stats);
  add(runtime, "ListContainerStats", &RuntimeService::list_container_stats);
  add(runtime, "PodSandboxStats", &RuntimeService::pod_sandbox_stats);
  add(runtime, "ListPodSandboxStats", &RuntimeService::list_pod_sandbox_stats);
  add_in_parts<v1::StreamPodSandboxStatsRequest>(
      runtime, "StreamPodSandboxStats", &RuntimeService::list_pod_sandbox_stats,
      &v1::ListPodSandboxStatsResponse::mutable_stats, &v1::StreamPodSandboxStatsResponse::mutable_pod_sandbox_stats);
  add(runtime, "ListMetricDescriptors", &RuntimeService::list_metric_descriptors);
  add(runtime, "ListPodSandboxMetrics", &RuntimeService::list_pod_sandbox_metrics);
  add_in_parts<v1::StreamPodSandboxMetricsRequest>(runtime, "StreamPodSandboxMetrics",
                                                   &RuntimeService::list_pod_sandbox_metrics,
                                                   &v1::ListPodSandboxMetricsResponse::mutable_pod_metrics,
                                                   &v1::StreamPodSandboxMetricsResponse::mutable_pod_sandbox_metrics);
  add(runtime, "ReopenContainerLog", &RuntimeService::reopen_container_log);
  add(runtime, "ExecSync", &RuntimeService::exec_sync);
  methods.emplace(path_of<RuntimeService>("GetContainerEvents"),
                  [&runtime](std::string bytes, std::shared_ptr<RpcCall> asked) {
                    return events(&runtime, std::move(bytes), std::move(asked));
                  });
  add(runtime, "Exec", &RuntimeService::exec);
  add_in_parts<v1::StreamPodSandboxesRequest>(runtime, "StreamPodSandboxes", &RuntimeService::list_pod_sandbox,
                                              &v1::ListPodSandboxResponse::mutable_items,
                                              &v1::StreamPodSandboxesResponse::mutable_pod_sandboxes);
  add_in_parts<v1::StreamContainersRequest>(runtime, "StreamContainers", &RuntimeService::list_containers,
                                            &v1::ListContainersResponse::mutable_containers,
                                            &v1::StreamContainersResponse::mutable_containers);
  add_in_parts<v1::StreamContainerStatsRequest>(runtime, "StreamContainerStats", &RuntimeService::list_container_stats,
                                                &v1::ListContainerStatsResponse::mutable_stats,
                                                &v1::StreamContainerStatsResponse::mutable_container_stats);
  add(runtime, "CheckpointContainer", &RuntimeService::checkpoint_container);
  add(runtime, "UpdateContainerResources", &RuntimeService::update_container_resources);
  add(runtime, "UpdatePodSandboxResources", &RuntimeService::update_pod_sandbox_resources);
  add(runtime, "Attach", &RuntimeService::attach);
  add(runtime, "PortForward", &RuntimeService::port_forward);
  add(images, "ListImages", &ImageService::list_images);
  add_in_parts<v1::StreamImagesRequest>(images, "StreamImages", &ImageService::list_images,
                                        &v1::ListImagesResponse::mutable_images,
                                        &v1::StreamImagesResponse::mutable_images);
  add(images, "ImageStatus", &ImageService::image_status);
  add(images, "PullImage", &ImageService::pull_image);
  add(images, "RemoveImage", &ImageService::remove_image);
  add(images, "ImageFsInfo", &ImageService::image_fs_info);
}

std::unique_ptr<Server> Server::start(Loop& loop, SocketFd listener, RuntimeService& runtime, ImageService& images) {
  auto impl = std::make_shared<Impl>(loop, std::move(listener));
  impl->add_methods(runtime, images);
  loop.spawn(Impl::accept(impl));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  impl_->stopped = true;
  impl_->listener_watch.cancel();
  impl_->connections.clear();
}

Task<> Server::stop() {
  auto impl = impl_;
  if (impl->stopped) co_return;
  impl->stopped = true;
  impl->listener_watch.cancel();
  if (impl->connections.empty()) co_return;
  for (auto& [number, connection] : std::map(impl->connections)) connection->stop();
  (void)co_await impl->all_closed.wait_for(std::chrono::seconds(2));
}

}  // namespace gantry::cri
