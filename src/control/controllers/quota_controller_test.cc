// SPDX-License-Identifier: Apache-2.0
// The quota controller against a whole server in this process, whose admission charges nothing: what was charged is
// written by the tests.
#include "control/controllers/quota_controller.h"

#include <set>

#include "base/text.h"
#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

class QuotaControllerTest : public ClientTest {
 protected:
  QuotaControllerTest() {
    core::Namespace object;
    object.mutable_metadata()->set_name("web");
    EXPECT_TRUE(wait(client_.create(object)));
    informers_.of<ResourceQuota>().on_change([this](const auto&) { uses_.insert(used()); });
    loop_.post([this] {
      informers_.start_all();
      controller_.start();
    });
  }
  void make_quota(std::initializer_list<std::pair<std::string, std::string>> hard) {
    ResourceQuota quota;
    quota.mutable_metadata()->set_namespace_("web");
    quota.mutable_metadata()->set_name("q");
    for (const auto& [name, amount] : hard) (*quota.mutable_spec()->mutable_hard())[name].set_string(amount);
    const api::Answer<ResourceQuota> made = wait(client_.create(quota));
    ASSERT_TRUE(made) << made.error().message;
  }
  void make_pod(const std::string& name) {
    core::Pod pod;
    pod.mutable_metadata()->set_namespace_("web");
    pod.mutable_metadata()->set_name(name);
    core::Container* container = pod.mutable_spec()->add_containers();
    container->set_name("c");
    container->set_image("i");
    (*container->mutable_resources()->mutable_requests())["cpu"].set_string("500m");
    const api::Answer<core::Pod> made = wait(client_.create(pod));
    ASSERT_TRUE(made) << made.error().message;
  }
  void make_map(const std::string& name) {
    core::ConfigMap map;
    map.mutable_metadata()->set_namespace_("web");
    map.mutable_metadata()->set_name(name);
    ASSERT_TRUE(wait(client_.create(map)));
  }
  void run_until_used(const std::string& text) {
    run_until([&] { return used() == text; });
    EXPECT_EQ(used(), text);
  }
  std::string used() {
    const auto quota = informers_.of<ResourceQuota>().find("web", "q");
    return quota == nullptr ? "" : to_text(read_amounts(quota->status().used()));
  }
  // To whatever version there is: the controller writes, too.
  void patch(const api::Value& change, const std::string& subresource = {}) {
    const api::Answer<ResourceQuota> done =
        wait(client_.patch<ResourceQuota>("web", "q", api::PatchForm::kMerge, change, subresource));
    ASSERT_TRUE(done) << done.error().message;
  }
  void charge(std::initializer_list<std::pair<std::string, std::string>> used) {
    api::Value amounts = api::Value::object({});
    for (const auto& [name, amount] : used) amounts[name] = amount;
    patch(api::Value::object({{"status", api::Value::object({{"used", std::move(amounts)}})}}), "status");
  }

  std::set<std::string> uses_;  // each that there was so far
  QuotaController controller_{{loop_, client_, informers_, [this] { return now_; }}, std::chrono::milliseconds(20)};
};

TEST_F(QuotaControllerTest, ANewQuotaCountsWhatThereIs) {
  make_pod("a");
  make_map("m");
  make_quota({{"pods", "5"}, {"requests.cpu", "2"}, {"count/configmaps", "3"}, {"count/deployments.apps", "1"}});
  run_until_used("count/configmaps=1,count/deployments.apps=0,pods=1,requests.cpu=500m");
  EXPECT_EQ(informers_.of<ResourceQuota>().find("web", "q")->status().hard().at("pods").string(), "5");
}

TEST_F(QuotaControllerTest, WhatIsGoneIsGivenBack) {
  make_quota({{"pods", "5"}, {"count/configmaps", "3"}});
  run_until_used("count/configmaps=0,pods=0");
  charge({{"pods", "2"}, {"count/configmaps", "1"}});
  make_pod("a");
  make_pod("b");
  make_map("m");
  ASSERT_TRUE(wait(client_.remove<core::Pod>("web", "a", {.grace_period = 0})));
  run_until_used("count/configmaps=1,pods=1");
  ASSERT_TRUE(wait(client_.remove<core::ConfigMap>("web", "m")));
  run_until_used("count/configmaps=0,pods=1");
}

// Charged, and never written: its maker died.
TEST_F(QuotaControllerTest, WhatDidNotComeToBeIsGivenBack) {
  make_quota({{"pods", "5"}});
  run_until_used("pods=0");
  charge({{"pods", "3"}});
  run_until([&] { return uses_.contains("pods=3") && used() == "pods=0"; });
  EXPECT_EQ(used(), "pods=0");
}

TEST_F(QuotaControllerTest, WhatNobodyChargedIsCounted) {
  make_quota({{"pods", "5"}});
  run_until_used("pods=0");
  make_pod("a");
  make_pod("b");
  charge({{"pods", "1"}});
  run_until_used("pods=2");
}

TEST_F(QuotaControllerTest, OtherLimitsAreFollowed) {
  make_quota({{"pods", "5"}});
  run_until_used("pods=0");
  make_pod("a");
  const api::Value hard = api::Value::object({{"pods", nullptr}, {"requests.cpu", "1"}});
  patch(api::Value::object({{"spec", api::Value::object({{"hard", hard}})}}));
  run_until_used("requests.cpu=500m");
}

}  // namespace
}  // namespace gantry::control
