// SPDX-License-Identifier: Apache-2.0
#include "agent/token_manager.h"

#include <gtest/gtest.h>

#include "agent/cluster.h"
#include "agent/fake_api.h"
#include "http/base64url.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

std::string jwt(const std::string& claims) { return "e30." + http::base64url(claims) + ".c2ln"; }

class TokenManagerTest : public testing::Test {
 protected:
  TokenManagerTest() {
    auto pod = std::make_shared<core::Pod>();
    pod->mutable_metadata()->set_name("web");
    pod->mutable_metadata()->set_namespace_("default");
    pod->mutable_metadata()->set_uid("u1");
    pod->mutable_spec()->set_service_account_name("robot");
    pod_ = pod;
    source_.set_audience("vault");
    source_.set_expiration_seconds(3600);
    api_.token_time = now_;
  }
  Result<ServiceAccountToken> get() {
    std::optional<Result<ServiceAccountToken>> seen;
    loop_.spawn([](TokenManagerTest& self, std::optional<Result<ServiceAccountToken>>& out) -> Task<> {
      auto token = co_await self.tokens_.get(self.pod_, self.source_);
      out = std::move(token);
      self.loop_.stop();
    }(*this, seen));
    while (!seen) loop_.run();
    return *seen;
  }
  std::string text() {
    auto token = get();
    return token ? token->text : token.error().message();
  }
  void pass(std::int64_t seconds) { api_.token_time = now_ += seconds; }

  std::int64_t now_ = 1'800'000'000;
  Loop loop_;
  FakeApi api_{loop_};
  Cluster cluster_{loop_, api_, "node"};
  TokenManager tokens_{cluster_.client(), [this] { return now_; }};
  std::shared_ptr<const core::Pod> pod_;
  core::ServiceAccountTokenProjection source_;
};

TEST_F(TokenManagerTest, ATokenIsBoundToItsPodAndUsedUntilAFifthOfItsLifeIsLeft) {
  auto first = get();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->text, "TOKEN-1 for vault");
  EXPECT_GE(first->refresh_at, now_ + 2880 - 10);
  EXPECT_LE(first->refresh_at, now_ + 2880);
  const auto& spec = *api_.token_requests.at(0).find("spec");
  EXPECT_EQ(spec.find("boundObjectRef")->text_at("kind") + spec.find("boundObjectRef")->text_at("name") +
                spec.find("boundObjectRef")->text_at("uid"),
            "Podwebu1");
  EXPECT_EQ(spec.find("expirationSeconds")->as_int64(), 3600);
  EXPECT_EQ(api_.calls.at(0), "POST /api/v1/namespaces/default/serviceaccounts/robot/token");
  pass(2800);
  EXPECT_EQ(text(), "TOKEN-1 for vault");
  pass(100);
  EXPECT_EQ(text(), "TOKEN-2 for vault");
  source_.set_audience("");
  EXPECT_EQ(text(), "TOKEN-3 for ");
  EXPECT_TRUE(api_.token_requests.at(2).find("spec")->list_at("audiences").empty());
}

TEST_F(TokenManagerTest, AClockThatIsAheadDoesNotMakeItAskAllTheTime) {
  now_ += 2 * 3600;  // the server's is not
  for (int i = 0; i < 3; ++i) {
    auto token = get();
    ASSERT_TRUE(token);
    EXPECT_GT(token->refresh_at, now_);
  }
  EXPECT_EQ(api_.calls.size(), 1U);
}

TEST_F(TokenManagerTest, ALongOneIsUsedForADay) {
  source_.set_expiration_seconds(30 * 24 * 3600);
  EXPECT_EQ(text(), "TOKEN-1 for vault");
  pass(24 * 3600 - 20);
  EXPECT_EQ(text(), "TOKEN-1 for vault");
  pass(21);
  EXPECT_EQ(text(), "TOKEN-2 for vault");
}

TEST_F(TokenManagerTest, TheOldOneIsUsedToItsEndWhileTheServerIsAway) {
  EXPECT_EQ(text(), "TOKEN-1 for vault");
  api_.set_away(true);
  pass(3000);
  auto kept = get();
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->text, "TOKEN-1 for vault");
  EXPECT_GT(kept->refresh_at, now_);
  pass(600);
  EXPECT_FALSE(get());
  api_.set_away(false);
  EXPECT_EQ(text(), "TOKEN-2 for vault");
}

TEST_F(TokenManagerTest, OneOfBeforeIsUsedUnlessItIsTooOld) {
  const std::string good = jwt(R"({"iat": 1800000000, "exp": 1800003600})");
  tokens_.adopt(*pod_, source_, good);
  tokens_.adopt(*pod_, source_, jwt(R"({"iat": 1700000000, "exp": 1700003600})"));
  tokens_.adopt(*pod_, source_, "nonsense");
  EXPECT_EQ(text(), good);
  pass(3000);
  EXPECT_EQ(text(), "TOKEN-1 for vault");
  tokens_.forget("u1");
  EXPECT_EQ(text(), "TOKEN-2 for vault");
}

TEST(TokenTimes, AreWhatTheTokenSays) {
  const auto times = times_of_token(jwt(R"({"iat": 5, "exp": 31536005, "kubernetes.io": {"warnafter": 3612}})"));
  ASSERT_TRUE(times);
  EXPECT_EQ(times->issued, 5);
  EXPECT_EQ(times->expires, 3612);
  for (const char* claims : {"", "[]", "{}", R"({"iat": 5})", R"({"iat": 5, "exp": 5})", R"({"iat": "5", "exp": "7"})",
                             R"({"iat": -1, "exp": 7})", "{\"iat\""}) {
    EXPECT_FALSE(times_of_token(jwt(claims))) << claims;
  }
  for (const char* token : {"", ".", "..", "a.b", "e30.!!.x"}) EXPECT_FALSE(times_of_token(token)) << token;
  EXPECT_FALSE(times_of_token(std::string(kMaxToken + 1, '.')));
}

}  // namespace
}  // namespace gantry::agent
