// SPDX-License-Identifier: Apache-2.0
// The driver of bench/run hollow: hollow nodes, which do to an API server what kubelets do and run nothing. Each renews
// its Lease every ten seconds, writes its status every five minutes and watches its pods: one that it is given it says
// to be running, one that is to end it removes. What happens beside that is one of three, and is told by one line of
// JSON:
//
// - The driver binds pods, as a scheduler, and pods come and go at a rate. It is measured after a while to settle.
// - --burst N: so many pods are made at once, and whoever schedules binds them.
// - --deployment N: a Deployment of so many replicas is made, and others make, bind and count its pods.
//
//   hollow --nodes N --pods N [--rate N --seconds N | --burst N | --deployment N] --url https://ADDRESS:PORT --ca FILE
//   --cert FILE --key FILE --pids PID
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "api/json.h"
#include "api/time.h"
#include "api/value.h"
#include "base/text.h"
#include "bench/api_target.h"

namespace gantry::bench {
namespace {

constexpr auto kRenewal = std::chrono::seconds(10);
constexpr auto kNodeStatus = std::chrono::minutes(5);
constexpr auto kLifetime = std::chrono::seconds(20);  // of a pod that comes and goes
constexpr int kSettle = 15;                           // seconds
constexpr int kFillers = 64;
constexpr auto kMostWait = std::chrono::minutes(20);
constexpr int kConnections = 32;  // of who makes and removes pods, and of the scheduler
constexpr int kReadsASecond = 20;
constexpr std::string_view kPods = "/api/v1/namespaces/default/pods";
constexpr std::string_view kDeployments = "/apis/apps/v1/namespaces/default/deployments";
constexpr std::string_view kLeases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
constexpr std::string_view kStrategic = "application/strategic-merge-patch+json";

api::Timestamp wall_clock() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return {time.tv_sec, static_cast<std::int32_t>(time.tv_nsec)};
}

std::string text_at(const api::Value& value, std::initializer_list<std::string_view> path) {
  const api::Value* at = &value;
  for (const std::string_view name : path) {
    at = at->find(name);
    if (at == nullptr) return {};
  }
  return at->as_string() == nullptr ? std::string() : *at->as_string();
}

double seconds_between(std::int64_t begin, std::int64_t end) { return static_cast<double>(end - begin) / 1e9; }

std::string node_name(int node) { return cat("hollow-", std::to_string(10000 + node).substr(1)); }

std::string node_status() {
  const std::string time = api::format_rfc3339(wall_clock().seconds);
  std::string conditions;
  for (const std::string_view type : {"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"}) {
    conditions += cat(conditions.empty() ? "" : ",", R"({"type":")", type, R"(","status":")",
                      type == "Ready" ? "True" : "False", R"(","reason":"KubeletReady","message":"all is well",)",
                      R"("lastHeartbeatTime":")", time, R"(","lastTransitionTime":")", time, R"("})");
  }
  return cat(R"({"status":{"capacity":{"cpu":"8","memory":"32Gi","pods":"110"},)",
             R"("allocatable":{"cpu":"8","memory":"31Gi","pods":"110"},"conditions":[)", conditions, "]}}");
}

std::string lease_json(const std::string& node, const std::string& version) {
  return cat(R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":")", node,
             R"(","namespace":"kube-node-lease","resourceVersion":")", version, R"("},"spec":{"holderIdentity":")",
             node, R"(","leaseDurationSeconds":40,"renewTime":")", api::format_rfc3339_micro(wall_clock()), R"("}})");
}

std::string running_status(int address) {
  const std::string time = api::format_rfc3339(wall_clock().seconds);
  const std::string ip = cat("10.", address >> 16 & 255, ".", address >> 8 & 255, ".", address & 255);
  return cat(R"({"status":{"phase":"Running","podIP":")", ip, R"(","podIPs":[{"ip":")", ip, R"("}],"startTime":")",
             time, R"(","conditions":[{"type":"Ready","status":"True","lastTransitionTime":")", time,
             R"("},{"type":"ContainersReady","status":"True","lastTransitionTime":")", time,
             R"("}],"containerStatuses":[{"name":"web","ready":true,"started":true,"restartCount":0,)",
             R"("image":"registry.example.com/team/web:1.27.3","imageID":"sha256:0123","containerID":"gantry://4567",)",
             R"("state":{"running":{"startedAt":")", time, R"("}}}]}})");
}

class Cluster {
 public:
  Cluster(Loops& loops, const ApiTarget& target, const std::vector<std::string>& words)
      : loops_(loops),
        target_(target),
        words_(words),
        nodes_(option(words, "--nodes", 1000)),
        pods_(option(words, "--pods", 20000)),
        rate_(option(words, "--rate", 50)) {
    target_.client.max_kept = kConnections;
  }

  void run();

 private:
  void begin_nodes(const std::string& version);
  void churn_for(int seconds);
  void burst(int count);
  void roll_out(int count);
  // Until so many pods beside the steady ones are running.
  void wait_for_running(int count);

  // A call whose time is kept under `name`; a conflict or an object that is gone is an answer, too.
  Task<http::Response> timed(http::Client& client, std::string name, std::string method, std::string path,
                             std::string body = {}, std::string type = "application/json") {
    const std::int64_t begin = now();
    http::Response response = co_await call(client, method, path, std::move(body), std::move(type));
    clocks_.add(name, now() - begin);
    if (response.status >= 400 && response.status != 404 && response.status != 409) {
      give_up(cat(method, " ", path, ": ", response.status, " ", response.body_bytes().substr(0, 500)));
    }
    if (response.status >= 400) refused_ += 1;
    co_return response;
  }
  void make_nodes();
  void make_pods();
  void make_service_account();
  std::string newest_version();

  Task<> beat(Loop& here, int node);
  Task<> write_status(Loop& here, int node);
  Task<> watch_pods(Loop& here, int node, std::string version);
  Task<> handle(http::Client& client, std::string name, bool ends, std::string phase);
  Task<> schedule(Loop& here, std::string version);
  Task<> bind(http::Client& client, std::string name);
  Task<> churn(Loop& here);
  Task<> live(Loop& here, http::Client& client, std::string name);
  Task<> read(Loop& here);

  Loops& loops_;
  ApiTarget target_;
  const std::vector<std::string>& words_;
  int nodes_, pods_, rate_;
  Clocks clocks_;
  std::atomic<int> next_node_ = 0, next_address_ = 1, refused_ = 0, living_ = 0;
  std::mutex mutex_;
  std::map<std::string, std::int64_t> begun_;  // pods that are not yet said to be running
  // Beside the steady ones:
  std::atomic<int> bound_ = 0, running_ = 0;
  std::atomic<std::int64_t> last_bound_ = 0, last_running_ = 0;
};

void Cluster::make_service_account() {
  loops_.run(1, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target_.client);
    co_await call_for(client, {201, 409}, "POST", "/api/v1/namespaces/default/serviceaccounts",
                      R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
    co_await call_for(client, {201, 409}, "POST", "/api/v1/namespaces",
                      R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-node-lease"}})");
  });
}

void Cluster::make_nodes() {
  std::atomic<int> next = 0;
  loops_.run(kFillers, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target_.client);
    for (int i = next++; i < nodes_; i = next++) {
      const std::string name = node_name(i);
      co_await call_for(client, {201}, "POST", "/api/v1/nodes",
                        cat(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":")", name,
                            R"(","labels":{"kubernetes.io/hostname":")", name, R"(","kubernetes.io/os":"linux"}}})"));
      co_await call_for(client, {200}, "PATCH", cat("/api/v1/nodes/", name, "/status"), node_status(),
                        std::string(kStrategic));
      co_await call_for(client, {201}, "POST", std::string(kLeases), lease_json(name, ""));
    }
  });
}

void Cluster::make_pods() {
  std::atomic<int> next = 0;
  loops_.run(kFillers, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target_.client);
    for (int i = next++; i < pods_; i = next++) {
      const std::string name = cat("steady-", i);
      co_await call_for(client, {201}, "POST", std::string(kPods), pod_json(name, node_name(i % nodes_)));
      co_await call_for(client, {200}, "PATCH", cat(kPods, "/", name, "/status"), running_status(next_address_++),
                        std::string(kStrategic));
    }
  });
}

std::string Cluster::newest_version() {
  std::string version;
  loops_.run(1, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target_.client);
    const http::Response list = co_await call_for(client, {200}, "GET", cat(kPods, "?limit=1"));
    version = text_at(must(api::parse_json(list.body_bytes())), {"metadata", "resourceVersion"});
  });
  return version;
}

Task<> Cluster::beat(Loop& here, int node) {
  http::Client client(here, target_.client);
  const std::string name = node_name(node), path = cat(kLeases, "/", name);
  // Spread over the interval, as nodes that were started at different times.
  co_await here.sleep_for(Duration(kRenewal) * node / nodes_);
  http::Response lease = co_await call_for(client, {200}, "GET", path);
  here.spawn(write_status(here, node));
  for (;;) {
    const std::string version = text_at(must(api::parse_json(lease.body_bytes())), {"metadata", "resourceVersion"});
    const std::int64_t begin = now();
    lease = co_await timed(client, "renew Lease", "PUT", path, lease_json(name, version));
    if (lease.status != 200) lease = co_await call_for(client, {200}, "GET", path);
    co_await here.sleep_for(Duration(kRenewal) - Duration(now() - begin));
  }
}

Task<> Cluster::write_status(Loop& here, int node) {
  http::Client client(here, target_.client);
  const Duration first = Duration(kNodeStatus) * (node * 7919 % nodes_) / nodes_;
  co_await here.sleep_for(first);
  for (;;) {
    co_await timed(client, "patch Node status", "PATCH", cat("/api/v1/nodes/", node_name(node), "/status"),
                   node_status(), std::string(kStrategic));
    co_await here.sleep_for(kNodeStatus);
  }
}

Task<> Cluster::handle(http::Client& client, std::string name, bool ends, std::string phase) {
  const std::string path = cat(kPods, "/", name);
  if (ends) {
    co_await timed(client, "remove Pod", "DELETE", cat(path, "?gracePeriodSeconds=0"));
    living_ -= 1;
  } else if (phase == "Pending") {
    co_await timed(client, "patch Pod status", "PATCH", cat(path, "/status"), running_status(next_address_++),
                   std::string(kStrategic));
    last_running_ = now();
    running_ += 1;
    const std::lock_guard lock(mutex_);
    const auto found = begun_.find(name);
    if (found == begun_.end()) co_return;
    clocks_.add("created to running", now() - found->second);
    begun_.erase(found);
  }
}

Task<> Cluster::watch_pods(Loop& here, int node, std::string version) {
  http::Client watching(here, target_.client), calling(here, target_.client);
  const std::string path =
      cat("/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3D", node_name(node), "&resourceVersion=", version);
  co_await follow_lines(watching, path, [&](std::string_view line) {
    const api::Value event = must(api::parse_json(line));
    const std::string type = text_at(event, {"type"});
    if (type == "ERROR") give_up(std::string(line));
    if (type != "ADDED" && type != "MODIFIED") return true;
    const bool ends = !text_at(event, {"object", "metadata", "deletionTimestamp"}).empty();
    if (type == "ADDED" && !ends) {
      last_bound_ = now();
      bound_ += 1;
    }
    if (ends || type == "ADDED") {
      here.spawn(handle(calling, text_at(event, {"object", "metadata", "name"}), ends,
                        text_at(event, {"object", "status", "phase"})));
    }
    return true;
  });
  give_up("a node's watch has ended");
}

Task<> Cluster::bind(http::Client& client, std::string name) {
  const std::string node = node_name(next_node_++ % nodes_);
  co_await timed(client, "bind Pod", "POST", cat(kPods, "/", name, "/binding"),
                 cat(R"({"apiVersion":"v1","kind":"Binding","metadata":{"name":")", name,
                     R"("},"target":{"apiVersion":"v1","kind":"Node","name":")", node, R"("}})"));
}

Task<> Cluster::schedule(Loop& here, std::string version) {
  http::Client watching(here, target_.client), calling(here, target_.client);
  const std::string path = cat("/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3D&resourceVersion=", version);
  co_await follow_lines(watching, path, [&](std::string_view line) {
    const api::Value event = must(api::parse_json(line));
    if (text_at(event, {"type"}) != "ADDED") return true;
    here.spawn(bind(calling, text_at(event, {"object", "metadata", "name"})));
    return true;
  });
  give_up("the scheduler's watch has ended");
}

Task<> Cluster::live(Loop& here, http::Client& client, std::string name) {
  {
    const std::lock_guard lock(mutex_);
    begun_[name] = now();
  }
  living_ += 1;
  co_await timed(client, "create Pod", "POST", std::string(kPods), pod_json(name, ""));
  co_await here.sleep_for(kLifetime);
  co_await timed(client, "delete Pod", "DELETE", cat(kPods, "/", name));
}

// At its rate, whether answers come or not.
Task<> Cluster::churn(Loop& here) {
  http::Client client(here, target_.client);
  const std::int64_t begin = now();
  for (std::int64_t i = 0;; ++i) {
    const std::int64_t due = begin + i * 1'000'000'000 / rate_;
    if (const std::int64_t wait = due - now(); wait > 0) co_await here.sleep_for(Duration(wait));
    here.spawn(live(here, client, cat("churn-", i)));
  }
}

Task<> Cluster::read(Loop& here) {
  http::Client client(here, target_.client);
  for (int i = 0;; ++i) {
    co_await timed(client, "get Pod", "GET", cat(kPods, "/steady-", i * 7919 % pods_));
    co_await here.sleep_for(std::chrono::milliseconds(1000 / kReadsASecond));
  }
}

void Cluster::begin_nodes(const std::string& version) {
  for (int i = 0; i < nodes_; ++i) {
    Loop& loop = loops_[i];
    loop.post([this, &loop, i, version] {
      loop.spawn(beat(loop, i));
      loop.spawn(watch_pods(loop, i, version));
    });
  }
}

void Cluster::churn_for(int seconds) {
  loops_[1].post([this] { loops_[1].spawn(read(loops_[1])); });
  std::this_thread::sleep_for(std::chrono::seconds(kSettle) + kLifetime);
  clocks_.clear();
  const double server = cpu_of(words_), own = own_cpu();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  std::string calls;
  for (const std::string& name : clocks_.names()) {
    const Times times = clocks_.of(name);
    char text[256];
    std::snprintf(text, sizeof text, R"(%s"%s": {"rate": %.1f, "p50": %.2f, "p99": %.2f, "most": %.2f})",
                  calls.empty() ? "" : ", ", name.c_str(), static_cast<double>(times.size()) / seconds, median(times),
                  quantile(times, 0.99), quantile(times, 1));
    calls += text;
  }
  std::printf(R"("living": %d, "refused": %d, "server_cpu": %.3f, "driver_cpu": %.3f, "calls": {%s}})"
              "\n",
              living_.load(), refused_.load(), (cpu_of(words_) - server) / seconds, (own_cpu() - own) / seconds,
              calls.c_str());
}

void Cluster::wait_for_running(int count) {
  const std::int64_t until = now() + std::chrono::nanoseconds(kMostWait).count();
  while (running_ < count) {
    if (now() > until) give_up(cat(running_.load(), " of ", count, " pods run, ", bound_.load(), " have a node"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Cluster::burst(int count) {
  const double server = cpu_of(words_), own = own_cpu();
  const std::int64_t begin = now();
  std::atomic<int> next = 0;
  loops_.run(kFillers, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target_.client);
    for (int i = next++; i < count; i = next++) {
      co_await call_for(client, {201}, "POST", std::string(kPods), pod_json(cat("burst-", i), ""));
    }
  });
  const std::int64_t made = now();
  wait_for_running(count);
  std::printf(R"("made": %.2f, "bound": %.2f, "running": %.2f, "server_cpu": %.1f, "driver_cpu": %.1f})"
              "\n",
              seconds_between(begin, made), seconds_between(begin, last_bound_),
              seconds_between(begin, last_running_), cpu_of(words_) - server, own_cpu() - own);
}

void Cluster::roll_out(int count) {
  const double server = cpu_of(words_), own = own_cpu();
  const std::int64_t begin = now();
  std::int64_t available = 0;
  const api::Value pod = must(api::parse_json(pod_json("template", "")));
  const std::string labels = R"({"app":"rollout"})";
  const std::string deployment =
      cat(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"rollout"},"spec":{"replicas":)", count,
          R"(,"selector":{"matchLabels":)", labels, R"(},"template":{"metadata":{"labels":)", labels, R"(},"spec":)",
          api::write_json(*pod.find("spec")), "}}}");
  loops_.run(1, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target_.client);
    const http::Response made =
        co_await call_for(client, {201}, "POST", std::string(kDeployments), deployment);
    const std::string version = text_at(must(api::parse_json(made.body_bytes())), {"metadata", "resourceVersion"});
    const std::string path =
        cat(kDeployments, "?watch=true&fieldSelector=metadata.name%3Drollout&resourceVersion=", version);
    co_await follow_lines(client, path, [&](std::string_view line) {
      const api::Value event = must(api::parse_json(line));
      const api::Value* object = event.find("object");
      const api::Value* status = object == nullptr ? nullptr : object->find("status");
      const api::Value* ready = status == nullptr ? nullptr : status->find("availableReplicas");
      if (ready == nullptr || ready->as_int64().value_or(0) < count) return true;
      available = now();
      return false;
    });
  });
  if (available == 0) give_up("the Deployment's watch has ended");
  std::printf(R"("bound": %.2f, "running": %.2f, "available": %.2f, "server_cpu": %.1f, "driver_cpu": %.1f})"
              "\n",
              seconds_between(begin, last_bound_), seconds_between(begin, last_running_),
              seconds_between(begin, available), cpu_of(words_) - server, own_cpu() - own);
}

void Cluster::run() {
  const int burst_count = option(words_, "--burst", 0), replicas = option(words_, "--deployment", 0);
  make_service_account();
  const std::int64_t begin = now();
  make_nodes();
  make_pods();
  const double filled = static_cast<double>(now() - begin) / 1e9;
  const std::string version = newest_version();
  begin_nodes(version);
  std::printf(R"({"fill": %.1f, )", filled);
  if (burst_count > 0) {
    burst(burst_count);
  } else if (replicas > 0) {
    roll_out(replicas);
  } else {
    loops_[0].post([this, version] {
      loops_[0].spawn(schedule(loops_[0], version));
      loops_[0].spawn(churn(loops_[0]));
    });
    churn_for(option(words_, "--seconds", 60));
  }
  std::fflush(stdout);
  std::_Exit(0);  // the nodes never end
}

}  // namespace
}  // namespace gantry::bench

int main(int count, char** words) {
  using namespace gantry::bench;
  const std::vector<std::string> arguments(words + 1, words + count);
  const ApiTarget target = ApiTarget::parse(arguments);
  Loops loops(2);
  Cluster(loops, target, arguments).run();
}
