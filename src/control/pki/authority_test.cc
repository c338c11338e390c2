// SPDX-License-Identifier: Apache-2.0
#include "control/pki/authority.h"

#include <gtest/gtest.h>

#include <string>

namespace gantry::control {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

Authority make_authority() {
  auto authority = Authority::make("kubernetes", 24h * 3650);
  EXPECT_TRUE(authority) << authority.error().message();
  return std::move(*authority);
}

PrivateKey make_key() { return *PrivateKey::generate(); }

TEST(AuthorityTest, ANewOneSignsItselfAndIsReadAgain) {
  auto authority = make_authority();
  const Certificate& facts = authority.certificate();
  EXPECT_EQ(facts.subject.common_name, "kubernetes");
  EXPECT_EQ(facts.issuer, "kubernetes");
  EXPECT_TRUE(facts.is_ca);
  EXPECT_EQ(facts.usages, (Texts{"digital signature", "key encipherment", "cert sign"}));
  EXPECT_EQ(facts.not_after - facts.not_before, 24h * 3650 + 1h);
  EXPECT_TRUE(check_certificate(authority.certificate_pem(), authority.key().pem(), authority.certificate_pem()));
  EXPECT_TRUE(Authority::read(authority.certificate_pem(), authority.key().pem()));
  EXPECT_FALSE(Authority::read(authority.certificate_pem(), make_key().pem()));
  EXPECT_TRUE(facts.key.pin().starts_with("sha256:") && facts.key.pin().size() == 7 + 64) << facts.key.pin();
  EXPECT_EQ(facts.key.pin(), authority.key().public_key().pin());
}

TEST(AuthorityTest, IssuesServingCertificates) {
  auto authority = make_authority();
  auto key = make_key();
  CertificateOrder order = order_for(24h);
  order.subject.common_name = "kube-apiserver";
  order.names = {.dns = {"kubernetes", "kubernetes.default.svc", "localhost"},
                 .ips = {"10.96.0.1", "fd00::1"},
                 .emails = {"a@example.org"},
                 .uris = {"spiffe://a/b"}};
  order.usages = serving_usages();
  auto pem = authority.issue(key.public_key(), order);
  ASSERT_TRUE(pem) << pem.error().message();
  auto facts = read_certificate(*pem);
  ASSERT_TRUE(facts) << facts.error().message();
  EXPECT_EQ(facts->subject.common_name, "kube-apiserver");
  EXPECT_EQ(facts->issuer, "kubernetes");
  EXPECT_EQ(facts->names.dns, order.names.dns);
  EXPECT_EQ(facts->names.ips, order.names.ips);
  EXPECT_EQ(facts->names.emails, order.names.emails);
  EXPECT_EQ(facts->names.uris, order.names.uris);
  EXPECT_EQ(facts->usages, order.usages);
  EXPECT_EQ(facts->not_after, order.not_after);
  EXPECT_FALSE(facts->is_ca);
  EXPECT_TRUE(facts->key == key.public_key());
  EXPECT_TRUE(check_certificate(*pem, key.pem(), authority.certificate_pem()));
  EXPECT_FALSE(check_certificate(*pem, make_key().pem(), authority.certificate_pem()));
  EXPECT_FALSE(check_certificate(*pem, key.pem(), make_authority().certificate_pem()));
  EXPECT_FALSE(Authority::read(*pem, key.pem())) << "it is none";
  EXPECT_NE(facts->serial, read_certificate(*authority.issue(key.public_key(), order))->serial);
}

TEST(AuthorityTest, IssuesClientCertificatesWithGroups) {
  auto authority = make_authority();
  CertificateOrder order = order_for(24h * 365 * 100);
  order.subject = {.common_name = "admin, with a comma", .organizations = {"system:masters", "a=b,CN=c"}};
  order.usages = client_usages();
  auto facts = read_certificate(*authority.issue(make_key().public_key(), order));
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->subject.common_name, "admin, with a comma");
  EXPECT_EQ(facts->subject.organizations, order.subject.organizations);
  EXPECT_EQ(facts->usages, client_usages());
  EXPECT_EQ(facts->not_after, authority.certificate().not_after) << "not after its authority";
}

// X.520 ends them at 64 bytes; a node's name has up to 253.
TEST(AuthorityTest, CommonNamesMayBeLong) {
  auto authority = make_authority();
  auto key = make_key();
  const Subject subject{.common_name = "system:node:" + std::string(253, 'n'),
                        .organizations = {std::string(200, 'o')}};
  auto request = read_signing_request(*make_signing_request(key, subject, {}));
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->subject.common_name, subject.common_name);
  CertificateOrder order = order_for(1h);
  order.subject = subject;
  auto facts = read_certificate(*authority.issue(key.public_key(), order));
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->subject.common_name, subject.common_name);
  EXPECT_EQ(facts->subject.organizations, subject.organizations);
}

TEST(AuthorityTest, OrdersThatCannotBeFilledAreRefused) {
  auto authority = make_authority();
  auto refusal = [&](CertificateOrder order) {
    auto pem = authority.issue(make_key().public_key(), order);
    return pem ? "issued" : pem.error().message();
  };
  CertificateOrder order = order_for(1h);
  order.usages = {"world domination"};
  EXPECT_TRUE(has(refusal(order), "\"world domination\": not a known one"));
  order = order_for(1h);
  order.names.ips = {"10.0.0.1/8"};
  EXPECT_TRUE(has(refusal(order), "not a numeric address"));
  order.names = {.dns = {std::string("a.example\0.evil", 15)}};
  EXPECT_TRUE(has(refusal(order), "not printable ASCII"));
  order = order_for(-2h);
  EXPECT_TRUE(has(refusal(order), "ends before it begins"));
}

TEST(SigningRequestTest, IsReadAsItWasMade) {
  auto key = make_key();
  Subject subject{.common_name = "system:node:n1", .organizations = {"system:nodes"}};
  auto pem = make_signing_request(key, subject, {.dns = {"n1"}, .ips = {"192.0.2.7"}});
  ASSERT_TRUE(pem) << pem.error().message();
  auto request = read_signing_request(*pem);
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->subject.common_name, "system:node:n1");
  EXPECT_EQ(request->subject.organizations, Texts{"system:nodes"});
  EXPECT_TRUE(request->subject.other_kinds.empty());
  EXPECT_EQ(request->names.dns, Texts{"n1"});
  EXPECT_EQ(request->names.ips, Texts{"192.0.2.7"});
  EXPECT_TRUE(request->key == key.public_key());
  auto plain = read_signing_request(*make_signing_request(key, subject, {}));
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->names.dns.empty() && plain->names.ips.empty());
}

TEST(SigningRequestTest, WhoDoesNotHaveTheKeyIsRefused) {
  std::string pem = *make_signing_request(make_key(), {.common_name = "a"}, {});
  int refused = 0, changed = 0;
  // Not in the last four characters: some of their bits say nothing when they end in "=".
  for (std::size_t at = pem.find('\n') + 1; at + 4 < pem.rfind("\n-----END"); at += 7) {
    std::string other = pem;
    if (other[at] == '\n') continue;
    other[at] = other[at] == 'A' ? 'B' : 'A';
    ++changed;
    if (!read_signing_request(other)) ++refused;
  }
  EXPECT_EQ(refused, changed);
  EXPECT_FALSE(read_signing_request(""));
  EXPECT_FALSE(read_signing_request(make_authority().certificate_pem()));
}

}  // namespace
}  // namespace gantry::control
