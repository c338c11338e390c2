// SPDX-License-Identifier: Apache-2.0
#include "control/identity/key_rotation.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "control/identity/identity_fixture.h"
#include "control/identity/key_files.h"
#include "control/pki/token_keys.h"

namespace gantry::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class KeyRotationTest : public IdentityTest {
 protected:
  std::string folder() const { return root_ / "pki"; }
  std::string text(const std::string& name) const {
    std::ifstream file(root_ / "pki" / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> states(KeyUse use) {
    std::vector<std::string> all;
    Result<std::vector<KeyState>> list = list_keys(folder());
    EXPECT_TRUE(list) << list.error().message();
    if (!list) return all;
    for (const KeyState& each : *list) {
      if (each.use == use) all.emplace_back(each.state);
    }
    return all;
  }
  static bool is_issued(const KeyPair& pair, const Authority& by) {
    return check_certificate(pair.certificate_pem, pair.key_pem, by.certificate_pem()).has_value();
  }
};

bool ok(const Status& status) {
  EXPECT_TRUE(status) << status.error().message();
  return status.has_value();
}

TEST_F(KeyRotationTest, ATokenKeyIsPreparedThenSignsThenTheOldOneIsGone) {
  const ClusterIdentity first = load();
  ASSERT_TRUE(ok(prepare_key(folder(), KeyUse::kToken)));
  ASSERT_TRUE(ok(prepare_key(folder(), KeyUse::kToken)));
  const ClusterIdentity prepared = load();
  EXPECT_EQ(prepared.token_key.pem(), first.token_key.pem());
  EXPECT_EQ(prepared.token_verifiers.size(), 2U);
  EXPECT_THAT(states(KeyUse::kToken), ElementsAre("prepared", "in use"));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kToken)));
  const ClusterIdentity rotated = load();
  EXPECT_EQ(rotated.token_key.public_key(), prepared.token_verifiers[0]);
  EXPECT_THAT(states(KeyUse::kToken), ElementsAre("in use", "trusted"));
  const auto keys = *TokenKeys::make(rotated.token_key, rotated.token_verifiers);
  const auto before = *TokenKeys::make(first.token_key, {});
  EXPECT_TRUE(keys->verify(*before->sign("{}")));
  EXPECT_FALSE(before->verify(*keys->sign("{}")));
  ASSERT_TRUE(ok(retire_keys(folder(), KeyUse::kToken)));
  const ClusterIdentity retired = load();
  EXPECT_THAT(retired.token_verifiers, ElementsAre(rotated.token_key.public_key()));
  ASSERT_TRUE(ok(keys->replace(retired.token_key, retired.token_verifiers)));
  EXPECT_FALSE(keys->verify(*before->sign("{}")));
}

TEST_F(KeyRotationTest, ANewCaIsTrustedThenIssuesThenTheOldOneIsGone) {
  const ClusterIdentity first = load();
  ASSERT_TRUE(ok(prepare_key(folder(), KeyUse::kCa)));
  const ClusterIdentity prepared = load();
  EXPECT_EQ(prepared.authority.certificate_pem(), first.authority.certificate_pem());
  EXPECT_EQ(prepared.serving, first.serving);
  EXPECT_THAT(states(KeyUse::kCa), ElementsAre("prepared", "in use"));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
  const ClusterIdentity rotated = load();
  EXPECT_THAT(states(KeyUse::kCa), ElementsAre("in use", "trusted"));
  EXPECT_EQ(rotated.trusted_pem, rotated.authority.certificate_pem() + first.authority.certificate_pem());
  for (const KeyPair* pair : {&rotated.serving, &rotated.node_client, &rotated.admin}) {
    EXPECT_TRUE(is_issued(*pair, rotated.authority));
    EXPECT_FALSE(is_issued(*pair, first.authority));
    // Behind it the CA's certificate by the older one.
    const auto chain = *split_certificates(pair->certificate_pem);
    ASSERT_EQ(chain.size(), 2U);
    EXPECT_TRUE(is_issuer(chain[1], chain[0]));
    EXPECT_TRUE(is_issuer(first.authority.certificate_pem(), chain[1]));
    EXPECT_TRUE(check_certificate(chain[1], rotated.authority.key().pem(), first.authority.certificate_pem()));
  }
  ASSERT_TRUE(ok(retire_keys(folder(), KeyUse::kCa)));
  const ClusterIdentity retired = load();
  EXPECT_EQ(retired.trusted_pem, rotated.authority.certificate_pem());
  EXPECT_EQ(split_certificates(retired.serving.certificate_pem)->size(), 1U);
}

TEST_F(KeyRotationTest, TwoRotationsMakeAChainToTheFirstOne) {
  const ClusterIdentity first = load();
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
  const auto chain = *split_certificates(load().serving.certificate_pem);
  ASSERT_EQ(chain.size(), 3U);
  EXPECT_TRUE(is_issuer(chain[1], chain[0]) && is_issuer(chain[2], chain[1]));
  EXPECT_TRUE(is_issuer(first.authority.certificate_pem(), chain[2]));
  EXPECT_THAT(states(KeyUse::kCa), ElementsAre("in use", "trusted", "trusted"));
}

// What a step of a rotation has written when it is killed, in the order in which it writes.
TEST_F(KeyRotationTest, WhatIsLeftOfARotationIsTheStateBeforeItAndIsGoneOnWith) {
  const ClusterIdentity first = load();
  fs::copy(folder(), root_ / "before");
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kToken)));
  fs::copy(folder(), root_ / "after");
  const std::vector<std::pair<const char*, const char*>> steps = {{"ca.key", "ca-next.key"},
                                                                  {"ca.crt", "ca.crt"},
                                                                  {"ca-chain.crt", "ca-chain.crt"},
                                                                  {"sa.key", "sa-next.key"},
                                                                  {"sa.pub", "sa.pub"}};
  for (std::size_t written = 1; written <= steps.size(); ++written) {
    SCOPED_TRACE(written);
    fs::remove_all(folder());
    fs::copy(root_ / "before", folder());
    for (std::size_t i = 0; i < written; ++i) {
      fs::copy_file(root_ / "after" / steps[i].first, fs::path(folder()) / steps[i].second,
                    fs::copy_options::overwrite_existing);
    }
    const ClusterIdentity killed = load();
    EXPECT_EQ(killed.serving, first.serving);
    EXPECT_EQ(killed.token_key.pem(), first.token_key.pem());
    ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
    ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kToken)));
    const ClusterIdentity rotated = load();
    EXPECT_TRUE(is_issued(rotated.serving, rotated.authority));
    EXPECT_THAT(states(KeyUse::kCa), ElementsAre("in use", "trusted"));
    EXPECT_THAT(states(KeyUse::kToken), ElementsAre("in use", "trusted"));
    EXPECT_EQ(split_certificates(rotated.serving.certificate_pem)->size(), 2U);
    EXPECT_FALSE(fs::exists(fs::path(folder()) / kCaNextKey) || fs::exists(fs::path(folder()) / kTokenNextKey));
  }
}

TEST_F(KeyRotationTest, AGivenCaIsTakenWithThoseThatSignedIt) {
  const ClusterIdentity first = load();
  const Authority root = *Authority::make("company", std::chrono::hours(1000));
  const Authority own = *Authority::make("cluster", std::chrono::hours(1000));
  const std::string certificate = *root.vouch_for(own);
  ASSERT_TRUE(ok(prepare_key(folder(), KeyUse::kCa, KeyPair{certificate + root.certificate_pem(), own.key().pem()})));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
  EXPECT_EQ(load().authority.certificate_pem(), certificate);
  ASSERT_TRUE(ok(retire_keys(folder(), KeyUse::kCa)));
  EXPECT_EQ(load().trusted_pem, certificate + root.certificate_pem());
}

TEST_F(KeyRotationTest, AWrongCaIsRefusedInOneSentence) {
  EXPECT_THAT(rotate_key(folder(), KeyUse::kCa).error().message(),
              HasSubstr("the first start of gantry-control makes it"));
  const ClusterIdentity first = load();
  const Authority other = *Authority::make("other", std::chrono::hours(1000));
  const Authority ended = *Authority::make("ended", std::chrono::minutes(-30));
  const auto prepare = [this](const std::string& certificate, const std::string& key) {
    Status done = prepare_key(folder(), KeyUse::kCa, KeyPair{certificate, key});
    return done ? std::string() : done.error().message();
  };
  EXPECT_THAT(prepare(other.certificate_pem(), ended.key().pem()), HasSubstr("has another key than this"));
  EXPECT_THAT(prepare(ended.certificate_pem(), ended.key().pem()), HasSubstr("has ended at 2"));
  EXPECT_THAT(prepare(first.admin.certificate_pem, first.admin.key_pem), HasSubstr("is not one of an authority"));
  EXPECT_THAT(prepare(first.authority.certificate_pem(), first.authority.key().pem()), HasSubstr("in use already"));
  EXPECT_EQ(text(kCaCertificates), first.trusted_pem);
  EXPECT_FALSE(fs::exists(fs::path(folder()) / kCaNextKey));
}

TEST_F(KeyRotationTest, AnEndedCaStartsNothing) {
  load();
  const Authority ended = *Authority::make("ended", std::chrono::minutes(-30));
  std::ofstream(root_ / "pki/ca.crt") << ended.certificate_pem();
  std::ofstream(root_ / "pki/ca.key") << ended.key().pem();
  const Result<ClusterIdentity> identity = load_identity(options_);
  ASSERT_FALSE(identity);
  EXPECT_THAT(identity.error().message(), HasSubstr("ca.crt: CA: its certificate has ended at 2"));
}

TEST_F(KeyRotationTest, AnEndedCaIsReplaced) {
  load();
  const Authority ended = *Authority::make("ended", std::chrono::minutes(-30));
  std::ofstream(root_ / "pki/ca.crt") << ended.certificate_pem();
  std::ofstream(root_ / "pki/ca.key") << ended.key().pem();
  EXPECT_THAT(states(KeyUse::kCa), ElementsAre("in use"));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
  const ClusterIdentity rotated = load();
  EXPECT_TRUE(is_issued(rotated.serving, rotated.authority));
  ASSERT_TRUE(ok(retire_keys(folder(), KeyUse::kCa)));
  EXPECT_EQ(load().trusted_pem, rotated.authority.certificate_pem());
}

TEST_F(KeyRotationTest, AnOldCaOfTheSameNameIsRetired) {
  load();
  const Authority given = *Authority::make("kubernetes", std::chrono::hours(1000));
  ASSERT_TRUE(ok(prepare_key(folder(), KeyUse::kCa, KeyPair{given.certificate_pem(), given.key().pem()})));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kCa)));
  ASSERT_TRUE(ok(retire_keys(folder(), KeyUse::kCa)));
  EXPECT_EQ(load().trusted_pem, given.certificate_pem());
}

TEST_F(KeyRotationTest, WhatCannotBeReadAgainIsNotWritten) {
  load();
  Status done;
  int rotations = 0;
  for (; done && rotations < 200; ++rotations) done = rotate_key(folder(), KeyUse::kToken);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("too many keys are trusted: keys retire token"));
  EXPECT_EQ(load().token_verifiers.size(), static_cast<std::size_t>(rotations));
  ASSERT_TRUE(ok(retire_keys(folder(), KeyUse::kToken)));
  ASSERT_TRUE(ok(rotate_key(folder(), KeyUse::kToken)));
}

TEST_F(KeyRotationTest, AKeyThatWasTakenAwaySignsNothingMore) {
  const ClusterIdentity first = load();
  fs::remove(root_ / "pki/sa.key");
  const ClusterIdentity second = load();
  EXPECT_THAT(second.token_verifiers, ElementsAre(second.token_key.public_key()));
  EXPECT_FALSE(second.token_key.public_key() == first.token_key.public_key());
}

TEST_F(KeyRotationTest, WhoRunsMakesNoCaAndNoKey) {
  load();
  options_.make_missing = false;
  EXPECT_TRUE(load_identity(options_));
  fs::remove(root_ / "pki/sa.key");
  EXPECT_FALSE(load_identity(options_));
  EXPECT_FALSE(fs::exists(root_ / "pki/sa.key"));
  options_.make_missing = true;
  load();
  options_.make_missing = false;
  fs::remove(root_ / "pki/ca.crt");
  EXPECT_FALSE(load_identity(options_));
}

}  // namespace
}  // namespace gantry::control
