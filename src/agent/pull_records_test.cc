// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "agent/pool_tools.h"

namespace gantry::agent {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;
using testing::HasSubstr;
using testing::Not;
using Use = PullRecords::Use;

constexpr char kImage[] = "registry.example/team/app:1";

PullCredentials shown(const std::string& password, const std::string& secret = "keys", const std::string& ns = "a") {
  return {{.username = "me", .password = password, .identity_token = {}, .registry_token = {}},
          {{"uid-" + ns + secret, ns, secret}}};
}

class PullRecordsTest : public testing::Test {
 protected:
  PullRecordsTest() {
    char name[] = "/tmp/gantry-pull-records-XXXXXX";
    folder_ = ::mkdtemp(name);
    restart();
  }
  ~PullRecordsTest() override {
    finish(disk_, 1);
    std::filesystem::remove_all(folder_);
  }
  // As an agent that is killed and started anew.
  void restart(PullVerification rules = {}) {
    records_ = std::make_unique<PullRecords>(loop_, disk_, folder_ + "/image_manager", rules);
    run([this]() -> Task<> {
      auto loaded = co_await records_->load();
      EXPECT_TRUE(loaded) << loaded.error().message();
    });
  }
  void run(std::function<Task<>()> work) {
    loop_.spawn([](Loop& loop, std::function<Task<>()> work) -> Task<> {
      co_await work();
      loop.stop();
    }(loop_, std::move(work)));
    loop_.run();
  }
  void pull(PullCredentials by, const std::string& image = kImage) {
    run([&]() -> Task<> {
      EXPECT_TRUE(co_await records_->begin(image));
      co_await records_->succeeded(image, "id1", by);
    });
  }
  bool is_good(std::vector<PullCredentials> all) {
    bool good = false;
    run([&]() -> Task<> { good = co_await records_->is_good(kImage, "id1", all); });
    return good;
  }
  std::string files() const {
    std::ostringstream text;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) text << entry.path().string() << " " << std::ifstream(entry.path()).rdbuf() << "\n";
    }
    return text.str();
  }

  Loop loop_;
  Pool disk_{loop_, 1};
  std::string folder_;
  std::unique_ptr<PullRecords> records_;
};

TEST_F(PullRecordsTest, WhatOneSecretPulledIsForThoseWhoShowIt) {
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kFree);  // others have brought it
  pull(shown("sesame"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kSecretDecides);
    EXPECT_FALSE(is_good({}));
    EXPECT_FALSE(is_good({shown("wrong", "other")}));
    EXPECT_TRUE(is_good({shown("wrong", "other"), shown("sesame", "copy", "b")}));  // the same credentials
    EXPECT_EQ(records_->use_of("elsewhere.example/app", "id1"), Use::kNot);         // by another name
    restart();
  }
  // One that has changed, and what it was is known no more.
  EXPECT_TRUE(is_good({shown("changed")}));
  EXPECT_TRUE(is_good({shown("changed", "other", "c")}));
  EXPECT_THAT(files(), Not(HasSubstr("sesame")));
  EXPECT_THAT(files(), HasSubstr(R"("imageRef":"id1")"));
}

TEST_F(PullRecordsTest, WhatTheNodeMayPullIsForAllItsPods) {
  pull(shown("sesame"));
  pull({});
  restart();
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kFree);
}

TEST_F(PullRecordsTest, APullThatWasCutShortIsNoPreloadedImage) {
  run([this]() -> Task<> { EXPECT_TRUE(co_await records_->begin(kImage)); });
  restart();
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kNot);
  // One that fails later says nothing of the one before.
  run([this]() -> Task<> {
    EXPECT_TRUE(co_await records_->begin(kImage));
    co_await records_->failed(kImage);
  });
  restart();
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kNot);
  pull(shown("sesame"));
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kSecretDecides);
}

TEST_F(PullRecordsTest, APullThatFailsLeavesNothing) {
  run([this]() -> Task<> {
    EXPECT_TRUE(co_await records_->begin(kImage));
    EXPECT_TRUE(co_await records_->begin(kImage));
    co_await records_->failed(kImage);
    EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kNot);
    co_await records_->failed(kImage);
  });
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kFree);
  EXPECT_EQ(files(), "");
}

TEST_F(PullRecordsTest, WhatIsGoneIsForgotten) {
  pull(shown("sesame"));
  run([this]() -> Task<> {
    EXPECT_TRUE(co_await records_->begin("gone.example/app"));
    records_->given_up("gone.example/app");
    co_await records_->keep_only({"id1"}, {kImage}, system_clock::now());
    EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kSecretDecides);
    // Just now it may still come.
    EXPECT_EQ(records_->use_of("gone.example/app", "id2"), Use::kNot);
    co_await records_->keep_only({}, {}, system_clock::now() + hours(2));
    EXPECT_EQ(records_->use_of("gone.example/app", "id2"), Use::kFree);
  });
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kFree);
  EXPECT_EQ(files(), "");
}

TEST_F(PullRecordsTest, ARecordThatCannotBeReadLetsNobodyIn) {
  pull({});
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/image_manager/pulled")) {
    std::ofstream(entry.path()) << "{";
  }
  restart();
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kNot);
  pull({});
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kFree);
}

TEST_F(PullRecordsTest, AnIntentThatCannotBeReadIsOne) {
  run([this]() -> Task<> { EXPECT_TRUE(co_await records_->begin(kImage)); });
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/image_manager/pulling")) {
    std::ofstream(entry.path()) << "{";
  }
  restart();
  // One that fails says nothing of the one that was cut short.
  run([this]() -> Task<> {
    EXPECT_TRUE(co_await records_->begin(kImage));
    co_await records_->failed(kImage);
  });
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kNot);
  restart();
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kNot);
  pull({});
  EXPECT_EQ(records_->use_of(kImage, "id1"), Use::kFree);
}

TEST_F(PullRecordsTest, AWriteThatWasCutShortLeavesNothing) {
  pull({});
  const std::string before = files();
  const std::string folder = folder_ + "/image_manager/pulled/";
  std::ofstream(folder + pull_record_file("id2") + ".new") << "{";
  std::ofstream(folder + "others.new") << "";
  restart();
  std::filesystem::remove(folder + "others.new");  // is not ours, and is there
  EXPECT_EQ(files(), before);
}

TEST_F(PullRecordsTest, KubeletsRecordsAreRead) {
  auto record = read_pulled_record(
      R"({"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1alpha1",)"
      R"("lastUpdatedTime":"2024-10-21T12:26:40Z",)"
      R"("imageRef":"i","credentialMapping":{"docker.io/a/b":{)"
      R"("kubernetesSecrets":[{"uid":"u","namespace":"n","name":"s",)"
      R"("credentialHash":"h"}],"kubernetesServiceAccounts":[{"uid":"v","namespace":"n","name":"t"}]},)"
      R"("c.io/d":{"nodePodsAccessible":true}}})");
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->updated, 1729513600);
  EXPECT_EQ(record->names.at("docker.io/a/b").secrets, (std::vector<RecordedSecret>{{{"u", "n", "s"}, "h"}}));
  EXPECT_TRUE(record->names.at("c.io/d").every_pod);
  auto again = read_pulled_record(write_pulled_record(*record));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(write_pulled_record(*again), write_pulled_record(*record));
  EXPECT_THAT(write_pulled_record(*record), HasSubstr("kubernetesServiceAccounts"));
  EXPECT_EQ(*read_pull_intent(write_pull_intent("a:b")), "a:b");
  EXPECT_FALSE(read_pulled_record("{}"));
}

TEST(PullVerification, AsThePolicySays) {
  PullVerification rules{VerificationPolicy::kNever, {}};
  EXPECT_FALSE(rules.asks_for("a.example/b", true));
  rules.policy = VerificationPolicy::kNotOfPreloaded;
  EXPECT_TRUE(rules.asks_for("a.example/b", true));
  EXPECT_FALSE(rules.asks_for("a.example/b", false));
  rules = {VerificationPolicy::kNotOfListed, {"a.example/b", "c.example/team/*"}};
  EXPECT_FALSE(rules.asks_for("a.example/b", true));
  EXPECT_FALSE(rules.asks_for("c.example/team/app", false));
  EXPECT_TRUE(rules.asks_for("c.example/teams", false));
  EXPECT_TRUE(rules.asks_for("a.example/bc", false));
  rules.policy = VerificationPolicy::kAlways;
  EXPECT_TRUE(rules.asks_for("a.example/b", false));
  for (const char* good : {"a.example/b", "a.example/*", "docker.io/library/busybox"}) EXPECT_TRUE(check_listed(good));
  for (const char* bad : {"", "/*", "busybox", "a.example/b:1", "a.example/*/b", "a*/*", " a.example/b"}) {
    EXPECT_FALSE(check_listed(bad)) << bad;
  }
}

}  // namespace
}  // namespace gantry::agent
