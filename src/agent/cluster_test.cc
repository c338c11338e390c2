// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster.h"

#include <gtest/gtest.h>

#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

// Answers nothing.
class Silence final : public api::Transport {
 public:
  Task<Result<http::Response>> call(Loop&, http::Request) override { co_return fail(Code::kUnavailable, "away"); }
  Task<Result<http::Response>> follow(Loop&, http::Request, api::TakeLine) override {
    co_return fail(Code::kUnavailable, "away");
  }
};

TEST(ClusterTest, KnowsWhereItsKindsAre) {
  Loop loop;
  Silence silence;
  Cluster cluster(loop, silence, "n1");
  const api::Client& client = cluster.client();
  EXPECT_EQ(client.target<k8s::io::api::core::v1::Pod>().path("default", "web", "status"),
            "/api/v1/namespaces/default/pods/web/status");
  EXPECT_EQ(client.target<k8s::io::api::core::v1::Node>().path("", "n1"), "/api/v1/nodes/n1");
  EXPECT_EQ(client.target<k8s::io::api::coordination::v1::Lease>().path("kube-node-lease", "n1"),
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1");
  EXPECT_EQ(client.target<k8s::io::api::certificates::v1::CertificateSigningRequest>().path("", "c", "approval"),
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval");
  EXPECT_EQ(cluster.node_object(), nullptr);
}

}  // namespace
}  // namespace gantry::agent
