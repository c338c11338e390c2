// SPDX-License-Identifier: Apache-2.0
#include "control/server/flow_control.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.h"
#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

RequestFacts facts_of(std::string user, std::string method, std::string path, std::vector<std::string> groups = {}) {
  RequestFacts facts;
  facts.info = *parse_request_info(method, path);
  facts.acting = User{.name = std::move(user), .groups = std::move(groups)};
  return facts;
}

constexpr char kPods[] = "/api/v1/namespaces/default/pods";

class FlowControlTest : public ::testing::Test {
 protected:
  // Asks on the loop; what comes of it is written to `order`, and a seat is kept.
  void ask(std::string word, RequestFacts facts) {
    loop_.spawn([](FlowControlTest& test, std::string word, RequestFacts facts) -> Task<> {
      Outcome<FlowControl::Seat> seat = co_await test.flow_.enter(test.loop_, facts);
      test.order_.push_back(seat ? word : cat(word, " ", seat.error().code));
      if (seat) test.seats_.push_back(std::move(*seat));
    }(*this, std::move(word), std::move(facts)));
    settle();
  }
  // Runs what is there to run.
  void settle() {
    for (int i = 0; i < 3; ++i) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }
  void give_back_oldest() {
    seats_.erase(seats_.begin());
    settle();
  }
  // How many seats had to be given back until `word` was served.
  int turns_until(const std::string& word) {
    int turns = 0;
    while (std::ranges::find(order_, word) == order_.end() && !seats_.empty()) {
      give_back_oldest();
      ++turns;
    }
    return turns;
  }

  std::string text_of_metrics() const {
    metrics::Page page;
    flow_.write_metrics(&page);
    return page.take();
  }
  static bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

  Loop loop_;
  // Of the 8 seats for reading, 2 are the system's and 6 the others', of which a user may have 1; of 16 for writing 4
  // and 12, of which 3.
  FlowControl flow_{{.reading = 8, .mutating = 16, .queue_of_user = 100, .queue = 150, .wait = std::chrono::hours(1)}};
  std::vector<std::string> order_;
  std::vector<FlowControl::Seat> seats_;
};

TEST_F(FlowControlTest, OneUserHasNoMoreThanHisShare) {
  for (int i = 0; i < 10; ++i) ask("flood", facts_of("jane", "POST", kPods));
  EXPECT_EQ(order_.size(), 3);
  ask("joe", facts_of("joe", "POST", kPods));
  EXPECT_EQ(order_.back(), "joe");
}

TEST_F(FlowControlTest, UsersTakeTurns) {
  // Four users flood: all seats are taken, and hundreds wait.
  for (int i = 0; i < 30; ++i) {
    for (const char* user : {"a", "b", "c", "d"}) ask("flood", facts_of(user, "POST", kPods));
  }
  EXPECT_EQ(order_.size(), 12);
  ask("joe", facts_of("joe", "POST", kPods));
  EXPECT_EQ(order_.size(), 12);
  EXPECT_LE(turns_until("joe"), 5);
}

TEST_F(FlowControlTest, WhoHasAFullQueueIsToldToComeAgain) {
  for (int i = 0; i < 110; ++i) ask("jane", facts_of("jane", "POST", kPods));
  EXPECT_EQ(std::ranges::count(order_, "jane 429"), 7);  // 3 have seats, 100 wait
  ask("joe", facts_of("joe", "POST", kPods));
  EXPECT_EQ(order_.back(), "joe");
}

TEST_F(FlowControlTest, ReadsAndWritesAreApart) {
  for (int i = 0; i < 50; ++i) ask("flood", facts_of("jane", "POST", kPods));
  ask("read", facts_of("jane", "GET", kPods));
  EXPECT_EQ(order_.back(), "read");
}

TEST_F(FlowControlTest, NodesProgramsAndMastersGetThrough) {
  for (const char* user : {"a", "b", "c", "d", "e"}) {
    for (int i = 0; i < 20; ++i) ask("flood", facts_of(user, "PUT", cat(kPods, "/p")));
  }
  ask("node", facts_of("system:node:n1", "PUT", "/api/v1/nodes/n1/status", {"system:nodes"}));
  EXPECT_EQ(order_.back(), "node");
  constexpr char kLease[] = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/s";
  ask("lease", facts_of("system:kube-scheduler", "PUT", kLease));
  EXPECT_EQ(order_.back(), "lease");
  // Whoever names a lease is no program of the cluster.
  ask("stranger", facts_of("a", "PUT", kLease));
  EXPECT_EQ(order_.back(), "lease");
  for (int i = 0; i < 30; ++i) ask("master", facts_of("admin", "PUT", cat(kPods, "/p"), {"system:masters"}));
  EXPECT_EQ(std::ranges::count(order_, "master"), 30);
  ask("probe", facts_of("system:anonymous", "GET", "/readyz"));
  EXPECT_EQ(order_.back(), "probe");
}

TEST_F(FlowControlTest, WhoLeavesTheQueueTakesNobodysPlace) {
  for (int i = 0; i < 3; ++i) ask("jane", facts_of("jane", "POST", kPods));
  constexpr char kQueued[] =
      "apiserver_flowcontrol_current_inqueue_requests{priority_level=\"workload\",request_kind=\"mutating\"} ";
  {
    Loop other;
    other.spawn([](FlowControl& flow, Loop& here) -> Task<> {
      const RequestFacts facts = facts_of("jane", "POST", kPods);
      Outcome<FlowControl::Seat> seat = co_await flow.enter(here, facts);
      ADD_FAILURE() << "it has left";
    }(flow_, other));
    EXPECT_TRUE(has(text_of_metrics(), cat(kQueued, "1\n")));
  }
  EXPECT_TRUE(has(text_of_metrics(), cat(kQueued, "0\n")));
  ask("second", facts_of("jane", "POST", kPods));
  EXPECT_EQ(turns_until("second"), 1);
  seats_.clear();
  EXPECT_TRUE(has(text_of_metrics(), "apiserver_current_inflight_requests{request_kind=\"mutating\"} 0\n"));
}

TEST_F(FlowControlTest, WaitingHasAnEnd) {
  FlowControl flow({.reading = 8, .mutating = 16, .wait = std::chrono::milliseconds(1)});
  const RequestFacts facts = facts_of("jane", "GET", kPods);
  Outcome<FlowControl::Seat> first = run(loop_, flow.enter(loop_, facts));
  ASSERT_TRUE(first);
  Outcome<FlowControl::Seat> second = run(loop_, flow.enter(loop_, facts));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, 429);
  EXPECT_EQ(second.error().retry_after, 1);
  first = {};
  EXPECT_TRUE(run(loop_, flow.enter(loop_, facts)));
}

TEST_F(FlowControlTest, WatchesOfOneUserAreCounted) {
  FlowControl flow({.long_running_of_user = 2});
  const RequestFacts facts = facts_of("jane", "GET", cat(kPods, "?watch=1"));
  std::vector<Outcome<FlowControl::Seat>> places;
  for (int i = 0; i < 3; ++i) places.push_back(flow.begin_long_running(facts));
  EXPECT_TRUE(places[1]);
  EXPECT_FALSE(places[2]);
  EXPECT_TRUE(flow.begin_long_running(facts_of("joe", "GET", cat(kPods, "?watch=1"))));
  places.clear();
  EXPECT_TRUE(flow.begin_long_running(facts));
}

}  // namespace
}  // namespace gantry::control
