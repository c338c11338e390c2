// SPDX-License-Identifier: Apache-2.0
#include "agent/node_reporter.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::agent {

namespace {

namespace v1 = ::runtime::v1;
using std::chrono::steady_clock;

constexpr Duration kFirstPause = std::chrono::milliseconds(100), kLongestPause = std::chrono::seconds(7);
// Between looks, however often it is woken: whoever else writes a status may do so without end.
constexpr Duration kLeastPause = std::chrono::seconds(1);
constexpr Duration kImagesAge = std::chrono::seconds(30);

std::string said_not_ready(std::string_view what, const v1::RuntimeCondition& condition) {
  return cat(what, " not ready: ", condition.type(), "=false reason:", condition.reason(),
             " message:", condition.message());
}

}  // namespace

NodeReporter::NodeReporter(Cluster& cluster, cri::RuntimeService& runtime, cri::ImageService& images, Pool& disk,
                           NodeConfig config, std::function<NodePressures()> pressures,
                           std::function<bool()> is_shutting_down)
    : cluster_(cluster),
      runtime_(runtime),
      images_(images),
      disk_(disk),
      config_(std::move(config)),
      pressures_(std::move(pressures)),
      is_shutting_down_(std::move(is_shutting_down)),
      wake_(cluster.loop()) {
  cluster_.node().on_change([this](const api::Informer::Change&) { wake_.set(); });
}

void NodeReporter::tell(const Node& before, const Node& after) {
  for (const auto& word : node_words(before, after)) {
    const auto type = word.reason == "Rebooted" ? EventType::kWarning : EventType::kNormal;
    cluster_.events().record_node(type, word.reason, word.message);
  }
}

void NodeReporter::start() { cluster_.loop().spawn(run()); }

void NodeReporter::stop() {
  stopped_ = true;
  wake_.set();
}

api::Timestamp NodeReporter::now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {.seconds = std::chrono::duration_cast<std::chrono::seconds>(since).count()};
}

// ---- looking

Task<> NodeReporter::look_at_runtime() {
  state_.not_ready.clear();
  auto status = co_await runtime_.status({});
  if (!status) {
    state_.not_ready.push_back(cat("container runtime is down: ", as_utf8(status.error().message())));
    co_return;
  }
  for (const auto& condition : status->status().conditions()) {
    if (condition.status()) continue;
    if (condition.type() == "RuntimeReady") state_.not_ready.push_back(said_not_ready("container runtime", condition));
    if (condition.type() == "NetworkReady")
      state_.not_ready.push_back(said_not_ready("container runtime network", condition));
  }
  state_.handlers.clear();
  for (const auto& handler : status->runtime_handlers()) {
    state_.handlers.push_back(
        {handler.name(), handler.features().recursive_read_only_mounts(), handler.features().user_namespaces()});
  }
  std::ranges::sort(state_.handlers, {}, &RuntimeHandlerOnNode::name);
  state_.supplemental_groups_policy = status->features().supplemental_groups_policy();
  if (!state_.runtime_version.empty()) co_return;
  auto version = co_await runtime_.version({});
  if (version) state_.runtime_version = cat(version->runtime_name(), "://", version->runtime_version());
}

Task<> NodeReporter::look_at_images() {
  const auto started = steady_clock::now();
  if (images_seen_ && started - *images_seen_ < kImagesAge) co_return;
  images_seen_ = started;
  if (image_folder_.empty()) {
    auto info = co_await images_.image_fs_info({});
    if (info && info->image_filesystems_size() > 0) image_folder_ = info->image_filesystems(0).fs_id().mountpoint();
  }
  auto list = co_await images_.list_images({});
  if (!list) co_return;
  state_.images.clear();
  for (const auto& image : list->images()) {
    ImageOnNode found{.size = static_cast<std::int64_t>(image.size())};
    found.names.assign(image.repo_digests().begin(), image.repo_digests().end());
    found.names.insert(found.names.end(), image.repo_tags().begin(), image.repo_tags().end());
    if (!found.names.empty()) state_.images.push_back(std::move(found));
  }
  std::ranges::sort(state_.images, [](const ImageOnNode& a, const ImageOnNode& b) {
    return a.size != b.size ? a.size > b.size : a.names < b.names;
  });
}

Task<Status> NodeReporter::look() {
  if (state_.machine.cpus == 0) {
    auto machine = co_await disk_.run([] { return read_node_machine(); });
    if (!machine) co_return std::unexpected(std::move(machine.error()));
    state_.machine = std::move(*machine);
  }
  co_await look_at_runtime();
  if (is_shutting_down_()) state_.not_ready.emplace_back("node is shutting down");
  co_await look_at_images();
  auto readings =
      co_await disk_.run([root = config_.root_dir, images = image_folder_] { return read_node(root, images); });
  if (!readings) co_return std::unexpected(std::move(readings.error()));
  state_.readings = std::move(*readings);
  co_return Status();
}

// ---- saying

Task<api::Answer<void>> NodeReporter::register_once() {
  const Node wanted = new_node(config_, state_, pressures_(), now());
  api::Answer<Node> made = co_await cluster_.urgent_client().create(wanted);
  if (made) {
    log::info("the node is registered", {{"node", config_.name}});
    tell({}, wanted);
    co_return api::Answer<void>();
  }
  if (!made.error().is_already_exists()) co_return api::fail(std::move(made.error()));
  api::Answer<Node> there = co_await cluster_.urgent_client().get<Node>("", config_.name);
  if (!there) co_return api::fail(std::move(there.error()));
  if (auto patch = registration_patch(*there, wanted)) {
    auto patched =
        co_await cluster_.urgent_client().patch<Node>("", config_.name, api::PatchForm::kMerge, std::move(*patch));
    if (!patched) co_return api::fail(std::move(patched.error()));
  }
  log::info("the node was registered before", {{"node", config_.name}});
  co_return api::Answer<void>();
}

Task<api::Answer<void>> NodeReporter::report() {
  const std::shared_ptr<const Node> there = cluster_.node_object();
  if (there == nullptr) co_return api::Answer<void>();
  Node wanted = *there;
  set_status(&wanted, config_, state_, pressures_(), now());
  const auto started = steady_clock::now();
  const bool heartbeat = !reported_ || started - *reported_ >= config_.status_report;
  auto patch = status_patch(*there, wanted, heartbeat);
  if (!patch) co_return api::Answer<void>();
  auto patched = co_await cluster_.urgent_client().patch<Node>("", config_.name, api::PatchForm::kStrategicMerge,
                                                               std::move(*patch), "status");
  if (!patched) co_return api::fail(std::move(patched.error()));
  reported_ = started;
  tell(*there, wanted);
  co_return api::Answer<void>();
}

Task<> NodeReporter::pause(Duration least, Duration most) {
  co_await cluster_.loop().sleep_for(least);
  (void)co_await wake_.wait_for(most - least);
  wake_.reset();
}

Task<> NodeReporter::run() {
  cluster_.events().record_node(EventType::kNormal, "Starting", "Starting kubelet.");
  Duration wait = kFirstPause;
  bool registered = !config_.registers;
  while (!stopped_) {
    Status looked = co_await look();
    if (!looked) log::warning("can't look at this machine, retrying", {{"error", looked.error()}});
    if (looked && !registered) {
      api::Answer<void> done = co_await register_once();
      if (!done) log::warning("the node can't be registered, retrying", {{"error", done.error().message}});
      registered = done.has_value();
    }
    api::Answer<void> done;
    if (looked && registered) done = co_await report();
    if (stopped_) co_return;
    if (!done) log::warning("the node's status can't be written, retrying", {{"error", done.error().message}});
    if (looked && registered && done) {
      wait = kFirstPause;
      co_await pause(kLeastPause, config_.status_update);
    } else {
      co_await cluster_.loop().sleep_for(wait);
      wait = std::min(wait * 2, kLongestPause);
    }
  }
}

}  // namespace gantry::agent
