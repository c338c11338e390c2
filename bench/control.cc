// SPDX-License-Identifier: Apache-2.0
// The driver of bench/run control: puts one kind of load on an API server and prints what it saw as one line of JSON.
// bench/control.py starts the servers and looks at them meanwhile.
//
//   control writes --clients N --seconds N    pods made, and ConfigMaps of 2 KiB replaced, each client in turns
//   control fill --pods N                     pods fill-00000 and on, 64 clients
//   control list --turns N                    all pods, as JSON and as protobuf, whole and in pages of 500
//   control fan-out --watchers N --changes N  one change at a time, until the last watcher has it
// each with --url https://ADDRESS:PORT --ca FILE --cert FILE --key FILE, and --pids PID,... of the server, whose CPU is
// told beside this program's own.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

#include "base/text.h"
#include "bench/api_target.h"

namespace gantry::bench {
namespace {

using Words = std::vector<std::string>;
constexpr std::string_view kPods = "/api/v1/namespaces/default/pods";
constexpr std::string_view kMaps = "/api/v1/namespaces/default/configmaps";
constexpr std::string_view kFanOut = "/api/v1/namespaces/fan-out/configmaps";
constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";
constexpr int kFillers = 64;
constexpr int kPage = 500;

std::string map_json(std::string_view name, std::string_view ns, int value) {
  return cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", name, R"(","namespace":")", ns,
             R"("},"data":{"count":")", value, R"(","text":")", std::string(2000, 'x'), R"("}})");
}

// As pods want one to be there; where controllers run, it is.
void make_service_account(Loops& loops, const ApiTarget& target) {
  loops.run(1, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target.client);
    co_await call_for(client, {201, 409}, "POST", "/api/v1/namespaces/default/serviceaccounts",
                      R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
  });
}

void writes(Loops& loops, const ApiTarget& target, const Words& words) {
  const int clients = option(words, "--clients", 1);
  const int seconds = option(words, "--seconds", 5);
  make_service_account(loops, target);
  Clocks clocks;
  const double cpu = own_cpu(), server = cpu_of(words);
  const std::int64_t until = now() + seconds * 1'000'000'000LL;
  const std::string stem = cat("w", now() % 1'000'000'000, "-");
  loops.run(clients, [&](Loop& here, int number) -> Task<> {
    http::Client client(here, target.client);
    const std::string map = cat(stem, number);
    co_await call_for(client, {201}, "POST", std::string(kMaps), map_json(map, "default", 0));
    Times made, replaced;
    for (int i = 0; now() < until; ++i) {
      std::int64_t begin = now();
      co_await call_for(client, {201}, "POST", std::string(kPods), pod_json(cat(stem, number, "-", i), ""));
      made.push_back(now() - begin);
      begin = now();
      co_await call_for(client, {200}, "PUT", cat(kMaps, "/", map), map_json(map, "default", i + 1));
      replaced.push_back(now() - begin);
    }
    for (const std::int64_t time : made) clocks.add("made", time);
    for (const std::int64_t time : replaced) clocks.add("replaced", time);
  });
  const Times made = clocks.of("made"), replaced = clocks.of("replaced");
  std::printf(
      R"({"rate": %.1f, "made_p50": %.3f, "made_p99": %.3f, "replaced_p50": %.3f, "replaced_p99": %.3f, "server_cpu": %.3f, "driver_cpu": %.3f})"
      "\n",
      static_cast<double>(made.size() + replaced.size()) / seconds, median(made), quantile(made, 0.99),
      median(replaced), quantile(replaced, 0.99), (cpu_of(words) - server) / seconds, (own_cpu() - cpu) / seconds);
}

void fill(Loops& loops, const ApiTarget& target, const Words& words) {
  const int pods = option(words, "--pods", 10000);
  make_service_account(loops, target);
  const std::int64_t begin = now();
  std::atomic<int> next = 0;
  loops.run(kFillers, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target.client);
    for (int i = next++; i < pods; i = next++) {
      const std::string number = std::to_string(100000 + i).substr(1);
      co_await call_for(client, {201}, "POST", std::string(kPods), pod_json("fill-" + number, ""));
    }
  });
  std::printf(R"({"seconds": %.2f})"
              "\n",
              static_cast<double>(now() - begin) / 1e9);
}

// The continue token that a page of JSON names, near its beginning; or that one of protobuf does, at any place there.
std::string token_of(std::string_view page, bool protobuf) {
  // A token is base64 of JSON that begins with {"v": or {"rv":
  const std::string_view begin = protobuf ? std::string_view("eyJ") : std::string_view(R"("continue":")");
  page = page.substr(0, 4096);
  const std::size_t at = page.find(begin);
  if (at == std::string_view::npos) return {};
  page.remove_prefix(at + (protobuf ? 0 : begin.size()));
  const auto end = std::ranges::find_if(page, [](char c) {
    return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
             c == '=');
  });
  return std::string(page.begin(), end);
}

struct ListForm {
  const char* name;
  bool protobuf;
  bool pages;
};
constexpr ListForm kForms[] = {
    {"json", false, false}, {"json_pages", false, true}, {"protobuf", true, false}, {"protobuf_pages", true, true}};

void list(Loops& loops, const ApiTarget& target, const Words& words) {
  const int turns = option(words, "--turns", 10);
  std::string report;
  for (const ListForm& form : kForms) {
    Times times;
    std::int64_t first = 0;
    std::size_t bytes = 0;
    std::string type;
    loops.run(1, [&](Loop& here, int) -> Task<> {
      http::Client client(here, target.client);
      for (int turn = 0; turn <= turns; ++turn) {
        bytes = 0;
        const std::int64_t begin = now();
        std::string token;
        do {
          std::string path(kPods);
          if (form.pages) path += cat("?limit=", kPage);
          if (!token.empty()) path += cat("&continue=", token);
          const std::string accept = form.protobuf ? cat(kProtobuf, ",application/json") : "application/json";
          const http::Response page = co_await call_for(client, {200}, "GET", path, "", "", accept);
          bytes += page.body_bytes().size();
          type = http::find_header(page.headers, "Content-Type");
          token = form.pages ? token_of(page.body_bytes(), type.starts_with(kProtobuf)) : "";
        } while (!token.empty());
        if (turn == 0) {
          first = now() - begin;  // it makes what the others share
        } else {
          times.push_back(now() - begin);
        }
      }
    });
    char line[256];
    std::snprintf(line, sizeof line, R"(%s"%s": {"first": %.2f, "median": %.2f, "mib": %.2f, "type": "%s"})",
                  report.empty() ? "" : ", ", form.name, static_cast<double>(first) / 1e6, median(times),
                  static_cast<double>(bytes) / (1 << 20), type.c_str());
    report += line;
  }
  std::printf("{%s}\n", report.c_str());
}

void fan_out(Loops& loops, const ApiTarget& target, const Words& words) {
  const int watchers = option(words, "--watchers", 1000);
  const int changes = option(words, "--changes", 20);
  std::atomic<int> left = 0;
  std::atomic<int> awaited =
      0;  // what `left` is waited for to come down to: a wake-up for each line would cost more than it
  std::atomic<int> value = 0;
  const auto wait_for = [&](int count) {
    awaited = count;
    for (int now = left; now > count; now = left) left.wait(now);
  };
  loops.run(1, [&](Loop& here, int) -> Task<> {
    http::Client client(here, target.client);
    co_await call_for(client, {201, 409}, "POST", "/api/v1/namespaces",
                      R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"fan-out"}})");
    co_await call_for(client, {201, 409}, "POST", std::string(kFanOut), map_json("one", "fan-out", 0));
  });
  left = watchers;
  std::vector<std::unique_ptr<http::Client>> clients(static_cast<std::size_t>(watchers));
  // Each begins with the object that is there, and then has one line for each change.
  for (int i = 0; i < watchers; ++i) {
    Loop& loop = loops[i];
    loop.post([&, i] {
      auto& client = clients[static_cast<std::size_t>(i)];
      client = std::make_unique<http::Client>(loop, target.client);
      loop.spawn(follow_lines(*client, cat(kFanOut, "?watch=true&fieldSelector=metadata.name%3Done"),
                              [&](std::string_view line) {
                                if (line.find(R"("BOOKMARK")") != std::string_view::npos) return true;
                                if (left.fetch_sub(1) - 1 <= awaited) left.notify_all();
                                return true;
                              }));
    });
    // Handshakes cost both sides most: not all at once.
    if (i % 50 == 49) wait_for(watchers - i - 1);
  }
  wait_for(0);
  const double cpu = own_cpu(), server = cpu_of(words);
  Times answered, seen;
  for (int i = 0; i < changes; ++i) {
    left = watchers;
    std::int64_t begin = 0, answer = 0;
    loops.run(1, [&](Loop& here, int) -> Task<> {
      http::Client client(here, target.client);
      co_await call_for(client, {200}, "GET", cat(kFanOut, "/one"));  // the handshake is not measured
      begin = now();
      co_await call_for(client, {200}, "PUT", cat(kFanOut, "/one"), map_json("one", "fan-out", ++value));
      answer = now();
    });
    wait_for(0);
    answered.push_back(answer - begin);
    seen.push_back(now() - begin);
  }
  std::printf(R"({"answered": %.2f, "last": %.2f, "last_p99": %.2f, "server_cpu": %.2f, "driver_cpu": %.2f})"
              "\n",
              median(answered), median(seen), quantile(seen, 0.99), (cpu_of(words) - server) * 1e3 / changes,
              (own_cpu() - cpu) * 1e3 / changes);
  std::fflush(stdout);
  std::_Exit(0);  // a thousand watches end with it
}

int run(const Words& words) {
  const ApiTarget target = ApiTarget::parse(words);
  Loops loops(2);
  const std::string phase = words.empty() ? "" : words.front();
  if (phase == "writes") {
    writes(loops, target, words);
  } else if (phase == "fill") {
    fill(loops, target, words);
  } else if (phase == "list") {
    list(loops, target, words);
  } else if (phase == "fan-out") {
    fan_out(loops, target, words);
  } else {
    give_up("control writes|fill|list|fan-out [OPTIONS]");
  }
  return 0;
}

}  // namespace
}  // namespace gantry::bench

int main(int count, char** words) { return gantry::bench::run({words + 1, words + count}); }
