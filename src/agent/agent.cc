// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/api_source.h"
#include "agent/cluster.h"
#include "agent/environment.h"
#include "agent/eviction/eviction.h"
#include "agent/eviction_hands.h"
#include "agent/manifest_source.h"
#include "agent/mirror_pods.h"
#include "agent/names.h"
#include "agent/node_admission.h"
#include "agent/node_facts.h"
#include "agent/object_cache.h"
#include "agent/pod_status.h"
#include "agent/pod_worker.h"
#include "agent/pool_tools.h"
#include "agent/pull_records.h"
#include "agent/shutdown_hands.h"
#include "agent/status_writer.h"
#include "agent/supported.h"
#include "agent/token_manager.h"
#include "base/log.h"
#include "base/map_text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

// A thread that reads manifests or removes a large tree does not hold up the others.
constexpr std::size_t kDiskThreads = 2;
// So many pods' volumes may hang without holding up those of others.
constexpr std::size_t kVolumeCalls = 64;

std::int64_t wall_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool has_apparmor() {
  auto enabled = sys::read_file(sys::kCwd, "/sys/module/apparmor/parameters/enabled", 16);
  return enabled && enabled->starts_with('Y');
}

// Nothing: it is not deleted.
std::optional<Duration> deletion_grace(const core::Pod& pod) {
  if (!pod.metadata().has_deletion_timestamp()) return std::nullopt;
  // As the server has it, or what it would have set.
  auto seconds = pod.metadata().has_deletion_grace_period_seconds() ? pod.metadata().deletion_grace_period_seconds()
                                                                    : pod.spec().termination_grace_period_seconds();
  return bounded_grace(seconds);
}

Result<DiskSpace> space_of(const std::string& path) {
  auto folder = sys::openat(sys::kCwd, path.c_str(), O_PATH | O_DIRECTORY);
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto info = sys::fstatfs(*folder);
  if (!info) return std::unexpected(std::move(info.error()));
  const auto block = static_cast<std::uint64_t>(info->f_bsize);
  return DiskSpace{info->f_blocks * block, info->f_bavail * block};
}

}  // namespace

struct Agent::Impl : std::enable_shared_from_this<Impl> {
  // What should run, from both sources.
  struct Wanted {
    PodIdentity identity;
    std::shared_ptr<const core::Pod> pod;
  };
  using WantedPods = std::map<std::string, Wanted>;  // by uid

  Impl(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, AgentConfig config, Cluster* cluster,
       PrepareVolumes prepare_volumes);

  Task<Status> find_earlier_pods();
  void hear(const v1::ContainerEventResponse& event);
  void reconcile();
  WantedPods wanted_pods() const;
  void follow_worker(PodWorker& worker, const WantedPods& wanted);
  void end_earlier(const WantedPods& wanted);
  bool was_here(const Wanted& pod) const;
  std::vector<std::shared_ptr<const core::Pod>> pods_here() const;
  std::vector<Wanted> in_their_order(const WantedPods& wanted) const;
  void begin(PodIdentity identity, std::shared_ptr<const core::Pod> pod);
  void end(PodIdentity identity);
  // Nobody knows yet which of the API server's pods are gone.
  bool may_be_api_pod(const PodIdentity& identity) const { return identity.is_api() && !(api && api->is_synced()); }
  bool is_taken(const std::string& full_name) const;
  void log_problems();
  static Task<> collect_images(std::weak_ptr<Impl> weak, Loop& loop, Duration period);
  Task<> forget_gone_images();
  void pod_changed(const std::string& uid);
  void tell_api(const PodWorker& worker);
  void keep_mirrors();
  void pod_ended(const std::string& uid);
  std::vector<WrittenLog> written_logs() const;
  void stop();

  std::shared_ptr<Environment> env;
  ManifestSource source;
  ImageGc image_gc;
  std::unique_ptr<LogRotation> logs;
  NodeAdmission admission;
  QosCgroups qos;
  std::unique_ptr<Evictions> evictions;
  std::unique_ptr<NodeShutdown> shutdown;
  std::function<void()> pressures_changed, shutdown_changed;
  PodWorkers workers;
  std::map<std::string, PodIdentity> earlier;  // found at the start, by uid, until a worker has them
  std::vector<std::function<void(const PodInfo&)>> observers;
  std::set<std::pair<std::string, std::string>> logged_problems;
  std::unique_ptr<ApiSource> api;  // null: a node that stands alone
  std::unique_ptr<StatusWriter> writer;
  std::unique_ptr<MirrorPods> mirrors;
  std::map<std::string, std::string> told_mirrors;  // by a static pod's uid: that of the mirror which has its status
  // Nothing of them is left here, and their objects are being removed: uids.
  std::set<std::string> leaving;
  bool started = false;
  bool stopped = false;
  EvictionPlace place{workers, image_gc, stopped};
  ShutdownPlace shutdown_place{workers, api, earlier};
};

Agent::Impl::Impl(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, AgentConfig config,
                  Cluster* cluster, PrepareVolumes prepare_volumes)
    : env(std::shared_ptr<Environment>(
          new Environment{.loop = loop,
                          .runtime = runtime,
                          .images = images,
                          .config = config,
                          .node = facts_of(config),
                          .folders = PodFolders(config.root_dir, config.pod_logs_dir, config.container_logs_dir),
                          .disk = {loop, kDiskThreads},
                          .prepare_volumes = std::move(prepare_volumes),
                          .volumes = {loop, kVolumeCalls},
                          .cluster = cluster,
                          .pulls{loop, config.pull_limits.most(), config.pull_rate},
                          .events = cluster == nullptr ? nullptr : &cluster->events()})),
      source(loop, env->disk, {config.manifest_dir, config.node_name, config.name_suffix}, [this] { reconcile(); }),
      image_gc(runtime, images, config.image_gc, space_of),
      logs(std::make_unique<LogRotation>(loop, runtime, config.pod_logs_dir, config.logs,
                                         [this] { return written_logs(); })),
      admission(cluster, {config.allowed_unsafe_sysctls, has_apparmor()}, [this] { reconcile(); }),
      qos(loop, env->disk, {config.hierarchy, config.cgroup_root, config.instance, config.cgroup_driver},
          config.reserve, [this] { return pods_here(); }) {
  env->pull_records =
      std::make_shared<PullRecords>(loop, env->disk, config.root_dir + "/image_manager", config.verification);
  if (cluster == nullptr) return;
  env->objects = std::make_shared<ObjectCache>(cluster->client());
  env->tokens = std::make_shared<TokenManager>(cluster->urgent_client(), wall_seconds);
  cluster->events().limit({.rate = config.event_rate});
  api = std::make_unique<ApiSource>(*cluster, [this] { reconcile(); });
  auto known = [this](const PodKey& pod) { return api->find(pod.namespace_, pod.name, pod.uid); };
  writer = std::make_unique<StatusWriter>(cluster->client(), std::move(known), config.tell);
  mirrors = std::make_unique<MirrorPods>(*cluster, *api, config.tell, [this] { reconcile(); });
}

// ---- what is there

// Only those that an agent made: others' pods are theirs. Those of an API server are left alone while there is none.
Task<Status> Agent::Impl::find_earlier_pods() {
  auto version = co_await env->runtime.version({});
  if (!version) co_return fail_with(std::move(version.error()), "ask the runtime for its name");
  env->runtime_name = version->runtime_name();
  auto list = co_await env->runtime.list_pod_sandbox({});
  if (!list) co_return fail_with(std::move(list.error()), "list the runtime's sandboxes");
  std::set<std::string> with_sandbox;
  for (const auto& sandbox : list->items()) {
    with_sandbox.insert(sandbox.metadata().uid());
    std::string file = text_at(sandbox.annotations(), kManifestFileAnnotation);
    std::string uid = text_at(sandbox.labels(), kPodUidLabel);
    std::string node = text_at(sandbox.annotations(), kApiNodeAnnotation);
    bool is_ours = !file.empty() || (api && node == env->config.node_name);
    if (!is_ours || uid.empty() || uid != sandbox.metadata().uid()) continue;
    earlier[uid] = {uid, sandbox.metadata().name(), sandbox.metadata().namespace_(), file};
    env->sandbox_owners[sandbox.id()] = uid;
  }
  auto loaded = co_await env->disk.run([env = env, with_sandbox = std::move(with_sandbox)] {
    return env->users.load(with_sandbox);
  });
  if (!loaded) log::error("pods get no user namespaces", {{"error", loaded.error()}});
  co_return Status();
}

void Agent::Impl::hear(const v1::ContainerEventResponse& event) {
  auto owner = env->sandbox_owners.find(event.pod_sandbox_status().id());
  if (owner == env->sandbox_owners.end()) return;
  if (auto worker = workers.find(owner->second); worker != workers.end()) worker->second->hear();
}

// ---- what should be

bool Agent::Impl::is_taken(const std::string& full_name) const {
  return std::ranges::any_of(workers,
                             [&](const auto& pair) { return pair.second->identity().full_name() == full_name; });
}

// Of before: it runs, or did once.
bool Agent::Impl::was_here(const Wanted& pod) const {
  return earlier.contains(pod.identity.uid) || (pod.identity.is_api() && pod.pod->status().has_start_time());
}

std::vector<std::shared_ptr<const core::Pod>> Agent::Impl::pods_here() const {
  std::vector<std::shared_ptr<const core::Pod>> here;
  for (const auto& [uid, worker] : workers) {
    if (worker->is_here()) here.push_back(worker->pod());
  }
  return here;
}

// Those that were here first, so that what they take is known.
std::vector<Agent::Impl::Wanted> Agent::Impl::in_their_order(const WantedPods& wanted) const {
  std::vector<Wanted> order;
  for (const auto& [uid, pod] : wanted) {
    if (!is_taken(pod.identity.full_name())) order.push_back(pod);
  }
  std::ranges::sort(order, [this](const Wanted& one, const Wanted& other) {
    if (was_here(one) != was_here(other)) return was_here(one);
    return comes_before(*one.pod, !one.identity.is_api(), *other.pod, !other.identity.is_api());
  });
  return order;
}

void Agent::Impl::begin(PodIdentity identity, std::shared_ptr<const core::Pod> pod) {
  const std::string uid = identity.uid;
  const bool is_new = !earlier.contains(uid);
  const auto grace = identity.is_api() ? deletion_grace(*pod) : std::nullopt;
  const bool is_asked_to_run = identity.is_api() && is_new && !grace && !has_ended(pod->status());
  std::optional<Waiting> refused;
  if (is_asked_to_run) {
    auto able = api::to_status(validate_supported(*pod, PodOrigin::kApiServer));
    if (!able) refused = Waiting{"UnsupportedByNode", able.error().message()};
  }
  if (!refused && shutdown->is_shutting_down() && is_new && (is_asked_to_run || !identity.is_api()) &&
      !was_here({identity, pod})) {
    refused = Waiting{kNodeShutdownReason, kNodeShutdownMessage};
  }
  if (!refused && is_asked_to_run && !was_here({identity, pod})) {
    if (auto short_of = refusal(*pod, evictions->pressures())) refused = Waiting{"Evicted", std::move(*short_of)};
  }
  if (!refused && is_new && (is_asked_to_run || !identity.is_api()) && !was_here({identity, pod})) {
    auto answer = admission.ask(*pod, !identity.is_api(), pods_here());
    if (!answer.is_known) return;
    refused = std::move(answer.refused);
  }
  earlier.erase(uid);
  auto worker = std::make_shared<PodWorker>(env, std::move(identity), pod);
  workers[uid] = worker;
  if (refused) worker->reject(std::move(*refused));
  if (grace) worker->terminate(grace);
  worker->start();
  qos.refresh();
}

// One that is known by its labels alone.
void Agent::Impl::end(PodIdentity identity) {
  const std::string uid = identity.uid;
  earlier.erase(uid);
  auto worker = std::make_shared<PodWorker>(env, std::move(identity), nullptr);
  workers[uid] = worker;
  worker->terminate();
  worker->start();
}

Agent::Impl::WantedPods Agent::Impl::wanted_pods() const {
  WantedPods wanted;
  for (auto& pod : source.pods())
    wanted.try_emplace(pod.uid, PodIdentity{pod.uid, pod.name, pod.namespace_, pod.file}, pod.pod);
  if (!api) return wanted;
  for (auto& pod : api->pods()) {
    const auto& metadata = pod->metadata();
    if (leaving.contains(metadata.uid())) continue;
    wanted.try_emplace(metadata.uid(), PodIdentity{metadata.uid(), metadata.name(), metadata.namespace_(), ""}, pod);
  }
  return wanted;
}

void Agent::Impl::follow_worker(PodWorker& worker, const WantedPods& wanted) {
  auto found = wanted.find(worker.identity().uid);
  if (found == wanted.end()) {
    if (!worker.is_terminating() && !may_be_api_pod(worker.identity())) worker.terminate();
    return;
  }
  if (!worker.identity().is_api()) return;
  const auto& pod = found->second.pod;
  if (auto grace = deletion_grace(*pod)) {
    worker.terminate(grace);
  } else if (!worker.is_terminating() && matters(*worker.asked(), *pod)) {
    worker.update(pod);
  }
}

// A pod whose manifest is there and can't be read now stays as it is: nobody knows that it is not wanted.
void Agent::Impl::end_earlier(const WantedPods& wanted) {
  std::vector<PodIdentity> ending;
  for (const auto& [uid, identity] : earlier) {
    bool replaced = std::ranges::any_of(
        wanted, [&](const auto& pair) { return pair.second.identity.full_name() == identity.full_name(); });
    if (wanted.contains(uid) || may_be_api_pod(identity)) continue;
    if (!identity.is_api() && source.is_unreadable(identity.file) && !replaced) continue;
    ending.push_back(identity);
  }
  for (auto& identity : ending) end(std::move(identity));
}

// A pod begins when no other of its name is left: the old one of a changed manifest ends first.
void Agent::Impl::reconcile() {
  if (!started || stopped) return;
  log_problems();
  if (writer && api->is_synced()) {
    writer->forget_unknown();
    std::erase_if(leaving, [&](const std::string& uid) {
      return std::ranges::none_of(api->pods(), [&](const auto& pod) { return pod->metadata().uid() == uid; });
    });
  }
  const auto wanted = wanted_pods();
  for (const auto& [uid, worker] : workers) follow_worker(*worker, wanted);
  end_earlier(wanted);
  for (const auto& pod : in_their_order(wanted)) {
    if (!is_taken(pod.identity.full_name())) begin(pod.identity, pod.pod);
  }
  if (mirrors) keep_mirrors();
  shutdown->hear();
}

void Agent::Impl::keep_mirrors() {
  std::vector<MirrorPods::PodPtr> pods;
  for (const auto& pod : source.pods()) pods.push_back(pod.pod);
  mirrors->keep(pods, [this](const std::string& name) {
    return is_taken(name) ||
           std::ranges::any_of(earlier, [&](const auto& pair) { return pair.second.full_name() == name; });
  });
  // A mirror that is new hears how its pod is.
  for (const auto& [uid, worker] : workers) {
    if (worker->identity().is_api()) continue;
    const auto mirror = api->mirror(worker->identity().namespace_, worker->identity().name);
    if (mirror && worker->status() && told_mirrors[uid] != mirror->metadata().uid()) tell_api(*worker);
  }
}

void Agent::Impl::log_problems() {
  std::set<std::pair<std::string, std::string>> now;
  for (const auto& problem : source.problems()) {
    now.emplace(problem.file, problem.sentence);
    if (logged_problems.contains({problem.file, problem.sentence})) continue;
    log::error("a manifest is not in force",
               {{"file", env->config.manifest_dir + "/" + problem.file}, {"error", problem.sentence}});
  }
  for (const auto& [file, sentence] : logged_problems) {
    bool is_still_bad = std::ranges::any_of(now, [&](const auto& problem) { return problem.first == file; });
    if (!is_still_bad) log::info("a manifest's problem is gone", {{"file", env->config.manifest_dir + "/" + file}});
  }
  logged_problems = std::move(now);
}

// The first time after one period: what a pod that just begins is about to use, nobody uses yet.
Task<> Agent::Impl::collect_images(std::weak_ptr<Impl> weak, Loop& loop, Duration period) {
  for (;;) {
    co_await loop.sleep_for(period);
    auto impl = weak.lock();
    if (!impl || impl->stopped) co_return;
    auto collected = co_await impl->image_gc.collect(std::chrono::steady_clock::now());
    if (!collected) log::warning("removing unused images, trying again later", {{"error", collected.error()}});
    co_await impl->forget_gone_images();
  }
}

Task<> Agent::Impl::forget_gone_images() {
  const auto began = std::chrono::system_clock::now();
  auto list = co_await env->images.list_images({});
  if (!list || stopped) co_return;
  std::set<std::string> ids, names;
  for (const auto& image : list->images()) {
    ids.insert(image.id());
    names.insert(image.repo_tags().begin(), image.repo_tags().end());
    names.insert(image.repo_digests().begin(), image.repo_digests().end());
  }
  co_await env->pull_records->keep_only(std::move(ids), std::move(names), began);
}

std::vector<WrittenLog> Agent::Impl::written_logs() const {
  std::vector<WrittenLog> found;
  for (const auto& [uid, worker] : workers) {
    if (!worker->status()) continue;
    const auto& identity = worker->identity();
    const std::string folder =
        absl::StrCat(env->config.pod_logs_dir, "/", pod_log_folder_name(identity.namespace_, identity.name, uid), "/");
    const auto add = [&](const auto& containers) {
      for (const core::ContainerStatus& container : containers) {
        if (!container.state().has_running()) continue;
        const auto attempt = static_cast<std::uint32_t>(container.restart_count());
        found.push_back(
            {std::string(bare_id(container.container_id())), folder + container_log_path(container.name(), attempt)});
      }
    };
    add(worker->status()->init_container_statuses());
    add(worker->status()->container_statuses());
    add(worker->status()->ephemeral_container_statuses());
  }
  return found;
}

// ---- the workers' words

void Agent::Impl::pod_changed(const std::string& uid) {
  auto found = workers.find(uid);
  if (found == workers.end()) return;
  PodInfo info{uid, found->second->pod(), found->second->status()};
  tell_api(*found->second);
  evictions->hear();
  shutdown->hear();
  if (!found->second->is_here()) qos.refresh();
  for (const auto& observer : observers) observer(info);
}

void Agent::Impl::tell_api(const PodWorker& worker) {
  const auto& identity = worker.identity();
  if (!writer || !worker.status()) return;
  if (identity.is_api()) {
    writer->set({identity.uid, identity.namespace_, identity.name}, worker.status());
    return;
  }
  const auto mirror = api->mirror(identity.namespace_, identity.name);
  if (!mirror || !worker.pod() || !is_mirror_of(*mirror, *worker.pod())) return;
  told_mirrors[identity.uid] = mirror->metadata().uid();
  writer->set({mirror->metadata().uid(), identity.namespace_, identity.name}, worker.status());
}

void Agent::Impl::pod_ended(const std::string& uid) {
  auto found = workers.find(uid);
  if (found == workers.end()) return;
  PodInfo info{uid, found->second->pod(), nullptr};
  const PodIdentity identity = found->second->identity();
  workers.erase(found);
  evictions->hear();
  shutdown->hear();
  qos.refresh();
  told_mirrors.erase(uid);
  if (identity.is_api() && api && api->find(identity.namespace_, identity.name, uid)) {
    leaving.insert(uid);
    writer->remove({uid, identity.namespace_, identity.name});
  }
  for (const auto& observer : observers) observer(info);
  reconcile();
}

void Agent::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  source.stop();
  if (logs) logs->stop();
  admission.stop();
  qos.stop();
  evictions->stop();
  shutdown->stop();
  if (api) api->stop();
  if (writer) writer->stop();
  if (mirrors) mirrors->stop();
  for (const auto& [uid, worker] : workers) worker->stop();
}

// ---- Agent

Agent::Agent(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, AgentConfig config, Cluster* cluster,
             PrepareVolumes prepare_volumes)
    : impl_(std::make_shared<Impl>(loop, runtime, images, std::move(config), cluster, std::move(prepare_volumes))) {
  // What is in it lives as long as all of it.
  const std::weak_ptr<EvictionPlace> place = std::shared_ptr<EvictionPlace>(impl_, &impl_->place);
  impl_->evictions = make_evictions(impl_->env, place, [impl = impl_.get()] {
    if (impl->pressures_changed) impl->pressures_changed();
  });
  const std::weak_ptr<ShutdownPlace> shutdown_place = std::shared_ptr<ShutdownPlace>(impl_, &impl_->shutdown_place);
  impl_->shutdown = make_shutdown(impl_->env, shutdown_place, [impl = impl_.get()] {
    if (impl->shutdown_changed) impl->shutdown_changed();
  });
}

// What pools work on belongs to tasks that the loop may drop from now on: it is waited for.
Agent::~Agent() {
  stop();
  impl_->logs.reset();
  finish(impl_->env->disk, kDiskThreads);
  impl_->env->volumes.close();
}

Task<Status> Agent::start() {
  auto impl = impl_;
  auto prepared = co_await impl->env->disk.run([env = impl->env] { return env->folders.prepare(); });
  if (!prepared) co_return prepared;
  if (auto loaded = co_await impl->env->pull_records->load(); !loaded) {
    co_return fail_with(std::move(loaded.error()), "the records of pulled images");
  }
  if (auto listed = co_await impl->source.start(); !listed) co_return listed;
  // Armed before the runtime is looked at. The runtime keeps its observers for good, so this one holds nothing.
  impl->env->runtime.observe([weak = std::weak_ptr<Impl>(impl)](const v1::ContainerEventResponse& event) {
    if (auto live = weak.lock(); live && !live->stopped) live->hear(event);
  });
  if (auto found = co_await impl->find_earlier_pods(); !found) co_return found;
  if (impl->stopped) co_return fail(Code::kCancelled, "stopped");
  // By post: a worker is not dropped within its own call.
  impl->env->changed = [weak = std::weak_ptr<Impl>(impl)](const std::string& uid) {
    if (auto live = weak.lock()) live->pod_changed(uid);
  };
  impl->env->ended = [weak = std::weak_ptr<Impl>(impl), &loop = impl->env->loop](const std::string& uid) {
    loop.post([weak, uid] {
      if (auto live = weak.lock(); live && !live->stopped) live->pod_ended(uid);
    });
  };
  // Mirror pods belong to the Node, and wait for it.
  if (Cluster* cluster = impl->env->cluster; cluster != nullptr) {
    cluster->node().on_change(
        [weak = std::weak_ptr<Impl>(impl), &loop = impl->env->loop](const api::Informer::Change& change) {
          if (change.before) return;
          loop.post([weak] {
            if (auto live = weak.lock()) live->reconcile();
          });
        });
  }
  if (auto limited = co_await impl->qos.start(); !limited) co_return limited;
  // Before the first pod: whether it is taken depends on it.
  co_await impl->evictions->measure();
  if (impl->stopped) co_return fail(Code::kCancelled, "stopped");
  impl->started = true;
  auto& loop = impl->env->loop;
  loop.spawn(Impl::collect_images(impl, loop, impl->env->config.image_gc_period));
  impl->logs->start();
  impl->evictions->start();
  impl->shutdown->start();
  impl->reconcile();
  co_return Status();
}

void Agent::stop() { impl_->stop(); }

void Agent::look_again() {
  for (const auto& [uid, worker] : impl_->workers) worker->hear_of_node();
}

void Agent::keep_pods_in(std::vector<api::IpNetwork> ranges) {
  impl_->env->pod_ranges = std::move(ranges);
  for (const auto& [uid, worker] : impl_->workers) worker->hear();
}

void Agent::use_cluster_dns(std::vector<std::string> servers) {
  if (impl_->env->config.cluster_dns.empty()) impl_->env->node.cluster_dns = std::move(servers);
}

NodePressures Agent::pressures() const { return impl_->evictions->pressures(); }

void Agent::on_pressures(std::function<void()> changed) { impl_->pressures_changed = std::move(changed); }

bool Agent::is_shutting_down() const { return impl_->shutdown->is_shutting_down(); }

void Agent::on_shutdown(std::function<void()> changed) { impl_->shutdown_changed = std::move(changed); }

std::vector<PodInfo> Agent::pods() const {
  std::map<std::pair<std::string, std::string>, PodInfo> sorted;  // by name, then uid
  for (const auto& [uid, worker] : impl_->workers) {
    sorted[{worker->identity().full_name(), uid}] = {uid, worker->pod(), worker->status()};
  }
  for (const auto& [uid, wanted] : impl_->wanted_pods()) {
    // Waiting for the old one of its name to end.
    if (!impl_->workers.contains(uid)) {
      sorted[{wanted.identity.full_name(), uid}] = {uid, wanted.pod,
                                                    std::make_shared<core::PodStatus>(wanted.pod->status())};
    }
  }
  std::vector<PodInfo> pods;
  for (auto& [name, info] : sorted) pods.push_back(std::move(info));
  return pods;
}

std::vector<CountedProbe> Agent::probe_counts() const {
  std::vector<CountedProbe> all;
  for (const auto& [uid, worker] : impl_->workers) {
    const PodIdentity& pod = worker->identity();
    for (const auto& [probe, count] : worker->probe_counts()) {
      all.push_back({uid, pod.namespace_, pod.name, probe.first, probe.second, *count});
    }
  }
  return all;
}

std::vector<ManifestProblem> Agent::problems() const { return impl_->source.problems(); }

void Agent::observe(std::function<void(const PodInfo&)> observer) { impl_->observers.push_back(std::move(observer)); }

}  // namespace gantry::agent
