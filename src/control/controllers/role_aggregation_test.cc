// SPDX-License-Identifier: Apache-2.0
// ClusterRoles that are made of others, against a whole server in this process.
#include "control/controllers/role_aggregation.h"

#include "control/server/client_fixture.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {
namespace {

namespace rbac = k8s::io::api::rbac::v1;

class RoleAggregationTest : public ClientTest {
 protected:
  void make(const std::string& name, const std::string& resource, bool selected) {
    rbac::ClusterRole role;
    role.mutable_metadata()->set_name(name);
    if (selected) (*role.mutable_metadata()->mutable_labels())["part-of"] = "whole";
    rbac::PolicyRule* rule = role.add_rules();
    rule->add_api_groups("");
    rule->add_verbs("get");
    rule->add_resources(resource);
    api::Answer<rbac::ClusterRole> made = wait(client_.create(role));
    ASSERT_TRUE(made) << made.error().message;
  }
  std::string resources() {
    const auto whole = informers_.of<rbac::ClusterRole>().find("", "whole");
    std::string out;
    if (whole == nullptr) return out;
    for (const auto& rule : whole->rules()) out += rule.resources(0) + " ";
    return out;
  }

  RoleAggregation controller_{{loop_, client_, informers_, [this] { return now_; }}};
};

TEST_F(RoleAggregationTest, ARoleIsWhatItSelects) {
  rbac::ClusterRole whole;
  whole.mutable_metadata()->set_name("whole");
  (*whole.mutable_aggregation_rule()->add_cluster_role_selectors()->mutable_match_labels())["part-of"] = "whole";
  ASSERT_TRUE(wait(client_.create(whole)));
  make("b", "pods", true);
  make("other", "secrets", false);
  loop_.post([this] { informers_.start_all(); });
  controller_.start();
  run_until([&] { return resources() == "pods "; });
  make("a", "nodes", true);
  make("same", "pods", true);
  run_until([&] { return resources() == "nodes pods "; });
  ASSERT_TRUE(wait(client_.remove<rbac::ClusterRole>("", "a")));
  run_until([&] { return resources() == "pods "; });
}

}  // namespace
}  // namespace gantry::control
