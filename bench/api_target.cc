// SPDX-License-Identifier: Apache-2.0
#include "bench/api_target.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "api/client/transport.h"
#include "base/text.h"

namespace gantry::bench {

namespace {

std::string read_file(const std::string& path) {
  const std::ifstream file(path);
  if (!file) give_up(path + " can't be read");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

Loops::Loops(int count) {
  for (int i = 0; i < count; ++i) loops_.push_back(std::make_unique<Loop>());
  for (auto& loop : loops_) threads_.emplace_back([&loop] { loop->run(); });
}

Loops::~Loops() {
  for (auto& loop : loops_) loop->post([&loop] { loop->stop(); });
  for (std::thread& thread : threads_) thread.join();
}

void Loops::run(int count, const std::function<Task<>(Loop&, int)>& make) {
  std::atomic<int> left = count;
  const auto follow = [&left](Task<> task) -> Task<> {
    co_await task;
    left -= 1;
    left.notify_all();
  };
  for (int i = 0; i < count; ++i) {
    Loop& loop = (*this)[i];
    loop.post([&, i] { loop.spawn(follow(make(loop, i))); });
  }
  for (int now = left; now > 0; now = left) left.wait(now);
}

std::string option(const std::vector<std::string>& words, std::string_view name, std::string_view fallback) {
  const auto found = std::ranges::find(words, name);
  return found == words.end() || found + 1 == words.end() ? std::string(fallback) : *(found + 1);
}

int option(const std::vector<std::string>& words, std::string_view name, int fallback) {
  const std::string text = option(words, name, "");
  return text.empty() ? fallback : std::atoi(text.c_str());
}

ApiTarget ApiTarget::parse(const std::vector<std::string>& words) {
  const std::string url = option(words, "--url", "");
  const std::string ca = option(words, "--ca", "");
  const std::string certificate = option(words, "--cert", "");
  const std::string key = option(words, "--key", "");
  constexpr std::string_view kScheme = "https://";
  const std::size_t colon = url.rfind(':');
  if (!url.starts_with(kScheme) || colon < kScheme.size() || ca.empty() || certificate.empty() || key.empty()) {
    give_up("needs --url https://ADDRESS:PORT --ca FILE --cert FILE --key FILE");
  }
  ApiTarget target;
  target.client.host = url.substr(kScheme.size(), colon - kScheme.size());
  std::from_chars(url.data() + colon + 1, url.data() + url.size(), target.client.port);
  target.client.tls = must(http::TlsClient::make(
      {.ca_pem = read_file(ca), .certificate_pem = read_file(certificate), .key_pem = read_file(key)}));
  return target;
}

Task<http::Response> call(http::Client& client, std::string method, std::string target, std::string body,
                          std::string type, std::string accept) {
  http::ClientRequest request{.method = std::move(method), .target = std::move(target)};
  request.headers = {{"Accept", std::move(accept)}};
  if (!body.empty()) request.headers.emplace_back("Content-Type", std::move(type));
  request.body = std::move(body);
  co_return must(co_await client.send(std::move(request)));
}

Task<http::Response> call_for(http::Client& client, std::vector<int> statuses, std::string method, std::string target,
                              std::string body, std::string type, std::string accept) {
  http::Response response = co_await call(client, method, target, std::move(body), std::move(type), std::move(accept));
  if (std::ranges::find(statuses, response.status) == statuses.end()) {
    give_up(cat(method, " ", target, ": ", response.status, " ", response.body_bytes().substr(0, 1000)));
  }
  co_return response;
}

Task<> follow_lines(http::Client& client, std::string target, std::function<bool(std::string_view line)> take) {
  http::ClientRequest request{.target = std::move(target)};
  request.headers = {{"Accept", "application/json"}};
  http::StreamedResponse response = must(co_await client.open(std::move(request)));
  if (response.status != 200) give_up(cat("a watch is answered with ", response.status));
  bool ended = false;
  api::LineSplitter lines([&](std::string_view line) -> Status {
    ended = !take(line);
    if (ended) return fail(Code::kCancelled, "enough");
    return {};
  });
  while (!ended) {
    const Result<std::string> piece = co_await response.body->read();
    if (!piece || piece->empty()) co_return;
    (void)lines.add(*piece);
  }
}

std::string pod_json(std::string_view name, std::string_view node, std::string_view ns) {
  const std::string place = node.empty() ? std::string() : cat(R"("nodeName":")", node, R"(",)");
  return cat(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")", name, R"(","namespace":")", ns,
      R"(","labels":{"app":"web","pod-template-hash":"6d4cf56db6","tier":"frontend"},)",
      R"("annotations":{"example.com/revision":"17","example.com/owner":"team-web"}},"spec":{)", place,
      R"("automountServiceAccountToken":false,"terminationGracePeriodSeconds":30,"containers":[{"name":"web",)",
      R"("image":"registry.example.com/team/web:1.27.3","ports":[{"name":"http","containerPort":8080}],)",
      R"("env":[{"name":"LOG_LEVEL","value":"info"},{"name":"DATABASE","value":"postgres.db.svc.cluster.local"},)",
      R"({"name":"POD_IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],)",
      R"("resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"256Mi"}},)",
      R"("readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":5},)",
      R"("volumeMounts":[{"name":"cache","mountPath":"/cache"}]}],"volumes":[{"name":"cache","emptyDir":{}}]}})");
}

double own_cpu() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double cpu_of(const std::vector<std::string>& words) {
  double seconds = 0;
  std::istringstream pids(option(words, "--pids", ""));
  for (std::string pid; std::getline(pids, pid, ',');) {
    // What is behind the name, which may have spaces: utime and stime are its 12th and 13th words.
    const std::string text = read_file(cat("/proc/", pid, "/stat"));
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    seconds += (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  return seconds;
}

void Clocks::add(const std::string& name, std::int64_t nanoseconds) {
  const std::lock_guard lock(mutex_);
  auto found = std::ranges::find(times_, name, &std::pair<std::string, Times>::first);
  if (found == times_.end()) found = times_.insert(times_.end(), {name, {}});
  found->second.push_back(nanoseconds);
}

Times Clocks::of(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(times_, name, &std::pair<std::string, Times>::first);
  return found == times_.end() ? Times() : found->second;
}

std::vector<std::string> Clocks::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, times] : times_) names.push_back(name);
  return names;
}

void Clocks::clear() {
  const std::lock_guard lock(mutex_);
  times_.clear();
}

}  // namespace gantry::bench
