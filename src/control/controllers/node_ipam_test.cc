// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_ipam.h"

#include <algorithm>

#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

class NodeIpamTest : public ClientTest {
 protected:
  void make_node(const std::string& name) {
    core::Node node;
    node.mutable_metadata()->set_name(name);
    api::Answer<core::Node> made = wait(client_.create(node));
    ASSERT_TRUE(made) << made.error().message;
  }
  std::string network_of(const std::string& name) {
    auto node = informers_.of<core::Node>().find("", name);
    return node == nullptr ? "" : node->spec().pod_cidr();
  }
};

TEST_F(NodeIpamTest, EachNodeHasItsPart) {
  NodeIpamController controller({loop_, client_, informers_, [this] { return now_; }},
                                {.cluster = {*api::parse_network("10.244.0.0/23"), *api::parse_network("fd00::/56")}});
  make_node("a");
  loop_.post([&] {
    (void)informers_.of<core::Event>();
    informers_.start_all();
    controller.start();
  });
  run_until([&] { return network_of("a") == "10.244.0.0/24"; });
  make_node("b");
  run_until([&] { return network_of("b") == "10.244.1.0/24"; });
  EXPECT_EQ(informers_.of<core::Node>().find("", "b")->spec().pod_cidrs(1), "fd00:0:0:1::/64");
  // No more are left until a node goes.
  make_node("c");
  run_until([&] {
    return std::ranges::any_of(informers_.of<core::Event>().objects(), [](const auto& event) {
      return event->reason() == "CIDRNotAvailable" && event->involved_object().name() == "c";
    });
  });
  ASSERT_TRUE(wait(client_.remove<core::Node>("", "a")));
  run_until([&] { return network_of("c") == "10.244.0.0/24"; });
}

// Passes everything on, and loses the first answers to patches that were carried out.
class LossyTransport final : public api::Transport {
 public:
  LossyTransport(api::Transport& inner, int losses) : inner_(inner), left_(losses) {}
  Task<Result<http::Response>> call(Loop& here, http::Request request) override {
    const bool is_lost = request.method == "PATCH" && left_ > 0;
    left_ -= is_lost;
    Result<http::Response> answer = co_await inner_.call(here, std::move(request));
    if (is_lost) co_return fail(Code::kUnavailable, "the answer is lost");
    co_return answer;
  }
  Task<Result<http::Response>> follow(Loop& here, http::Request request, api::TakeLine take) override {
    return inner_.follow(here, std::move(request), std::move(take));
  }

 private:
  api::Transport& inner_;
  int left_;
};

TEST_F(NodeIpamTest, ALostAnswerUsesNothingUp) {
  LossyTransport lossy(transport_, 3);
  api::Client client(loop_, lossy, kinds_, "lossy");
  NodeIpamController controller({loop_, client, informers_, [this] { return now_; }},
                                {.cluster = {*api::parse_network("10.244.0.0/22")}});
  for (const char* name : {"a", "b", "c", "d"}) make_node(name);
  loop_.post([&] {
    informers_.start_all();
    controller.start();
  });
  run_until([&] {
    return std::ranges::none_of(std::vector{"a", "b", "c", "d"},
                                [&](const char* name) { return network_of(name).empty(); });
  });
}

}  // namespace
}  // namespace gantry::control
