// SPDX-License-Identifier: Apache-2.0
// The node API as a whole, over HTTP, with a runtime in memory and log files in a folder.
#include "agent/node_api/node_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/fake_runtime.h"
#include "agent/node_api/health_server.h"
#include "agent/node_api/self_signed.h"
#include "http/listen.h"
#include "http/test_client.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kLine[] = "2026-01-02T03:04:05.000000001Z stdout F ";

class NodeApiTest : public testing::Test, public TokenReviewer, public AccessReviewer {
 protected:
  NodeApiTest() {
    char path[] = "/tmp/gantry-node-api-XXXXXX";
    root_ = ::mkdtemp(path);
    fs::create_directories(root_ + "/shop_web_u1/app");
    add_pod();
    start();
  }
  void start() {
    NodeApiSources sources{
        .runtime = runtime_,
        .images = runtime_,
        .pods = [this] { return pods_; },
        .probes =
            [] {
              return std::vector<CountedProbe>{{"u1", "shop", "web", "app", ProbeKind::kLiveness, {.successful = 1}}};
            },
        .configuration = [] { return R"({"kind":"KubeletConfiguration"})"; },
        .operations = [] { return "kubelet_runtime_operations_total 1\n"; },
        .tokens = this,
        .access = this};
    options_.root_dir = options_.pod_logs_dir = root_;
    api_ = std::make_unique<NodeApi>(loop_, std::move(sources), options_);
    auto listener = http::listen_tcp("127.0.0.1", 0);
    port_ = listener->port;
    api_->serve(std::move(listener->socket), nullptr);
  }
  ~NodeApiTest() override {
    api_.reset();
    fs::remove_all(root_);
  }

  Task<Result<std::optional<ApiUser>>> review(std::string token) override {
    if (token == "no") co_return std::optional<ApiUser>();
    co_return ApiUser{.name = token, .uid = {}, .groups = {}, .extra = {}};
  }
  Task<Result<bool>> may(ApiUser user, NodeAction) override { co_return user.name == "admin"; }

  void add_pod() {
    auto pod = std::make_shared<core::Pod>();
    pod->mutable_metadata()->set_name("web");
    pod->mutable_metadata()->set_namespace_("shop");
    auto status = std::make_shared<core::PodStatus>();
    auto& app = *status->add_container_statuses();
    app.set_name("app");
    app.set_container_id("gantry://c2");
    app.mutable_state()->mutable_running();
    app.mutable_last_state()->mutable_terminated()->set_container_id("gantry://c1");
    auto& waiting = *status->add_container_statuses();
    waiting.set_name("waiting");
    waiting.mutable_state()->mutable_waiting()->set_reason("ContainerCreating");
    pods_ = {{"u1", pod, status}};
    add_container("c1", "0.log", v1::CONTAINER_EXITED);
    add_container("c2", "1.log", v1::CONTAINER_RUNNING);
  }
  void add_container(const std::string& id, const std::string& log, v1::ContainerState state) {
    auto& status = runtime_.containers[id].status;
    status.set_id(id);
    status.set_state(state);
    status.set_log_path(root_ + "/shop_web_u1/app/" + log);
  }
  std::string log_path(const std::string& name) const { return root_ + "/shop_web_u1/app/" + name; }
  void log(const std::string& name, const std::string& text) {
    std::ofstream(log_path(name), std::ios::app) << kLine << text << "\n";
  }

  void with_clients(std::function<void()> clients) {
    std::jthread thread([this, &clients] {
      clients();
      loop_.post([this] { loop_.stop(); });
    });
    loop_.run();
  }
  static std::string request(const std::string& target, const std::string& token = "admin") {
    return "GET " + target + " HTTP/1.1\r\nHost: n\r\nConnection: close\r\nAuthorization: Bearer " + token + "\r\n\r\n";
  }
  std::string get(const std::string& target, const std::string& token = "admin") {
    http::TestClient client(port_);
    client.send(request(target, token));
    return client.rest();
  }
  // Reads on until `text` has come.
  static bool reads(http::TestClient& client, const std::string& text) {
    std::string seen;
    while (seen.find(text) == std::string::npos) {
      std::string byte = client.exactly(1);
      if (byte.empty()) return false;
      seen += byte;
    }
    return true;
  }
  void on_loop(std::function<void()> work) {
    loop_.post([work = std::move(work)] { work(); });
  }

  std::string root_;
  Loop loop_;
  FakeRuntime runtime_{loop_};
  std::vector<PodInfo> pods_;
  NodeApiOptions options_{.node_name = "n1", .root_dir = "", .pod_logs_dir = ""};
  std::unique_ptr<NodeApi> api_;
  std::uint16_t port_ = 0;
};

TEST_F(NodeApiTest, OnlyThoseWithARightAreAnswered) {
  with_clients([this] {
    http::TestClient nobody(port_);
    nobody.send("GET /pods HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(nobody.rest(), StartsWith("HTTP/1.1 401"));
    EXPECT_THAT(get("/pods", "no"), StartsWith("HTTP/1.1 401"));
    EXPECT_THAT(get("/pods", "eve"), StartsWith("HTTP/1.1 403"));
    // Whether there is such a thing is not told either.
    EXPECT_THAT(get("/nothing", "eve"), StartsWith("HTTP/1.1 403"));
    EXPECT_THAT(get("/nothing"), StartsWith("HTTP/1.1 404"));
    EXPECT_THAT(get("/healthz"), HasSubstr("\r\n\r\nok\n"));
  });
}

TEST_F(NodeApiTest, ContainersCanBeClosedToIt) {
  options_.enters_containers = false;
  start();
  with_clients([this] {
    for (const char* path : {"/containerLogs/shop/web/app", "/exec/shop/web/app?command=id", "/attach/shop/web/app",
                             "/portForward/shop/web", "/runningpods/"}) {
      EXPECT_THAT(get(path), testing::AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Debug endpoints are disabled.")));
    }
    EXPECT_THAT(get("/exec/shop/web/app?command=id", "eve"), StartsWith("HTTP/1.1 403"));
    EXPECT_THAT(get("/pods"), StartsWith("HTTP/1.1 200"));
  });
}

TEST_F(NodeApiTest, HealthIsToldToAnybodyOnAPortOfItsOwn) {
  HealthServer health(loop_);
  auto listener = http::listen_tcp("127.0.0.1", 0);
  port_ = listener->port;
  health.serve(std::move(listener->socket));
  with_clients([this] {
    for (const char* path : {"/healthz", "/healthz/ping", "/healthz/syncloop"}) {
      EXPECT_THAT(get(path), testing::AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("\r\n\r\nok"))) << path;
    }
    EXPECT_THAT(get("/pods"), StartsWith("HTTP/1.1 404"));
    EXPECT_THAT(get("/"), StartsWith("HTTP/1.1 404"));
  });
}

TEST_F(NodeApiTest, LongQueriesAreTakenAndEndlessOnesAreNot) {
  with_clients([this] {
    EXPECT_THAT(get("/healthz?a=" + std::string(100'000, 'a')), StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(get("/healthz?a=" + std::string(200'000, 'a')), StartsWith("HTTP/1.1 431"));
  });
}

TEST_F(NodeApiTest, TheNodeIsToldOf) {
  runtime_.has_statistics = false;
  with_clients([this] {
    EXPECT_THAT(get("/pods"), HasSubstr(R"("metadata":{"name":"web","namespace":"shop","uid":"u1")"));
    EXPECT_THAT(get("/configz"), HasSubstr(R"({"kubeletconfig":{"kind":"KubeletConfiguration"}})"));
    EXPECT_THAT(get("/metrics"), HasSubstr("\nkubelet_running_containers{container_state=\"running\"} 1\n"));
    EXPECT_THAT(get("/metrics"), HasSubstr("kubelet_http_requests_total{long_running=\"false\",method=\"GET\",path="
                                           "\"configz\",server_type=\"readwrite\"} 1\n"));
    EXPECT_THAT(get("/metrics"), HasSubstr("\nkubelet_runtime_operations_total 1\n"));
    EXPECT_THAT(get("/metrics/slis"), HasSubstr("\nkubernetes_healthcheck{name=\"ping\",type=\"healthz\"} 1\n"));
    EXPECT_THAT(get("/metrics/probes"), HasSubstr(R"(probe_type="Liveness",result="successful"} 1)"));
    EXPECT_THAT(get("/metrics/resource"), HasSubstr("\nresource_scrape_error 1\n"));
    EXPECT_THAT(get("/stats/summary"), StartsWith("HTTP/1.1 501"));
    EXPECT_THAT(get("/metrics/cadvisor"), StartsWith("HTTP/1.1 501"));
    http::TestClient client(port_);
    client.send("DELETE /pods HTTP/1.1\r\nHost: n\r\nConnection: close\r\nAuthorization: Bearer admin\r\n\r\n");
    EXPECT_THAT(client.rest(), StartsWith("HTTP/1.1 405"));
  });
}

TEST_F(NodeApiTest, LogsAreFound) {
  log("0.log", "before");
  log("1.log", "one");
  log("1.log", "two");
  with_clients([this] {
    EXPECT_THAT(get("/containerLogs/shop/web/app"), HasSubstr("one\ntwo\n"));
    EXPECT_THAT(get("/containerLogs/shop/web/app?tailLines=1"), testing::Not(HasSubstr("one")));
    EXPECT_THAT(get("/containerLogs/shop/web/app?previous=true"), HasSubstr("before\n"));
    EXPECT_THAT(get("/containerLogs/shop/web/app?tailLines=x"), StartsWith("HTTP/1.1 422"));
    EXPECT_THAT(get("/containerLogs/shop/web/other"), StartsWith("HTTP/1.1 404"));
    EXPECT_THAT(get("/containerLogs/shop/other/app"), StartsWith("HTTP/1.1 404"));
    auto waiting = get("/containerLogs/shop/web/waiting");
    EXPECT_THAT(waiting, StartsWith("HTTP/1.1 400"));
    EXPECT_THAT(waiting, HasSubstr("container \"waiting\" in pod \"web\" is waiting to start: ContainerCreating\n"));
    fs::remove(log_path("1.log"));
    fs::create_symlink("/etc/passwd", log_path("1.log"));
    EXPECT_THAT(get("/containerLogs/shop/web/app"), StartsWith("HTTP/1.1 500"));
  });
}

TEST_F(NodeApiTest, AFollowerGoesOnIntoTheNextFileAndEndsWithTheContainer) {
  log("1.log", "first");
  with_clients([this] {
    http::TestClient client(port_);
    client.send(request("/containerLogs/shop/web/app?follow=true"));
    EXPECT_TRUE(reads(client, "first\n"));
    log("1.log", "second");
    EXPECT_TRUE(reads(client, "second\n"));
    fs::rename(log_path("1.log"), log_path("1.log.20260102-030405"));
    log("1.log.20260102-030405", "last of the old");
    log("1.log", "first of the new");
    EXPECT_TRUE(reads(client, "last of the old\n"));
    EXPECT_TRUE(reads(client, "first of the new\n"));
    log("1.log", "last words");
    on_loop([this] {
      runtime_.containers.at("c2").status.set_state(v1::CONTAINER_EXITED);
      runtime_.tell(v1::CONTAINER_STOPPED_EVENT, "c2", "s");
    });
    auto rest = client.rest();
    EXPECT_THAT(rest, HasSubstr("last words\n"));
    EXPECT_THAT(rest, testing::EndsWith("0\r\n\r\n"));
    // Of one that has ended there is nothing to wait for.
    EXPECT_THAT(get("/containerLogs/shop/web/app?follow=true&tailLines=1"), HasSubstr("last words\n"));
  });
}

TEST_F(NodeApiTest, AFollowerThatLeavesIsForgotten) {
  log("1.log", "first");
  with_clients([this] {
    {
      http::TestClient client(port_);
      client.send(request("/containerLogs/shop/web/app?follow=true"));
      EXPECT_TRUE(reads(client, "first\n"));
    }
    // Others are answered, and what it waited for may come.
    log("1.log", "second");
    EXPECT_THAT(get("/containerLogs/shop/web/app"), HasSubstr("second\n"));
  });
}

TEST_F(NodeApiTest, StreamsNeedAnUpgradeAndARuntimeThatHasThem) {
  with_clients([this] {
    EXPECT_THAT(get("/exec/shop/web/app?command=ls&output=1"), StartsWith("HTTP/1.1 400"));
    auto upgrade = [this](const std::string& target) {
      http::TestClient client(port_);
      client.send("POST " + target +
                  " HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer admin\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                  "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n");
      return client.response();
    };
    EXPECT_THAT(upgrade("/exec/shop/web/app?command=ls"), HasSubstr("at least 1 of stdin, stdout, stderr"));
    EXPECT_THAT(upgrade("/exec/shop/web/app?output=1"), HasSubstr("at least 1 command"));
    EXPECT_THAT(upgrade("/exec/shop/web/waiting?command=ls&output=1"), HasSubstr("container not found (\"waiting\")"));
    EXPECT_THAT(upgrade("/exec/shop/web/u2/app?command=ls&output=1"), StartsWith("HTTP/1.1 404"));
    EXPECT_THAT(upgrade("/exec/shop/web/app?command=ls&output=1"), StartsWith("HTTP/1.1 500"));
    EXPECT_THAT(upgrade("/portForward/shop/web"), HasSubstr("not able to find a running sandbox"));
    EXPECT_THAT(upgrade("/portForward/shop/web?port=0"), StartsWith("HTTP/1.1 400"));
  });
}

TEST(SelfSignedTest, ATlsServerTakesIt) {
  auto made = make_self_signed("node-1", {"127.0.0.1", "::1"});
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_TRUE(http::TlsServer::make(*made));
  EXPECT_FALSE(make_self_signed("node\n1", {}));
  EXPECT_FALSE(make_self_signed("node", {"1.2.3.4,DNS:evil"}));
  EXPECT_FALSE(make_self_signed("node", {"nowhere"}));
}

}  // namespace
}  // namespace gantry::agent
