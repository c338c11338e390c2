// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns gantry_proxy gantry_proxy_nftables PkgConfig::LIBNFTABLES
// Who notices that the proxy's table was changed by somebody else, and that its own changes are its own.
#include "proxy/nftables/watcher.h"

#include <gtest/gtest.h>
#include <nftables/libnftables.h>

#include <memory>

#include "proxy/nftables/backend.h"

namespace gantry::proxy::nftables {
namespace {

using namespace std::chrono_literals;

void run_nft(const std::string& commands) {
  std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)> context(::nft_ctx_new(NFT_CTX_DEFAULT), &::nft_ctx_free);
  ASSERT_EQ(::nft_run_cmd_from_buffer(context.get(), commands.c_str()), 0);
}

class ProxyWatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    backend = std::move(NftablesBackend::open("testnode").value());
    watcher = std::make_unique<Watcher>(
        loop, Watcher::open().value(),
        Watcher::Target{.table = backend->table(), .mark = backend->mark(), .port_id = backend->port_id()},
        [this] { disturbed.set(); });
    ASSERT_TRUE(backend->replace({}, {}));
  }
  void TearDown() override { EXPECT_TRUE(backend->remove()); }
  // Whether it is noticed within the limit.
  bool notices(Duration limit) {
    bool noticed = false;
    loop.spawn(watcher->run());
    loop.spawn([](ProxyWatcherTest& test, Duration until, bool* result) -> Task<> {
      *result = co_await test.disturbed.wait_for(until);
      test.loop.stop();
    }(*this, limit, &noticed));
    loop.run();
    return noticed;
  }

  Loop loop;
  Event disturbed{loop};
  std::unique_ptr<NftablesBackend> backend;
  std::unique_ptr<Watcher> watcher;
};

TEST_F(ProxyWatcherTest, AFlushOfAllIsNoticed) {
  run_nft("flush ruleset");
  EXPECT_TRUE(notices(60s));
}

TEST_F(ProxyWatcherTest, SoIsARuleThatGoes) {
  run_nft("flush chain inet " + backend->table() + " prerouting");
  EXPECT_TRUE(notices(60s));
}

TEST_F(ProxyWatcherTest, OwnChangesAndOthersTablesAreNot) {
  run_nft("add table inet theirs\ndelete table inet theirs");
  ASSERT_TRUE(backend->replace({}, {}));
  EXPECT_FALSE(notices(1s));
}

}  // namespace
}  // namespace gantry::proxy::nftables
