// SPDX-License-Identifier: Apache-2.0
// The steps of a worker that start something.
#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/cluster.h"
#include "agent/container_spec.h"
#include "agent/container_volumes.h"
#include "agent/env_objects.h"
#include "agent/event_recorder.h"
#include "agent/lifecycle_hook.h"
#include "agent/pod_hosts.h"
#include "agent/pod_surroundings.h"
#include "agent/pod_worker.h"
#include "agent/supported.h"
#include "api/text.h"
#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "volumes/prepare.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

constexpr std::size_t kMaxHostFile = 256 * 1024;
// For which the end of a pod waits for a start that is under way, so that what comes of it has its grace.
constexpr std::chrono::seconds kStartPatience{10};

TimePoint now() { return std::chrono::steady_clock::now(); }

// A node without the file has nothing to say.
Result<std::string> read_host_file(const std::string& path) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file && file.error().is_not_found()) return std::string();
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::read_all(*file, kMaxHostFile);
}

struct ContainerFiles {
  std::string termination_log, hosts;
};

// Blocking.
Result<ContainerFiles> make_container_files(const Environment& env, const core::Pod& pod,
                                            const core::Container& container, const std::vector<std::string>& ips,
                                            std::uint32_t attempt) {
  const std::string& uid = pod.metadata().uid();
  auto log = env.folders.make_termination_log(uid, container.name(), attempt);
  if (!log) return std::unexpected(std::move(log.error()));
  ContainerFiles files{.termination_log = std::move(*log), .hosts = {}};
  if (!needs_hosts_file(pod, container, ips)) return files;
  std::string of_node;
  if (pod.spec().host_network()) {
    auto text = read_host_file("/etc/hosts");
    if (!text) return std::unexpected(std::move(text.error()));
    of_node = std::move(*text);
  }
  auto hosts = env.folders.write_hosts(uid, hosts_file(pod, ips, env.node.cluster_domain, of_node));
  if (!hosts) return std::unexpected(std::move(hosts.error()));
  files.hosts = std::move(*hosts);
  return files;
}

}  // namespace

Task<bool> PodWorker::run_sandbox(std::uint32_t attempt) {
  auto text = co_await env_->disk.run([path = env_->config.resolv_conf] { return read_host_file(path); });
  if (stopped_) co_return true;
  auto handler = runtime_handler_of(*env_, *pod_);
  Status done = check_hostname(*pod_, env_->node.cluster_domain);
  if (done && !handler) done = std::unexpected(std::move(handler.error()));
  if (done && !text) done = fail_with(std::move(text.error()), "resolv.conf");
  std::optional<UserRange> users;
  if (done) {
    auto taken = co_await take_users(env_, pod_, *handler);
    if (stopped_) co_return true;
    if (taken) users = *taken;
    if (!taken) done = std::unexpected(std::move(taken.error()));
  }
  if (done) {
    std::string omitted;
    v1::RunPodSandboxRequest request;
    *request.mutable_config() = sandbox_config(*pod_, env_->node, attempt, *text, identity_.file, users, &omitted);
    if (attempt > 0) {
      tell(EventType::kNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
    }
    request.set_runtime_handler(*handler);
    auto made = co_await env_->runtime.run_pod_sandbox(std::move(request));
    if (made) {
      if (!omitted.empty()) log::warning("a pod's DNS", {{"pod", identity_.full_name()}, {"omitted", omitted}});
      had_sandbox_ = true;
      env_->sandbox_owners[made->pod_sandbox_id()] = identity_.uid;
    } else {
      done = std::unexpected(std::move(made.error()));
    }
  }
  if (stopped_) co_return true;
  if (done) {
    untrouble("");
  } else {
    tell(EventType::kWarning, "FailedCreatePodSandBox",
         absl::StrCat("Failed to create pod sandbox: ", done.error().message()));
    trouble("", "ContainerCreating", done.error().with_context("failed to create the pod's sandbox"),
            retries_.failed("", now()));
  }
  co_return true;
}

// A start that waits for a path of the host which does not answer ends with its sandbox.
Task<std::optional<Status>> PodWorker::call_start(const std::string& id) {
  auto call = std::make_shared<std::optional<Status>>();
  env_->loop.spawn([](std::shared_ptr<Environment> env, std::weak_ptr<PodWorker> weak, std::string container,
                      std::shared_ptr<std::optional<Status>> into) -> Task<> {
    v1::StartContainerRequest request;
    request.set_container_id(container);
    auto started = co_await env->runtime.start_container(std::move(request));
    *into = started ? Status() : std::unexpected(std::move(started.error()));
    if (auto self = weak.lock()) self->wake_.set();
  }(env_, weak_from_this(), id, call));
  std::optional<TimePoint> until;
  while (!*call && !stopped_) {
    if (!until && (terminating_ || rules_.is_over)) until = now() + kStartPatience;
    if (until && now() >= *until) break;
    wake_.reset();
    if (until) {
      (void)co_await wake_.wait_for(*until - now());
    } else {
      co_await wake_.wait();
    }
  }
  co_return std::move(*call);
}

// Trouble is noted here or in create_container(); the worker goes on with the next container in any case.
Task<> PodWorker::start_container(const PodPlan::Start& start, const ObservedSandbox& sandbox) {
  std::string name = rules_.containers[start.rule].name;
  std::string id = start.created_id;
  if (id.empty()) {
    auto created = co_await create_container(start, sandbox);
    if (!created || stopped_ || terminating_) co_return;
    id = *created;
  }
  auto call = co_await call_start(id);
  if (stopped_ || !call) co_return;
  const Status started = std::move(*call);
  // Also of one that did not start: its log may say why.
  co_await link_log(name, start.attempt, id);
  if (stopped_) co_return;
  if (started) {
    tell(EventType::kNormal, "Started", "Container started", name);
    if (co_await run_post_start(name, id, sandbox)) untrouble(name);
    co_return;
  }
  // One that was made now has ended with that, and comes again as one that crashed does.
  const bool is_new = start.created_id.empty();
  trouble(name, "RunContainerError", started.error(),
          is_new ? now() + env_->config.retry.initial : retries_.failed(name, now()));
  if (is_new) co_return;
  // It was made by an earlier gantryd and can't be started by this one.
  v1::RemoveContainerRequest remove;
  remove.set_container_id(id);
  auto removed = co_await env_->runtime.remove_container(std::move(remove));
  if (!removed) {
    log::warning("removing a container that does not start, ignoring",
                 {{"pod", identity_.full_name()}, {"container", name}, {"error", removed.error()}});
  }
}

Task<bool> PodWorker::run_post_start(const std::string& name, const std::string& id, const ObservedSandbox& sandbox) {
  ObservedContainer container{.id = id, .name = name, .sandbox_id = sandbox.id};
  container.state = ObservedContainer::State::kRunning;
  const std::string ip = ip_of({{sandbox}, {}}, sandbox.id);
  auto hook =
      LifecycleHook::begin(env_, LifecycleHook::Kind::kPostStart, {pod_, name, id, ip}, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->wake_.set();
      });
  if (!hook) co_return true;
  while (!hook->has_ended() && !stopped_ && !terminating_) {
    wake_.reset();
    co_await wake_.wait();
  }
  if (!hook->has_ended()) {
    hook->give_up();
    co_return true;
  }
  if (stopped_ || hook->result()) co_return true;
  troubles_[name] = {{"PostStartHookError", hook->result().error().message()}, now()};
  // Without its words: there may be secrets in them.
  tell(EventType::kWarning, "FailedPostStartHook", "PostStartHook failed", name);
  auto stopped = co_await stopper_.stop(pod_, {{container, "FailedPostStartHook", ip}}, grace_of({}));
  if (!stopped) {
    log::error("stopping a container whose postStart hook failed",
               {{"pod", identity_.full_name()}, {"container", name}, {"error", stopped.error()}});
  }
  co_return false;
}

Task<Result<bool>> PodWorker::mounts_recursively() {
  if (recursive_read_only_) co_return *recursive_read_only_;
  if (!pod_ || !asks_for_recursive_read_only(*pod_)) co_return false;
  auto handler = runtime_handler_of(*env_, *pod_);
  if (!handler) co_return std::unexpected(std::move(handler.error()));
  auto status = co_await env_->runtime.status({});
  if (!status) co_return std::unexpected(std::move(status.error()));
  const auto* found = find_handler(*status, *handler);
  recursive_read_only_ = found != nullptr && found->features().recursive_read_only_mounts();
  co_return *recursive_read_only_;
}

Status PodWorker::check_ephemeral(const PodPlan::Start& start) const {
  const ContainerRule& rule = rules_.containers[start.rule];
  if (rule.role != ContainerRule::Role::kEphemeral) return {};
  auto able = api::to_status(validate_supported(*pod_, PodOrigin::kApiServer));
  if (!able) return able;
  if (rule.target.empty() || !start.target_id.empty()) return {};
  return fail(Code::kNotFound, absl::StrCat("unable to find target container ", api::quoted(rule.target)));
}

Task<Result<std::shared_ptr<const v1::Image>>> PodWorker::find_image(PodImages::Want want) {
  const std::string name = want.container;
  auto image = co_await images_->ask(std::move(want));
  if (stopped_ || terminating_) co_return fail(Code::kCancelled, "stopped");
  if (image.why) {
    Error error(Code::kUnavailable, image.why->message);
    trouble(name, image.why->reason, error, image.until, image.why->reason);
    co_return std::unexpected(std::move(error));
  }
  if (!image.image) co_return fail(Code::kUnavailable, "its image is being pulled");
  co_return std::move(image.image);
}

Task<Result<std::string>> PodWorker::create_container(const PodPlan::Start& start, const ObservedSandbox& sandbox) {
  const std::string& name = rules_.containers[start.rule].name;
  const auto found = find_container(*pod_, name);
  if (!found) co_return fail(Code::kNotFound, "the pod has no such container");
  const core::Container& spec = *found;
  if (auto checked = check_ephemeral(start); !checked) {
    trouble(name, "CreateContainerConfigError", checked.error(), retries_.failed(name, now()));
    co_return std::unexpected(std::move(checked.error()));
  }
  if (auto ready = co_await prepare_volumes(); !ready || !*ready) {
    if (ready || stopped_) co_return fail(Code::kCancelled, "its volumes are not there yet");
    fail_mount(ready.error());
    co_return std::unexpected(std::move(ready.error()));
  }
  auto image = co_await find_image({pod_, name, spec.image(), spec.image_pull_policy(), start.attempt});
  if (!image) co_return std::unexpected(std::move(image.error()));
  auto prepared = *volumes_;
  for (const auto* volume : image_volumes_of(*pod_, spec)) {
    const auto& source = volume->volume_source().image();
    auto found =
        co_await find_image({pod_, name, source.reference(), source.pull_policy(), start.attempt, volume->name()});
    if (!found) co_return std::unexpected(std::move(found.error()));
    prepared[volume->name()].image = (*found)->id();
  }

  ContainerInputs inputs{
      .attempt = start.attempt, .pod_ips = sandbox.ips, .image = image->get(), .volumes = std::move(prepared)};
  if (pod_->spec().host_network() && inputs.pod_ips.empty()) inputs.pod_ips.push_back(env_->config.host_ip);
  auto files = co_await env_->disk.run([env = env_, pod = pod_, spec, ips = inputs.pod_ips, attempt = start.attempt] {
    return make_container_files(*env, *pod, spec, ips, attempt);
  });
  if (stopped_) co_return fail(Code::kCancelled, "stopped");
  if (!files) {
    trouble(name, "CreateContainerError", files.error(), retries_.failed(name, now()));
    co_return std::unexpected(std::move(files.error()));
  }
  inputs.termination_log = std::move(files->termination_log);
  inputs.hosts = std::move(files->hosts);
  auto env = co_await fetch_env_objects(env_->objects, identity_.namespace_, spec);
  auto recursive = co_await mounts_recursively();
  if (stopped_ || terminating_) co_return fail(Code::kCancelled, "stopped");
  auto services = services_of(*env_, *pod_, identity_.is_api());
  auto users = users_of(*env_, *pod_);
  for (const auto* error : {env ? nullptr : &env.error(), services ? nullptr : &services.error(),
                            recursive ? nullptr : &recursive.error(), users ? nullptr : &users.error()}) {
    if (error == nullptr) continue;
    trouble(name, "CreateContainerConfigError", *error, retries_.failed(name, now()));
    co_return std::unexpected(*error);
  }
  inputs.users = *users;
  inputs.target_id = start.target_id;
  inputs.env = std::move(*env);
  inputs.services = std::move(*services);
  inputs.recursive_read_only = *recursive;
  inputs.allocatable = node_allocatable(*env_);
  if (auto bound = co_await bind_volumes(spec, inputs); !bound || !*bound || stopped_ || terminating_) {
    if (bound || stopped_ || terminating_) co_return fail(Code::kCancelled, "its volumes are not there yet");
    trouble(name, "CreateContainerConfigError", bound.error(), retries_.failed(name, now()));
    co_return std::unexpected(std::move(bound.error()));
  }
  auto config = container_config(*pod_, spec, env_->node, inputs);
  if (!config) {
    trouble(name, "CreateContainerConfigError", config.error(), retries_.failed(name, now()));
    co_return std::unexpected(std::move(config.error()));
  }
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(sandbox.id);
  *request.mutable_config() = std::move(*config);
  *request.mutable_sandbox_config() = sandbox_config(*pod_, env_->node, sandbox.attempt, "", identity_.file, *users);
  auto created = co_await env_->runtime.create_container(std::move(request));
  if (stopped_) co_return fail(Code::kCancelled, "stopped");
  if (!created) {
    trouble(name, "CreateContainerError", created.error(), retries_.failed(name, now()));
    co_return std::unexpected(std::move(created.error()));
  }
  tell(EventType::kNormal, "Created", "Container created", name);
  if (start.last != nullptr && !start.last->is_replaced) crashes_.retried(name, start.last->ended, now());
  co_return created->container_id();
}

// For log collectors. A container runs without it.
Task<> PodWorker::link_log(std::string container, std::uint32_t attempt, std::string id) {
  std::string link = container_log_link(identity_.name, identity_.namespace_, container, id);
  std::string target =
      absl::StrCat(env_->config.pod_logs_dir, "/", log_folder(), "/", container_log_path(container, attempt));
  auto linked = co_await env_->disk.run([env = env_, link, target] { return env->folders.link_log(link, target); });
  if (!linked) {
    log::warning("linking a container's log, ignoring",
                 {{"pod", identity_.full_name()}, {"container", container}, {"error", linked.error()}});
  }
}

}  // namespace gantry::agent
