// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster.h"

#include <gtest/gtest.h>

#include "agent/certificate_keeper.h"
#include "agent/fake_api.h"
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

// Else a certificate would never have them.
TEST(CertificateKeeperTest, ServingNamesAreWrittenAsACertificateHasThem) {
  Loop loop;
  FakeApi api(loop);
  auto node = api::parse_documents(
      "metadata: {name: n1}\nstatus: {addresses: [{type: InternalIP, address: 'FD00:0:0::01'}, {type: InternalIP, "
      "address: 192.0.2.7}, {type: ExternalIP, address: none}, {type: Hostname, address: n1}]}\n");
  ASSERT_TRUE(node);
  api.put("/api/v1/nodes/n1", std::move(node->front()));
  Cluster cluster(loop, api, "n1");
  cluster.node().on_change([&loop](const api::Informer::Change&) { loop.stop(); });
  cluster.node().start();
  loop.run();
  const CertificateNames names = serving_names(cluster);
  EXPECT_EQ(names.ips, (std::vector<std::string>{"192.0.2.7", "fd00::1"}));
  EXPECT_EQ(names.dns, std::vector<std::string>{"n1"});
}

}  // namespace
}  // namespace gantry::agent
