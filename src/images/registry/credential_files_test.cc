// SPDX-License-Identifier: Apache-2.0
#include "images/registry/credential_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::images {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> users_for(const char* config, const char* image) {
  auto parsed = parse_docker_config(config);
  EXPECT_TRUE(parsed) << parsed.error().message();
  std::vector<Error> problems;
  auto found = credentials_in(parsed->entries, image, problems);
  EXPECT_TRUE(problems.empty()) << problems[0].message();
  std::vector<std::string> out;
  for (const Credentials& one : found) out.push_back(one.username + ":" + one.password);
  return out;
}

TEST(DockerConfig, TheMostTellingPatternIsFirst) {
  constexpr char kConfig[] = R"({"auths": {
    "a.example": {"auth": "aG9zdDpvbmU="},
    "a.example/team": {"username": "team", "password": "two"},
    "https://a.example/team/app": {"username": "app", "password": "three"},
    "*.example": {"username": "any", "password": "four"},
    "a.example/": {"username": "host", "password": "one"},
    "a.example:5000": {"username": "port", "password": "five"}}})";
  EXPECT_THAT(users_for(kConfig, "a.example/team/app"), ElementsAre("app:three", "team:two", "host:one", "any:four"));
  EXPECT_THAT(users_for(kConfig, "a.example/other"), ElementsAre("host:one", "any:four"));
  EXPECT_THAT(users_for(kConfig, "a.example:5000/team/app"), ElementsAre("port:five"));
  EXPECT_THAT(users_for(kConfig, "b.a.example/app"), ElementsAre());
}

TEST(DockerConfig, DockersOwnRegistry) {
  constexpr char kConfig[] = R"({"auths": {"https://index.docker.io/v1/": {"auth": "bWU6c2VjcmV0"}}})";
  EXPECT_THAT(users_for(kConfig, "docker.io/library/app"), ElementsAre("me:secret"));
  EXPECT_THAT(users_for(kConfig, "a.example/app"), ElementsAre());
}

TEST(DockerConfig, TokensAndWhatSaysNothing) {
  auto config = parse_docker_config(R"({"credsStore": "desktop", "auths": {
    "a.example": {}, "b.example": {"identitytoken": "token", "email": "me@b.example"}}})");
  ASSERT_TRUE(config);
  ASSERT_EQ(config->entries.size(), 1U);
  std::vector<Error> problems;
  EXPECT_EQ(credentials_in(config->entries, "b.example/app", problems)[0].identity_token, "token");
  EXPECT_TRUE(parse_docker_config("{}")->entries.empty());
}

TEST(DockerConfig, HelpersByRegistry) {
  auto config = parse_docker_config(R"({"credsStore": "desktop", "credHelpers": {
    "a.example": "pass", "https://index.docker.io/v1/": "hub", "b.example:5000": ""}})");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->helper_for("a.example"), "pass");
  EXPECT_EQ(config->helper_for("a.example:5000"), "desktop");
  EXPECT_EQ(config->helper_for("docker.io"), "hub");
  EXPECT_EQ(config->helper_for("b.example:5000"), "") << "none, and not the store's";
  EXPECT_EQ(parse_docker_config("{}")->helper_for("a.example"), "");
  for (const char* text : {R"({"credsStore": "../evil"})", R"({"credHelpers": {"a.example": "a b"}})",
                           R"({"credHelpers": {"a.example": 5}})", R"({"credHelpers": ["pass"]})"}) {
    auto bad = parse_docker_config(text);
    ASSERT_FALSE(bad) << text;
    EXPECT_THAT(bad.error().message(), HasSubstr("cred"));
  }
}

TEST(DockerConfig, ErrorsNameNoSecret) {
  for (const char* text : {"", "[]", "{", R"({"auths": []})", R"({"auths": {"a.example": "secret"}})",
                           R"({"auths": {"a.example": {"password": 5}}})"}) {
    auto config = parse_docker_config(text);
    ASSERT_FALSE(config) << text;
    EXPECT_THAT(config.error().message(), Not(HasSubstr("secret")));
  }
  auto config = parse_docker_config(
      R"({"auths": {"a.example": {"auth": "c2VjcmV0"}, "*.example": {"username": "me", "password": "mine"}}})");
  std::vector<Error> problems;
  auto good = credentials_in(config->entries, "a.example/app", problems);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_THAT(problems[0].message(), HasSubstr("a.example"));
  EXPECT_THAT(problems[0].message(), Not(HasSubstr("c2VjcmV0")));
  ASSERT_EQ(good.size(), 1U) << "what is good beside it is found";
  EXPECT_EQ(good[0].password, "mine");
}

TEST(ProviderConfig, IsRead) {
  auto providers = parse_provider_config(R"({"apiVersion": "kubelet.config.k8s.io/v1",
    "kind": "CredentialProviderConfig", "providers": [{"name": "ours", "matchImages": ["*.a.example", "b.example/team"],
    "defaultCacheDuration": "12h", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "args": ["get", "-v"],
    "env": [{"name": "PROFILE", "value": "x=y"}]}]})");
  ASSERT_TRUE(providers) << providers.error().message();
  ASSERT_EQ(providers->size(), 1U);
  const CredentialProvider& ours = providers->front();
  EXPECT_EQ(ours.name, "ours");
  EXPECT_THAT(ours.match_images, ElementsAre("*.a.example", "b.example/team"));
  EXPECT_EQ(ours.cache_duration, std::chrono::hours(12));
  EXPECT_THAT(ours.arguments, ElementsAre("get", "-v"));
  EXPECT_THAT(ours.environment, ElementsAre("PROFILE=x=y"));
}

TEST(ProviderConfig, WhatIsWrongIsNamed) {
  const auto with = [](const std::string& provider) {
    return R"({"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [)" +
           provider + "]}";
  };
  const auto provider = [](const std::string& name, const std::string& more) {
    return R"({"name": ")" + name + R"(", "apiVersion": "credentialprovider.kubelet.k8s.io/v1")" + more + "}";
  };
  constexpr char kGood[] = R"(, "matchImages": ["a.example"], "defaultCacheDuration": "1m")";
  EXPECT_TRUE(parse_provider_config(with(provider("ours", kGood))));
  const std::pair<std::string, const char*> cases[] = {
      {"{}", "apiVersion"},
      {R"({"apiVersion": "kubelet.config.k8s.io/v1alpha1", "kind": "CredentialProviderConfig"})", "v1alpha1"},
      {with(""), "providers"},
      {with("5"), "providers[0]"},
      {with(provider("", kGood)), "name"},
      {with(provider("../ours", kGood)), "../ours"},
      {with(provider("ours", kGood) + "," + provider("ours", kGood)), "there twice"},
      {with(R"({"name": "ours"})"), "apiVersion"},
      {with(provider("ours", R"(, "defaultCacheDuration": "1m")")), "matchImages"},
      {with(provider("ours", R"(, "matchImages": ["https://a.example"], "defaultCacheDuration": "1m")")), "https://"},
      {with(provider("ours", R"(, "matchImages": ["a.example"])")), "defaultCacheDuration"},
      {with(provider("ours", R"(, "matchImages": ["a.example"], "defaultCacheDuration": "-1m")")), "-1m"},
      {with(provider("ours", std::string(kGood) + R"(, "env": [{"value": "x"}])")), "env"},
      {with(provider("ours", std::string(kGood) + R"(, "tokenAttributes": {})")), "tokenAttributes"},
  };
  for (const auto& [text, part] : cases) {
    auto providers = parse_provider_config(text);
    ASSERT_FALSE(providers) << text;
    EXPECT_THAT(providers.error().message(), HasSubstr(part)) << text;
  }
}

TEST(ProviderAnswer, IsRead) {
  EXPECT_EQ(provider_request("a.example/app"),
            R"({"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest",)"
            R"("image":"a.example/app"})");
  constexpr char kHead[] =
      R"({"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse")";
  auto answer = parse_provider_answer(std::string(kHead) + R"(, "cacheKeyType": "Registry", "cacheDuration": "6h0m0s",
    "auth": {"*.a.example": {"username": "me", "password": "secret"}}})");
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->cache_key, ProviderAnswer::Key::kRegistry);
  EXPECT_EQ(answer->cache_duration, std::chrono::hours(6));
  ASSERT_EQ(answer->entries.size(), 1U);
  EXPECT_EQ(answer->entries[0].words.password, "secret");
  answer = parse_provider_answer(std::string(kHead) + R"(, "cacheKeyType": "Global", "auth": null})");
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->cache_duration);
  for (const char* rest : {"}", R"(, "cacheKeyType": "All"})", R"(, "cacheKeyType": "Image", "cacheDuration": 5})",
                           R"(, "cacheKeyType": "Image", "auth": ["secret"]})", ""}) {
    auto bad = parse_provider_answer(std::string(kHead) + rest);
    ASSERT_FALSE(bad) << rest;
    EXPECT_THAT(bad.error().message(), Not(HasSubstr("secret")));
  }
  EXPECT_FALSE(parse_provider_answer(R"({"cacheKeyType": "Image"})"));
}

}  // namespace
}  // namespace gantry::images
