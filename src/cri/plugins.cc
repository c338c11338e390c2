// SPDX-License-Identifier: Apache-2.0
// What NRI plugins (nri/plugins.h) are told and asked. Where there are none nothing of this is awaited.
#include "nri/plugins.h"

#include <utility>

#include "base/log.h"
#include "cri/plugin_adjust.h"
#include "cri/plugin_messages.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "nri/nri.pb.h"

namespace gantry::cri {
namespace {

std::shared_ptr<const api::PodSandbox> pod_of(const std::map<std::string, SandboxPtr>& sandboxes,
                                              const std::string& id) {
  auto pod = std::make_shared<api::PodSandbox>();
  if (auto sandbox = sandboxes.find(id); sandbox != sandboxes.end()) {
    fill(*sandbox->second, *pod);
  } else {
    pod->set_id(id);
  }
  return pod;
}

}  // namespace

bool Runtime::has_plugins() const { return !node_.plugins.is_empty(); }

Task<> Runtime::start_plugins() {
  nri::Host host;
  host.list = [this](api::SynchronizeRequest& state) {
    for (const auto& [id, sandbox] : sandboxes_) fill(*sandbox, *state.add_pods());
    auto add = [&](const ContainerPtr& container) {
      auto sandbox = sandboxes_.find(container->sandbox_id);
      fill(*container, sandbox == sandboxes_.end() ? nullptr : sandbox->second.get(), *state.add_containers());
    };
    for (const auto& [id, container] : containers_) add(container);
    for (const auto& container : creating_) add(container);
  };
  host.update = [this](std::unique_ptr<api::UpdateContainersRequest> request) {
    return update_for_plugins(std::move(request));
  };
  co_await node_.plugins.start(std::move(host));
}

Task<Status> Runtime::tell_plugins(nri::Happening happening, SandboxPtr sandbox) {
  // As it is now, and not when its turn comes.
  auto pod = std::make_shared<api::PodSandbox>();
  fill(*sandbox, *pod);
  return node_.plugins.tell(happening, std::move(pod));
}

Task<Status> Runtime::tell_plugins(nri::Happening happening, ContainerPtr container) {
  return node_.plugins.tell(happening, pod_of(sandboxes_.all(), container->sandbox_id), message_of(*container));
}

std::shared_ptr<const api::Container> Runtime::message_of(const Container& container) const {
  auto sandbox = sandboxes_.find(container.sandbox_id);
  auto message = std::make_shared<api::Container>();
  fill(container, sandbox == sandboxes_.end() ? nullptr : sandbox->second.get(), *message);
  return message;
}

Task<> Runtime::log_plugins(Task<Status> telling, std::string id) {
  auto told = co_await std::move(telling);
  if (!told) log::warning("an NRI plugin's error, ignoring it", {{"id", id}, {"error", told.error()}});
}

Task<Status> Runtime::ask_plugins(ContainerPtr container, SandboxPtr sandbox, Adjusted& adjusted) {
  auto request = std::make_unique<api::CreateContainerRequest>();
  fill(*sandbox, *request->mutable_pod());
  fill(*container, sandbox.get(), *request->mutable_container());
  auto response = co_await node_.plugins.create(std::move(request));
  if (!response) co_return std::unexpected(std::move(response.error()));
  if ((*response)->adjust().ByteSizeLong() > 0) {
    adjusted.config = container->config;
    Status good = adjust((*response)->adjust(), adjusted);
    // What the client may, it may still; plugins make no container privileged.
    const bool privileged = container->config.linux().security_context().privileged();
    if (good) good = validate_container(adjusted.config, sandbox->config, privileged);
    auto limits = make_resources(adjusted.config.linux().resources());
    if (good && !limits) good = std::unexpected(std::move(limits.error()));
    auto extras = parse_extras(adjusted.extras, sandbox->config);
    if (good && !extras) good = std::unexpected(std::move(extras.error()));
    if (!good) {
      tell_plugins_of_end(container);
      co_return fail_from(good, "adjustments of NRI plugins");
    }
    container->asked = container->config.SerializeAsString();
    container->config = adjusted.config;
    container->extras = std::move(*extras);
    container->image = image_process(adjusted.image);
  }
  if ((*response)->update_size() > 0) {
    auto updates = std::make_unique<api::UpdateContainersRequest>();
    updates->mutable_update()->Swap((*response)->mutable_update());
    (void)co_await update_for_plugins(std::move(updates));
  }
  co_return Status();
}

Task<Result<v1::LinuxContainerResources>> Runtime::ask_plugins(ContainerPtr container,
                                                               v1::LinuxContainerResources wanted) {
  auto request = std::make_unique<api::UpdateContainerRequest>();
  *request->mutable_pod() = *pod_of(sandboxes_.all(), container->sandbox_id);
  *request->mutable_container() = *message_of(*container);
  fill(wanted, *request->mutable_linux_resources());
  auto update = co_await node_.plugins.update(std::move(request));
  if (!update) co_return std::unexpected(std::move(update.error()));
  auto limits = cri_resources(update->request->linux_resources());
  if (!limits) co_return fail_from(limits, "NRI plugins");
  limits->set_oom_score_adj(wanted.oom_score_adj());
  (void)co_await update_for_plugins(std::move(update->others));
  co_return limits;
}

Task<Status> Runtime::ask_plugins(SandboxPtr sandbox, v1::UpdatePodSandboxResourcesRequest request) {
  auto message = std::make_shared<api::UpdatePodSandboxRequest>();
  fill(*sandbox, *message->mutable_pod());
  fill(request.overhead(), *message->mutable_overhead_linux_resources());
  fill(request.resources(), *message->mutable_linux_resources());
  return node_.plugins.update_pod(std::move(message));
}

// It has ended, or is not made after all.
void Runtime::tell_plugins_of_end(const ContainerPtr& container) {
  if (!has_plugins()) return;
  auto pod = pod_of(sandboxes_.all(), container->sandbox_id);
  node_.loop.spawn(
      end_for_plugins(node_.plugins.stop_container(std::move(pod), message_of(*container)), container->id()));
}

Task<> Runtime::end_for_plugins(Task<Result<std::unique_ptr<api::UpdateContainersRequest>>> asking, std::string id) {
  auto updates = co_await std::move(asking);
  if (updates) {
    (void)co_await update_for_plugins(std::move(*updates));
  } else {
    log::warning("an NRI plugin's error, ignoring it", {{"id", id}, {"error", updates.error()}});
  }
}

Task<std::unique_ptr<api::UpdateContainersResponse>> Runtime::update_for_plugins(
    std::unique_ptr<api::UpdateContainersRequest> request) {
  auto response = std::make_unique<api::UpdateContainersResponse>();
  for (const auto& update : request->update()) {
    auto wanted = cri_resources(update.linux().resources());
    Status done;
    if (!wanted) {
      done = std::unexpected(std::move(wanted.error()));
    } else {
      done = co_await update_for_plugin(update.container_id(), std::move(*wanted));
    }
    if (done || update.ignore_failure()) continue;
    log::warning("an update of an NRI plugin's", {{"container", update.container_id()}, {"error", done.error()}});
    *response->add_failed() = update;
  }
  co_return response;
}

Task<Status> Runtime::update_for_plugin(std::string id, v1::LinuxContainerResources wanted) {
  auto container = need_container(id);
  if (!container) co_return std::unexpected(std::move(container.error()));
  auto resources = make_resources(wanted);
  if (!resources) co_return std::unexpected(std::move(resources.error()));
  auto turn = co_await (*container)->turn.acquire();
  if ((*container)->state != ContainerState::kCreated && (*container)->state != ContainerState::kRunning) {
    co_return fail(Code::kFailedPrecondition, cat("it is ", to_string((*container)->state)));
  }
  // What they do not set stays.
  wanted.set_oom_score_adj((*container)->config.linux().resources().oom_score_adj());
  auto updated = update(*container, wanted, std::move(*resources));
  if (!updated) co_return updated;
  co_return co_await record(*container);
}

}  // namespace gantry::cri
