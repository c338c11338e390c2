// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>

namespace gantry::agent {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class GateTest : public testing::Test, public TokenReviewer, public AccessReviewer {
 protected:
  Task<Result<std::optional<ApiUser>>> review(std::string token) override {
    asked_.push_back("token " + token);
    if (token == "broken") co_return fail(Code::kUnavailable, "nobody answers");
    if (token == "slow") co_await release_.wait();
    if (!token.starts_with("good")) co_return std::optional<ApiUser>();
    co_return ApiUser{.name = "alice", .uid = "1", .groups = {"dev"}, .extra = {}};
  }
  Task<Result<bool>> may(ApiUser user, NodeAction action) override {
    asked_.push_back(user.name + " " + action.verb + " " + action.subresource);
    if (user.name == "unlucky") co_return fail(Code::kUnavailable, "nobody answers");
    co_return rights_.contains(action.subresource);
  }

  static http::Request by_token(std::string token) {
    http::Request request;
    request.method = "GET";
    request.headers = {{"authorization", "Bearer " + token}};
    return request;
  }
  static http::Request by_certificate(std::string name) {
    http::Request request;
    auto certificate = std::make_shared<http::ClientCertificate>();
    certificate->common_name = std::move(name);
    certificate->organizations = {"ops"};
    request.peer.certificate = certificate;
    return request;
  }
  // 200: he may.
  int ask(http::Request request, std::vector<NodeAction> actions = {{"get", "proxy"}}) {
    std::optional<int> status;
    bool is_running = false;
    loop_.spawn([](GateTest& self, http::Request request, std::vector<NodeAction> actions, std::optional<int>& status,
                   bool& is_running) -> Task<> {
      auto refused = co_await self.gate_.refuse(request, actions);
      status = refused ? refused->status : 200;
      self.said_ = refused ? refused->body : "";
      if (is_running) self.loop_.stop();
    }(*this, std::move(request), std::move(actions), status, is_running));
    is_running = !status;
    if (is_running) loop_.run();
    return *status;
  }

  Loop loop_;
  Event release_{loop_};
  std::chrono::steady_clock::time_point now_{};
  std::vector<std::string> asked_;
  std::set<std::string> rights_ = {"proxy"};
  std::string said_;
  Gate gate_{this, this, {}, [this] { return now_; }};
};

TEST_F(GateTest, WhoHasNoNameIsNotLetIn) {
  EXPECT_EQ(ask({}), 401);
  EXPECT_EQ(said_, "Unauthorized\n");
  http::Request basic;
  basic.headers = {{"Authorization", "Basic YTpi"}};
  EXPECT_EQ(ask(basic), 401);
  EXPECT_EQ(ask(by_token(" ")), 401);
  EXPECT_EQ(ask(by_token(std::string(Gate::kMaxToken + 1, 'x'))), 401);
  EXPECT_TRUE(asked_.empty());
  EXPECT_EQ(ask(by_token("bad")), 401);
  EXPECT_THAT(asked_, ElementsAre("token bad"));
}

TEST_F(GateTest, WhoShowsNothingIsAnonymousWhereThatIsTaken) {
  gate_ = Gate{this, this, {.takes_anonymous = true}, [this] { return now_; }};
  EXPECT_EQ(ask({}), 200);
  EXPECT_EQ(ask({}, {{"get", "stats"}}), 403);
  EXPECT_THAT(said_, HasSubstr("user=system:anonymous"));
  EXPECT_THAT(asked_, ElementsAre("system:anonymous get proxy", "system:anonymous get stats"));
  // What is shown has to be good.
  EXPECT_EQ(ask(by_token("bad")), 401);
  http::Request forged;
  forged.peer.certificate_error = "certificate has expired";
  EXPECT_EQ(ask(forged), 401);
}

TEST_F(GateTest, NobodyIsAskedWhereTheRulesSayNo) {
  gate_ = Gate{nullptr, nullptr, {.takes_tokens = false, .asks_for_rights = false}, [this] { return now_; }};
  EXPECT_EQ(ask(by_token("good")), 401);
  EXPECT_EQ(ask({}), 401);
  EXPECT_EQ(ask(by_certificate("bob"), {{"get", "stats"}}), 200);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(GateTest, ACertificateComesBeforeAToken) {
  auto request = by_certificate("admin");
  request.headers = {{"Authorization", "Bearer good"}};
  EXPECT_EQ(ask(request), 200);
  EXPECT_THAT(asked_, ElementsAre("admin get proxy"));
}

TEST_F(GateTest, AnswersAreKeptForTheirTimes) {
  EXPECT_EQ(ask(by_token("good")), 200);
  EXPECT_EQ(ask(by_token("good")), 200);
  EXPECT_THAT(asked_, ElementsAre("token good", "alice get proxy"));
  now_ += 2min;
  EXPECT_EQ(ask(by_token("good")), 200);  // who it is is asked anew, what he may not yet
  EXPECT_EQ(asked_.size(), 3U);
  now_ += 3min;
  EXPECT_EQ(ask(by_token("good")), 200);
  EXPECT_EQ(asked_.size(), 5U);

  asked_.clear();
  EXPECT_EQ(ask(by_token("good"), {{"get", "stats"}}), 403);
  rights_.insert("stats");
  EXPECT_EQ(ask(by_token("good"), {{"get", "stats"}}), 403);
  now_ += 30s;
  EXPECT_EQ(ask(by_token("good"), {{"get", "stats"}}), 200);
  EXPECT_THAT(asked_, ElementsAre("alice get stats", "alice get stats"));
}

TEST_F(GateTest, OneOfTheRightsIsEnoughAndAllAreNamed) {
  EXPECT_EQ(ask(by_certificate("admin"), {{"get", "pods"}, {"get", "proxy"}}), 200);
  rights_.clear();
  EXPECT_EQ(ask(by_certificate("bob"), {{"get", "pods"}, {"get", "proxy"}}), 403);
  EXPECT_EQ(said_, "Forbidden (user=bob, verb=get, resource=nodes, subresource(s)=[pods proxy])\n");
  EXPECT_EQ(ask(by_certificate("bob"), {}), 401);
}

TEST_F(GateTest, WhenNobodyAnswersNothingIsKept) {
  EXPECT_EQ(ask(by_token("broken")), 401);
  EXPECT_EQ(ask(by_token("broken")), 401);
  EXPECT_EQ(asked_.size(), 2U);
  EXPECT_EQ(ask(by_certificate("unlucky")), 500);
  EXPECT_THAT(said_, HasSubstr("Authorization error (user=unlucky"));
  EXPECT_EQ(ask(by_certificate("unlucky")), 500);
  EXPECT_EQ(asked_.size(), 4U);
}

TEST_F(GateTest, InventedTokensPushNoKnownOneOut) {
  EXPECT_EQ(ask(by_token("good")), 200);
  for (std::size_t i = 0; i < Gate::kMaxKept + 1; ++i) EXPECT_EQ(ask(by_token("bad" + std::to_string(i))), 401);
  asked_.clear();
  EXPECT_EQ(ask(by_token("bad" + std::to_string(Gate::kMaxKept))), 401);  // kept, too
  EXPECT_EQ(ask(by_token("good")), 200);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(GateTest, QuestionsUnderWayAreBounded) {
  std::size_t over = 0;
  for (std::size_t i = 0; i < Gate::kMaxAsking; ++i) {
    loop_.spawn([](Loop& loop, Gate& gate, std::size_t& over) -> Task<> {
      auto request = by_token("slow");
      EXPECT_TRUE(co_await gate.refuse(request, {{"get", "proxy"}}));
      ++over;
      if (over == Gate::kMaxAsking) loop.stop();
    }(loop_, gate_, over));
  }
  EXPECT_EQ(ask(by_token("another")), 429);
  EXPECT_EQ(ask(by_certificate("admin")), 200);  // whose rights are another question
  release_.set();
  loop_.run();
  EXPECT_EQ(over, Gate::kMaxAsking);
  EXPECT_EQ(ask(by_token("another")), 401);
}

TEST(AnswerCacheTest, TheOldestGoesFirst) {
  AnswerCache<int, int> cache(2);
  AnswerCache<int, int>::Time now{};
  cache.put(1, 10, now + 1s);
  cache.put(2, 20, now + 1s);
  cache.put(1, 11, now + 2s);
  cache.put(3, 30, now + 1s);
  EXPECT_EQ(cache.find(2, now), nullptr);
  ASSERT_NE(cache.find(1, now), nullptr);
  EXPECT_EQ(*cache.find(1, now), 11);
  EXPECT_EQ(cache.find(3, now + 1s), nullptr);
  EXPECT_EQ(cache.size(), 1U);
}

TEST(ActionsTest, PathsNameTheirSubresources) {
  using Actions = std::vector<NodeAction>;
  EXPECT_EQ(actions_of("GET", "/pods", false), (Actions{{"get", "pods"}, {"get", "proxy"}}));
  EXPECT_EQ(actions_of("GET", "/healthz/ping", false), (Actions{{"get", "healthz"}, {"get", "proxy"}}));
  EXPECT_EQ(actions_of("GET", "/stats/summary", false), (Actions{{"get", "stats"}}));
  EXPECT_EQ(actions_of("GET", "/metrics/cadvisor", false), (Actions{{"get", "metrics"}}));
  EXPECT_EQ(actions_of("GET", "/logs/x", false), (Actions{{"get", "log"}}));
  EXPECT_EQ(actions_of("GET", "/containerLogs/a/b/c", false), (Actions{{"get", "proxy"}}));
  EXPECT_EQ(actions_of("GET", "/statsx", false), (Actions{{"get", "proxy"}}));
  // A WebSocket is a GET, and still goes into the container.
  EXPECT_EQ(actions_of("GET", "/exec/a/b/c", true), (Actions{{"create", "proxy"}}));
  EXPECT_EQ(actions_of("POST", "/exec/a/b/c", true), (Actions{{"create", "proxy"}}));
  EXPECT_TRUE(actions_of("BREW", "/pods", false).empty());
}

}  // namespace
}  // namespace gantry::agent
