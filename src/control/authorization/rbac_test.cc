// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "control/authorization/default_roles.h"
#include "control/authorization/rbac_policy.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class RbacTest : public ::testing::Test {
 protected:
  void read(std::string_view text) {
    const Status read = parse_default_roles(text, &objects_);
    ASSERT_TRUE(read.has_value()) << read.error().message();
  }
  const RbacPolicy& policy() {
    if (!policy_) policy_ = std::make_unique<RbacPolicy>(objects_);
    return *policy_;
  }
  static User user(std::string name, std::vector<std::string> groups = {}) {
    return {.name = std::move(name), .uid = "", .groups = std::move(groups), .extra = {}};
  }
  struct Asked {
    std::string verb, resource, ns, group, name, subresource;
  };
  bool may(const User& who, Asked what) {
    return policy()
        .allows({.user = who,
                 .is_resource = true,
                 .verb = what.verb,
                 .group = what.group,
                 .version = "v1",
                 .ns = what.ns,
                 .resource = what.resource,
                 .subresource = what.subresource,
                 .name = what.name,
                 .path = ""})
        .has_value();
  }
  bool may_path(const User& who, std::string path) {
    return policy().allows({.user = who, .verb = "get", .path = std::move(path)}).has_value();
  }

  RbacObjects objects_;
  std::unique_ptr<RbacPolicy> policy_;
};

TEST_F(RbacTest, RolesHoldInTheNamespaceOfTheirBinding) {
  read(
      "role reader in a\n  get list | core | pods pods/log\n"
      "binding readers in a\n  Role reader\n  User jane\n  Group devs\n  ServiceAccount b/robot\n");
  EXPECT_TRUE(may(user("jane"), {"get", "pods", "a"}));
  EXPECT_TRUE(may(user("joe", {"devs"}), {"list", "pods", "a"}));
  EXPECT_TRUE(may(user("system:serviceaccount:b:robot"), {"get", "pods", "a", "", "web", "log"}));
  EXPECT_FALSE(may(user("jane"), {"get", "pods", "a", "", "web", "exec"}));
  EXPECT_FALSE(may(user("jane"), {"delete", "pods", "a"}));
  EXPECT_FALSE(may(user("jane"), {"get", "pods", "b"}));
  EXPECT_FALSE(may(user("jane"), {"get", "pods", ""}));
  EXPECT_FALSE(may(user("jane"), {"get", "pods", "a", "metrics.k8s.io"}));
  EXPECT_FALSE(may(user("joe"), {"get", "pods", "a"}));
  EXPECT_FALSE(may(user("devs"), {"get", "pods", "a"}));
  EXPECT_FALSE(may(user("joe", {"jane"}), {"get", "pods", "a"}));
}

TEST_F(RbacTest, AClusterRoleHoldsWhereItIsBound) {
  read(
      "role reader\n  get | core | pods\n  get | /metrics\n"
      "binding here in a\n  ClusterRole reader\n  User jane\n"
      "binding all\n  ClusterRole reader\n  User joe\n"
      "binding none\n  ClusterRole missing\n  User joe\n");
  EXPECT_TRUE(may(user("jane"), {"get", "pods", "a"}));
  EXPECT_FALSE(may(user("jane"), {"get", "pods", "b"}));
  EXPECT_FALSE(may_path(user("jane"), "/metrics"));  // paths are in no namespace
  EXPECT_TRUE(may(user("joe"), {"get", "pods", "b"}));
  EXPECT_TRUE(may_path(user("joe"), "/metrics"));
}

TEST_F(RbacTest, StarsNamesAndSubresources) {
  read(
      "role r\n  update | * | */scale\n  get | core | secrets | one\n  * | batch | *\n  get | /api/* /healthz\n"
      "binding r\n  ClusterRole r\n  User u\n");
  EXPECT_TRUE(may(user("u"), {"update", "deployments", "a", "apps", "web", "scale"}));
  EXPECT_FALSE(may(user("u"), {"update", "deployments", "a", "apps", "web", "status"}));
  EXPECT_FALSE(may(user("u"), {"update", "deployments", "a", "apps", "web"}));
  EXPECT_TRUE(may(user("u"), {"get", "secrets", "a", "", "one"}));
  EXPECT_FALSE(may(user("u"), {"get", "secrets", "a", "", "two"}));
  EXPECT_FALSE(may(user("u"), {"get", "secrets", "a"}));
  EXPECT_TRUE(may(user("u"), {"anything", "jobs", "a", "batch", "x", "status"}));
  EXPECT_TRUE(may_path(user("u"), "/api/v1"));
  EXPECT_FALSE(may_path(user("u"), "/apis"));
  EXPECT_FALSE(may_path(user("u"), "/healthz/etcd"));
}

TEST_F(RbacTest, AggregatedRolesHaveWhatTheySelectThroughOthers) {
  read(
      "role top\n  from to-top\nrole middle\n  label to-top\n  from to-middle\n"
      "role leaf\n  label to-middle\n  get | core | pods\n"
      "binding b\n  ClusterRole top\n  User u\n");
  EXPECT_TRUE(may(user("u"), {"get", "pods", "a"}));
}

TEST_F(RbacTest, CyclesOfAggregationEnd) {
  read(
      "role a\n  label x\n  from y\nrole b\n  label y\n  from x\nrole c\n  label x\n  get | core | pods\n"
      "binding b\n  ClusterRole a\n  User u\n");
  EXPECT_TRUE(may(user("u"), {"get", "pods", "a"}));
}

TEST_F(RbacTest, DefaultsLetStrangersSeeLittleAndKnownOnesDiscover) {
  Result<RbacObjects> defaults = default_roles();
  ASSERT_TRUE(defaults.has_value()) << defaults.error().message();
  objects_ = *defaults;
  const User stranger = user("system:anonymous", {"system:unauthenticated"});
  for (const char* path : {"/healthz", "/livez", "/readyz", "/version", "/version/"}) {
    EXPECT_TRUE(may_path(stranger, path)) << path;
  }
  for (const char* path : {"/api", "/apis", "/metrics", "/openapi/v2"}) EXPECT_FALSE(may_path(stranger, path)) << path;
  EXPECT_FALSE(may(stranger, {"get", "pods", "default"}));
  const User known = user("jane", {"system:authenticated"});
  EXPECT_TRUE(may_path(known, "/api/v1"));
  EXPECT_TRUE(may_path(known, "/openapi/v3"));
  EXPECT_TRUE(may(known, {"create", "selfsubjectreviews", "", "authentication.k8s.io"}));
  EXPECT_FALSE(may(known, {"list", "pods", "default"}));
  const User scheduler = user("system:kube-scheduler");
  EXPECT_TRUE(may(scheduler, {"create", "pods", "a", "", "web", "binding"}));
  EXPECT_FALSE(may(scheduler, {"get", "secrets", "a"}));
  EXPECT_TRUE(may(user("joe", {"system:bootstrappers"}), {"list", "pods", "a"}) == false);
  EXPECT_TRUE(may(user("system:serviceaccount:kube-system:replicaset-controller"), {"create", "pods", "a"}));
  EXPECT_TRUE(may(user("root", {"system:masters"}), {"explode", "worlds", "", "x.y"}));
}

TEST_F(RbacTest, ALineThatCannotBeReadIsNamed) {
  for (const char* text :
       {"rule x\n", "role a b\n", "role a\n  get\n", "role a\n  get | a | b | c | d\n",
        "binding b\n  get | core | pods\n", "  get | core | pods\n", "binding b\n  Robot x\n", "controller a in b\n"}) {
    RbacObjects objects;
    EXPECT_FALSE(parse_default_roles(text, &objects).has_value()) << text;
  }
}

class CoverTest : public RbacTest {
 protected:
  // What of the second text's rules nobody has with the first's.
  static std::vector<std::string> missing(std::string_view owned, std::string_view wanted) {
    RbacObjects a;
    RbacObjects b;
    EXPECT_TRUE(parse_default_roles(owned, &a).has_value());
    EXPECT_TRUE(parse_default_roles(wanted, &b).has_value());
    std::vector<const PolicyRule*> have;
    for (const PolicyRule& rule : a.cluster_roles[0]->rules()) have.push_back(&rule);
    std::vector<std::string> texts;
    for (const PolicyRule& rule : b.cluster_roles[0]->rules()) {
      for (const PolicyRule& part : uncovered(have, rule)) texts.push_back(rule_text(part));
    }
    return texts;
  }
};

TEST_F(CoverTest, NamesWhatIsMissing) {
  EXPECT_THAT(missing("role a\n  get list | core | pods\n", "role b\n  get | core | pods\n"), IsEmpty());
  EXPECT_THAT(missing("role a\n  get | core | pods\n  list | core | pods\n", "role b\n  get list | core | pods\n"),
              IsEmpty());
  EXPECT_THAT(missing("role a\n  get | core | pods\n", "role b\n  get delete | core | pods secrets\n"),
              ::testing::ElementsAre(R"({APIGroups:[""], Resources:["secrets"], Verbs:["get"]})",
                                     R"({APIGroups:[""], Resources:["pods"], Verbs:["delete"]})",
                                     R"({APIGroups:[""], Resources:["secrets"], Verbs:["delete"]})"));
}

TEST_F(CoverTest, StarsAreNotHadByHavingEverythingOneByOne) {
  EXPECT_THAT(missing("role a\n  get | core | pods\n", "role b\n  * | core | pods\n"), SizeIs(1));
  EXPECT_THAT(missing("role a\n  get | core | pods\n", "role b\n  get | * | pods\n"), SizeIs(1));
  EXPECT_THAT(missing("role a\n  get | core | pods\n", "role b\n  get | core | *\n"), SizeIs(1));
  EXPECT_THAT(missing("role a\n  get | core | pods/*\n", "role b\n  get | core | pods/log\n"), SizeIs(1));
  EXPECT_THAT(missing("role a\n  * | * | *\n", "role b\n  get | core | pods/log | x\n  * | * | *\n"), IsEmpty());
  EXPECT_THAT(missing("role a\n  * | * | *\n", "role b\n  get | /metrics\n"), SizeIs(1));
}

TEST_F(CoverTest, NamedObjectsDoNotGiveAll) {
  EXPECT_THAT(missing("role a\n  get | core | secrets | x\n", "role b\n  get | core | secrets\n"), SizeIs(1));
  EXPECT_THAT(missing("role a\n  get | core | secrets | x\n", "role b\n  get | core | secrets | x y\n"), SizeIs(1));
  EXPECT_THAT(missing("role a\n  get | core | secrets\n", "role b\n  get | core | secrets | x y\n"), IsEmpty());
}

TEST_F(CoverTest, Paths) {
  EXPECT_THAT(missing("role a\n  get | /api/*\n", "role b\n  get | /api/v1 /api/*\n"), IsEmpty());
  EXPECT_THAT(missing("role a\n  get | /api/v1\n", "role b\n  get | /api/*\n"), SizeIs(1));
  EXPECT_THAT(missing("role a\n  get | *\n", "role b\n  get | /x\n"), IsEmpty());
}

}  // namespace
}  // namespace gantry::control
