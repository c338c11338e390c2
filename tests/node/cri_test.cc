// SPDX-License-Identifier: Apache-2.0
// deps: gantry_cri gantry_cri_proto
// The runtime in process, on the real kernel: what joins, in which order things are told, and what recovery makes of
// what a crash or a reboot left. What its clients see over gRPC is in tests/conformance.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/database.h"
#include "cgroups/hierarchy.h"
#include "cri/boot_records.h"
#include "cri/pod_cgroups.h"
#include "cri/runtime.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/state_store.h"
#include "cri/streaming.h"
#include "images/unpack_worker.h"
#include "netns/database_ledger.h"
#include "nri/plugins.h"
#include "sys/bpf.h"
#include "sys/file.h"
#include "sys/pidfd.h"
#include "sys/process.h"
#include "tests/support/tree.h"
#include "tests/support/world.h"

namespace gantry::cri {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// This program serves as its own unpack worker.
__attribute__((constructor)) void serve_as_worker(int argc, char** argv, char**) {
  if (argc > 1 && std::string_view(argv[1]) == images::kUnpackWorkerCommand) {
    std::exit(images::unpack_worker_main(argc, argv));
  }
}

// Long enough for any machine; a test that waits so long has failed.
constexpr std::chrono::seconds kPatience{60};

template <typename T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  return std::move(*result);
}
void must(Status status) { EXPECT_TRUE(status) << (status ? "" : status.error().message()); }

OwnFd program(const char* name) {
  OwnFd file = must(sys::openat(sys::kCwd, (std::string(GANTRY_BIN "/") + name).c_str(), O_RDONLY));
  return must(sys::sealed_memfd(name, file));
}

// A tree that stands for a host with all controllers.
TEST(PodCgroups, ThePodsLimitsAreSetOnWhatIsOurs) {
  test::Tree tree{{"cgroup.controllers", "cpu memory\n"}};
  for (const char* pod : {"ours", "others", "nobodys"}) {
    for (const char* file : {"cgroup.controllers", "cpu.weight", "cpu.max", "memory.max"}) {
      tree.put(std::string(pod) + "/" + file, file == std::string("cgroup.controllers") ? "cpu memory\n" : "");
    }
  }
  auto hierarchy = must(cgroups::Hierarchy::at(tree.open(), "/x"));
  cgroups::CgroupfsDriver driver(hierarchy, "us");
  must(must(driver.open("/ours")).mark("us"));
  must(must(driver.open("/others")).mark("them"));
  cgroups::Resources resources;
  resources.cpu = {.shares = 1024, .quota = 50'000, .period = 100'000};
  resources.memory.limit = 4096;
  for (const char* path : {"/ours", "/others", "/nobodys"}) must(limit_pod_cgroup(driver, "us", path, "", resources));
  auto files = tree.contents();
  EXPECT_EQ(files["ours/cpu.weight"], "100");
  EXPECT_EQ(files["ours/cpu.max"], "50000 100000");
  EXPECT_EQ(files["ours/memory.max"], "4096");
  EXPECT_EQ(files["others/cpu.weight"] + files["others/memory.max"], "");
  EXPECT_EQ(files["nobodys/cpu.weight"] + files["nobodys/memory.max"], "");
}

TEST(PodCgroups, OfAPodInAScopeTheSliceSaysWhoseItIs) {
  test::Tree tree{{"cgroup.controllers", "memory\n"}};
  for (const char* slice : {"ours", "kubelets"}) {
    for (const char* file : {"cgroup.controllers", "memory.max"}) {
      tree.put(std::string(slice) + ".slice/gantry-1.scope/pod/" + file, file[0] == 'c' ? "memory\n" : "");
    }
  }
  auto hierarchy = must(cgroups::Hierarchy::at(tree.open(), "/x"));
  cgroups::CgroupfsDriver driver(hierarchy, "us");
  must(must(driver.open("/ours.slice")).mark("us"));
  cgroups::Resources resources;
  resources.memory.limit = 4096;
  for (std::string slice : {"/ours.slice", "/kubelets.slice"}) {
    std::string pod = slice + "/gantry-1.scope/pod";
    must(must(driver.open(pod)).mark("us"));
    must(limit_pod_cgroup(driver, "us", pod, pod_scope_path(pod, "1"), resources));
  }
  auto files = tree.contents();
  EXPECT_EQ(files["ours.slice/gantry-1.scope/pod/memory.max"], "4096");
  EXPECT_EQ(files["kubelets.slice/gantry-1.scope/pod/memory.max"], "");
}

NodeFolders open_folders() {
  NodeFolders folders = must(NodeFolders::open(Layout("/run/gantry", "/mnt/gantry")));
  must(folders.lock());
  return folders;
}

images::UnpackOptions unpack_options() {
  images::UnpackOptions options;
#if __has_feature(address_sanitizer)
  options.limits.memory_bytes = 0;  // the sanitizer's shadow alone takes terabytes
#endif
  return options;
}

// All that main() wires, in the test's world.
struct World {
  World() {
    must(network->prepare_node());
    runtime->observe([this](const v1::ContainerEventResponse& event) { events.push_back(event); });
  }

  NodeFolders folders = open_folders();
  NodeFolders::Instance instance = must(folders.instance());
  OwnFd shim_program = program("gantry-shim"), init_program = program("gantry-init");
  cgroups::Hierarchy hierarchy = must(cgroups::Hierarchy::find());
  cgroups::CgroupfsDriver driver{hierarchy, instance.id};
  Loop loop;
  Pool disk{loop, 2}, network_thread{loop, 1};
  cgroups::PodScopes scopes{loop, hierarchy, instance.id, init_program};
  std::vector<db::Schema> tables = schemas();
  std::unique_ptr<db::Database> database = must(db::Database::open(loop, folders.layout().database(), tables));
  std::unique_ptr<images::ImageStore> images =
      must(images::ImageStore::open(folders.layout().lib(), {.unpack = unpack_options()}));
  netns::DatabaseLedger ledger = must(netns::DatabaseLedger::open(folders.layout().database()));
  std::unique_ptr<netns::PodNetwork> network = must(
      netns::PodNetwork::open({.pod_cidr = must(netns::Cidr::parse("10.88.0.0/24")), .instance = instance.id}, ledger));
  std::unique_ptr<shim::Template> shims = must(shim::Template::launch(loop, shim_program));
  std::unique_ptr<StreamingServer> streaming =
      must(StreamingServer::start(loop, must(http::listen_tcp("127.0.0.1", 0))));
  runtime::HostFacts host = must(runtime::read_host_facts());
  nri::Plugins plugins{loop, {}};
  Node node{.loop = loop,
            .folders = folders,
            .instance = instance,
            .database = *database,
            .images = *images,
            .cgroups = driver,
            .scopes = scopes,
            .cgroup_root = test::cgroup_path(),
            .network = *network,
            .network_problem = {},
            .shims = *shims,
            .init_program = init_program,
            .host = host,
            .disk = disk,
            .network_thread = network_thread,
            .streaming = *streaming,
            .plugins = plugins,
            .pool_size = 1,
            .version = "test"};
  std::unique_ptr<NodeRuntime> runtime = make_runtime(node);
  StateStore store{*database};
  std::vector<v1::ContainerEventResponse> events;
};

v1::RunPodSandboxRequest pod(const std::string& name) {
  v1::RunPodSandboxRequest request;
  auto* metadata = request.mutable_config()->mutable_metadata();
  metadata->set_name(name);
  metadata->set_namespace_("default");
  metadata->set_uid("uid-" + name);
  request.mutable_config()->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      v1::CONTAINER);
  return request;
}

v1::CreateContainerRequest container(const std::string& sandbox, const std::string& name, const std::string& script) {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(sandbox);
  auto* config = request.mutable_config();
  config->mutable_metadata()->set_name(name);
  config->mutable_image()->set_image("busybox:test");
  for (const std::string& word : {std::string("/bin/sh"), std::string("-c"), script}) config->add_command(word);
  config->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::CONTAINER);
  return request;
}

void build_image(images::ImageStore& store) {
  fs::path root = "/mnt/image";
  fs::create_directories(root / "bin");
  fs::copy_file("/bin/busybox", root / "bin/sh");
  OwnFd folder = must(sys::openat(sys::kCwd, root.c_str(), O_RDONLY | O_DIRECTORY));
  must(store.build(folder, must(images::parse_build_config(R"({"Env": ["PATH=/bin"]})")), "busybox:test"));
  fs::remove_all(root);
}

class CriTest : public ::testing::Test {
 protected:
  CriTest() { fs::remove_all("/mnt/gantry"), fs::remove_all("/run/gantry"); }

  // Tells `story` on a loop of its own; what ran is ended afterwards.
  void run(std::function<Task<>(World&)> story) {
    World world;
    if (!world.images->find("busybox:test")->has_value()) build_image(*world.images);
    world.loop.spawn([](World& w, std::function<Task<>(World&)>& tell) -> Task<> {
      co_await tell(w);
      co_await w.runtime->drain();
      w.loop.stop();
    }(world, story));
    world.loop.run();
  }
};

Task<std::string> run_pod(World& w, std::string name) {
  auto response = co_await w.runtime->run_pod_sandbox(pod(name));
  co_return must(std::move(response)).pod_sandbox_id();
}

Task<std::string> run_container(World& w, std::string sandbox, std::string name, std::string script) {
  auto created = co_await w.runtime->create_container(container(sandbox, name, script));
  v1::StartContainerRequest start;
  start.set_container_id(must(std::move(created)).container_id());
  must(co_await w.runtime->start_container(start));
  co_return start.container_id();
}

v1::StatusRequest verbose() {
  v1::StatusRequest request;
  request.set_verbose(true);
  return request;
}

Task<> remove_pod(World& w, std::string id) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  must(co_await w.runtime->remove_pod_sandbox(request));
}

Task<v1::ContainerStatus> status_of(World& w, std::string id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  co_return must(co_await w.runtime->container_status(request)).status();
}

// ---- calls

TEST_F(CriTest, CallsForTheSameAreOneCall) {
  run([](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    std::vector<std::string> ids;
    Event all(w.loop);
    for (int i = 0; i < 3; ++i) {
      w.loop.spawn([](World& world, std::vector<std::string>& seen, Event& done) -> Task<> {
        seen.push_back(co_await run_pod(world, "same"));
        if (seen.size() == 3) done.set();
      }(w, ids, all));
    }
    co_await all.wait();
    EXPECT_THAT(ids, ElementsAre(ids[0], ids[0], ids[0]));
    EXPECT_EQ(must(co_await w.runtime->list_pod_sandbox({})).items_size(), 1);

    // Stops side by side, of a container that is deaf to SIGTERM: the one without a grace ends them all.
    auto deaf = co_await run_container(w, ids[0], "deaf", "trap '' TERM; while :; do sleep 1; done");
    int stopped = 0;
    all.reset();
    for (std::int64_t grace : {1000, 1000, 0}) {
      w.loop.spawn([](World& world, std::string id, std::int64_t seconds, int& count, Event& done) -> Task<> {
        v1::StopContainerRequest request;
        request.set_container_id(id);
        request.set_timeout(seconds);
        must(co_await world.runtime->stop_container(request));
        if (++count == 3) done.set();
      }(w, deaf, grace, stopped, all));
    }
    EXPECT_TRUE(co_await all.wait_for(kPatience));
    EXPECT_EQ((co_await status_of(w, deaf)).exit_code(), 137);
    co_await remove_pod(w, ids[0]);
  });
}

TEST_F(CriTest, EventsComeInOrderAndAfterTheFact) {
  run([](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    Event ended(w.loop);
    w.runtime->observe([&](const v1::ContainerEventResponse& event) {
      bool of_container = event.container_id() != event.pod_sandbox_status().id();
      if (of_container && event.container_event_type() == v1::CONTAINER_STOPPED_EVENT) ended.set();
    });
    auto sandbox = co_await run_pod(w, "events");
    auto id = co_await run_container(w, sandbox, "main", "exit 3");
    co_await ended.wait();
    auto status = co_await status_of(w, id);
    EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
    EXPECT_EQ(status.exit_code(), 3);
    EXPECT_EQ(status.reason(), "Error");
    EXPECT_LT(status.created_at(), status.started_at());
    EXPECT_LE(status.started_at(), status.finished_at());
    auto rows = must(co_await w.store.load());
    EXPECT_EQ(rows.containers.at(0).state, ContainerState::kExited) << "it is recorded before it is told";
    co_await remove_pod(w, sandbox);
    std::vector<std::pair<bool, int>> seen;
    for (const auto& event : w.events) seen.emplace_back(event.container_id() == sandbox, event.container_event_type());
    EXPECT_THAT(seen, ElementsAre(std::pair(true, 0), std::pair(true, 1), std::pair(false, 0), std::pair(false, 1),
                                  std::pair(false, 2), std::pair(true, 2), std::pair(false, 3), std::pair(true, 3)));
  });
}

TEST_F(CriTest, ExecSyncIsBounded) {
  run([](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    auto sandbox = co_await run_pod(w, "exec");
    v1::ExecSyncRequest request;
    request.set_container_id(co_await run_container(w, sandbox, "main", "while :; do sleep 1; done"));
    for (const char* word : {"/bin/sh", "-c", "dd if=/dev/zero bs=1M count=40; echo end >&2; exit 5"})
      request.add_cmd(word);
    auto response = must(co_await w.runtime->exec_sync(request, nullptr));
    EXPECT_EQ(response.exit_code(), 5) << "the process was not held up";
    EXPECT_GT(response.stdout().size() + response.stderr().size(), 15U << 20);
    EXPECT_LT(response.ByteSizeLong(), 16U << 20);
    // A child that keeps the pipes is not waited for.
    request.set_cmd(2, "echo out; sleep 1000 & exit 0");
    EXPECT_EQ(must(co_await w.runtime->exec_sync(request, nullptr)).stdout(), "out\n");
    request.set_cmd(2, "exec sleep 1000");
    request.set_timeout(1);
    auto late = co_await w.runtime->exec_sync(request, nullptr);
    EXPECT_TRUE(!late && late.error().is_deadline());
    // Nor does it go on for nobody.
    request.set_timeout(0);
    request.set_cmd(2, "echo $$; exec sleep 1000");
    auto over = std::make_shared<Event>(w.loop);
    w.loop.spawn([](Loop& loop, std::shared_ptr<Event> event) -> Task<> {
      co_await loop.sleep_for(std::chrono::milliseconds(100));
      event->set();
    }(w.loop, over));
    auto left = co_await w.runtime->exec_sync(request, over);
    EXPECT_TRUE(!left && left.error().is_cancelled() && left.error().message().ends_with("and was killed"));
    co_await remove_pod(w, sandbox);
  });
}

// What a shell in the container prints.
Task<std::string> output_of(World& w, std::string container, std::string script) {
  v1::ExecSyncRequest request;
  request.set_container_id(container);
  for (const std::string& word : {std::string("/bin/sh"), std::string("-c"), script}) request.add_cmd(word);
  auto response = must(co_await w.runtime->exec_sync(request, nullptr));
  EXPECT_EQ(response.exit_code(), 0) << response.stderr();
  co_return response.stdout();
}

TEST_F(CriTest, ContainersWithTheSameDevicesShareAFilter) {
  run([](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    auto sandbox = co_await run_pod(w, "devices");
    for (const char* name : {"one", "two"}) co_await run_container(w, sandbox, name, "while :; do sleep 1; done");
    std::vector<std::uint32_t> programs;
    for (const auto& row : must(co_await w.store.load()).containers) {
      auto cgroup = must(w.driver.open(row.cgroup));
      for (auto id : must(sys::bpf_prog_query(cgroup.dir(), BPF_CGROUP_DEVICE))) programs.push_back(id);
    }
    EXPECT_THAT(programs, ElementsAre(programs.at(0), programs.at(0)));
    co_await remove_pod(w, sandbox);
  });
}

TEST_F(CriTest, WithTheHostsIpcComesTheHostsSharedMemory) {
  // The world's own in place of the machine's.
  ASSERT_EQ(::mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, nullptr), 0);
  std::ofstream("/dev/shm/of-the-host") << "shared\n" << std::flush;
  run([](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    for (auto mode : {v1::NODE, v1::POD}) {
      auto request = pod("ipc" + std::to_string(mode));
      auto set = [&](auto* security) { security->mutable_namespace_options()->set_ipc(mode); };
      set(request.mutable_config()->mutable_linux()->mutable_security_context());
      auto sandbox = must(co_await w.runtime->run_pod_sandbox(request)).pod_sandbox_id();
      auto created = container(sandbox, "main", "while :; do sleep 1; done");
      set(created.mutable_config()->mutable_linux()->mutable_security_context());
      v1::StartContainerRequest start;
      start.set_container_id(must(co_await w.runtime->create_container(created)).container_id());
      must(co_await w.runtime->start_container(start));
      EXPECT_EQ(co_await output_of(w, start.container_id(), "cd /dev/shm; cat of-the-host 2>/dev/null; echo x > seen"),
                mode == v1::NODE ? "shared\n" : "");
      EXPECT_EQ(fs::exists("/dev/shm/seen"), mode == v1::NODE);
      fs::remove("/dev/shm/seen");
      co_await remove_pod(w, sandbox);
    }
  });
  ASSERT_EQ(::umount("/dev/shm"), 0);
}

TEST_F(CriTest, APrivilegedContainerSeesTheHostsCgroupsAndChangesNothingOfTheirMount) {
  run([](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    auto request = pod("privileged");
    request.mutable_config()->mutable_linux()->mutable_security_context()->set_privileged(true);
    auto sandbox = must(co_await w.runtime->run_pod_sandbox(request)).pod_sandbox_id();
    auto options_in = [](const std::string& mountinfo) {
      std::size_t at = mountinfo.find(" - cgroup2 ");
      return at == std::string::npos ? "" : mountinfo.substr(at, mountinfo.find('\n', at) - at);
    };
    auto own_options = [&] {
      auto text = must(sys::openat(sys::kCwd, "/proc/self/mountinfo", O_RDONLY));
      return options_in(must(sys::read_all(text, 1 << 20)));
    };
    std::string before = own_options();
    auto created = container(sandbox, "main", "while :; do sleep 1; done");
    created.mutable_config()->mutable_linux()->mutable_security_context()->set_privileged(true);
    v1::StartContainerRequest start;
    start.set_container_id(must(co_await w.runtime->create_container(created)).container_id());
    must(co_await w.runtime->start_container(start));
    auto seen = co_await output_of(w, start.container_id(), "cat /proc/self/mountinfo");
    EXPECT_THAT(seen, HasSubstr(" / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 "));
    EXPECT_EQ(options_in(seen), before);
    EXPECT_EQ(own_options(), before);
    EXPECT_EQ(co_await output_of(w, start.container_id(), "cd /sys/fs/cgroup" + test::cgroup_path() + " && echo there"),
              "there\n");
    co_await remove_pod(w, sandbox);
  });
}

// ---- recovery

// Everything that a gantryd might have made of a pod and a container before it ended, with rows that say so.
Task<> leave_half_made(World& w, SandboxState state) {
  Sandbox sandbox(w.loop);
  sandbox.status.set_id("half-made");
  sandbox.state = state;
  sandbox.cgroup = test::cgroup_path() + "/kubepods/podhalf";
  must(co_await w.store.put(sandbox));
  Container container(w.loop);
  container.status.set_id("half-made-container");
  container.sandbox_id = "half-made";
  container.state = ContainerState::kCreating;
  container.cgroup = sandbox.cgroup + "/half-made-container";
  must(co_await w.store.put(container));
  must(w.folders.make_run_sandbox("half-made"));
  must(w.folders.make_lib_sandbox("half-made"));
  must(w.driver.make(container.cgroup));
  must(w.driver.make(shim_cgroup_path(test::cgroup_path(), "half-made")));
  must(co_await w.disk.run([&] { return w.images->prepare_root("busybox:test", "half-made-container"); }));
}

// Of what happens beside the calls and tells nobody.
Task<> until(World& w, std::move_only_function<Task<bool>()> holds) {
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (co_await holds()) co_return;
    co_await w.loop.sleep_for(std::chrono::milliseconds(10));
  }
  ADD_FAILURE() << "not within a minute";
}

TEST_F(CriTest, WhatWasHalfMadeIsTakenBack) {
  for (SandboxState state : {SandboxState::kStarting, SandboxState::kRemoving}) {
    run([state](World& w) -> Task<> {
      co_await leave_half_made(w, state);
      must(co_await w.runtime->recover());
      // Out of sight at once, and the name is free; what takes time nobody waits for.
      EXPECT_EQ(must(co_await w.runtime->list_pod_sandbox({})).items_size(), 0);
      EXPECT_EQ(must(co_await w.runtime->list_containers({})).containers_size(), 0);
      co_await remove_pod(w, co_await run_pod(w, "half"));
      co_await until(w, [&w] -> Task<bool> {
        auto rows = must(co_await w.store.load());
        co_return rows.sandboxes.empty() && rows.containers.empty();
      });
      EXPECT_FALSE(w.folders.open_run_sandbox("half-made"));
      EXPECT_FALSE(w.folders.open_lib_sandbox("half-made"));
      EXPECT_FALSE(w.driver.open(test::cgroup_path() + "/kubepods"));
      EXPECT_FALSE(w.images->find_root("half-made-container")->has_value());
      auto problems = must(co_await w.runtime->status(verbose())).info().at("state");
      EXPECT_THAT(problems, ::testing::Not(HasSubstr("half-made")));
    });
  }
}

TEST_F(CriTest, AKeptCgroupStaysWhenItsLastPodHasGone) {
  run([](World& w) -> Task<> {
    const std::string kubepods = test::cgroup_path() + "/kubepods";
    must(must(w.driver.make(kubepods)).cgroup.keep());
    co_await remove_pod(w, co_await run_pod(w, "last"));
    EXPECT_TRUE(w.driver.open(kubepods));
    must(w.driver.remove_empty(kubepods));
  });
}

// The row of a container as it was before its start.
Task<> put_back_to_created(World& w, std::string sandbox_id, std::string id) {
  for (auto& row : must(co_await w.store.load()).containers) {
    if (row.status.id() != id) continue;
    Container container(w.loop);
    container.status = row.status;
    container.sandbox_id = sandbox_id;
    container.cgroup = row.cgroup;
    container.set_state(ContainerState::kCreated);
    must(co_await w.store.put(container));
  }
}

TEST_F(CriTest, AContainerWhoseStartWasNotWrittenDownEndsWithItsShim) {
  std::string sandbox, lives, ended, never;
  run([&](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    sandbox = co_await run_pod(w, "unwritten");
    lives = co_await run_container(w, sandbox, "lives", "while :; do sleep 1; done");
    ended = co_await run_container(w, sandbox, "ended", "exit 4");
    never = must(co_await w.runtime->create_container(container(sandbox, "never", "exit 0"))).container_id();
    co_await until(w,
                   [&]() -> Task<bool> { co_return (co_await status_of(w, ended)).state() == v1::CONTAINER_EXITED; });
    co_await put_back_to_created(w, sandbox, lives);
    co_await put_back_to_created(w, sandbox, ended);
  });
  run([&](World& w) -> Task<> {
    auto shim = must(w.driver.open(shim_cgroup_path(test::cgroup_path(), sandbox)));
    must(shim.kill());
    must(co_await shim.wait_empty(w.loop, std::chrono::seconds(10)));
    must(co_await w.runtime->recover());
    // It waits no longer than a moment for what becomes of a pod.
    co_await until(w, [&]() -> Task<bool> {
      if ((co_await status_of(w, lives)).state() != v1::CONTAINER_EXITED) co_return false;
      co_return (co_await status_of(w, ended)).state() == v1::CONTAINER_EXITED;
    });
    auto status = co_await status_of(w, lives);
    EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
    EXPECT_EQ(status.reason(), "Unknown");
    EXPECT_EQ((co_await status_of(w, ended)).exit_code(), 4);
    EXPECT_EQ((co_await status_of(w, never)).state(), v1::CONTAINER_CREATED);
    EXPECT_FALSE(w.driver.open(test::cgroup_path() + "/kubepods/poduid-unwritten/" + lives)) << "it was killed";
    co_await remove_pod(w, sandbox);
  });
}

// "pid" of a verbose status.
pid_t pid_in(const std::string& info) {
  const std::string key = "\"pid\":";
  auto at = info.find(key);
  return at == info.npos ? 0 : std::atoi(info.c_str() + at + key.size());
}

// Ends the connections that a shim has to this process; how many there were.
int cut(pid_t shim) {
  int count = 0;
  PidFd process = must(sys::pidfd_open(shim));
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(shim) + "/fd")) {
    auto copy = sys::pidfd_getfd(process, std::stoi(entry.path().filename()));
    int type = 0, listens = 0;
    ucred peer{};
    socklen_t size = sizeof(type), peer_size = sizeof(peer);
    if (!copy || ::getsockopt(copy->get(), SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) continue;
    if (::getsockopt(copy->get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || listens != 0) continue;
    if (::getsockopt(copy->get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0 || peer.pid != ::getpid()) continue;
    EXPECT_EQ(::shutdown(copy->get(), SHUT_RDWR), 0);
    ++count;
  }
  return count;
}

TEST_F(CriTest, AContainerHasItsTimeToEndAlsoWhenTheConnectionToItsShimEnds) {
  run([](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    auto sandbox = co_await run_pod(w, "time");
    auto id = co_await run_container(w, sandbox, "main", "trap 'exit 7' TERM; echo > /ready; while :; do :; done");
    co_await output_of(w, id, "while ! [ -e /ready ]; do :; done");
    v1::PodSandboxStatusRequest of_pod;
    of_pod.set_pod_sandbox_id(sandbox);
    of_pod.set_verbose(true);
    auto pod_info = must(co_await w.runtime->pod_sandbox_status(of_pod)).info().at("info");
    v1::ContainerStatusRequest of_container;
    of_container.set_container_id(id);
    of_container.set_verbose(true);
    auto info = must(co_await w.runtime->container_status(of_container)).info().at("info");
    PidFd shim = must(sys::pidfd_open(pid_in(pod_info))), process = must(sys::pidfd_open(pid_in(info)));

    // It asks for the signal of a shim that does not get to run.
    must(sys::pidfd_send_signal(shim, SIGSTOP));
    Event stopped(w.loop);
    w.loop.spawn([](World& world, std::string container_id, Event& done) -> Task<> {
      v1::StopContainerRequest stop;
      stop.set_container_id(container_id);
      stop.set_timeout(600);
      must(co_await world.runtime->stop_container(stop));
      done.set();
    }(w, id, stopped));
    EXPECT_EQ(cut(pid_in(pod_info)), 1);
    Watch end(w.loop, process);
    must(co_await end.readable());
    must(sys::pidfd_send_signal(shim, SIGCONT));
    co_await stopped.wait();
    EXPECT_EQ((co_await status_of(w, id)).exit_code(), 7);
    co_await remove_pod(w, sandbox);
  });
}

TEST_F(CriTest, AfterARebootPodsAreShownAsEndedAndCanBeRemoved) {
  std::string sandbox_id, container_id;
  run([&](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    sandbox_id = co_await run_pod(w, "reboot");
    container_id = co_await run_container(w, sandbox_id, "main", "while :; do sleep 1; done");
    // What a reboot does: the processes are gone, and so are cgroups, links and /run.
    co_await remove_pod(w, sandbox_id);
    Sandbox sandbox(w.loop);
    *sandbox.status.mutable_metadata() = pod("reboot").config().metadata();
    sandbox.status.set_id(sandbox_id);
    sandbox.status.set_created_at(1);
    sandbox.status.mutable_network()->set_ip("10.88.0.200");
    sandbox.state = SandboxState::kReady;
    sandbox.cgroup = test::cgroup_path() + "/kubepods/podreboot";
    must(co_await w.store.put(sandbox));
    Container container(w.loop);
    container.status.set_id(container_id);
    container.status.set_started_at(2);
    container.status.set_state(v1::CONTAINER_RUNNING);
    container.sandbox_id = sandbox_id;
    container.state = ContainerState::kRunning;
    must(co_await w.store.put(container));
    must(co_await w.network_thread.run(
        [&w, &sandbox_id] { return w.ledger.record(*netns::IpAddress::parse("10.88.0.200"), sandbox_id); }));
    must(co_await w.store.set_boot_id("an earlier boot"));
  });
  run([&](World& w) -> Task<> {
    must(co_await w.runtime->recover());
    auto items = must(co_await w.runtime->list_pod_sandbox({}));
    EXPECT_EQ(items.items_size(), 1);
    EXPECT_EQ(items.items(0).state(), v1::SANDBOX_NOTREADY);
    auto status = co_await status_of(w, container_id);
    EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
    EXPECT_EQ(status.exit_code(), 255);
    EXPECT_EQ(status.reason(), "Unknown");
    EXPECT_EQ(status.started_at(), 2);
    EXPECT_THAT(status.message(), HasSubstr("restarted"));
    for (const auto& held : w.network->held()) EXPECT_NE(held.sandbox_id, sandbox_id) << "its address is free";
    co_await remove_pod(w, sandbox_id);
    EXPECT_EQ(must(co_await w.runtime->list_containers({})).containers_size(), 0);
  });
}

TEST_F(CriTest, WhatOnlyLivesIsLeftAloneAndReported) {
  run([](World& w) -> Task<> {
    // A pod of which the store knows nothing, and a sandbox of an earlier pool.
    DirFd stranger = must(w.folders.make_run_sandbox("stranger"));
    must(write_sandbox_record(stranger, pod("stranger").config()));
    DirFd pooled = must(w.folders.make_run_sandbox("pooled"));
    must(write_pool_record(pooled));
    must(co_await w.runtime->recover());
    EXPECT_TRUE(w.folders.open_run_sandbox("stranger"));
    auto status = must(co_await w.runtime->status(verbose()));
    EXPECT_THAT(status.info().at("state"), HasSubstr("stranger"));
    EXPECT_THAT(status.info().at("state"), ::testing::Not(HasSubstr("pooled")));
    // The new pool is filled in the background, and so is the old one ended.
    co_await remove_pod(w, co_await run_pod(w, "after"));
    co_await until(w, [&w] -> Task<bool> { co_return !w.folders.open_run_sandbox("pooled"); });
  });
}

TEST_F(CriTest, OfACgroupInWhichSomethingLivesNothingIsRemoved) {
  run([](World& w) -> Task<> {
    std::string stray = test::cgroup_path() + "/kubepods/podstray";
    must(w.driver.make(stray + "/between"));
    // The kernel lists them in an order of its own.
    for (int i = 0; i < 16; ++i) must(w.driver.make(stray + "/" + std::to_string(i)));
    must(w.driver.make(test::cgroup_path() + "/kubepods/podempty/empty"));
    pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    std::ofstream("/sys/fs/cgroup" + stray + "/between/cgroup.procs") << pid << std::flush;
    must(co_await w.runtime->recover());
    for (int i = 0; i < 16; ++i) EXPECT_TRUE(w.driver.open(stray + "/" + std::to_string(i))) << i;
    EXPECT_THAT(must(co_await w.runtime->status(verbose())).info().at("state"), HasSubstr("podstray"));
    EXPECT_FALSE(w.driver.open(test::cgroup_path() + "/kubepods/podempty"));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    must(co_await w.driver.remove(w.loop, stray, std::chrono::seconds(10)));
  });
}

// Of the pool's one sandbox, when it stands and is not `other`.
Task<std::string> pooled_sandbox(World& w, std::string other = {}) {
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    auto held = co_await w.network_thread.run([&] { return w.network->held(); });
    if (!held.empty() && held[0].sandbox_id != other) co_return held[0].sandbox_id;
    co_await w.loop.sleep_for(std::chrono::milliseconds(10));
  }
  ADD_FAILURE() << "no sandbox in the pool within a minute";
  co_return "";
}

TEST_F(CriTest, ThePoolIsFilledAgainByItself) {
  run([](World& w) -> Task<> {
    auto allow_cgroups = [](const char* count) {
      std::ofstream("/sys/fs/cgroup" + test::cgroup_path() + "/cgroup.max.descendants") << count << std::flush;
    };
    allow_cgroups("0");
    must(co_await w.runtime->recover());
    // The attempt of recover() comes to its end before this one, on which the pool does not depend.
    EXPECT_FALSE((co_await w.runtime->run_pod_sandbox(pod("refused"))).has_value());
    EXPECT_TRUE(w.network->held().empty());
    allow_cgroups("max");
    std::string first = co_await pooled_sandbox(w);
    auto shim = must(w.driver.open(shim_cgroup_path(test::cgroup_path(), first)));
    must(shim.kill());
    EXPECT_NE(co_await pooled_sandbox(w, first), "");
    co_await until(w, [&] -> Task<bool> { co_return !w.folders.open_run_sandbox(first); });
  });
}

}  // namespace
}  // namespace gantry::cri
