// SPDX-License-Identifier: Apache-2.0
#include "images/registry/hosts.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace gantry::images {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HostsTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/hosts-test-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    root_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + "/" + path).parent_path());
    std::ofstream(root_ + "/" + path) << text;
  }
  std::vector<std::string> urls(const std::string& domain) {
    auto hosts = registry_hosts(root_, domain);
    std::vector<std::string> out;
    if (!hosts) return {hosts.error().message()};
    for (const RegistryHost& host : *hosts) out.push_back(host.origin.url() + host.path);
    return out;
  }

  std::string root_;
};

TEST_F(HostsTest, WithoutAFolderPlainHttpIsForLoopback) {
  EXPECT_THAT(urls("registry.example"), ElementsAre("https://registry.example/v2"));
  EXPECT_THAT(urls("registry.example:5000"), ElementsAre("https://registry.example:5000/v2"));
  EXPECT_THAT(urls("127.0.0.1:5000"), ElementsAre("http://127.0.0.1:5000/v2"));
  EXPECT_THAT(urls("[::1]:5000"), ElementsAre("http://[::1]:5000/v2"));
  EXPECT_THAT(urls("localhost:5000"), ElementsAre("http://localhost:5000/v2"));
  EXPECT_THAT(urls("localhost:443"), ElementsAre("https://localhost/v2"));
  EXPECT_THAT(urls("127.example.com:5000"), ElementsAre("https://127.example.com:5000/v2"));
}

TEST_F(HostsTest, AuthoritiesAndCertificateWithoutAHostsFile) {
  write("127.0.0.1:5000/ca.crt", "first");
  write("127.0.0.1:5000/more.crt", "second");
  write("127.0.0.1:5000/client.cert", "");
  write("127.0.0.1:5000/client.key", "");
  auto hosts = registry_hosts(root_, "127.0.0.1:5000");
  ASSERT_TRUE(hosts);
  ASSERT_EQ(hosts->size(), 1U);
  EXPECT_EQ((*hosts)[0].origin.url(), "https://127.0.0.1:5000");
  EXPECT_EQ((*hosts)[0].tls.authorities, "first\nsecond\n");
  EXPECT_EQ((*hosts)[0].tls.certificate, root_ + "/127.0.0.1:5000/client.cert");
  EXPECT_EQ((*hosts)[0].tls.key, root_ + "/127.0.0.1:5000/client.key");
  auto tls = tls_settings_of(root_, *origin_of("https://127.0.0.1:5000/x"));
  ASSERT_TRUE(tls && *tls);
  EXPECT_EQ((*tls)->authorities, "first\nsecond\n");
  EXPECT_FALSE(*tls_settings_of(root_, *origin_of("https://127.0.0.1:5001")));
  std::filesystem::remove(root_ + "/127.0.0.1:5000/client.key");
  EXPECT_THAT(urls("127.0.0.1:5000"), ElementsAre(HasSubstr("expected its key in client.key")));
}

TEST_F(HostsTest, MirrorsBeforeTheServer) {
  write("registry.example/hosts.toml",
        "[host.\"https://m.example/pre/\"]\n[host.\"http://n.example:80/v2\"]\ncapabilities = [\"pull\"]\n"
        "[host.\"o.example/v2/cache\"]\noverride_path = true\n");
  EXPECT_THAT(urls("registry.example"), ElementsAre("https://m.example/pre/v2", "http://n.example/v2",
                                                    "https://o.example/v2/cache", "https://registry.example/v2"));
  auto hosts = registry_hosts(root_, "registry.example");
  EXPECT_EQ((*hosts)[1].name(), "mirror n.example");
  EXPECT_FALSE((*hosts)[1].resolves);
  EXPECT_EQ((*hosts)[3].name(), "registry registry.example");
  write("plain.example:80/hosts.toml", "server = \"http://plain.example\"");
  EXPECT_EQ((*registry_hosts(root_, "plain.example:80"))[0].name(), "mirror plain.example");
  write("plain.example/hosts.toml", "server = \"http://plain.example\"");
  EXPECT_EQ((*registry_hosts(root_, "plain.example"))[0].name(), "registry plain.example");
  write("docker.io/hosts.toml", "server = \"https://registry-1.docker.io\"");
  EXPECT_EQ((*registry_hosts(root_, "docker.io"))[0].name(), "registry registry-1.docker.io");
  write("docker.io/hosts.toml", "server = \"http://only.example:5000\"");
  EXPECT_THAT(urls("docker.io"), ElementsAre("http://only.example:5000/v2"));
}

TEST_F(HostsTest, WhichFolder) {
  write("_default/hosts.toml", "[host.\"https://all.example\"]");
  EXPECT_THAT(urls("a.example"), ElementsAre("https://all.example/v2", "https://a.example/v2"));
  EXPECT_FALSE(*tls_settings_of(root_, *origin_of("https://a.example")));  // a redirect's place has no mirrors
  write("a.example:5000/hosts.toml", "server = \"https://b.example\"");
  EXPECT_THAT(urls("a.example:5000"), ElementsAre("https://b.example/v2"));
  write("a.example_5000_/hosts.toml", "server = \"https://c.example\"");
  EXPECT_THAT(urls("a.example:5000"), ElementsAre("https://c.example/v2"));
}

TEST_F(HostsTest, ErrorsNameTheFile) {
  write("a.example/hosts.toml", "server = 1");
  EXPECT_THAT(urls("a.example"), ElementsAre(HasSubstr(root_ + "/a.example/hosts.toml: \"server\"")));
  write("a.example/hosts.toml", "server = \"ftp://a\"");
  EXPECT_THAT(urls("a.example"), ElementsAre(HasSubstr(root_ + "/a.example: ")));
  write("a.example/hosts.toml", "server = \"https://me:secret@a\"");
  EXPECT_THAT(urls("a.example"), ElementsAre(HasSubstr("a URL with a user in it")));
  write("a.example/hosts.toml", "ca = \"none.crt\"");
  EXPECT_THAT(urls("a.example"), ElementsAre(HasSubstr("none.crt")));
}

}  // namespace
}  // namespace gantry::images
