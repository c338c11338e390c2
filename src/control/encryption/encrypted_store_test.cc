// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/encrypted_store.h"

#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

class EncryptedStoreTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const ValueKeys> keys(std::string_view name, bool with_identity) {
    std::vector<ValueKeys::Key> all = {
        {"k8s:enc:aesgcm:v1:" + std::string(name) + ":", *make_cipher(CipherKind::kAesGcm, std::string(32, name[0]))}};
    if (with_identity) all.push_back({});
    return std::make_shared<const ValueKeys>(std::move(all));
  }
  std::unique_ptr<Store> plain() { return std::move(*SqliteStore::open(path_)); }
  std::unique_ptr<EncryptedStore> encrypted(bool with_identity = false) {
    return std::make_unique<EncryptedStore>(plain(), std::vector<EncryptedPrefix>{{"/s/", keys("a", with_identity)}});
  }

  Loop loop_;
  TemporaryFolder folder_;
  std::string path_ = folder_ / "control.db";
};

TEST_F(EncryptedStoreTest, ValuesAreInPlainHereAndEncryptedThere) {
  {
    std::unique_ptr<Store> store = encrypted();
    auto watcher = store->watch(loop_, "/", 1);
    auto made = run(loop_, store->write(loop_, update("/s/1", "secret", kAnyRevision)));
    EXPECT_EQ(made->entry->value, "secret");
    EXPECT_EQ(run(loop_, store->write(loop_, update("/t/1", "open", kAnyRevision)))->entry->value, "open");
    EXPECT_EQ(run(loop_, store->write(loop_, update("/s/1", "x", kAbsent)))->entry->value, "secret");
    EXPECT_EQ(run(loop_, store->get(loop_, "/s/1"))->entry->value, "secret");
    EXPECT_EQ(run(loop_, store->list(loop_, {.prefix = "/"}))->entries[0]->value, "secret");
    EXPECT_EQ(run(loop_, watcher->next())->events[0].entry->value, "secret");
  }
  std::unique_ptr<Store> store = plain();
  EXPECT_TRUE(run(loop_, store->get(loop_, "/s/1"))->entry->value.starts_with("k8s:enc:aesgcm:v1:a:"));
  EXPECT_EQ(run(loop_, store->get(loop_, "/t/1"))->entry->value, "open");
}

TEST_F(EncryptedStoreTest, WhatCannotBeReadIsAnErrorOfThatEntryAlone) {
  {
    std::unique_ptr<Store> store = plain();
    run(loop_, store->write(loop_, update("/s/1", "k8s:enc:aesgcm:v1:a:damaged", kAnyRevision)));
  }
  std::unique_ptr<Store> store = encrypted();
  run(loop_, store->write(loop_, update("/s/2", "good", kAnyRevision)));
  auto got = run(loop_, store->get(loop_, "/s/1"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kDataLoss);
  auto listed = run(loop_, store->list(loop_, {.prefix = "/s/"}));
  ASSERT_EQ(listed->entries.size(), 2U);
  EXPECT_EQ(listed->entries[0]->value, "");
  EXPECT_EQ(listed->entries[1]->value, "good");
  EXPECT_FALSE(run(loop_, store->write(loop_, update("/s/1", "x", kAbsent))));
  auto removed = run(loop_, store->write(loop_, Write{.key = "/s/1", .value = std::nullopt, .expected = kAnyRevision}));
  EXPECT_TRUE(removed && removed->done);
}

TEST_F(EncryptedStoreTest, WhatIsInPlainIsNotBelievedWithoutIdentity) {
  run(loop_, plain()->write(loop_, update("/s/1", "planted", kAnyRevision)));
  {
    std::unique_ptr<Store> store = encrypted();
    EXPECT_EQ(run(loop_, store->get(loop_, "/s/1")).error().code(), Code::kDataLoss);
    auto listed = run(loop_, store->list(loop_, {.prefix = "/"}));
    ASSERT_EQ(listed->entries.size(), 1U);
    EXPECT_EQ(listed->entries[0]->value, "");
    auto watcher = store->watch(loop_, "/", 1);
    auto batch = run(loop_, watcher->next());
    ASSERT_EQ(batch->events.size(), 1U);
    EXPECT_EQ(batch->events[0].entry->key, "/s/1");
    EXPECT_EQ(batch->events[0].entry->value, "");
  }
  EXPECT_EQ(run(loop_, encrypted(true)->get(loop_, "/s/1"))->entry->value, "planted");
}

TEST_F(EncryptedStoreTest, WhatWasThereBeforeIsRenewed) {
  for (int i = 0; i < 5; ++i) {
    run(loop_, plain()->write(loop_, update("/s/" + std::to_string(i), "old", kAnyRevision)));
  }
  run(loop_, plain()->write(loop_, update("/t/1", "other", kAnyRevision)));
  {
    std::unique_ptr<EncryptedStore> store = encrypted(true);
    run(loop_, store->write(loop_, update("/s/4", "new", kAnyRevision)));
    EXPECT_EQ(run(loop_, store->renew(loop_)), 4U);
    EXPECT_EQ(run(loop_, store->renew(loop_)), 0U);
    EXPECT_EQ(run(loop_, store->get(loop_, "/s/1"))->entry->value, "old");
  }
  std::unique_ptr<Store> store = plain();
  EXPECT_TRUE(run(loop_, store->get(loop_, "/s/1"))->entry->value.starts_with("k8s:enc:"));
  EXPECT_EQ(run(loop_, store->get(loop_, "/t/1"))->entry->value, "other");
}

}  // namespace
}  // namespace gantry::control
