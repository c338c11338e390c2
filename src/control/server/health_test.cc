// SPDX-License-Identifier: Apache-2.0
#include "control/server/health.h"

#include "control/server/server_fixture.h"

namespace gantry::control {
namespace {

class HealthTest : public ServerTest {
 protected:
  HealthTest() {
    EXPECT_TRUE(run(loop_, caches_->wait_ready(loop_, std::chrono::minutes(1))));
    health_->set_bootstrapped();
  }
  std::pair<int, std::string> look(std::string target) {
    http::Reply reply = run(loop_, server_->handle(loop_, {.method = "GET", .target = std::move(target)}));
    return {reply.response.status, std::string(reply.response.body_bytes())};
  }
  using Answer = std::pair<int, std::string>;
};

TEST_F(HealthTest, OneWordOrALineForEachCheck) {
  EXPECT_EQ(look("/livez"), Answer(200, "ok"));
  EXPECT_EQ(look("/healthz?verbose"), Answer(200, "[+]ping ok\n[+]etcd ok\nhealthz check passed\n"));
  EXPECT_EQ(look("/readyz?verbose&exclude=etcd&exclude=nothing"),
            Answer(200,
                   "[+]ping ok\n[+]etcd excluded: ok\n[+]informer-sync ok\n[+]poststarthook/bootstrap-controller ok\n"
                   "[+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for \"nothing\"\n"
                   "readyz check passed\n"));
  EXPECT_EQ(look("/readyz/etcd"), Answer(200, "ok"));
  EXPECT_EQ(look("/readyz/unknown").first, 404);
  EXPECT_EQ(look("/livez/shutdown").first, 404);
}

TEST_F(HealthTest, WhoEndsLivesAndIsNotReady) {
  health_->set_stopping();
  EXPECT_EQ(look("/livez"), Answer(200, "ok"));
  const Answer ready = look("/readyz");
  EXPECT_EQ(ready.first, 500);
  EXPECT_TRUE(ready.second.ends_with("[-]shutdown failed: reason withheld\nreadyz check failed\n")) << ready.second;
  EXPECT_EQ(look("/readyz?exclude=shutdown"), Answer(200, "ok"));
  EXPECT_EQ(look("/readyz/shutdown").first, 500);
}

// Answers nothing while it hangs.
class SilentStore final : public Store {
 public:
  explicit SilentStore(Loop& loop) : never_(loop) {}
  Task<Result<GetAnswer>> get(Loop&, std::string, std::int64_t) override { co_return fail(Code::kUnavailable, ""); }
  Task<Result<ListAnswer>> list(Loop&, ListRequest) override { co_return fail(Code::kUnavailable, ""); }
  Task<Result<std::int64_t>> count(Loop&, std::string) override { co_return fail(Code::kUnavailable, ""); }
  Task<Result<std::int64_t>> current_revision(Loop&) override {
    ++asked;
    if (!hangs) co_return 1;
    co_await never_.wait();
    co_return fail(Code::kUnavailable, "");
  }
  Task<Result<StoreCounts>> counts(Loop&) override { co_return fail(Code::kUnavailable, ""); }
  Task<Result<WriteAnswer>> write(Loop&, Write) override { co_return fail(Code::kUnavailable, ""); }
  std::unique_ptr<Watcher> watch(Loop&, std::string, std::int64_t) override { return nullptr; }
  Task<Status> compact(Loop&, std::int64_t) override { co_return Status(); }

  int asked = 0;
  bool hangs = true;

 private:
  Event never_;
};

TEST_F(HealthTest, AStoreThatHangsIsSeenAndAskedNoMore) {
  SilentStore store(loop_);
  Health health(store, *caches_, std::chrono::milliseconds(1));
  const RequestInfo info = *parse_request_info("GET", "/livez");
  for (int i = 0; i < 20; ++i) {
    const std::optional<http::Reply> reply = run(loop_, health.answer(loop_, info));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->response.status, 500);
    EXPECT_EQ(reply->response.body, "[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n");
  }
  EXPECT_EQ(store.asked, 8);
}

TEST_F(HealthTest, ManyProbesAtOnceAreNoSickness) {
  SilentStore store(loop_);
  Health health(store, *caches_, std::chrono::minutes(1));
  const RequestInfo info = *parse_request_info("GET", "/livez");
  store.hangs = false;
  EXPECT_EQ(run(loop_, health.answer(loop_, info))->response.status, 200);
  store.hangs = true;
  for (int i = 0; i < 8; ++i) {
    loop_.spawn([](Health& health, Loop& here, const RequestInfo& info) -> Task<> {
      (void)co_await health.answer(here, info);
    }(health, loop_, info));
  }
  EXPECT_EQ(store.asked, 9);
  EXPECT_EQ(run(loop_, health.answer(loop_, info))->response.status, 200);
  EXPECT_EQ(store.asked, 9);
}

}  // namespace
}  // namespace gantry::control
