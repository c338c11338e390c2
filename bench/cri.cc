// SPDX-License-Identifier: Apache-2.0
// The driver of bench/cri.py: asks container runtimes for pods by the CRI, as kubelet does, and says in JSON what each
// call took. A side is SOCKET,IMAGE,LOGS: its socket, an image with a busybox that it has, and a folder for logs that
// it sees under the same name.
//
//   cri cycles COUNT SIDE...        whole lives of pods, one at a time, the sides in turns: milliseconds of each call,
//                                   one object for each side
//   cri fill FROM TO SIDE           pods idle-FROM to idle-(TO-1) with a sleeping container each, which stay
//   cri burst COUNT AT_ONCE SIDE    pods until their containers have spoken, some at once, and then their removal:
//                                   seconds, and CPU seconds of this program
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "bench/measure.h"
#include "cri/rpc_test_client.h"
#include "cri/runtime/v1/api.pb.h"
#include "sys/file.h"
#include "sys/inotify.h"
#include "sys/socket.h"

namespace gantry::bench {
namespace {

namespace v1 = runtime::v1;

constexpr char kScript[] = "echo ready; exec sleep 100000";
constexpr char kLogName[] = "main.log";
constexpr Duration kPatience = std::chrono::seconds(120);
// What kubelet names for a container that is not privileged.
constexpr const char* kMasked[] = {"/proc/asound",      "/proc/acpi",    "/proc/kcore",        "/proc/keys",
                                   "/proc/interrupts",  "/proc/scsi",    "/proc/timer_list",   "/proc/timer_stats",
                                   "/proc/sched_debug", "/sys/firmware", "/proc/latency_stats"};
constexpr const char* kReadOnly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

// Tells when files beneath folders have their first byte.
class FirstBytes {
 public:
  explicit FirstBytes(Loop& loop) : loop_(loop), inotify_(must(sys::inotify_init())), watch_(loop, inotify_) {
    loop.spawn(read_events());
  }
  // To be called before anything can write there.
  void expect(const std::string& folder) {
    auto dir = must(sys::open_dir(sys::kCwd, folder.c_str()));
    int watch = must(sys::inotify_add_watch(inotify_, dir, IN_MODIFY));
    expected_.insert_or_assign(watch, folder);
    came_.try_emplace(folder, std::make_unique<Event>(loop_));
  }
  // Each folder once.
  Task<> wait_for(std::string folder) {
    auto& event = *came_.at(folder);
    if (!co_await event.wait_for(kPatience)) give_up(folder + ": nothing was written there");
    came_.erase(folder);
  }

 private:
  Task<> read_events() {
    while (co_await watch_.readable()) {
      for (const auto& event : must(sys::inotify_read(inotify_))) {
        auto found = expected_.find(event.watch);
        if (found == expected_.end()) continue;
        if (char byte; !std::ifstream(found->second + "/" + kLogName).get(byte)) continue;
        came_.at(found->second)->set();
        ::inotify_rm_watch(inotify_.get(), event.watch);
        expected_.erase(found);
      }
    }
  }

  Loop& loop_;
  OwnFd inotify_;
  Watch watch_;
  std::map<int, std::string> expected_;
  std::map<std::string, std::unique_ptr<Event>> came_;
};

using Took = std::map<std::string, Times>;  // by call

struct Side {
  std::string socket, image, logs;
  std::unique_ptr<cri::RpcTestClient> client;
  Took took;
};

struct Pod {
  v1::PodSandboxConfig config;
  std::string id, container;
};

template <typename Response, typename Request>
Task<Response> call(Side& side, std::string method, const Request& request) {
  std::int64_t before = now();
  auto id =
      side.client->send("/runtime.v1.RuntimeService/" + method, http::grpc_framed(request.SerializeAsString()));
  co_await side.client->wait_for(id);
  std::int64_t took = now() - before;
  auto answer = side.client->answers.extract(id);
  auto& headers = answer.mapped().headers;
  const std::string& body = answer.mapped().body;
  Response response;
  if (headers["grpc-status"] != "0" || body.size() < 5 || !response.ParseFromString(body.substr(5)))
    give_up(side.socket + ": " + method + ": " + headers["grpc-status"] + " " + headers["grpc-message"]);
  side.took[method].push_back(took);
  co_return response;
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) give_up("can't make " + path);
}

Pod describe(const Side& side, const std::string& name) {
  Pod pod;
  auto& config = pod.config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("bench");
  config.mutable_metadata()->set_uid("uid-" + name);
  config.set_hostname(name);
  config.set_log_directory(side.logs + "/" + name);
  config.mutable_dns_config()->add_servers("10.96.0.10");
  config.mutable_dns_config()->add_searches("bench.svc.cluster.local");
  (*config.mutable_labels())["io.kubernetes.pod.name"] = name;
  auto* security = config.mutable_linux()->mutable_security_context();
  security->mutable_namespace_options()->set_pid(v1::CONTAINER);
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  return pod;
}

Task<> run_pod(Side& side, Pod& pod) {
  v1::RunPodSandboxRequest request;
  *request.mutable_config() = pod.config;
  pod.id = (co_await call<v1::RunPodSandboxResponse>(side, "RunPodSandbox", request)).pod_sandbox_id();
}

Task<> start_container(Side& side, Pod& pod, FirstBytes& first_bytes) {
  std::int64_t before = now();
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod.id);
  *request.mutable_sandbox_config() = pod.config;
  auto& config = *request.mutable_config();
  config.mutable_metadata()->set_name("main");
  config.mutable_image()->set_image(side.image);
  for (const char* word : {"/bin/sh", "-c", kScript}) config.add_command(word);
  config.set_log_path(kLogName);
  auto* security = config.mutable_linux()->mutable_security_context();
  security->mutable_namespace_options()->set_pid(v1::CONTAINER);
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  for (const char* path : kMasked) security->add_masked_paths(path);
  for (const char* path : kReadOnly) security->add_readonly_paths(path);
  first_bytes.expect(pod.config.log_directory());
  pod.container = (co_await call<v1::CreateContainerResponse>(side, "CreateContainer", request)).container_id();
  v1::StartContainerRequest start;
  start.set_container_id(pod.container);
  co_await call<v1::StartContainerResponse>(side, "StartContainer", start);
  co_await first_bytes.wait_for(pod.config.log_directory());
  side.took["create and start"].push_back(now() - before);
}

Task<> exec(Side& side, const Pod& pod) {
  v1::ExecSyncRequest request;
  request.set_container_id(pod.container);
  for (const char* word : {"/bin/echo", "here"}) request.add_cmd(word);
  auto answer = co_await call<v1::ExecSyncResponse>(side, "ExecSync", request);
  if (answer.stdout() != "here\n" || answer.exit_code() != 0) give_up(side.socket + ": ExecSync: another answer");
}

// What kubelet and its probes ask all the time.
Task<> ask(Side& side, const Pod& pod) {
  co_await call<v1::VersionResponse>(side, "Version", v1::VersionRequest());
  v1::PodSandboxStatusRequest pod_status;
  pod_status.set_pod_sandbox_id(pod.id);
  co_await call<v1::PodSandboxStatusResponse>(side, "PodSandboxStatus", pod_status);
  v1::ContainerStatusRequest status;
  status.set_container_id(pod.container);
  co_await call<v1::ContainerStatusResponse>(side, "ContainerStatus", status);
  v1::ContainerStatsRequest stats;
  stats.set_container_id(pod.container);
  co_await call<v1::ContainerStatsResponse>(side, "ContainerStats", stats);
  v1::ListPodSandboxRequest pods;
  pods.mutable_filter()->set_id(pod.id);
  co_await call<v1::ListPodSandboxResponse>(side, "ListPodSandbox", pods);
  v1::ListContainersRequest containers;
  containers.mutable_filter()->set_pod_sandbox_id(pod.id);
  co_await call<v1::ListContainersResponse>(side, "ListContainers", containers);
}

Task<> remove_pod(Side& side, const Pod& pod) {
  std::int64_t before = now();
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(pod.id);
  co_await call<v1::StopPodSandboxResponse>(side, "StopPodSandbox", stop);
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(pod.id);
  co_await call<v1::RemovePodSandboxResponse>(side, "RemovePodSandbox", remove);
  side.took["stop and remove"].push_back(now() - before);
}

Task<> bring_up(Side& side, Pod& pod, FirstBytes& first_bytes) {
  make_folder(pod.config.log_directory());
  co_await run_pod(side, pod);
  co_await start_container(side, pod, first_bytes);
}

void print(const std::vector<std::unique_ptr<Side>>& sides) {
  const char* between = "[";
  for (const auto& side : sides) {
    std::printf("%s", between);
    const char* comma = "{";
    for (const auto& [what, times] : side->took) {
      std::printf("%s\"%s\": [", comma, what.c_str());
      for (std::size_t i = 0; i < times.size(); ++i)
        std::printf("%s%.3f", i == 0 ? "" : ", ", static_cast<double>(times[i]) / 1e6);
      std::printf("]");
      comma = ", ";
    }
    std::printf("}");
    between = ", ";
  }
  std::printf("]\n");
}

std::string unique(const std::string& what, int number) {
  return what + "-" + std::to_string(::getpid()) + "-" + std::to_string(number);
}

Task<> cycles(std::vector<std::unique_ptr<Side>>& sides, FirstBytes& first_bytes, int count) {
  // The first turn finds nothing in any cache, and does not count.
  for (int turn = -1; turn < count; ++turn) {
    for (auto& side : sides) {
      if (turn == 0) side->took.clear();
      Pod pod = describe(*side, unique("cycle", turn + 1));
      co_await bring_up(*side, pod, first_bytes);
      co_await exec(*side, pod);
      co_await ask(*side, pod);
      co_await remove_pod(*side, pod);
    }
  }
  print(sides);
}

Task<> fill(Side& side, FirstBytes& first_bytes, int from, int to) {
  for (int number = from; number < to; ++number) {
    Pod pod = describe(side, "idle-" + std::to_string(number));
    co_await bring_up(side, pod, first_bytes);
  }
}

double own_cpu() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// `work` for every pod, `at_once` of them at a time; prints what it took.
template <typename Work>
Task<> all_at_once(Loop& loop, const char* what, std::vector<Pod>& pods, int at_once, Work work) {
  std::int64_t before = now();
  double cpu = own_cpu();
  std::size_t next = 0, done = 0;
  Event all(loop);
  auto worker = [&]() -> Task<> {
    while (next < pods.size()) {
      co_await work(pods[next++]);
      if (++done == pods.size()) all.set();
    }
  };
  for (int i = 0; i < at_once; ++i) loop.spawn(worker());
  co_await all.wait();
  std::printf("\"%s\": {\"seconds\": %.6f, \"driver\": %.6f}", what, static_cast<double>(now() - before) / 1e9,
              own_cpu() - cpu);
}

Task<> burst(Loop& loop, Side& side, FirstBytes& first_bytes, int count, int at_once) {
  std::vector<Pod> pods;
  for (int i = 0; i < count; ++i) pods.push_back(describe(side, unique("burst", i)));
  std::printf("{");
  co_await all_at_once(loop, "up", pods, at_once, [&](Pod& pod) { return bring_up(side, pod, first_bytes); });
  std::printf(", ");
  co_await all_at_once(loop, "down", pods, at_once, [&](Pod& pod) { return remove_pod(side, pod); });
  std::printf("}\n");
}

std::unique_ptr<Side> open_side(Loop& loop, const std::string& text) {
  std::vector<std::string> parts(1);
  for (char c : text) c == ',' ? (void)parts.emplace_back() : parts.back().push_back(c);
  if (parts.size() != 3) give_up(text + ": expected SOCKET,IMAGE,LOGS");
  auto side = std::make_unique<Side>();
  side->socket = parts[0];
  side->image = parts[1];
  side->logs = parts[2];
  auto slash = side->socket.rfind('/');
  auto dir = must(sys::open_dir(sys::kCwd, side->socket.substr(0, slash).c_str()));
  auto socket = must(sys::connect_unix(dir, side->socket.c_str() + slash + 1, SOCK_STREAM));
  side->client = std::make_unique<cri::RpcTestClient>(loop, std::move(socket));
  return side;
}

int run(const std::vector<std::string>& args) {
  const std::string command = args.empty() ? "" : args[0];
  const std::size_t numbers = command == "cycles" ? 1 : 2;
  if ((command != "cycles" && command != "fill" && command != "burst") || args.size() < numbers + 2)
    give_up("cri cycles COUNT SIDE... | cri fill FROM TO SIDE | cri burst COUNT AT_ONCE SIDE");
  Loop loop;
  FirstBytes first_bytes(loop);
  std::vector<std::unique_ptr<Side>> sides;
  for (std::size_t i = numbers + 1; i < args.size(); ++i) sides.push_back(open_side(loop, args[i]));
  int first = std::atoi(args[1].c_str()), second = std::atoi(args[2].c_str());
  auto all = [&]() -> Task<> {
    if (command == "cycles") co_await cycles(sides, first_bytes, first);
    if (command == "fill") co_await fill(*sides[0], first_bytes, first, second);
    if (command == "burst") co_await burst(loop, *sides[0], first_bytes, first, second);
    for (auto& side : sides) co_await side->client->close();
    loop.stop();
  };
  loop.spawn(all());
  loop.run();
  return 0;
}

}  // namespace
}  // namespace gantry::bench

int main(int argc, char** argv) { return gantry::bench::run({argv + 1, argv + argc}); }
