// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/encryption_config.h"

#include <gtest/gtest.h>

namespace gantry::control {
namespace {

const std::string kHead = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n";
const std::string kGood = kHead + R"(- resources: [secrets, deployments.apps]
  providers:
  - aesgcm:
      keys:
      - name: one
        secret: MDEyMzQ1Njc4OWFiY2RlZg==
      - name: two
        secret: MDEyMzQ1Njc4OWFiY2RlZg==
  - identity: {}
- resources: ['*.apps', '*.']
  providers:
  - secretbox: {keys: [{name: box, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY=}]}
)";

std::string error_of(const std::string& text) {
  Result<EncryptionConfig> config = EncryptionConfig::parse(text);
  return config ? "" : config.error().message();
}

TEST(EncryptionConfigTest, TheFirstEntryThatHasAResourceCounts) {
  Result<EncryptionConfig> config = EncryptionConfig::parse(kGood);
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_TRUE(config->keys_of("secrets", "")->seal("x", "")->starts_with("k8s:enc:aesgcm:v1:one:"));
  EXPECT_EQ(config->keys_of("secrets", ""), config->keys_of("deployments", "apps"));
  EXPECT_TRUE(config->keys_of("daemonsets", "apps")->seal("x", "")->starts_with("k8s:enc:secretbox:v1:box:"));
  EXPECT_EQ(config->keys_of("daemonsets", "apps"), config->keys_of("configmaps", ""));
  EXPECT_EQ(config->keys_of("jobs", "batch"), nullptr);
}

TEST(EncryptionConfigTest, MistakesAreNamedWithoutSecrets) {
  const auto providers = [](const std::string& text) {
    return error_of(kHead + "- resources: [secrets]\n  providers: " + text);
  };
  EXPECT_EQ(error_of("apiVersion: v1\nkind: EncryptionConfiguration\nresources: []\n"),
            "apiVersion: expected apiserver.config.k8s.io/v1");
  EXPECT_EQ(error_of(kHead + "  []"), "resources: expected a list that is not empty");
  EXPECT_EQ(providers("[{kms: {}}]"),
            "resources[0].providers[0].kms: there are aesgcm, aescbc, secretbox and identity");
  EXPECT_EQ(providers("[{aesgcm: {}}]"), "resources[0].providers[0].aesgcm.keys: expected a list that is not empty");
  EXPECT_EQ(providers("[{aesgcm: {keys: [{name: a, secret: c2hvcnQ=}]}}]"),
            "resources[0].providers[0].aesgcm.keys[0].secret: the key has 5 bytes; expected 16, 24 or 32");
  EXPECT_EQ(providers("[{aesgcm: {keys: [{name: a, secret: '?'}]}}]"),
            "resources[0].providers[0].aesgcm.keys[0].secret: expected base64");
  EXPECT_EQ(providers("[{identity: {}, aesgcm: {}}]"), "resources[0].providers[0]: expected one provider");
  EXPECT_EQ(providers("[{rot13: {}}]"), "resources[0].providers[0].rot13: unknown field");
  EXPECT_EQ(providers("[{identity: {}}, {identity: {a: b}}]"), "resources[0].providers[1].identity.a: unknown field");
}

}  // namespace
}  // namespace gantry::control
