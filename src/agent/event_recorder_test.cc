// SPDX-License-Identifier: Apache-2.0
#include "agent/event_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/cluster.h"
#include "agent/event_correlator.h"
#include "agent/fake_api.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/object_reference.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;
using Write = EventCorrelator::Write;

// ---- what becomes of an event

core::Event event_of(const std::string& message, const std::string& pod = "web") {
  core::Event event;
  event.mutable_metadata()->set_name(pod + "." + message);
  event.mutable_involved_object()->set_kind("Pod");
  event.mutable_involved_object()->set_name(pod);
  event.set_reason("BackOff");
  event.set_type("Warning");
  event.set_message(message);
  return event;
}

class EventCorrelatorTest : public testing::Test {
 protected:
  // Written as it should be.
  core::Event say(const std::string& message, Write expected, const std::string& pod = "web") {
    core::Event event = event_of(message, pod);
    EXPECT_EQ(correlator_.take(&event, now_), expected) << message;
    if (expected != Write::kNothing) correlator_.written(event);
    return event;
  }
  EventCorrelator correlator_;
  EventCorrelator::TimePoint now_ = EventCorrelator::TimePoint() + seconds(1000);
};

TEST_F(EventCorrelatorTest, TheSameWordIsOneEventThatCounts) {
  say("a", Write::kCreate);
  EXPECT_EQ(say("a", Write::kCount).count(), 2);
  now_ += minutes(5);
  core::Event third = say("a", Write::kCount);
  EXPECT_EQ(third.count(), 3);
  EXPECT_EQ(third.metadata().name(), "web.a");
  say("a", Write::kCreate, "other");
  say("b", Write::kCreate);
}

TEST_F(EventCorrelatorTest, OneThatWasNotWrittenIsNotCounted) {
  core::Event lost = event_of("a");
  EXPECT_EQ(correlator_.take(&lost, now_), Write::kCreate);
  say("a", Write::kCreate);
}

TEST_F(EventCorrelatorTest, TheTenthSimilarOneIsCombined) {
  for (int i = 1; i <= 9; ++i) say("message " + std::to_string(i), Write::kCreate);
  core::Event tenth = say("message 10", Write::kCreate);
  EXPECT_EQ(tenth.message(), "(combined from similar events): message 10");
  core::Event next = say("message 11", Write::kCount);
  EXPECT_EQ(next.metadata().name(), tenth.metadata().name());
  EXPECT_EQ(next.message(), "(combined from similar events): message 11");
  EXPECT_EQ(next.count(), 2);
  now_ += minutes(11);
  EXPECT_EQ(say("message 12", Write::kCreate).message(), "message 12") << "long after";
}

TEST_F(EventCorrelatorTest, AnObjectHasABudget) {
  say("a", Write::kCreate);
  for (int i = 2; i <= 25; ++i) say("a", Write::kCount);
  say("a", Write::kNothing);
  say("b", Write::kNothing);
  say("a", Write::kCreate, "other");
  now_ += minutes(4);
  say("a", Write::kNothing);
  now_ += minutes(1);
  EXPECT_EQ(say("a", Write::kCount).count(), 26);
  say("a", Write::kNothing);
}

TEST(Recent, ForgetsTheOneThatWasNotUsedForLongest) {
  Recent<int> recent(2);
  recent["a"] = 1;
  recent["b"] = 2;
  EXPECT_EQ(recent["a"], 1);
  recent["c"] = 3;
  EXPECT_EQ(recent.size(), 2U);
  EXPECT_EQ(recent["a"], 1);
  EXPECT_EQ(recent["b"], 0);
}

// ---- writing

class EventRecorderTest : public testing::Test {
 protected:
  EventRecorderTest() {
    api_.changed = [this] { check(); };
    pod_.mutable_metadata()->set_name("web");
    pod_.mutable_metadata()->set_namespace_("default");
    pod_.mutable_metadata()->set_uid("uid-web");
    pod_.mutable_metadata()->set_resource_version("7");
    pod_.mutable_spec()->add_init_containers()->set_name("first");
    pod_.mutable_spec()->add_containers()->set_name("app");
    cluster_.events().limit({.waiting = 3, .again = {milliseconds(1), milliseconds(5), minutes(1)}});
  }
  bool until(std::function<bool()> holds) {
    if (holds()) return true;
    holds_ = std::move(holds);
    bool late = false;
    loop_.spawn([](EventRecorderTest& self, bool& late) -> Task<> {
      co_await self.loop_.sleep_for(seconds(20));
      late = true;
      self.loop_.stop();
    }(*this, late));
    loop_.run();
    holds_ = nullptr;
    return !late;
  }
  void check() {
    if (holds_ && holds_()) loop_.stop();
  }
  void tell(std::string_view message, std::string_view container = {}) {
    cluster_.events().record(pod_, EventType::kWarning, "BackOff", message, container);
  }

  Loop loop_;
  FakeApi api_{loop_};
  Cluster cluster_{loop_, api_, "node"};
  core::Pod pod_;
  std::function<bool()> holds_;
};

TEST_F(EventRecorderTest, WritesWhatKubectlLooksFor) {
  tell("it went wrong", "app");
  ASSERT_TRUE(until([&] { return api_.events().size() == 1; }));
  const api::Value& event = api_.objects.begin()->second;
  EXPECT_THAT(event.find("metadata")->text_at("name"), StartsWith("web."));
  EXPECT_EQ(event.find("metadata")->text_at("namespace"), "default");
  const api::Value& object = *event.find("involvedObject");
  EXPECT_EQ(object.text_at("kind"), "Pod");
  EXPECT_EQ(object.text_at("uid"), "uid-web");
  EXPECT_EQ(object.text_at("resourceVersion"), "7");
  EXPECT_EQ(object.text_at("fieldPath"), "spec.containers{app}");
  EXPECT_EQ(event.find("source")->text_at("component"), "kubelet");
  EXPECT_EQ(event.find("source")->text_at("host"), "node");
  EXPECT_EQ(event.text_at("reportingComponent"), "kubelet");
  EXPECT_EQ(event.text_at("reportingInstance"), "node");
  EXPECT_FALSE(event.text_at("firstTimestamp").empty());
  EXPECT_THAT(api_.events(), ElementsAre("Warning BackOff web{app} x1: it went wrong"));
}

TEST_F(EventRecorderTest, SaysTheSameByCountingAlsoWhenTheFirstIsGone) {
  tell("a");
  tell("a");
  tell("a");
  ASSERT_TRUE(until([&] { return !api_.events().empty() && api_.events()[0].ends_with("x3: a"); }));
  api_.remove(std::string(api_.objects.begin()->first));
  tell("a");
  ASSERT_TRUE(until([&] { return !api_.events().empty(); }));
  EXPECT_THAT(api_.events(), ElementsAre("Warning BackOff web x4: a"));
}

TEST_F(EventRecorderTest, TheNodesAreInTheDefaultNamespace) {
  cluster_.events().record_node(EventType::kNormal, "Starting", "Starting kubelet.");
  ASSERT_TRUE(until([&] { return api_.events().size() == 1; }));
  const auto& [path, event] = *api_.objects.begin();
  EXPECT_THAT(path, StartsWith("/api/v1/namespaces/default/events/node."));
  EXPECT_EQ(event.find("involvedObject")->text_at("kind"), "Node");
  EXPECT_EQ(event.find("involvedObject")->text_at("name"), "node");
}

TEST_F(EventRecorderTest, WaitsForAServerThatIsAwayAndDropsTheOldest) {
  api_.set_away(true);
  for (const char* message : {"1", "2", "3", "4", "5"}) tell(message, "first");
  loop_.spawn([](Loop& loop, FakeApi& api) -> Task<> {
    co_await loop.sleep_for(milliseconds(3));
    api.set_away(false);
  }(loop_, api_));
  ASSERT_TRUE(until([&] { return !api_.events().empty() && api_.events().back().ends_with(": 5"); }));
  // The first was being written already.
  EXPECT_THAT(api_.events(), ElementsAre("Warning BackOff web{first} x1: 1", "Warning BackOff web{first} x1: 3",
                                         "Warning BackOff web{first} x1: 4", "Warning BackOff web{first} x1: 5"));
}

}  // namespace
}  // namespace gantry::agent
