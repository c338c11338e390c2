// SPDX-License-Identifier: Apache-2.0
// A server in this process whose nodes the test plays, for controllers of pods.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "api/codec.h"
#include "api/json.h"
#include "api/message_fixture.h"
#include "base/text.h"
#include "control/controllers/controller.h"
#include "control/server/client_fixture.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

using api::from_json;

class WorkloadTest : public ClientTest {
 protected:
  using Pod = k8s::io::api::core::v1::Pod;
  using PodPtr = std::shared_ptr<const Pod>;

  ControllerParts parts() {
    return {loop_, client_, informers_, [this] { return now_; }};
  }
  // All informers that anybody asked for are filled, then `controllers` work.
  void start(std::vector<Controller*> controllers) {
    loop_.post([this] { informers_.start_all(); });
    bool synced = false;
    loop_.post([&] {
      loop_.spawn([](api::Informers& informers, bool* synced) -> Task<> {
        co_await informers.wait_synced();
        *synced = true;
      }(informers_, &synced));
    });
    run_until([&] { return synced; });
    for (Controller* controller : controllers) controller->start();
  }
  template <typename M>
  M make(std::string_view json) {
    api::Answer<M> made = wait(client_.create(from_json<M>(json)));
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or(M());
  }
  std::vector<PodPtr> pods() { return informers_.of<Pod>().objects(); }
  std::vector<PodPtr> active_pods() {
    std::vector<PodPtr> active = pods();
    std::erase_if(active, [](const PodPtr& pod) { return !is_active(*pod); });
    return active;
  }
  // As its node would.
  void set_ready(const PodPtr& pod, bool ready = true) {
    Pod updated = *pod;
    updated.mutable_status()->set_phase("Running");
    updated.mutable_status()->clear_conditions();
    auto* condition = updated.mutable_status()->add_conditions();
    condition->set_type("Ready");
    condition->set_status(ready ? "True" : "False");
    condition->mutable_last_transition_time()->set_seconds(now_.seconds);
    const api::Answer<Pod> told = wait(client_.update_status(updated));
    EXPECT_TRUE(told || told.error().is_conflict() || told.error().is_not_found()) << told.error().message;
  }
  // Until there are so many events of this reason: their messages, sorted.
  std::vector<std::string> wait_for_events(const std::string& reason, std::size_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::vector<std::string> seen;
    while ((seen = events(reason)).size() < count && std::chrono::steady_clock::now() < end) continue;
    EXPECT_EQ(seen.size(), count) << reason;
    return seen;
  }
  // The messages of all events of this reason, sorted.
  std::vector<std::string> events(const std::string& reason) {
    using k8s::io::api::core::v1::Event;
    std::vector<std::string> messages;
    const auto all = wait(client_.list<Event>({.ns = "default", .label_selector = {}, .field_selector = {}}));
    EXPECT_TRUE(all);
    for (const Event& event : all.value_or(std::vector<Event>())) {
      if (event.reason() == reason) messages.push_back(event.message());
    }
    std::ranges::sort(messages);
    return messages;
  }
};

}  // namespace gantry::control::workloads
