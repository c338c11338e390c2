// SPDX-License-Identifier: Apache-2.0
// The driver of bench/run agent: makes and ends pods of a node through the API and sees by a watch what becomes of
// them. Prints one line of JSON. bench/agent.py starts the node and looks at it meanwhile.
//
//   agent one --turns N            one pod after the other: from the answer to its creation until the watch says Ready;
//   and from
//                                  the answer to its deletion until the watch says that it is gone
//   agent ends --turns N --folder F
//                                  from the end of a container's process until the watch says that it has ended; F is a
//                                  folder that the node has, too
//   agent up --pods N              N pods at once, until the last is Ready
//   agent down --pods N            and their end
// each with --node NAME --image IMAGE and --url https://ADDRESS:PORT --ca FILE --cert FILE --key FILE.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "api/json.h"
#include "base/text.h"
#include "bench/api_target.h"

namespace gantry::bench {
namespace {

using api::Value;
using Words = std::vector<std::string>;
constexpr std::string_view kPods = "/api/v1/namespaces/default/pods";
constexpr std::chrono::seconds kPatience{120};
// Sixteen users at once, as a controller's workers are.
constexpr int kUsers = 16;
constexpr int kGroup = 20;
// Ends at SIGTERM, and does nothing until then.
constexpr std::string_view kSleeps = "trap 'exit 0' TERM; sleep 1000000 & wait";

// When what happened to each pod, by its name, was seen first.
class Seen {
 public:
  enum What { kReady, kEnded, kGone };

  void add(const std::string& pod, What what) {
    const std::int64_t time = now();
    const std::lock_guard lock(mutex_);
    times_.try_emplace({pod, what}, time);
    changed_.notify_all();
  }
  std::int64_t wait(const std::string& pod, What what) {
    std::unique_lock lock(mutex_);
    const auto is_seen = [&] { return times_.contains({pod, what}); };
    if (!changed_.wait_for(lock, kPatience, is_seen)) give_up(cat(pod, " is not ", kNames[what], " within 120 s"));
    return times_.at({pod, what});
  }

 private:
  static constexpr const char* kNames[] = {"ready", "ended", "gone"};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<std::string, What>, std::int64_t> times_;
};

bool is_ready(const Value& status) {
  const Value* conditions = status.find("conditions");
  if (conditions == nullptr || conditions->as_list() == nullptr) return false;
  for (const Value& one : *conditions->as_list()) {
    if (one.text_at("type") == "Ready") return one.text_at("status") == "True";
  }
  return false;
}

void take_event(std::string_view line, Seen& seen) {
  const Value event = must(api::parse_json(line));
  const Value* pod = event.find("object");
  const Value* metadata = pod == nullptr ? nullptr : pod->find("metadata");
  const Value* status = pod == nullptr ? nullptr : pod->find("status");
  if (metadata == nullptr || status == nullptr) return;  // a bookmark
  const std::string name = metadata->text_at("name");
  if (event.text_at("type") == "DELETED") return seen.add(name, Seen::kGone);
  if (is_ready(*status)) seen.add(name, Seen::kReady);
  const std::string phase = status->text_at("phase");
  if (phase == "Succeeded" || phase == "Failed") seen.add(name, Seen::kEnded);
}

struct Run {
  const ApiTarget& target;
  Loops& loops;
  std::string node, image, folder;
  Seen seen;

  std::string pod(const std::string& name, std::string_view command, bool ends) const {
    const std::string volume = !ends ? "" : cat(R"("volumes":[{"name":"v","hostPath":{"path":")", folder, R"("}}],)");
    const std::string mount = !ends ? "" : R"(,"volumeMounts":[{"name":"v","mountPath":"/v"}])";
    return cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")", name, R"("},"spec":{"nodeName":")", node,
               R"(","automountServiceAccountToken":false,"restartPolicy":")", ends ? "Never" : "Always", R"(",)",
               volume, R"("containers":[{"name":"c","image":")", image, R"(","imagePullPolicy":"IfNotPresent",)",
               R"("command":["/bin/sh","-c",")", command, R"("])", mount, "}]}}");
  }
  // The time of the answer.
  std::int64_t make(const std::string& json) {
    return ask([&](http::Client& client) { return call_for(client, {201}, "POST", std::string(kPods), json); });
  }
  std::int64_t remove(const std::string& name) {
    return ask([&](http::Client& client) { return call_for(client, {200, 202}, "DELETE", cat(kPods, "/", name)); });
  }
  void all(int pods, const std::function<Task<>(http::Client& client, int pod)>& act) {
    std::atomic<int> next = 0;
    loops.run(kUsers, [&](Loop& here, int) -> Task<> {
      http::Client client(here, target.client);
      for (int i = next++; i < pods; i = next++) co_await act(client, i);
    });
  }

 private:
  std::int64_t ask(const std::function<Task<http::Response>(http::Client&)>& act) {
    std::int64_t answered = 0;
    loops.run(1, [&](Loop& here, int) -> Task<> {
      http::Client client(here, target.client);
      // The handshake is not measured.
      co_await call_for(client, {200}, "GET", "/version");
      co_await act(client);
      answered = now();
    });
    return answered;
  }
};

// In groups, so that a container that is told to end has got so far as to listen.
void one(Run& run, int turns) {
  Times ready, gone;
  for (int first = 0; first < turns; first += kGroup) {
    const int end = std::min(first + kGroup, turns);
    for (int i = first; i < end; ++i) {
      const std::string name = cat("one-", i);
      const std::int64_t answered = run.make(run.pod(name, kSleeps, false));
      ready.push_back(run.seen.wait(name, Seen::kReady) - answered);
    }
    for (int i = first; i < end; ++i) {
      const std::string name = cat("one-", i);
      const std::int64_t answered = run.remove(name);
      gone.push_back(run.seen.wait(name, Seen::kGone) - answered);
    }
  }
  std::printf(R"({"ready_p50": %.2f, "ready_p99": %.2f, "gone_p50": %.2f, "gone_p99": %.2f})"
              "\n",
              median(ready), quantile(ready, 0.99), median(gone), quantile(gone, 0.99));
}

// The container reads from a FIFO, which says to the writer that it is there, and ends when it has read.
std::int64_t let_go(const std::string& fifo) {
  for (;;) {
    const int fd = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
      if (::write(fd, "\n", 1) != 1) give_up("write to " + fifo);
      const std::int64_t time = now();
      ::close(fd);
      return time;
    }
    if (errno != ENXIO) give_up(fifo + " can't be opened");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void ends(Run& run, int turns) {
  Times told;
  for (int i = 0; i < turns; ++i) {
    const std::string name = cat("ends-", i), fifo = cat(run.folder, "/", name);
    if (::mkfifo(fifo.c_str(), 0600) != 0) give_up(fifo + " can't be made");
    run.make(run.pod(name, cat("read x < /v/", name), true));
    run.seen.wait(name, Seen::kReady);
    const std::int64_t ended = let_go(fifo);
    told.push_back(run.seen.wait(name, Seen::kEnded) - ended);
    run.remove(name);
    run.seen.wait(name, Seen::kGone);
  }
  std::printf(R"({"told_p50": %.2f, "told_p99": %.2f})"
              "\n",
              median(told), quantile(told, 0.99));
}

void all_at_once(Run& run, int pods, Seen::What until) {
  const auto name_of = [](int i) { return cat("many-", i); };
  const std::int64_t begin = now();
  run.all(pods, [&](http::Client& client, int i) -> Task<> {
    if (until == Seen::kReady) {
      co_await call_for(client, {201}, "POST", std::string(kPods), run.pod(name_of(i), kSleeps, false));
    } else {
      co_await call_for(client, {200, 202}, "DELETE", cat(kPods, "/", name_of(i)));
    }
  });
  const std::int64_t answered = now();
  for (int i = 0; i < pods; ++i) run.seen.wait(name_of(i), until);
  std::printf(R"({"seconds": %.3f, "answered": %.3f})"
              "\n",
              static_cast<double>(now() - begin) / 1e9, static_cast<double>(answered - begin) / 1e9);
}

int run(const Words& words) {
  const ApiTarget target = ApiTarget::parse(words);
  Loops loops(1), watching(1);
  Run run{.target = target,
          .loops = loops,
          .node = option(words, "--node", ""),
          .image = option(words, "--image", ""),
          .folder = option(words, "--folder", "")};
  if (run.node.empty() || run.image.empty()) give_up("needs --node NAME --image IMAGE");
  http::Client watcher(watching[0], target.client);
  watching[0].post([&] {
    watching[0].spawn(follow_lines(watcher, cat(kPods, "?watch=true"), [&](std::string_view line) {
      take_event(line, run.seen);
      return true;
    }));
  });
  const std::string phase = words.empty() ? "" : words.front();
  if (phase == "one") {
    one(run, option(words, "--turns", 100));
  } else if (phase == "ends") {
    ends(run, option(words, "--turns", 100));
  } else if (phase == "up") {
    all_at_once(run, option(words, "--pods", 100), Seen::kReady);
  } else if (phase == "down") {
    all_at_once(run, option(words, "--pods", 100), Seen::kGone);
  } else {
    give_up("agent one|ends|up|down [OPTIONS]");
  }
  std::fflush(stdout);
  std::_Exit(0);  // the watch ends with it
}

}  // namespace
}  // namespace gantry::bench

int main(int count, char** words) { return gantry::bench::run({words + 1, words + count}); }
