// SPDX-License-Identifier: Apache-2.0
#include "control/authentication/certificate_authenticator.h"

#include <gmock/gmock.h>

#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

class CertificateAuthenticatorTest : public ::testing::Test {
 protected:
  Outcome<std::optional<User>> ask() {
    CertificateAuthenticator authenticator;
    return run(loop_, authenticator.authenticate(loop_, request_));
  }
  void show(std::string name, std::vector<std::string> groups) {
    auto certificate = std::make_shared<http::ClientCertificate>();
    certificate->common_name = std::move(name);
    certificate->organizations = std::move(groups);
    request_.peer.certificate = std::move(certificate);
  }

  Loop loop_;
  http::Request request_;
};

TEST_F(CertificateAuthenticatorTest, TheSubjectIsTheUser) {
  show("system:node:n1", {"system:nodes", "others"});
  auto user = ask();
  ASSERT_TRUE(user.has_value() && user->has_value());
  EXPECT_EQ((*user)->name, "system:node:n1");
  EXPECT_THAT((*user)->groups, ::testing::ElementsAre("system:nodes", "others"));
}

TEST_F(CertificateAuthenticatorTest, NoneIsNobody) {
  EXPECT_EQ(ask()->has_value(), false);
  show("", {"system:masters"});
  EXPECT_EQ(ask()->has_value(), false);
}

TEST_F(CertificateAuthenticatorTest, ABadOneIsRefusedUnlessAnotherCredentialIsThere) {
  request_.peer.certificate_error = "it has expired";
  EXPECT_EQ(ask().error().code, 401);
  request_.headers = {{"Authorization", "Bearer x"}};
  EXPECT_EQ(ask()->has_value(), false);
}

}  // namespace
}  // namespace gantry::control
