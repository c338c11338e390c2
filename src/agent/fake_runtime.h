// SPDX-License-Identifier: Apache-2.0
// For tests: a container runtime in memory, with the CRI's states and events and nothing behind them. Tests say how
// containers end and what fails, and read what was asked of it. Every call gives way to the loop once, as a real one
// does.
#pragma once

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

namespace v1 = ::runtime::v1;

namespace fake {
namespace v1 = ::runtime::v1;

struct Container {
  std::string sandbox_id;
  v1::ContainerConfig config;
  v1::ContainerStatus status;
};
struct Sandbox {
  v1::PodSandboxConfig config;
  v1::PodSandbox sandbox;
  std::string address;
};
}  // namespace fake

class FakeRuntime : public cri::RuntimeService, public cri::ImageService {
 public:
  explicit FakeRuntime(Loop& loop) : loop_(loop) {}

  // ---- what tests set and read
  std::map<std::string, fake::Container> containers;  // by id
  std::map<std::string, fake::Sandbox> sandboxes;
  std::map<std::string, std::string> images = {{"my-app:1.0", ""}};  // and their users
  std::map<std::string, std::string> registry;                       // who may pull them; "" is anybody
  std::shared_ptr<Event> pull_gate;                                  // who pulls waits until it is set
  std::map<std::string, v1::Image> stored;                           // by id: what list_images() says
  // "start web", "stop web 30", "run web 0": what was asked, in its order.
  std::vector<std::string> calls;
  // Of a call as it is in `calls`, without its number: the error that it gets, until it is taken out.
  std::map<std::string, Error> failures;
  // Containers that end as soon as they were started, by name.
  std::map<std::string, int> short_lived;
  bool has_network = true;
  bool has_statistics = true;
  std::string address = "10.88.0.5";  // of the sandboxes that are run
  std::map<std::string, bool> handlers = {{"", true}};  // and whether they have user namespaces
  // What is executed in containers; null: as exec_codes says.
  std::function<Result<v1::ExecSyncResponse>(const v1::ExecSyncRequest&)> on_exec;
  // Whoever lists sandboxes waits until it is set.
  std::unique_ptr<Event> gate;
  // How commands in containers end that don't succeed, by all of their words: a code, or -1 for one that goes on until
  // nobody waits for it.
  std::map<std::string, int> exec_codes;
  // After every change.
  std::function<void()> changed = [] {};

  std::string id_of(const std::string& name) const {
    const fake::Container* newest = nullptr;
    for (const auto& [id, container] : containers) {
      bool newer = newest == nullptr || container.status.metadata().attempt() > newest->status.metadata().attempt();
      if (container.status.metadata().name() == name && newer) newest = &container;
    }
    return newest == nullptr ? "" : newest->status.id();
  }
  bool is_running(const std::string& name) const {
    auto found = containers.find(id_of(name));
    return found != containers.end() && found->second.status.state() == v1::CONTAINER_RUNNING;
  }
  std::vector<std::shared_ptr<Event>> waits;  // of on_exec: who asks sets it in the end
  int count(const std::string& call) const { return static_cast<int>(std::ranges::count(calls, call)); }
  void exit(const std::string& name, int code) { end(containers.at(id_of(name)), code); }
  // As when its shim was killed.
  void lose_sandbox(const std::string& id) {
    for (auto& [other, container] : containers) {
      if (container.sandbox_id == id && container.status.state() == v1::CONTAINER_RUNNING) end(container, 255);
    }
    sandboxes.at(id).sandbox.set_state(v1::SANDBOX_NOTREADY);
    tell(v1::CONTAINER_STOPPED_EVENT, id, id);
  }
  void tell(v1::ContainerEventType type, const std::string& container, const std::string& sandbox) {
    v1::ContainerEventResponse event;
    event.set_container_id(container);
    event.set_container_event_type(type);
    event.mutable_pod_sandbox_status()->set_id(sandbox);
    for (const auto& observer : observers_) observer(event);
    loop_.post([this] { changed(); });
  }

  // ---- sandboxes
  Task<Result<v1::RunPodSandboxResponse>> run_pod_sandbox(v1::RunPodSandboxRequest request) override {
    const auto& metadata = request.config().metadata();
    auto gone = co_await called("run " + metadata.name(), std::to_string(metadata.attempt()));
    if (!gone) co_return std::unexpected(gone.error());
    for (const auto& [id, other] : sandboxes) {
      if (other.config.metadata().uid() == metadata.uid() && other.config.metadata().attempt() == metadata.attempt()) {
        co_return fail(Code::kAlreadyExists, "this sandbox is there");
      }
    }
    std::string id = "sandbox" + std::to_string(++last_id_);
    fake::Sandbox& made = sandboxes[id];
    made.config = request.config();
    made.address = address;
    made.sandbox.set_id(id);
    *made.sandbox.mutable_metadata() = metadata;
    *made.sandbox.mutable_labels() = request.config().labels();
    *made.sandbox.mutable_annotations() = request.config().annotations();
    made.sandbox.set_state(v1::SANDBOX_READY);
    made.sandbox.set_created_at(now());
    tell(v1::CONTAINER_STARTED_EVENT, id, id);
    v1::RunPodSandboxResponse response;
    response.set_pod_sandbox_id(id);
    co_return response;
  }
  Task<Result<v1::StopPodSandboxResponse>> stop_pod_sandbox(v1::StopPodSandboxRequest request) override {
    auto found = sandboxes.find(request.pod_sandbox_id());
    auto gone =
        co_await called("stop-sandbox", found == sandboxes.end() ? "?" : found->second.config.metadata().name());
    if (!gone) co_return std::unexpected(gone.error());
    if (found == sandboxes.end()) co_return v1::StopPodSandboxResponse();
    for (auto& [id, container] : containers) {
      if (container.sandbox_id == found->first && container.status.state() == v1::CONTAINER_RUNNING)
        end(container, 137);
    }
    found->second.sandbox.set_state(v1::SANDBOX_NOTREADY);
    tell(v1::CONTAINER_STOPPED_EVENT, found->first, found->first);
    co_return v1::StopPodSandboxResponse();
  }
  Task<Result<v1::RemovePodSandboxResponse>> remove_pod_sandbox(v1::RemovePodSandboxRequest request) override {
    std::string id = request.pod_sandbox_id();
    auto gone = co_await called("remove-sandbox", id);
    if (!gone) co_return std::unexpected(gone.error());
    std::erase_if(containers, [&](const auto& pair) { return pair.second.sandbox_id == id; });
    sandboxes.erase(id);
    tell(v1::CONTAINER_DELETED_EVENT, id, id);
    co_return v1::RemovePodSandboxResponse();
  }
  Task<Result<v1::PodSandboxStatusResponse>> pod_sandbox_status(v1::PodSandboxStatusRequest request) override {
    co_await loop_.sleep_for(Duration::zero());
    auto found = sandboxes.find(request.pod_sandbox_id());
    if (found == sandboxes.end()) co_return not_found("no such sandbox");
    v1::PodSandboxStatusResponse response;
    response.mutable_status()->set_id(found->first);
    response.mutable_status()->mutable_network()->set_ip(found->second.address);
    co_return response;
  }
  Task<Result<v1::ListPodSandboxResponse>> list_pod_sandbox(v1::ListPodSandboxRequest request) override {
    co_await loop_.sleep_for(Duration::zero());
    ++lists;
    if (gate) co_await gate->wait();
    v1::ListPodSandboxResponse response;
    for (const auto& [id, sandbox] : sandboxes) {
      if (matches(request.filter().label_selector(), sandbox.sandbox.labels())) *response.add_items() = sandbox.sandbox;
    }
    co_return response;
  }
  int lists = 0;

  // ---- containers
  Task<Result<v1::CreateContainerResponse>> create_container(v1::CreateContainerRequest request) override {
    const auto& metadata = request.config().metadata();
    auto gone = co_await called("create " + metadata.name(), std::to_string(metadata.attempt()));
    if (!gone) co_return std::unexpected(gone.error());
    auto sandbox = sandboxes.find(request.pod_sandbox_id());
    if (sandbox == sandboxes.end() || sandbox->second.sandbox.state() != v1::SANDBOX_READY) {
      co_return fail(Code::kFailedPrecondition, "the sandbox is not ready");
    }
    for (const auto& [id, other] : containers) {
      if (other.sandbox_id == sandbox->first && other.config.metadata().name() == metadata.name() &&
          other.config.metadata().attempt() == metadata.attempt()) {
        co_return fail(Code::kAlreadyExists, "this container is there");
      }
    }
    std::string id = "container" + std::to_string(++last_id_);
    fake::Container& made = containers[id];
    made.sandbox_id = sandbox->first;
    made.config = request.config();
    made.status.set_id(id);
    *made.status.mutable_metadata() = metadata;
    *made.status.mutable_labels() = request.config().labels();
    *made.status.mutable_annotations() = request.config().annotations();
    *made.status.mutable_mounts() = request.config().mounts();
    *made.status.mutable_image() = request.config().image();
    made.status.set_log_path(sandbox->second.config.log_directory() + "/" + request.config().log_path());
    made.status.set_state(v1::CONTAINER_CREATED);
    made.status.set_created_at(now());
    tell(v1::CONTAINER_CREATED_EVENT, id, sandbox->first);
    v1::CreateContainerResponse response;
    response.set_container_id(id);
    co_return response;
  }
  Task<Result<v1::StartContainerResponse>> start_container(v1::StartContainerRequest request) override {
    auto found = containers.find(request.container_id());
    if (found == containers.end()) co_return not_found("no such container");
    std::string name = found->second.status.metadata().name();
    auto gone = co_await called("start", name);
    fake::Container& container = containers.at(request.container_id());
    if (container.status.state() != v1::CONTAINER_CREATED)
      co_return fail(Code::kFailedPrecondition, "a container starts once");
    if (!gone) {
      container.status.set_message(gone.error().message());
      container.status.set_reason("StartError");
      end(container, 128);
      co_return std::unexpected(gone.error());
    }
    container.status.set_state(v1::CONTAINER_RUNNING);
    container.status.set_started_at(now());
    tell(v1::CONTAINER_STARTED_EVENT, container.status.id(), container.sandbox_id);
    if (auto ends = short_lived.find(name); ends != short_lived.end()) end(container, ends->second);
    co_return v1::StartContainerResponse();
  }
  Task<Result<v1::StopContainerResponse>> stop_container(v1::StopContainerRequest request) override {
    auto found = containers.find(request.container_id());
    if (found == containers.end()) co_return v1::StopContainerResponse();
    auto gone = co_await called("stop " + found->second.status.metadata().name(), std::to_string(request.timeout()));
    if (!gone) co_return std::unexpected(gone.error());
    found = containers.find(request.container_id());
    if (found != containers.end() && found->second.status.state() == v1::CONTAINER_RUNNING) end(found->second, 143);
    co_return v1::StopContainerResponse();
  }
  Task<Result<v1::RemoveContainerResponse>> remove_container(v1::RemoveContainerRequest request) override {
    auto found = containers.find(request.container_id());
    if (found == containers.end()) co_return v1::RemoveContainerResponse();
    std::string what = found->second.status.metadata().name();
    auto gone = co_await called("remove " + what, std::to_string(found->second.status.metadata().attempt()));
    if (!gone) co_return std::unexpected(gone.error());
    std::string sandbox = containers.at(request.container_id()).sandbox_id;
    containers.erase(request.container_id());
    tell(v1::CONTAINER_DELETED_EVENT, request.container_id(), sandbox);
    co_return v1::RemoveContainerResponse();
  }
  Task<Result<v1::ListContainersResponse>> list_containers(v1::ListContainersRequest request) override {
    co_await loop_.sleep_for(Duration::zero());
    v1::ListContainersResponse response;
    for (const auto& [id, container] : containers) {
      if (!matches(request.filter().label_selector(), container.status.labels())) continue;
      auto& item = *response.add_containers();
      item.set_id(id);
      item.set_pod_sandbox_id(container.sandbox_id);
      *item.mutable_metadata() = container.status.metadata();
      item.set_state(container.status.state());
      item.set_image_id(container.status.image_id());
    }
    co_return response;
  }
  Task<Result<v1::ContainerStatusResponse>> container_status(v1::ContainerStatusRequest request) override {
    co_await loop_.sleep_for(Duration::zero());
    auto found = containers.find(request.container_id());
    if (found == containers.end()) co_return not_found("no such container");
    v1::ContainerStatusResponse response;
    *response.mutable_status() = found->second.status;
    co_return response;
  }
  void observe(Observer observer) override { observers_.push_back(std::move(observer)); }
  Task<Status> get_container_events(v1::GetEventsRequest, EventTaker, std::shared_ptr<Event>) override {
    co_return none();
  }

  // ---- images
  Task<Result<v1::ImageStatusResponse>> image_status(v1::ImageStatusRequest request) override {
    auto gone = co_await called("image", request.image().image());
    if (!gone) co_return std::unexpected(gone.error());
    v1::ImageStatusResponse response;
    auto found = images.find(request.image().image());
    if (found == images.end()) co_return response;
    response.mutable_image()->set_id("sha256:" + found->first);
    response.mutable_image()->set_username(found->second);
    co_return response;
  }

  Task<Result<v1::PullImageResponse>> pull_image(v1::PullImageRequest request, std::shared_ptr<Event> over) override {
    const std::string image = request.image().image();
    auto gone = co_await called("pull " + image, request.auth().username());
    if (!gone) co_return std::unexpected(gone.error());
    if (pull_gate) {
      auto either = std::make_shared<Event>(loop_);
      for (const auto& event : {pull_gate, over}) {
        loop_.spawn([](std::shared_ptr<Event> from, std::shared_ptr<Event> to) -> Task<> {
          co_await from->wait();
          to->set();
        }(event, either));
      }
      co_await either->wait();
    }
    if (over->is_set()) co_return fail(Code::kCancelled, "nobody waits for it");
    auto found = registry.find(image);
    if (found == registry.end()) co_return fail(Code::kNotFound, "the registry has no " + image);
    if (found->second != request.auth().username()) co_return fail(Code::kUnauthenticated, "401 Unauthorized");
    images[image] = "";
    v1::PullImageResponse response;
    response.set_image_ref(image);
    co_return response;
  }
  Task<Result<v1::ListImagesResponse>> list_images(v1::ListImagesRequest) override {
    co_await loop_.sleep_for(Duration::zero());
    v1::ListImagesResponse response;
    for (const auto& [id, image] : stored) *response.add_images() = image;
    co_return response;
  }
  Task<Result<v1::RemoveImageResponse>> remove_image(v1::RemoveImageRequest request) override {
    auto gone = co_await called("remove-image", request.image().image());
    if (!gone) co_return std::unexpected(gone.error());
    stored.erase(request.image().image());
    co_return v1::RemoveImageResponse();
  }
  Task<Result<v1::ImageFsInfoResponse>> image_fs_info(v1::ImageFsInfoRequest) override {
    co_await loop_.sleep_for(Duration::zero());
    v1::ImageFsInfoResponse response;
    response.add_image_filesystems()->mutable_fs_id()->set_mountpoint("/store");
    co_return response;
  }

  std::map<std::string, std::string> logs;  // by container id: where the new log is made
  Task<Result<v1::ReopenContainerLogResponse>> reopen_container_log(v1::ReopenContainerLogRequest request) override {
    auto gone = co_await called("reopen", request.container_id());
    if (!gone) co_return std::unexpected(gone.error());
    if (auto found = logs.find(request.container_id()); found != logs.end()) std::ofstream(found->second) << "new";
    co_return v1::ReopenContainerLogResponse();
  }

  // ---- not asked for by the agent
  Task<Result<v1::VersionResponse>> version(v1::VersionRequest) override {
    v1::VersionResponse response;
    response.set_runtime_name("fake");
    co_return response;
  }
  Task<Result<v1::StatusResponse>> status(v1::StatusRequest) override {
    v1::StatusResponse response;
    auto& network = *response.mutable_status()->add_conditions();
    network.set_type("NetworkReady");
    network.set_status(has_network);
    for (const auto& [name, has_user_namespaces] : handlers) {
      auto& handler = *response.add_runtime_handlers();
      handler.set_name(name);
      handler.mutable_features()->set_user_namespaces(has_user_namespaces);
    }
    co_return response;
  }
  Task<Result<v1::RuntimeConfigResponse>> runtime_config(v1::RuntimeConfigRequest) override { co_return none(); }
  Task<Result<v1::ContainerStatsResponse>> container_stats(v1::ContainerStatsRequest) override { co_return none(); }
  Task<Result<v1::ListContainerStatsResponse>> list_container_stats(v1::ListContainerStatsRequest) override {
    co_return none();
  }
  Task<Result<v1::PodSandboxStatsResponse>> pod_sandbox_stats(v1::PodSandboxStatsRequest) override { co_return none(); }
  Task<Result<v1::ListPodSandboxStatsResponse>> list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest) override {
    co_await loop_.sleep_for(Duration::zero());
    if (!has_statistics) co_return none();
    co_return v1::ListPodSandboxStatsResponse();
  }
  Task<Result<v1::ListMetricDescriptorsResponse>> list_metric_descriptors(v1::ListMetricDescriptorsRequest) override {
    co_return none();
  }
  Task<Result<v1::ListPodSandboxMetricsResponse>> list_pod_sandbox_metrics(v1::ListPodSandboxMetricsRequest) override {
    co_return none();
  }
  Task<Result<v1::UpdateRuntimeConfigResponse>> update_runtime_config(v1::UpdateRuntimeConfigRequest request) override {
    auto gone = co_await called("pod-cidr", request.runtime_config().network_config().pod_cidr());
    if (!gone) co_return std::unexpected(gone.error());
    co_return v1::UpdateRuntimeConfigResponse();
  }
  Task<Result<v1::ExecSyncResponse>> exec_sync(v1::ExecSyncRequest request, std::shared_ptr<Event> over) override {
    if (on_exec) {
      waits.push_back(over);
      co_await loop_.sleep_for(Duration::zero());
      co_return on_exec(request);
    }
    auto found = containers.find(request.container_id());
    if (found == containers.end()) co_return not_found("no such container");
    std::string command;
    for (const auto& word : request.cmd()) command += " " + word;
    auto gone = co_await called("exec", found->second.status.metadata().name() + command);
    if (!gone) co_return std::unexpected(gone.error());
    auto code = exec_codes.find(command.substr(std::min<std::size_t>(1, command.size())));
    if (code != exec_codes.end() && code->second < 0) {
      co_await over->wait();
      co_return fail(Code::kCancelled, "nobody waits");
    }
    v1::ExecSyncResponse response;
    response.set_exit_code(code == exec_codes.end() ? 0 : code->second);
    co_return response;
  }
  Task<Result<v1::ExecResponse>> exec(v1::ExecRequest) override { co_return none(); }
  Task<Result<v1::UpdateContainerResourcesResponse>> update_container_resources(
      v1::UpdateContainerResourcesRequest) override {
    co_return none();
  }
  Task<Result<v1::UpdatePodSandboxResourcesResponse>> update_pod_sandbox_resources(
      v1::UpdatePodSandboxResourcesRequest) override {
    co_return none();
  }
  Task<Result<v1::AttachResponse>> attach(v1::AttachRequest) override { co_return none(); }
  Task<Result<v1::PortForwardResponse>> port_forward(v1::PortForwardRequest) override { co_return none(); }
  Task<Result<v1::CheckpointContainerResponse>> checkpoint_container(v1::CheckpointContainerRequest,
                                                                     std::shared_ptr<Event>) override {
    co_return none();
  }

 private:
  using Labels = google::protobuf::Map<std::string, std::string>;
  static std::unexpected<Error> none() { return fail(Code::kUnimplemented, "not in this runtime"); }
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  static bool matches(const Labels& wanted, const Labels& labels) {
    return std::ranges::all_of(wanted, [&](const auto& pair) {
      auto found = labels.find(pair.first);
      return found != labels.end() && found->second == pair.second;
    });
  }
  Task<Status> called(std::string what, std::string more) {
    calls.push_back(what + " " + more);
    loop_.post([this] { changed(); });
    co_await loop_.sleep_for(Duration::zero());
    for (const auto& key : {what, what + " " + more}) {
      if (auto failure = failures.find(key); failure != failures.end()) co_return std::unexpected(failure->second);
    }
    co_return Status();
  }
  void end(fake::Container& container, int code) {
    container.status.set_state(v1::CONTAINER_EXITED);
    container.status.set_exit_code(code);
    container.status.set_finished_at(now());
    if (container.status.reason().empty()) container.status.set_reason(code == 0 ? "Completed" : "Error");
    tell(v1::CONTAINER_STOPPED_EVENT, container.status.id(), container.sandbox_id);
  }

  Loop& loop_;
  int last_id_ = 0;
  std::vector<Observer> observers_;
};

}  // namespace gantry::agent
