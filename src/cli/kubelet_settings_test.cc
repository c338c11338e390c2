// SPDX-License-Identifier: Apache-2.0
#include "cli/kubelet_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace gantry::cli {
namespace {

using testing::HasSubstr;

class KubeletSettingsTest : public testing::Test {
 protected:
  KubeletSettingsTest() {
    char name[] = "/tmp/gantry-kubelet-settings-XXXXXX";
    folder_ = ::mkdtemp(name);
    options_.node_name = "n1";
    options_.kubelet_config = folder_ + "/config.yaml";
  }
  ~KubeletSettingsTest() override { std::filesystem::remove_all(folder_); }

  Result<KubeletSettingsInForce> read(const std::string& fields) {
    std::ofstream(options_.kubelet_config)
        << "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n" << fields;
    return read_kubelet_settings(options_, "10.0.0.1", "v1", runtime::HostFacts());
  }

  std::string folder_;
  GantrydOptions options_;
};

constexpr char kServer[] = R"(
address: 127.0.0.1
port: 10260
tlsCertFile: /field.crt
tlsPrivateKeyFile: /field.key
authentication: {x509: {clientCAFile: /field-ca.crt}}
)";

TEST_F(KubeletSettingsTest, FieldsCountWhereNoFlagIsGiven) {
  auto done = read(kServer);
  ASSERT_TRUE(done) << done.error().message();
  const agent::ServerConfig& server = done->settings.server;
  EXPECT_EQ(server.address, "127.0.0.1");
  EXPECT_EQ(server.served_port(), 10260);
  EXPECT_EQ(done->settings.node.port, 10260);
  EXPECT_EQ(server.certificate_file + server.key_file + server.client_ca_file, "/field.crt/field.key/field-ca.crt");
  EXPECT_THAT(done->document, HasSubstr(R"("port":10260)"));
}

TEST_F(KubeletSettingsTest, FlagsCountMore) {
  options_.node_api_address = "10.0.0.1";
  options_.node_api_port = 10270;
  options_.tls_cert_file = "/flag.crt";
  options_.tls_key_file = "/flag.key";
  options_.client_ca_file = "/flag-ca.crt";
  auto done = read(kServer);
  ASSERT_TRUE(done) << done.error().message();
  const agent::ServerConfig& server = done->settings.server;
  EXPECT_EQ(server.address, "10.0.0.1");
  EXPECT_EQ(done->settings.node.port, 10270);
  EXPECT_EQ(server.certificate_file + server.key_file + server.client_ca_file, "/flag.crt/flag.key/flag-ca.crt");
  EXPECT_THAT(done->document, HasSubstr(R"("tlsCertFile":"/flag.crt")"));
}

TEST_F(KubeletSettingsTest, EitherCanSayThatTheNodeApiIsNotServed) {
  auto off = read("enableServer: false\n");
  ASSERT_TRUE(off) << off.error().message();
  EXPECT_EQ(off->settings.node.port, 0);
  options_.node_api_port = 0;
  auto flag = read("port: 10260\n");
  ASSERT_TRUE(flag) << flag.error().message();
  EXPECT_EQ(flag->settings.node.port, 0);
  EXPECT_THAT(flag->document, HasSubstr(R"("enableServer":false)"));
}

}  // namespace
}  // namespace gantry::cli
