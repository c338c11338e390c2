// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubernetes/core/v1/config.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

core::Secret secret_of(const std::string& type, const std::string& key, const std::string& text) {
  core::Secret secret;
  secret.mutable_metadata()->set_name("keys");
  secret.set_type(type);
  (*secret.mutable_data())[key] = text;
  return secret;
}

constexpr char kEntry[] = R"({"https://registry.example/v1/": {"auth": "dXNlcjpzZXNhbWU="}})";

TEST(PullCredentials, AreOfBothTypes) {
  for (const auto& secret :
       {secret_of("kubernetes.io/dockerconfigjson", ".dockerconfigjson", std::string("{\"auths\":") + kEntry + "}"),
        secret_of("kubernetes.io/dockercfg", ".dockercfg", kEntry)}) {
    auto entries = pull_credentials(secret);
    ASSERT_TRUE(entries) << entries.error().message();
    ASSERT_THAT(*entries, SizeIs(1));
    std::vector<Error> problems;
    auto found = images::credentials_in(*entries, "registry.example/team/app", problems);
    ASSERT_THAT(found, SizeIs(1));
    EXPECT_EQ(found[0].username, "user");
    EXPECT_EQ(found[0].password, "sesame");
    EXPECT_THAT(images::credentials_in(*entries, "other.example/team/app", problems), IsEmpty());
  }
}

TEST(PullCredentials, AreNotInOtherSecrets) {
  EXPECT_THAT(*pull_credentials(secret_of("Opaque", ".dockerconfigjson", kEntry)), IsEmpty());
  EXPECT_THAT(*pull_credentials(secret_of("kubernetes.io/dockercfg", ".dockerconfigjson", kEntry)), IsEmpty());
}

TEST(PullCredentials, OfASecretThatIsBrokenAreAnErrorThatDoesNotRepeatThem) {
  auto entries = pull_credentials(secret_of("kubernetes.io/dockercfg", ".dockercfg", R"({"sesame)"));
  ASSERT_FALSE(entries);
  EXPECT_THAT(entries.error().message(), HasSubstr("secret \"keys\": .dockercfg"));
  EXPECT_THAT(entries.error().message(), Not(HasSubstr("sesame")));
}

}  // namespace
}  // namespace gantry::agent
