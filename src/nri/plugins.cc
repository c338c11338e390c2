// SPDX-License-Identifier: Apache-2.0
#include "nri/plugins.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "nri/merge.h"
#include "nri/nri.pb.h"
#include "nri/peer.h"
#include "nri/plugin.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/socket.h"

namespace gantry::nri {
namespace {

// Of one message of Synchronize, with room for what ttrpc adds.
constexpr std::size_t kSyncBytes = kMaxMessageBytes - (64U << 10);
constexpr unsigned kMaxPlugins = 64;
// All plugins together, when gantryd ends.
constexpr std::chrono::seconds kStopLimit{2};

template <typename Message>
Result<Message> parse(const std::string& bytes) {
  Message message;
  if (!message.ParseFromString(bytes)) return fail(Code::kDataLoss, cat("no ", message.GetTypeName()));
  return message;
}

Error unreadable(const Plugin& plugin, api::Event event) {
  return Error(Code::kDataLoss,
               cat("plugin ", plugin.name(), " answered ", method_of(event), " with what is no answer"));
}

}  // namespace

Plugins::Plugins(Loop& loop, Options options) : loop_(loop), options_(std::move(options)), turn_(loop) {}
Plugins::~Plugins() = default;

// ---- how they come and go

Task<> Plugins::start(Host host) {
  host_ = std::move(host);
  auto found = find_plugins(options_.plugins_folder);
  if (!found) log::error("NRI plugins are not started", {{"error", found.error()}});
  struct Count {
    explicit Count(Loop& loop) : none_left(loop) {}
    std::size_t left = 0;
    Event none_left;
  };
  auto count = std::make_shared<Count>(loop_);
  if (found) count->left = found->size();
  for (auto& program : found ? *found : std::vector<PluginProgram>()) {
    loop_.spawn([](Task<> launching, std::shared_ptr<Count> count) -> Task<> {
      co_await std::move(launching);
      if (--count->left == 0) count->none_left.set();
    }(launch(std::move(program)), count));
  }
  if (count->left > 0) co_await count->none_left.wait();
  if (options_.socket.empty()) co_return;
  if (auto listening = listen(); !listening) {
    log::error("NRI plugins can't connect", {{"socket", options_.socket}, {"error", listening.error()}});
  }
}

Status Plugins::listen() {
  auto slash = options_.socket.rfind('/');
  std::string folder = options_.socket.substr(0, slash), name = options_.socket.substr(slash + 1);
  if (auto made = sys::make_folders(folder, 0700); !made) return made;
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return std::unexpected(std::move(dir.error()));
  auto other = sys::connect_unix(*dir, name.c_str(), SOCK_STREAM);
  if (other || other.error().is_would_block()) {
    return fail(Code::kFailedPrecondition, "another runtime answers there; give this one another --nri-socket");
  }
  auto socket = sys::listen_unix(*dir, name.c_str(), SOCK_STREAM, 16);
  if (!socket) return std::unexpected(std::move(socket.error()));
  listener_ = std::move(*socket);
  listener_watch_ = std::make_unique<Watch>(loop_, listener_);
  loop_.spawn(accept());
  return {};
}

Task<> Plugins::accept() {
  while (!stopped_) {
    auto ready = co_await listener_watch_->readable();
    if (!ready || stopped_) co_return;
    auto socket = sys::accept(listener_);
    if (!socket) {
      if (socket.error().is_would_block()) continue;
      log::warning("accepting an NRI plugin, going on in a second", {{"error", socket.error()}});
      // Out of descriptors, most likely: nothing tells when there are some again.
      co_await loop_.sleep_for(std::chrono::seconds(1));
      continue;
    }
    auto peer = sys::peer_credentials(*socket);
    if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) {
      log::warning("an NRI plugin of another user was refused", {{"uid", peer ? peer->uid : 0}});
    } else if (connected_ >= kMaxPlugins) {
      log::warning("an NRI plugin was refused: there are enough", {{"plugins", connected_}, {"pid", peer->pid}});
    } else {
      auto plugin = std::make_shared<Plugin>(loop_);
      plugin->pid = peer->pid;
      adopt(plugin, std::move(*socket));
      loop_.spawn(admit(std::move(plugin)));
    }
  }
}

void Plugins::adopt(const PluginPtr& plugin, SocketFd socket) {
  ++connected_;
  std::weak_ptr<Plugin> weak = plugin;
  plugin->peer = Peer::open(
      loop_, std::move(socket),
      [this, weak](std::string service, std::string method, std::string payload) {
        return serve(weak, std::move(service), std::move(method), std::move(payload));
      },
      [this, plugin] { ended(*plugin); });
}

void Plugins::ended(Plugin& plugin) {
  --connected_;
  std::erase_if(active_, [&](const PluginPtr& each) { return each.get() == &plugin; });
  plugin.registered.set();
  if (plugin.process && !plugin.has_exited) (void)plugin.process->kill(SIGKILL);
  if (!stopped_) log::info("an NRI plugin is gone", {{"plugin", plugin.name()}, {"reason", plugin.peer->reason()}});
}

Task<> Plugins::launch(PluginProgram program) {
  auto plugin = std::make_shared<Plugin>(loop_);
  plugin->index = program.index;
  plugin->base = program.base;
  auto socket = start_plugin(*plugin, options_.plugins_folder, options_.config_folder);
  if (!socket) {
    log::error("an NRI plugin is not started", {{"plugin", plugin->name()}, {"error", socket.error()}});
    co_return;
  }
  adopt(plugin, std::move(*socket));
  loop_.spawn(reap(loop_, plugin));
  co_await admit(std::move(plugin));
}

// Registration is the plugin's call, the rest ours.
Task<> Plugins::admit(PluginPtr plugin) {
  if (!co_await plugin->registered.wait_for(options_.registration_limit)) {
    plugin->peer->close(Error(Code::kDeadlineExceeded, "it has not registered in time"));
  }
  if (plugin->peer->is_closed()) co_return;
  Status done = co_await configure(plugin);
  if (done) done = co_await synchronize(plugin);
  if (done) {
    log::info("an NRI plugin is ready", {{"plugin", plugin->name()}, {"pid", plugin->pid}});
    co_return;
  }
  log::warning("an NRI plugin is not taken", {{"plugin", plugin->name()}, {"error", done.error()}});
  plugin->peer->close(std::move(done.error()));
}

Task<Status> Plugins::configure(PluginPtr plugin) {
  using std::chrono::duration_cast, std::chrono::milliseconds;
  api::ConfigureRequest request;
  request.set_config(plugin->config);
  request.set_runtime_name("gantry");
  request.set_runtime_version(options_.version);
  request.set_registration_timeout(duration_cast<milliseconds>(options_.registration_limit).count());
  request.set_request_timeout(duration_cast<milliseconds>(options_.request_limit).count());
  request.set_nri_version(kInterfaceVersion);
  auto answer = co_await plugin->call("Configure", request.SerializeAsString(), options_.request_limit);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if (!*answer) co_return std::unexpected(std::move(answer->error()));
  auto response = parse<api::ConfigureResponse>(**answer);
  if (!response) co_return std::unexpected(std::move(response.error()));
  auto events = static_cast<std::uint32_t>(response->events());
  if ((events & ~kAllEvents) != 0) {
    co_return invalid_argument(cat("events ", events, ": has bits of events that there are not"));
  }
  plugin->events = events == 0 ? kAllEvents : events;
  plugin->fails_requests = response->failure_policy().fail_request();
  plugin->stays_when_late = response->failure_policy().keep_connected();
  co_return Status();
}

// With the turn: nothing happens between the state that it is told and the first event.
Task<Status> Plugins::synchronize(PluginPtr plugin) {
  auto updates = std::make_unique<api::UpdateContainersRequest>();
  {
    auto turn = co_await turn_.acquire();
    api::SynchronizeRequest state;
    host_.list(state);
    int pod = 0, container = 0;
    do {
      api::SynchronizeRequest part;
      std::size_t size = 0;
      // At least one, however large.
      auto fits = [&](std::size_t more) {
        bool first = std::exchange(size, size + more + 8) == 0;
        return first || size <= kSyncBytes;
      };
      while (pod < state.pods_size() && fits(state.pods(pod).ByteSizeLong())) {
        part.add_pods()->Swap(state.mutable_pods(pod++));
      }
      while (pod == state.pods_size() && container < state.containers_size() &&
             fits(state.containers(container).ByteSizeLong())) {
        part.add_containers()->Swap(state.mutable_containers(container++));
      }
      bool more = pod < state.pods_size() || container < state.containers_size();
      part.set_more(more);
      auto answer = co_await plugin->call("Synchronize", part.SerializeAsString(), options_.request_limit);
      if (!answer) co_return std::unexpected(std::move(answer.error()));
      if (!*answer) co_return std::unexpected(std::move(answer->error()));
      auto response = parse<api::SynchronizeResponse>(**answer);
      if (!response) co_return std::unexpected(std::move(response.error()));
      if (more && (!response->more() || response->update_size() > 0)) {
        co_return fail(Code::kFailedPrecondition, "it does not take the pods and containers in several messages");
      }
      updates->mutable_update()->Swap(response->mutable_update());
    } while (pod < state.pods_size() || container < state.containers_size());
    if (plugin->peer->is_closed() || stopped_) co_return fail(Code::kUnavailable, "it is gone");
    auto place = std::ranges::upper_bound(active_, plugin->index, {}, &Plugin::index);
    active_.insert(place, plugin);
  }
  if (updates->update_size() > 0) (void)co_await host_.update(std::move(updates));
  co_return Status();
}

Task<> Plugins::stop() {
  stopped_ = true;
  if (listener_watch_) listener_watch_->cancel();
  auto until = std::chrono::steady_clock::now() + kStopLimit;
  for (const auto& plugin : std::vector(active_)) {
    auto left = until - std::chrono::steady_clock::now();
    if (left > Duration::zero()) (void)co_await plugin->call("Shutdown", "", left);
    plugin->peer->close(Error(Code::kCancelled, "gantryd ends"));
  }
  active_.clear();
}

// ---- what they ask for

Task<Result<std::string>> Plugins::serve(std::weak_ptr<Plugin> weak, std::string service, std::string method,
                                         std::string payload) {
  auto plugin = weak.lock();
  if (!plugin) co_return fail(Code::kUnavailable, "gone");
  if (service == kRuntimeService && method == "RegisterPlugin") co_return register_plugin(*plugin, payload);
  if (service == kRuntimeService && method == "UpdateContainers") {
    auto request = parse<api::UpdateContainersRequest>(payload);
    if (!request) co_return std::unexpected(std::move(request.error()));
    if (std::ranges::find(active_, plugin) == active_.end()) {
      co_return fail(Code::kFailedPrecondition, "UpdateContainers: the plugin is not synchronized yet");
    }
    if (request->evict_size() > 0) {
      co_return fail(Code::kUnimplemented, "UpdateContainers: evict: not supported by this runtime");
    }
    auto response = co_await host_.update(std::make_unique<api::UpdateContainersRequest>(std::move(*request)));
    co_return response->SerializeAsString();
  }
  co_return fail(Code::kUnimplemented, cat(quoted(cat(service, "/", method)), ": there is no such call"));
}

Result<std::string> Plugins::register_plugin(Plugin& plugin, const std::string& payload) {
  auto request = parse<api::RegisterPluginRequest>(payload);
  if (!request) return std::unexpected(std::move(request.error()));
  if (plugin.registered.is_set()) return fail(Code::kAlreadyExists, "RegisterPlugin: it has registered already");
  // One that we started has the name of its file.
  if (!plugin.process) {
    Status good = check_index(request->plugin_idx());
    if (good) good = check_base(request->plugin_name());
    if (!good) {
      plugin.peer->close(good.error());
      return std::unexpected(std::move(good.error()));
    }
    plugin.index = request->plugin_idx();
    plugin.base = request->plugin_name();
  }
  plugin.registered.set();
  return "";
}

// ---- what they are asked

Task<Result<std::optional<std::string>>> Plugins::ask(PluginPtr plugin, int number, std::string payload) {
  auto event = static_cast<api::Event>(number);
  if (plugin->peer->is_closed() || !plugin->wants(event)) co_return std::nullopt;
  std::string method(method_of(event));
  bool was_state = has_state_change(event);
  if (was_state && plugin->is_old) method = "StateChange";
  auto answer = co_await plugin->call(method, method == "StateChange" ? state_change(event, payload) : payload,
                                      options_.request_limit);
  if (answer && !*answer && answer->error().is_not_supported() && was_state && !plugin->is_old) {
    // Before 0.11 what has no answer was StateChange.
    plugin->is_old = true;
    answer = co_await plugin->call("StateChange", state_change(event, payload), options_.request_limit);
  }
  if (answer) {
    if (*answer) co_return std::move(**answer);
    co_return fail_with(std::move(answer->error()), cat("NRI plugin ", plugin->name(), ": ", method));
  }
  log::warning("an NRI plugin failed", {{"plugin", plugin->name()}, {"request", method}, {"error", answer.error()}});
  if (!answer.error().is_deadline() || !plugin->stays_when_late) plugin->peer->close(answer.error());
  if (!plugin->fails_requests) co_return std::nullopt;
  co_return fail(Code::kUnavailable,
                 cat("NRI plugin ", plugin->name(), " failed to handle ", method, ": ", answer.error().message()));
}

Task<Status> Plugins::tell(Happening happening, std::shared_ptr<const api::PodSandbox> pod,
                           std::shared_ptr<const api::Container> container) {
  // All these requests have the pod as 1 and the container as 2.
  api::PostCreateContainerRequest request;
  *request.mutable_pod() = *pod;
  if (container) *request.mutable_container() = *container;
  std::string payload = request.SerializeAsString();
  auto turn = co_await turn_.acquire();
  for (const auto& plugin : std::vector(active_)) {
    auto answer = co_await ask(plugin, static_cast<int>(happening), payload);
    if (!answer) co_return std::unexpected(std::move(answer.error()));
  }
  co_return Status();
}

Task<Status> Plugins::update_pod(std::shared_ptr<const api::UpdatePodSandboxRequest> request) {
  auto turn = co_await turn_.acquire();
  for (const auto& plugin : std::vector(active_)) {
    auto answer = co_await ask(plugin, api::UPDATE_POD_SANDBOX, request->SerializeAsString());
    if (!answer) co_return std::unexpected(std::move(answer.error()));
  }
  co_return Status();
}

Task<Result<std::unique_ptr<api::CreateContainerResponse>>> Plugins::create(
    std::unique_ptr<api::CreateContainerRequest> request) {
  auto turn = co_await turn_.acquire();
  auto plugins = active_;
  api::ValidateContainerAdjustmentRequest validation;
  *validation.mutable_pod() = request->pod();
  *validation.mutable_container() = request->container();
  Adjustments all(*request);
  for (const auto& plugin : plugins) {
    auto* named = validation.add_plugins();
    named->set_name(plugin->base);
    named->set_index(plugin->index);
    auto answer = co_await ask(plugin, api::CREATE_CONTAINER, request->SerializeAsString());
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    if (!*answer) continue;
    auto response = parse<api::CreateContainerResponse>(**answer);
    if (!response) {
      plugin->peer->close(unreadable(*plugin, api::CREATE_CONTAINER));
      continue;
    }
    if (response->evict_size() > 0) {
      co_return fail(Code::kUnimplemented,
                     cat("NRI plugin ", plugin->name(), ": evict: not supported by this runtime"));
    }
    auto applied = all.apply(*response, plugin->name());
    if (!applied) co_return std::unexpected(std::move(applied.error()));
  }
  auto response = std::make_unique<api::CreateContainerResponse>();
  *response->mutable_adjust() = all.all();
  response->mutable_update()->Swap(all.updates().take()->mutable_update());
  *validation.mutable_adjust() = response->adjust();
  *validation.mutable_update() = response->update();
  *validation.mutable_owners() = all.owners().all();
  auto valid = co_await validate(std::move(plugins), validation.SerializeAsString());
  if (!valid) co_return std::unexpected(std::move(valid.error()));
  co_return response;
}

// One that can't be asked refuses.
Task<Status> Plugins::validate(std::vector<PluginPtr> plugins, std::string payload) {
  for (const auto& plugin : plugins) {
    if (!plugin->wants(api::VALIDATE_CONTAINER_ADJUSTMENT)) continue;
    auto answer = co_await ask(plugin, api::VALIDATE_CONTAINER_ADJUSTMENT, payload);
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    if (!*answer)
      co_return fail(Code::kUnavailable, cat("NRI plugin ", plugin->name(), " could not be asked to validate"));
    auto response = parse<api::ValidateContainerAdjustmentResponse>(**answer);
    if (!response) {
      plugin->peer->close(unreadable(*plugin, api::VALIDATE_CONTAINER_ADJUSTMENT));
      co_return std::unexpected(unreadable(*plugin, api::VALIDATE_CONTAINER_ADJUSTMENT));
    }
    if (response->reject()) {
      co_return fail(Code::kPermissionDenied,
                     cat("NRI plugin ", plugin->name(), " rejected the adjustments: ", as_utf8(response->reason())));
    }
  }
  co_return Status();
}

Task<Result<Plugins::Update>> Plugins::update(std::unique_ptr<api::UpdateContainerRequest> request) {
  auto turn = co_await turn_.acquire();
  Owners owners;
  Updates updates(owners);
  for (const auto& plugin : std::vector(active_)) {
    auto answer = co_await ask(plugin, api::UPDATE_CONTAINER, request->SerializeAsString());
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    if (!*answer) continue;
    auto response = parse<api::UpdateContainerResponse>(**answer);
    if (!response) {
      plugin->peer->close(unreadable(*plugin, api::UPDATE_CONTAINER));
      continue;
    }
    if (response->evict_size() > 0) {
      co_return fail(Code::kUnimplemented,
                     cat("NRI plugin ", plugin->name(), ": evict: not supported by this runtime"));
    }
    for (const auto& update : response->update()) {
      auto applied = updates.apply(update, plugin->name(), request.get(), "");
      if (!applied) co_return std::unexpected(std::move(applied.error()));
    }
  }
  co_return Update{std::move(request), updates.take()};
}

Task<Result<std::unique_ptr<api::UpdateContainersRequest>>> Plugins::stop_container(
    std::shared_ptr<const api::PodSandbox> pod, std::shared_ptr<const api::Container> container) {
  auto turn = co_await turn_.acquire();
  api::StopContainerRequest request;
  *request.mutable_pod() = *pod;
  *request.mutable_container() = *container;
  Owners owners;
  Updates updates(owners);
  for (const auto& plugin : std::vector(active_)) {
    auto answer = co_await ask(plugin, api::STOP_CONTAINER, request.SerializeAsString());
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    if (!*answer) continue;
    auto response = parse<api::StopContainerResponse>(**answer);
    if (!response) {
      plugin->peer->close(unreadable(*plugin, api::STOP_CONTAINER));
      continue;
    }
    for (const auto& update : response->update()) {
      auto applied = updates.apply(update, plugin->name(), nullptr, "");
      if (!applied) co_return std::unexpected(std::move(applied.error()));
    }
  }
  co_return updates.take();
}

}  // namespace gantry::nri
