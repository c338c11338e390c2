// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "api/json.h"
#include "api/kinds/all.h"
#include "control/audit/audit_log.h"
#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

RequestFacts facts_of(std::string method, std::string path, std::string user = "jane") {
  RequestFacts facts;
  facts.id = "the-id";
  facts.info = *parse_request_info(method, path);
  facts.sender = User{.name = std::move(user), .groups = {"dev", "system:authenticated"}};
  facts.acting = facts.sender;
  return facts;
}

AuditPolicy policy_of(std::string_view text) {
  Result<AuditPolicy> policy = AuditPolicy::parse(text);
  EXPECT_TRUE(policy) << (policy ? "" : policy.error().message());
  return policy ? std::move(*policy) : AuditPolicy::standard();
}

constexpr char kPolicy[] = R"(
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: [watch]
  resources:
  - {group: "", resources: [endpoints, services]}
- level: None
  userGroups: ["system:authenticated"]
  nonResourceURLs: ["/api*", "/version"]
- level: Request
  resources: [{group: "", resources: [configmaps], resourceNames: [one]}]
  namespaces: [kube-system]
  omitStages: [ResponseComplete]
- level: Metadata
  resources: [{group: "", resources: ["pods/*", "*/scale"]}]
- level: RequestResponse
  omitManagedFields: true
)";

TEST(AuditPolicy, TheFirstRuleThatMatchesDecides) {
  const AuditPolicy policy = policy_of(kPolicy);
  const auto level = [&](std::string method, std::string path, std::string user = "jane") {
    return to_string(policy.decide(facts_of(method, path, user)).level);
  };
  EXPECT_EQ(level("GET", "/api/v1/services?watch=1", "system:kube-proxy"), "None");
  EXPECT_EQ(level("GET", "/api/v1/services", "system:kube-proxy"), "RequestResponse");
  EXPECT_EQ(level("GET", "/api"), "None");
  EXPECT_EQ(level("GET", "/version"), "None");
  EXPECT_EQ(level("GET", "/versions"), "RequestResponse");
  EXPECT_EQ(level("GET", "/api/v1/namespaces/kube-system/configmaps/one"), "Request");
  EXPECT_EQ(level("GET", "/api/v1/namespaces/kube-system/configmaps/two"), "RequestResponse");
  EXPECT_EQ(level("GET", "/api/v1/namespaces/default/configmaps/one"), "RequestResponse");
  EXPECT_EQ(level("GET", "/api/v1/namespaces/default/pods/p/log"), "Metadata");
  EXPECT_EQ(level("GET", "/api/v1/namespaces/default/pods/p"), "Metadata");  // as upstream reads pods/*
  EXPECT_EQ(level("PUT", "/api/v1/namespaces/default/replicationcontrollers/r/scale"), "Metadata");
  const AuditDecision decision = policy.decide(facts_of("GET", "/api/v1/namespaces/kube-system/configmaps/one"));
  EXPECT_TRUE(decision.omits(AuditStage::kRequestReceived));
  EXPECT_TRUE(decision.omits(AuditStage::kResponseComplete));
  EXPECT_FALSE(decision.omits(AuditStage::kResponseStarted));
  EXPECT_TRUE(policy.decide(facts_of("GET", "/api/v1/nodes")).omits_managed_fields);
}

TEST(AuditPolicy, SecretsAreRecordedWithoutBodiesUnlessARuleNamesThem) {
  constexpr char kAll[] = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse}]}";
  constexpr char kNamed[] =
      "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse, resources: [{resources: "
      "[secrets]}]}]}";
  const RequestFacts secret = facts_of("GET", "/api/v1/namespaces/default/secrets/s");
  EXPECT_EQ(policy_of(kAll).decide(secret).level, AuditLevel::kMetadata);
  EXPECT_EQ(policy_of(kNamed).decide(secret).level, AuditLevel::kRequestResponse);
  const RequestFacts token = facts_of("POST", "/api/v1/namespaces/default/serviceaccounts/s/token");
  EXPECT_EQ(policy_of(kAll).decide(token).level, AuditLevel::kMetadata);
  EXPECT_EQ(policy_of(kNamed).decide(token).level, AuditLevel::kNone);
}

TEST(AuditPolicy, WhatIsWrongIsNamed) {
  const auto error = [](std::string_view text) {
    Result<AuditPolicy> policy = AuditPolicy::parse(text);
    return policy ? std::string() : policy.error().message();
  };
  EXPECT_NE(error("{}").find("audit.k8s.io/v1"), std::string::npos);
  const std::string head = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: ";
  EXPECT_NE(error(head + "[]}").find("at least one rule"), std::string::npos);
  EXPECT_NE(error(head + "[{level: All}]}").find("level"), std::string::npos);
  EXPECT_NE(error(head + "[{level: None, uzers: [a]}]}").find("\"uzers\""), std::string::npos);
  EXPECT_NE(error(head + "[{level: None, namespaces: [a], nonResourceURLs: [/a]}]}").find("nonResourceURLs"),
            std::string::npos);
  EXPECT_NE(error(head + "[{level: None, omitStages: [Never]}]}").find("stage"), std::string::npos);
}

class AuditLogTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "audit.log"; }
  std::vector<api::Value> events() const {
    std::vector<api::Value> all;
    std::ifstream file(path());
    for (std::string line; std::getline(file, line);) {
      Result<api::Value> value = api::parse_json(line);
      EXPECT_TRUE(value) << line;
      if (value) all.push_back(std::move(*value));
    }
    return all;
  }
  std::string text(const api::Value& value, std::initializer_list<const char*> path) {
    const api::Value* at = &value;
    for (const char* step : path) at = at == nullptr ? nullptr : at->find(step);
    if (at == nullptr) return "";
    return at->as_string() != nullptr ? *at->as_string() : api::write_json(*at);
  }

  Loop loop_;
  TemporaryFolder folder_;
  const api::Kinds kinds_{api::all_kinds()};
};

TEST_F(AuditLogTest, AnEventTellsWhoAskedWhatAndWhatCameOfIt) {
  {
    auto file = AuditFile::open({.path = path()});
    ASSERT_TRUE(file);
    AuditLog log(policy_of("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse, "
                           "omitManagedFields: true}]}"),
                 **file, [] { return api::Timestamp{1'800'000'000, 5000}; });
    RequestFacts facts = facts_of("POST", "/api/v1/namespaces/default/configmaps");
    recognize(kinds_, &facts);
    const http::Request request{.method = "POST",
                                .target = "/api/v1/namespaces/default/configmaps",
                                .headers = {{"User-Agent", "test/1"}, {"Content-Type", "application/yaml"}},
                                .body = "metadata: {name: a}\n",
                                .peer = {.address = "192.0.2.1"}};
    auto audited = run(loop_, log.begin(loop_, request, facts));
    ASSERT_TRUE(audited);
    facts.decision = "allow";
    facts.reason = "he may";
    facts.made = "a";
    facts.acting->name = "joe";
    http::Response response{.status = 201, .headers = {{"Content-Type", "application/json"}}};
    response.body = R"({"kind":"ConfigMap","metadata":{"name":"a","managedFields":[{"manager":"m"}]}})";
    const auto answer = [&]() -> Task<int> {
      co_await audited->answered(loop_, facts, response, false);
      co_return 1;
    };
    run(loop_, answer());
  }
  const std::vector<api::Value> all = events();
  ASSERT_EQ(all.size(), 2);
  EXPECT_EQ(text(all[0], {"stage"}), "RequestReceived");
  EXPECT_EQ(text(all[0], {"requestObject"}), "");
  const api::Value& event = all[1];
  EXPECT_EQ(text(event, {"apiVersion"}), "audit.k8s.io/v1");
  EXPECT_EQ(text(event, {"level"}), "RequestResponse");
  EXPECT_EQ(text(event, {"auditID"}), "the-id");
  EXPECT_EQ(text(event, {"stage"}), "ResponseComplete");
  EXPECT_EQ(text(event, {"user", "username"}), "jane");
  EXPECT_EQ(text(event, {"impersonatedUser", "username"}), "joe");
  EXPECT_EQ(text(event, {"sourceIPs"}), R"(["192.0.2.1"])");
  EXPECT_EQ(text(event, {"objectRef", "resource"}), "configmaps");
  EXPECT_EQ(text(event, {"objectRef", "name"}), "a");
  EXPECT_EQ(text(event, {"responseStatus", "code"}), "201");
  EXPECT_EQ(text(event, {"requestObject"}), R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(text(event, {"responseObject"}), R"({"kind":"ConfigMap","metadata":{"name":"a"}})");
  EXPECT_EQ(text(event, {"annotations", "authorization.k8s.io/decision"}), "allow");
  EXPECT_EQ(text(event, {"requestReceivedTimestamp"}), "2027-01-15T08:00:00.000005Z");
}

TEST_F(AuditLogTest, WhatARefusedRequestBroughtIsNotRecorded) {
  {
    auto file = AuditFile::open({.path = path()});
    ASSERT_TRUE(file);
    AuditLog log(policy_of("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse}]}"), **file,
                 [] { return api::Timestamp{1'800'000'000, 5000}; });
    const http::Request request{.method = "POST",
                                .target = "/api/v1/namespaces/default/configmaps",
                                .headers = {{"Content-Type", "application/json"}},
                                .body = "{}"};
    for (const char* decision : {"", "forbid", "allow"}) {
      RequestFacts facts = facts_of("POST", request.target);
      recognize(kinds_, &facts);
      const auto answer = [&]() -> Task<int> {
        auto audited = co_await log.begin(loop_, request, facts);
        facts.decision = decision;
        co_await audited->answered(loop_, facts, {.status = facts.decision == "allow" ? 201 : 403}, false);
        co_return 1;
      };
      run(loop_, answer());
    }
  }
  const std::vector<api::Value> all = events();
  ASSERT_EQ(all.size(), 6);
  EXPECT_EQ(all[1].find("requestObject"), nullptr);
  EXPECT_EQ(all[3].find("requestObject"), nullptr);
  EXPECT_EQ(text(all[5], {"requestObject"}), "{}");
}

TEST_F(AuditLogTest, WhoTakesOtherGroupsImpersonatesToo) {
  {
    auto file = AuditFile::open({.path = path()});
    ASSERT_TRUE(file);
    AuditLog log(policy_of("{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: "
                           "Metadata}]}"),
                 **file, [] { return api::Timestamp{1'800'000'000, 5000}; });
    const http::Request request{.method = "GET", .target = "/api/v1/nodes"};
    for (const char* group : {"dev", "system:masters"}) {
      RequestFacts facts = facts_of("GET", request.target);
      facts.acting->groups[0] = group;
      const auto answer = [&]() -> Task<int> {
        auto audited = co_await log.begin(loop_, request, facts);
        co_await audited->answered(loop_, facts, {.status = 200}, false);
        co_return 1;
      };
      run(loop_, answer());
    }
  }
  const std::vector<api::Value> all = events();
  ASSERT_EQ(all.size(), 2);
  EXPECT_EQ(all[0].find("impersonatedUser"), nullptr);
  EXPECT_EQ(text(all[1], {"impersonatedUser", "groups"}), R"(["system:masters","system:authenticated"])");
}

TEST_F(AuditLogTest, AFileThatHasItsSizeIsPutAside) {
  const auto put = [this](AuditFile& file, std::string line) -> Task<int> {
    co_await file.put(loop_, std::move(line));
    co_return 1;
  };
  // Opened anew each time, so that each line is written before the next one.
  for (int i = 0; i < 6; ++i) {
    auto file = AuditFile::open({.path = path(), .max_bytes = 100, .max_backups = 2});
    ASSERT_TRUE(file);
    run(loop_, put(**file, std::string(80, static_cast<char>('a' + i))));
    // Names have milliseconds.
    while (i > 0 && (*file)->written() == 0) std::this_thread::yield();
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(path()).parent_path())) {
    ++files;
    EXPECT_LE(entry.file_size(), 100);
  }
  EXPECT_LE(files, 3);
  EXPECT_GE(files, 2);
  std::ifstream last(path());
  std::string line;
  std::getline(last, line);
  EXPECT_EQ(line, std::string(80, 'f'));
}

TEST_F(AuditLogTest, WhoComesWhenItIsFullWaitsAndLosesNothing) {
  {
    auto file = AuditFile::open({.path = path(), .max_waiting_bytes = 64});
    ASSERT_TRUE(file);
    const auto put_many = [this, &file]() -> Task<int> {
      for (int i = 0; i < 500; ++i) co_await (*file)->put(loop_, std::string(50, 'x'));
      co_return 1;
    };
    run(loop_, put_many());
  }
  std::ifstream file(path());
  int lines = 0;
  for (std::string line; std::getline(file, line);) lines += line == std::string(50, 'x') ? 1 : 0;
  EXPECT_EQ(lines, 500);
}

TEST_F(AuditLogTest, AFileThatIsGoneIsMadeAnewWhenItHasItsSize) {
  {
    auto file = AuditFile::open({.path = path(), .max_bytes = 100});
    ASSERT_TRUE(file);
    const auto put = [this, &file](char letter) -> Task<int> {
      co_await (*file)->put(loop_, std::string(80, letter));
      co_return 1;
    };
    run(loop_, put('a'));
    while ((*file)->written() == 0) std::this_thread::yield();
    std::filesystem::rename(path(), path() + ".1");
    run(loop_, put('b'));
  }
  std::ifstream file(path());
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, std::string(80, 'b'));
}

TEST_F(AuditLogTest, ALineThatBrokeOffIsNotGluedToTheNext) {
  {
    auto file = AuditFile::open({.path = path()});
    ASSERT_TRUE(file);
    const auto put = [this, &file](char letter) -> Task<int> {
      co_await (*file)->put(loop_, std::string(80, letter));
      co_return 1;
    };
    // As a disk that fills up: half of a line finds room.
    auto* handler = ::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit small{.rlim_cur = 40, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    run(loop_, put('a'));
    while ((*file)->lost() == 0) std::this_thread::yield();
    ::setrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, handler);
    run(loop_, put('b'));
  }
  std::ifstream file(path());
  std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text, std::string(40, 'a') + "\n" + std::string(80, 'b') + "\n");
}

TEST_F(AuditLogTest, ALineThatBrokeOffBeforeARestartIsNotGluedToTheFirstNewOne) {
  std::ofstream(path()) << "half";
  {
    auto file = AuditFile::open({.path = path()});
    ASSERT_TRUE(file);
    const auto put = [this, &file]() -> Task<int> {
      co_await (*file)->put(loop_, "{}");
      co_return 1;
    };
    run(loop_, put());
  }
  std::ifstream file(path());
  std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text, "half\n{}\n");
}

TEST_F(AuditLogTest, AFullDiskIsSaidAndCounted) {
  auto file = AuditFile::open({.path = "/dev/full"});
  ASSERT_TRUE(file);
  const auto put = [this, &file]() -> Task<int> {
    co_await (*file)->put(loop_, "{}");
    co_return 1;
  };
  run(loop_, put());
  while ((*file)->lost() == 0) std::this_thread::yield();
  EXPECT_EQ((*file)->written(), 0);
}

}  // namespace
}  // namespace gantry::control
