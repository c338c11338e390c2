// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <latch>
#include <map>
#include <set>
#include <utility>

#include "agent/environment.h"
#include "agent/manifest_source.h"
#include "agent/names.h"
#include "agent/pod_worker.h"
#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

// A thread that reads manifests or removes a large tree does not hold up the others.
constexpr std::size_t kDiskThreads = 2;

std::uint64_t memory_of_machine() {
  auto pages = ::sysconf(_SC_PHYS_PAGES);
  auto size = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 1;
}

NodeFacts facts_of(const AgentConfig& config) {
  return {.node_name = config.node_name,
          .host_ip = config.host_ip,
          .pod_logs_dir = config.pod_logs_dir,
          .root_dir = config.root_dir,
          .cgroup_root = config.cgroup_root,
          .cgroup_driver = config.cgroup_driver,
          .memory_capacity = config.memory_capacity == 0 ? memory_of_machine() : config.memory_capacity,
          .masked_paths = config.masked_paths,
          .read_only_paths = config.read_only_paths};
}

std::string value_of(const google::protobuf::Map<std::string, std::string>& map, const char* key) {
  auto found = map.find(key);
  return found == map.end() ? std::string() : found->second;
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
  Impl(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, AgentConfig config);

  Task<Status> find_earlier_pods();
  void hear(const v1::ContainerEventResponse& event);
  void reconcile();
  void end_unwanted(const std::map<std::string, StaticPod>& wanted);
  void end_earlier(const std::map<std::string, StaticPod>& wanted);
  void begin(PodIdentity identity, std::shared_ptr<const core::Pod> pod, bool terminate);
  bool is_taken(const std::string& full_name) const;
  void log_problems();
  static Task<> collect_images(std::weak_ptr<Impl> weak, Loop& loop, Duration period);
  void pod_changed(const std::string& uid);
  void pod_ended(const std::string& uid);
  void stop();

  std::shared_ptr<Environment> env;
  ManifestSource source;
  ImageGc image_gc;
  std::map<std::string, std::shared_ptr<PodWorker>> workers;  // by uid
  std::map<std::string, PodIdentity> earlier;                 // found at the start, by uid, until a worker has them
  std::vector<std::function<void(const PodInfo&)>> observers;
  std::set<std::pair<std::string, std::string>> logged_problems;
  bool started = false;
  bool stopped = false;
};

Agent::Impl::Impl(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, AgentConfig config)
    : env(std::shared_ptr<Environment>(
          new Environment{.loop = loop,
                          .runtime = runtime,
                          .images = images,
                          .config = config,
                          .node = facts_of(config),
                          .folders = PodFolders(config.root_dir, config.pod_logs_dir, config.container_logs_dir),
                          .disk = {loop, kDiskThreads}})),
      source(loop, env->disk, {config.manifest_dir, config.node_name, config.name_suffix}, [this] { reconcile(); }),
      image_gc(runtime, images, config.image_gc, space_of) {}

// ---- what is there

// Only those that an agent made from a manifest: others' pods are theirs.
Task<Status> Agent::Impl::find_earlier_pods() {
  auto list = co_await env->runtime.list_pod_sandbox({});
  if (!list) co_return fail_with(std::move(list.error()), "list the runtime's sandboxes");
  for (const auto& sandbox : list->items()) {
    std::string file = value_of(sandbox.annotations(), kManifestFileAnnotation);
    std::string uid = value_of(sandbox.labels(), kPodUidLabel);
    if (file.empty() || uid.empty() || uid != sandbox.metadata().uid()) continue;
    earlier[uid] = {uid, sandbox.metadata().name(), sandbox.metadata().namespace_(), file};
    env->sandbox_owners[sandbox.id()] = uid;
  }
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

void Agent::Impl::begin(PodIdentity identity, std::shared_ptr<const core::Pod> pod, bool terminate) {
  earlier.erase(identity.uid);
  std::string uid = identity.uid;
  auto worker = std::make_shared<PodWorker>(env, std::move(identity), std::move(pod));
  workers[uid] = worker;
  if (terminate) worker->terminate();
  worker->start();
}

void Agent::Impl::end_unwanted(const std::map<std::string, StaticPod>& wanted) {
  for (const auto& [uid, worker] : workers) {
    if (!wanted.contains(uid) && !worker->is_terminating()) worker->terminate();
  }
}

// A pod whose manifest is there and can't be read now stays as it is: nobody knows that it is not wanted.
void Agent::Impl::end_earlier(const std::map<std::string, StaticPod>& wanted) {
  std::vector<PodIdentity> ending;
  for (const auto& [uid, identity] : earlier) {
    bool replaced =
        std::ranges::any_of(wanted, [&](const auto& pair) { return pair.second.full_name() == identity.full_name(); });
    if (wanted.contains(uid) || (source.is_unreadable(identity.file) && !replaced)) continue;
    ending.push_back(identity);
  }
  for (auto& identity : ending) begin(std::move(identity), nullptr, true);
}

// A pod begins when no other of its name is left: the old one of a changed manifest ends first.
void Agent::Impl::reconcile() {
  if (!started || stopped) return;
  log_problems();
  std::map<std::string, StaticPod> wanted;
  for (auto& pod : source.pods()) {
    std::string uid = pod.uid;
    wanted.emplace(std::move(uid), std::move(pod));
  }
  end_unwanted(wanted);
  end_earlier(wanted);
  for (const auto& [uid, pod] : wanted) {
    if (is_taken(pod.full_name())) continue;
    begin({uid, pod.name, pod.namespace_, pod.file}, pod.pod, false);
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
  }
}

// ---- the workers' words

void Agent::Impl::pod_changed(const std::string& uid) {
  auto found = workers.find(uid);
  if (found == workers.end()) return;
  PodInfo info{uid, found->second->pod(), found->second->status()};
  for (const auto& observer : observers) observer(info);
}

void Agent::Impl::pod_ended(const std::string& uid) {
  auto found = workers.find(uid);
  if (found == workers.end()) return;
  PodInfo info{uid, found->second->pod(), nullptr};
  workers.erase(found);
  for (const auto& observer : observers) observer(info);
  reconcile();
}

void Agent::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  source.stop();
  for (const auto& [uid, worker] : workers) worker->stop();
}

// ---- Agent

Agent::Agent(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, AgentConfig config)
    : impl_(std::make_shared<Impl>(loop, runtime, images, std::move(config))) {}

// What the pool works on belongs to tasks that the loop may drop from now on: it is waited for. Each thread takes one
// of the last pieces of work, and has by then ended all that came before.
Agent::~Agent() {
  stop();
  auto idle = std::make_shared<std::latch>(kDiskThreads + 1);
  for (std::size_t i = 0; i < kDiskThreads; ++i) impl_->env->disk.submit([idle] { idle->arrive_and_wait(); });
  idle->arrive_and_wait();
}

Task<Status> Agent::start() {
  auto impl = impl_;
  auto prepared = co_await impl->env->disk.run([env = impl->env] { return env->folders.prepare(); });
  if (!prepared) co_return prepared;
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
  impl->started = true;
  auto& loop = impl->env->loop;
  loop.spawn(Impl::collect_images(impl, loop, impl->env->config.image_gc_period));
  impl->reconcile();
  co_return Status();
}

void Agent::stop() { impl_->stop(); }

std::vector<PodInfo> Agent::pods() const {
  std::map<std::pair<std::string, std::string>, PodInfo> sorted;  // by name, then uid
  for (const auto& [uid, worker] : impl_->workers) {
    sorted[{worker->identity().full_name(), uid}] = {uid, worker->pod(), worker->status()};
  }
  for (const auto& pod : impl_->source.pods()) {
    // Waiting for the old one of its name to end.
    if (!impl_->workers.contains(pod.uid)) {
      sorted[{pod.full_name(), pod.uid}] = {pod.uid, pod.pod, std::make_shared<core::PodStatus>(pod.pod->status())};
    }
  }
  std::vector<PodInfo> pods;
  for (auto& [name, info] : sorted) pods.push_back(std::move(info));
  return pods;
}

std::vector<ManifestProblem> Agent::problems() const { return impl_->source.problems(); }

void Agent::observe(std::function<void(const PodInfo&)> observer) { impl_->observers.push_back(std::move(observer)); }

}  // namespace gantry::agent
