// SPDX-License-Identifier: Apache-2.0
#include "control/identity/cluster_identity.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "control/identity/identity_fixture.h"

namespace gantry::control {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using ClusterIdentityTest = IdentityTest;

TEST_F(ClusterIdentityTest, TheFirstStartMakesAllAndTheNextOnesKeepIt) {
  options_.dns_names = {"host"};
  options_.addresses = {"10.0.0.7"};
  const ClusterIdentity first = load();
  Result<Certificate> serving = read_certificate(first.serving.certificate_pem);
  ASSERT_TRUE(serving.has_value());
  EXPECT_THAT(serving->names.dns, Contains("kubernetes.default.svc.cluster.local"));
  EXPECT_THAT(serving->names.dns, Contains("host"));
  EXPECT_THAT(serving->names.ips, ElementsAre("10.96.0.1", "127.0.0.1", "::1", "10.0.0.7"));
  Result<Certificate> admin = read_certificate(first.admin.certificate_pem);
  ASSERT_TRUE(admin.has_value());
  EXPECT_THAT(admin->subject.organizations, ElementsAre("system:masters"));
  const ClusterIdentity second = load();
  EXPECT_EQ(first.authority.certificate_pem(), second.authority.certificate_pem());
  EXPECT_EQ(first.serving.certificate_pem, second.serving.certificate_pem);
  EXPECT_EQ(first.token_key.pem(), second.token_key.pem());
  EXPECT_TRUE(http::TlsServer::make(first.tls()).has_value());
}

TEST_F(ClusterIdentityTest, AnAddressWrittenInAnotherWayIsTheSame) {
  options_.addresses = {"FD00:0:0::1"};
  EXPECT_EQ(load().serving, load().serving);
}

TEST_F(ClusterIdentityTest, ACertificateMayEndWithoutANewline) {
  const ClusterIdentity first = load();
  for (const char* name : {"apiserver.crt", "admin.crt"}) {
    const std::filesystem::path path = root_ / "pki" / name;
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  }
  const ClusterIdentity brought = load();
  EXPECT_EQ(brought.serving, first.serving);
  EXPECT_EQ(brought.admin, first.admin);
  EXPECT_TRUE(http::TlsServer::make(brought.tls()).has_value());
}

TEST_F(ClusterIdentityTest, ANewNameOrAnotherCaMakesCertificatesAnew) {
  const ClusterIdentity first = load();
  options_.dns_names = {"other"};
  const ClusterIdentity named = load();
  EXPECT_NE(first.serving.certificate_pem, named.serving.certificate_pem);
  EXPECT_EQ(first.admin.certificate_pem, named.admin.certificate_pem);
  std::filesystem::remove(root_ / "pki/ca.crt");
  std::filesystem::remove(root_ / "pki/ca.key");
  const ClusterIdentity replaced = load();
  EXPECT_NE(named.admin.certificate_pem, replaced.admin.certificate_pem);
  EXPECT_TRUE(
      check_certificate(replaced.admin.certificate_pem, replaced.admin.key_pem, replaced.authority.certificate_pem())
          .has_value());
}

TEST_F(ClusterIdentityTest, ACaWithoutItsKeyIsNotReplaced) {
  load();
  std::filesystem::remove(root_ / "pki/ca.key");
  EXPECT_FALSE(load_identity(options_).has_value());
  EXPECT_FALSE(std::filesystem::exists(root_ / "pki/ca.key"));
}

TEST_F(ClusterIdentityTest, KeysAreTheOwnersAlone) {
  load();
  for (const char* name : {"ca.key", "sa.key", "apiserver.key", "admin.key"}) {
    EXPECT_EQ(std::filesystem::status(root_ / "pki" / name).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << name;
  }
}

TEST_F(ClusterIdentityTest, TheKubeconfigHasAllInItself) {
  const ClusterIdentity identity = load();
  const std::string text = admin_kubeconfig(identity, "https://127.0.0.1:6443");
  EXPECT_THAT(text, HasSubstr("server: https://127.0.0.1:6443\n"));
  EXPECT_THAT(text, HasSubstr("certificate-authority-data: LS0tLS1CRUdJTi"));
  ASSERT_TRUE(write_admin_kubeconfig(root_, text).has_value());
  EXPECT_EQ(std::filesystem::file_size(root_ / "admin.kubeconfig"), text.size());
}

}  // namespace
}  // namespace gantry::control
