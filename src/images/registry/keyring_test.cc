// SPDX-License-Identifier: Apache-2.0
#include "images/registry/keyring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace gantry::images {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Programs are shell scripts in a folder of the test's own; each writes a line of "asked" when it runs.
class KeyringTest : public testing::Test {
 protected:
  KeyringTest() {
    char name[] = "/tmp/gantry-keyring-XXXXXX";
    folder_ = ::mkdtemp(name);
    options_.provider_folder = folder_;
    options_.now = [this] { return now_; };
  }
  ~KeyringTest() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    fs::permissions(folder_ / name, fs::perms::owner_all);
    return folder_ / name;
  }
  void provider(const std::string& name, const std::string& script, std::vector<std::string> images = {"*.example"}) {
    write(name, "#!/bin/sh\necho " + name + " >> '" + (folder_ / "asked").string() + "'\n" + script);
    options_.providers.push_back({name, std::move(images), std::chrono::hours(1), {}, {}});
  }
  // A script that answers with one password for every host of one piece before ".example".
  static std::string answer(const std::string& password, const std::string& more) {
    return R"(cat <<X
{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse",
 "auth": {"*.example": {"username": "me", "password": ")" +
           password + R"("}}, )" + more + "}\nX\n";
  }
  std::string asked() const {
    std::stringstream out;
    out << std::ifstream(folder_ / "asked").rdbuf();
    std::string text = out.str();
    std::ranges::replace(text, '\n', ' ');
    return text;
  }
  static std::vector<std::string> passwords(const Keyring::Found& found) {
    std::vector<std::string> out;
    for (const Credentials& one : found.credentials) out.push_back(one.password);
    return out;
  }

  fs::path folder_;
  KeyringOptions options_;
  std::chrono::steady_clock::time_point now_{};
};

TEST_F(KeyringTest, ProvidersComeBeforeFiles) {
  options_.docker_configs = {
      write("first.json", R"({"auths": {"a.example": {"username": "me", "password": "file"}}})"), folder_ / "none.json",
      write("second.json", R"({"auths": {"*.example": {"username": "me", "password": "other file"}}})")};
  provider("one", answer("one", R"("cacheKeyType": "Image")"));
  provider("two", answer("two", R"("cacheKeyType": "Image")"));
  provider("elsewhere", answer("elsewhere", R"("cacheKeyType": "Image")"), {"*.org"});
  Keyring keyring(options_);
  auto found = keyring.find("a.example/app");
  EXPECT_THAT(passwords(found), ElementsAre("one", "two", "file", "other file"));
  EXPECT_THAT(found.problems, IsEmpty());
  EXPECT_EQ(asked(), "one two ");
  EXPECT_THAT(passwords(keyring.find("a.org/app")), IsEmpty());
}

TEST_F(KeyringTest, AnswersAreKeptForWhatTheySayTheyAre) {
  provider("image", answer("x", R"("cacheKeyType": "Image")"), {"a.example"});
  provider("registry", answer("x", R"("cacheKeyType": "Registry")"), {"b.example", "bb.example"});
  provider("all", answer("x", R"("cacheKeyType": "Global")"), {"c.example", "cc.example"});
  Keyring keyring(options_);
  for (const char* image : {"a.example/1", "a.example/2", "b.example/1", "b.example/2", "bb.example/1", "c.example/1",
                            "cc.example/1", "a.example/1", "b.example/1", "c.example/1"})
    EXPECT_THAT(passwords(keyring.find(image)), ElementsAre("x")) << image;
  EXPECT_EQ(asked(), "image image registry registry all ");
}

TEST_F(KeyringTest, AndForAsLong) {
  provider("hour", answer("x", R"("cacheKeyType": "Image")"), {"a.example"});
  provider("minute", answer("x", R"("cacheKeyType": "Image", "cacheDuration": "1m")"), {"b.example"});
  provider("never", answer("x", R"("cacheKeyType": "Image", "cacheDuration": "0s")"), {"c.example"});
  Keyring keyring(options_);
  for (auto later : {std::chrono::seconds(0), std::chrono::seconds(59), std::chrono::seconds(3540)}) {
    now_ += later;
    for (const char* image : {"a.example/1", "b.example/1", "c.example/1"}) keyring.find(image);
  }
  EXPECT_EQ(asked(), "hour minute never never minute never ");
  now_ += std::chrono::seconds(1);
  keyring.find("a.example/1");
  EXPECT_THAT(asked(), testing::EndsWith("never hour "));
}

TEST_F(KeyringTest, AProgramReadsTheImageAndItsVariables) {
  provider("echo", "cat > '" + (folder_ / "input").string() + "'; echo \"$0 $* $WHO $HOME\" > '" +
                       (folder_ / "words").string() + "'\n" + answer("x", R"("cacheKeyType": "Image")"));
  options_.providers[0].arguments = {"get", "it"};
  options_.providers[0].environment = {"WHO=me", "HOME=/nowhere"};
  Keyring(options_).find("a.example/team/app");
  std::stringstream input, words;
  input << std::ifstream(folder_ / "input").rdbuf();
  words << std::ifstream(folder_ / "words").rdbuf();
  EXPECT_EQ(input.str(), provider_request("a.example/team/app"));
  EXPECT_THAT(words.str(), HasSubstr("get it me /nowhere"));
}

TEST_F(KeyringTest, OneBadAnswerSpoilsNoOther) {
  provider("bad", R"(echo '{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse",
    "cacheKeyType": "Image", "auth": {"*.example": {"username": "a:b", "password": "x"}}}')");
  provider("good", answer("good", R"("cacheKeyType": "Image")"));
  auto found = Keyring(options_).find("a.example/app");
  EXPECT_THAT(passwords(found), ElementsAre("good"));
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_THAT(found.problems[0].message(), HasSubstr("*.example"));
}

TEST_F(KeyringTest, WhatGoesWrongIsToldAndNotKept) {
  options_.docker_configs = {write("bad.json", "{"),
                             write("good.json", R"({"auths": {"*.example": {"auth": "bWU6c2VjcmV0"}}})")};
  provider("fails", "echo no such profile >&2; exit 3");
  provider("talks", "exec cat /dev/zero");
  provider("dies", "kill -9 $$");
  provider("stammers", "echo '{\"password\": \"secret\"'");
  options_.providers.push_back({"absent", {"*.example"}, std::chrono::hours(1), {}, {}});
  Keyring keyring(options_);
  auto found = keyring.find("a.example/app");
  EXPECT_THAT(passwords(found), ElementsAre("secret"));
  const char* parts[] = {"code 3: \"no such profile\"", "1048576 bytes", "signal 9", "not JSON", "absent", "bad.json"};
  ASSERT_EQ(found.problems.size(), std::size(parts));
  for (std::size_t i = 0; i < std::size(parts); ++i) {
    EXPECT_THAT(found.problems[i].message(), HasSubstr(parts[i]));
    EXPECT_THAT(found.problems[i].message(), testing::Not(HasSubstr("secret")));
  }
  const std::string once = asked();
  keyring.find("a.example/app");
  EXPECT_EQ(asked(), once + once);
}

TEST_F(KeyringTest, WhatDoesNotEndIsEnded) {
  options_.provider_limit = milliseconds(100);
  provider("hangs", "exec sleep 100");
  provider("mutters", "exec cat /dev/zero >&2");
  auto found = Keyring(options_).find("a.example/app");
  ASSERT_EQ(found.problems.size(), 2U);
  for (const Error& problem : found.problems) EXPECT_THAT(problem.message(), HasSubstr("time limit"));
}

TEST_F(KeyringTest, AHelperComesBeforeItsFile) {
  options_.helper_path = "relative:" + folder_.string() + "/none:" + folder_.string();
  write("docker-credential-keeps", R"(#!/bin/sh
read server
echo "$* $server" >> ')" + (folder_ / "asked").string() +
                                       R"('
case $server in
a.example) echo '{"ServerURL": "a.example", "Username": "me", "Secret": "kept"}';;
b.example) echo '{"ServerURL": "b.example", "Username": "<token>", "Secret": "kept-token"}';;
*) echo credentials not found in native keychain; exit 1;;
esac
)");
  options_.docker_configs = {write("config.json", R"({"credsStore": "keeps", "credHelpers": {"d.example": ""},
      "auths": {"*.example": {"username": "me", "password": "file"}, "a.example": {}}})")};
  Keyring keyring(options_);
  EXPECT_THAT(passwords(keyring.find("a.example/app")), ElementsAre("kept", "file"));
  auto token = keyring.find("b.example/app").credentials;
  ASSERT_EQ(token.size(), 2U);
  EXPECT_EQ(token[0].identity_token, "kept-token");
  EXPECT_FALSE(token[0].has_password());
  auto none = keyring.find("c.example/app");
  EXPECT_THAT(passwords(none), ElementsAre("file"));
  EXPECT_THAT(none.problems, IsEmpty());
  EXPECT_THAT(passwords(keyring.find("d.example/app")), ElementsAre("file"));
  EXPECT_THAT(passwords(keyring.find("docker.io/library/app")), IsEmpty());
  EXPECT_EQ(asked(), "get a.example get b.example get c.example get https://index.docker.io/v1/ ");
}

TEST_F(KeyringTest, WhatIsWrongWithAHelperIsToldWithoutItsSecret) {
  options_.helper_path = folder_;
  const std::pair<const char*, const char*> helpers[] = {
      {"exit 3", "code 3"},
      {"echo the keychain is locked; exit 1", R"(code 1: "the keychain is locked")"},
      {R"(echo '{"Username": "me", "Secret": "secret"}'; exit 1)", "code 1: an answer"},
      {"kill -9 $$", "signal 9"},
      {"exec cat /dev/zero", "131072 bytes"},
      {"exec sleep 100", "time limit"},
      {"echo secret", "not JSON"},
      {"true", "not JSON"},
      {"echo '{}'", "neither a name nor a token"},
      {R"(echo '{"Username": ["secret"]}')", "Username"},
      {R"(echo '{"Username": "<token>", "Secret": "secret X-Evil: 1"}')", "a token has characters"},
      {R"(echo '{"Username": "a:b", "Secret": "secret"}')", "colon"}};
  for (const auto& [script, part] : helpers) {
    options_.provider_limit = std::chrono::seconds(part == std::string_view("time limit") ? 1 : 60);
    write("docker-credential-bad", std::string("#!/bin/sh\n") + script + "\n");
    options_.docker_configs = {write("config.json", R"({"credHelpers": {"a.example": "bad"}})")};
    auto found = Keyring(options_).find("a.example/app");
    EXPECT_THAT(found.credentials, IsEmpty()) << script;
    ASSERT_EQ(found.problems.size(), 1U) << script;
    EXPECT_THAT(found.problems[0].message(),
                testing::AllOf(HasSubstr(part), HasSubstr("credential helper \"bad\""), HasSubstr("config.json"),
                               testing::Not(HasSubstr("secret"))));
  }
  options_.docker_configs = {write("config.json", R"({"credsStore": "absent"})")};
  auto found = Keyring(options_).find("a.example/app");
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_THAT(found.problems[0].message(), HasSubstr("no such program"));
}

TEST_F(KeyringTest, WhoAsksMeanwhileWaitsForTheAnswer) {
  provider("slow", "sleep 0.2\n" + answer("x", R"("cacheKeyType": "Image")"));
  Keyring keyring(options_);
  {
    std::vector<std::jthread> askers;
    for (int i = 0; i < 4; ++i)
      askers.emplace_back([&] { EXPECT_THAT(passwords(keyring.find("a.example/app")), ElementsAre("x")); });
  }
  EXPECT_EQ(asked(), "slow ");
}

}  // namespace
}  // namespace gantry::images
