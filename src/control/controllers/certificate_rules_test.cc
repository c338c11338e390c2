// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/certificate_rules.h"

#include <gtest/gtest.h>

#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {
namespace {

using Words = std::vector<std::string>;
constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kHour = 3600;

SigningRequest request_for(Subject subject, AlternativeNames names = {}) {
  return {.subject = std::move(subject), .names = std::move(names), .key = PrivateKey::generate()->public_key()};
}
SigningRequest node_request(AlternativeNames names = {}) {
  return request_for({.common_name = "system:node:n1", .organizations = {"system:nodes"}, .other_kinds = {}},
                     std::move(names));
}
std::string why(std::string_view signer, const SigningRequest& request, const Words& usages) {
  const Status status = check_for_signer(signer, request, usages);
  return status ? "" : status.error().message();
}

TEST(CertificateRulesTest, NodesClients) {
  EXPECT_EQ(why(kKubeletClientSigner, node_request(), {"digital signature", "client auth"}), "");
  EXPECT_EQ(why(kKubeletClientSigner, node_request(), client_usages()), "");
  EXPECT_NE(why(kKubeletClientSigner, node_request(), {"client auth"}), "");
  EXPECT_NE(why(kKubeletClientSigner, node_request(), serving_usages()), "");
  EXPECT_NE(why(kKubeletClientSigner, node_request({.dns = {"n1"}}), client_usages()), "");
  EXPECT_NE(why(kKubeletClientSigner, node_request({.ips = {"10.0.0.1"}}), client_usages()), "");
  EXPECT_NE(why(kKubeletClientSigner, request_for({"n1", {"system:nodes"}, {}}), client_usages()), "");
  EXPECT_NE(why(kKubeletClientSigner, request_for({"system:node:n1", {"system:nodes", "system:masters"}, {}}),
                client_usages()),
            "");
}

TEST(CertificateRulesTest, NodesServers) {
  EXPECT_EQ(why(kKubeletServingSigner, node_request({.dns = {"n1"}, .ips = {"10.0.0.1"}}), serving_usages()), "");
  EXPECT_NE(why(kKubeletServingSigner, node_request(), serving_usages()), "");
  EXPECT_NE(why(kKubeletServingSigner, node_request({.dns = {"n1"}, .uris = {"spiffe://a"}}), serving_usages()), "");
  EXPECT_NE(why(kKubeletServingSigner, node_request({.dns = {"n1"}, .emails = {"a@b"}}), serving_usages()), "");
  EXPECT_NE(why(kKubeletServingSigner, node_request({.dns = {"n1"}}), client_usages()), "");
}

TEST(CertificateRulesTest, ClientsOfTheServer) {
  EXPECT_EQ(why(kClientSigner, request_for({"jane", {"dev"}, {}}), {"client auth"}), "");
  EXPECT_EQ(why(kClientSigner, request_for({"jane", {}, {}}), {"digital signature"}),
            "missing required usage for client certificate: client auth");
  EXPECT_EQ(why(kClientSigner, request_for({"jane", {}, {}}), {"client auth", "server auth"}),
            "invalid usage for client certificate: server auth");
  EXPECT_FALSE(is_own_signer("example.com/own"));
}

TEST(CertificateRulesTest, HowLongACertificateIs) {
  Csr csr;
  const auto life = [&csr] {
    const CertificateOrder order = order_of(csr, node_request(), {kNow, 0});
    EXPECT_EQ(order.not_before.time_since_epoch(), std::chrono::seconds(kNow - 300));
    return std::chrono::duration_cast<std::chrono::seconds>(order.not_after.time_since_epoch()).count() - kNow;
  };
  EXPECT_EQ(life(), 365 * 24 * kHour - 300);
  csr.mutable_spec()->set_expiration_seconds(600);
  EXPECT_EQ(life(), 600);
  csr.mutable_spec()->set_expiration_seconds(24 * kHour);
  EXPECT_EQ(life(), 24 * kHour - 300);
  csr.mutable_spec()->set_expiration_seconds(2'000'000'000);
  EXPECT_EQ(life(), 365 * 24 * kHour - 300);
}

TEST(CertificateRulesTest, WhenARequestIsPast) {
  Csr csr;
  csr.mutable_metadata()->mutable_creation_timestamp()->set_seconds(kNow);
  EXPECT_FALSE(is_past(csr, {kNow + 24 * kHour, 0}));
  EXPECT_TRUE(is_past(csr, {kNow + 24 * kHour + 1, 0}));
  add_condition(&csr, "Approved", "", "", {kNow, 0});
  EXPECT_FALSE(is_past(csr, {kNow + 2 * kHour, 0}));
  EXPECT_TRUE(is_past(csr, {kNow + 25 * kHour, 0}));
  csr.mutable_status()->set_certificate("x");
  EXPECT_FALSE(is_past(csr, {kNow + kHour, 0}));
  EXPECT_TRUE(is_past(csr, {kNow + 2 * kHour, 0}));
  Csr denied;
  add_condition(&denied, "Denied", "", "", {kNow, 0});
  EXPECT_TRUE(is_past(denied, {kNow + 2 * kHour, 0}));
}

}  // namespace
}  // namespace gantry::control
