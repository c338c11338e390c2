// SPDX-License-Identifier: Apache-2.0
#include "cri/state_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "cri/boot_records.h"
#include "cri/runtime.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

namespace fs = std::filesystem;

class StateStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-state-store-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }

  template <typename Story>
  void run(Story story) {
    Loop loop;
    auto tables = schemas();
    auto database = db::Database::open(loop, folder_ / "gantry.db", tables);
    ASSERT_TRUE(database) << database.error().message();
    StateStore store(**database);
    loop.spawn([](Loop& l, StateStore& s, Story& tell) -> Task<> {
      co_await tell(l, s);
      l.stop();
    }(loop, store, story));
    loop.run();
  }

  fs::path folder_;
};

void fill(Container& container) {
  container.sandbox_id = "s1";
  container.cgroup = "/pods/s1/c1";
  container.status.set_id("c1");
  container.status.mutable_metadata()->set_name("main");
  container.status.set_exit_code(137);
  container.status.set_finished_at(1234567890123456789);
  (*container.status.mutable_labels())["app"] = "web";
  container.state = ContainerState::kExited;
}

TEST_F(StateStoreTest, RowsComeBackAfterARestart) {
  run([](Loop& loop, StateStore& store) -> Task<> {
    auto rows = co_await store.load();
    EXPECT_TRUE(rows && rows->boot_id.empty() && rows->sandboxes.empty() && rows->containers.empty());
    Sandbox sandbox(loop);
    sandbox.status.set_id("s1");
    sandbox.status.mutable_metadata()->set_attempt(3);
    sandbox.status.mutable_network()->set_ip("10.88.0.2");
    sandbox.cgroup = "/pods/s1";
    EXPECT_TRUE(co_await store.put(sandbox));
    sandbox.state = SandboxState::kReady;
    EXPECT_TRUE(co_await store.put(sandbox)) << "the same row again";
    Container container(loop);
    fill(container);
    EXPECT_TRUE(co_await store.put(container));
    EXPECT_TRUE(co_await store.set_boot_id("one"));
    EXPECT_TRUE(co_await store.set_boot_id("two"));
    EXPECT_TRUE(co_await store.set_network("cni"));
    EXPECT_TRUE(co_await store.set_pod_cidrs({"10.1.0.0/24", "fd00::/64"}));
  });
  run([](Loop&, StateStore& store) -> Task<> {
    auto rows = co_await store.load();
    if (!rows || rows->sandboxes.size() != 1 || rows->containers.size() != 1) {
      ADD_FAILURE() << "one of each";
      co_return;
    }
    EXPECT_EQ(rows->boot_id, "two");
    EXPECT_EQ(rows->network, "cni");
    EXPECT_EQ(rows->pod_cidrs, (std::vector<std::string>{"10.1.0.0/24", "fd00::/64"}));
    EXPECT_EQ(rows->sandboxes[0].state, SandboxState::kReady);
    EXPECT_EQ(rows->sandboxes[0].cgroup, "/pods/s1");
    EXPECT_EQ(rows->sandboxes[0].status.network().ip(), "10.88.0.2");
    EXPECT_EQ(rows->sandboxes[0].status.metadata().attempt(), 3U);
    const auto& container = rows->containers[0];
    EXPECT_EQ(container.state, ContainerState::kExited);
    EXPECT_EQ(container.sandbox_id, "s1");
    EXPECT_EQ(container.status.exit_code(), 137);
    EXPECT_EQ(container.status.finished_at(), 1234567890123456789);
    EXPECT_TRUE(co_await store.erase_container("c1"));
    EXPECT_TRUE(co_await store.erase_sandbox("s1"));
    EXPECT_TRUE(co_await store.erase_sandbox("s1")) << "gone already is fine";
    rows = co_await store.load();
    EXPECT_TRUE(rows && rows->sandboxes.empty() && rows->containers.empty());
  });
}

TEST_F(StateStoreTest, WhatAContainerDiedOfIsReadAgainWhateverItsBytes) {
  run([](Loop& loop, StateStore& store) -> Task<> {
    Container container(loop);
    fill(container);
    container.set_exit(128, "StartError", "exec /caf\xc3\xa9/\xff\xc3: No such file or directory", 1);
    EXPECT_TRUE(co_await store.put(container));
  });
  run([](Loop&, StateStore& store) -> Task<> {
    auto rows = co_await store.load();
    EXPECT_TRUE(rows && rows->unreadable.empty() && rows->containers.size() == 1);
    if (!rows || rows->containers.size() != 1) co_return;
    EXPECT_EQ(rows->containers[0].status.message(), "exec /caf\u00e9/\\xff\\xc3: No such file or directory");
  });
}

TEST_F(StateStoreTest, ADamagedRowIsReportedAndTheOthersAreRead) {
  run([](Loop& loop, StateStore& store) -> Task<> {
    Container container(loop);
    fill(container);
    EXPECT_TRUE(co_await store.put(container));
    container.status.set_id("c2");
    EXPECT_TRUE(co_await store.put(container));
  });
  {
    auto tables = schemas();
    auto connection = db::Connection::open(folder_ / "gantry.db", tables);
    ASSERT_TRUE(connection);
    ASSERT_TRUE(connection->execute("UPDATE cri_containers SET status = x'ffff' WHERE id = 'c1'"));
  }
  run([](Loop&, StateStore& store) -> Task<> {
    auto rows = co_await store.load();
    EXPECT_TRUE(rows && rows->containers.size() == 1 && rows->unreadable.size() == 1);
    if (rows && !rows->unreadable.empty()) {
      EXPECT_NE(rows->unreadable[0].find("c1"), std::string::npos);
    }
  });
}

TEST_F(StateStoreTest, SecretsGoToTheBootsRecordsAndNeverToTheDatabase) {
  constexpr std::string_view kSecret = "c4n4ry-s3cr3t";
  auto boot = sys::open_dir(sys::kCwd, folder_.c_str());
  ASSERT_TRUE(boot);
  ContainerRecord record;
  record.config.mutable_metadata()->set_name("main");
  auto* env = record.config.add_envs();
  env->set_key("TOKEN");
  env->set_value(std::string(kSecret));
  record.image.env = {"PATH=/bin"};
  record.image.entrypoint = {"/bin/sh"};
  record.image.os = "linux";
  record.image.architecture = "amd64";
  ASSERT_TRUE(write_container_record(*boot, "c1", record));
  run([&](Loop& loop, StateStore& store) -> Task<> {
    Container container(loop);
    fill(container);
    container.config = record.config;
    EXPECT_TRUE(co_await store.put(container));
  });
  for (const auto& entry : fs::directory_iterator(folder_)) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    bool is_record = entry.path().filename().string().starts_with("c1");
    EXPECT_EQ(bytes.find(kSecret) != std::string::npos, is_record) << entry.path();
    if (is_record) {
      EXPECT_EQ(fs::status(entry.path()).permissions(), fs::perms(0600));
    }
  }
  auto read = read_container_record(*boot, "c1");
  ASSERT_TRUE(read && *read) << (read ? "" : read.error().message());
  EXPECT_EQ((*read)->config.envs(0).value(), kSecret);
  EXPECT_EQ((*read)->image.entrypoint, record.image.entrypoint);
  EXPECT_FALSE(*read_container_record(*boot, "c2"));
  EXPECT_TRUE(remove_container_record(*boot, "c1"));
  EXPECT_FALSE(*read_container_record(*boot, "c1"));
}

TEST_F(StateStoreTest, SandboxAndPoolRecords) {
  auto boot = sys::open_dir(sys::kCwd, folder_.c_str());
  ASSERT_TRUE(boot);
  EXPECT_FALSE(*read_sandbox_record(*boot));
  EXPECT_FALSE(*has_pool_record(*boot));
  v1::PodSandboxConfig config;
  config.set_hostname("web");
  ASSERT_TRUE(write_sandbox_record(*boot, config));
  ASSERT_TRUE(write_pool_record(*boot));
  EXPECT_EQ((*read_sandbox_record(*boot))->hostname(), "web");
  EXPECT_TRUE(*has_pool_record(*boot));
  ASSERT_TRUE(remove_pool_record(*boot));
  EXPECT_FALSE(*has_pool_record(*boot));
}

}  // namespace
}  // namespace gantry::cri
