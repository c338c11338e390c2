// SPDX-License-Identifier: Apache-2.0
#include "cri/verbose.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace gantry::cri {
namespace {

TEST(Verbose, AContainersConfigurationWithoutItsEnvironmentsValues) {
  Loop loop;
  Container container(loop);
  container.status.set_id("c1");
  container.sandbox_id = "s1";
  container.pid = 7;
  container.has_config = true;
  container.config.mutable_metadata()->set_name("main");
  container.config.set_log_path("main.log");
  container.config.add_command("/bin/sh");
  container.config.add_args("-c");
  auto* variable = container.config.add_envs();
  variable->set_key("PASSWORD");
  variable->set_value("sesame");
  container.config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::CONTAINER);
  auto* mount = container.status.add_mounts();
  mount->set_host_path("/data");
  mount->set_container_path("/mnt");
  mount->set_readonly(true);
  std::string text = verbose_info(container, 5);
  EXPECT_EQ(text.find("sesame"), std::string::npos);
  auto info = boost::json::parse(text);
  EXPECT_EQ(info.at("sandboxID").as_string(), "s1");
  EXPECT_EQ(info.at("pid").as_int64(), 7);
  EXPECT_EQ(info.at_pointer("/config/metadata/name").as_string(), "main");
  EXPECT_EQ(info.at_pointer("/config/log_path").as_string(), "main.log");
  EXPECT_EQ(info.at_pointer("/config/envs/0/key").as_string(), "PASSWORD");
  EXPECT_EQ(boost::json::serialize(info.at_pointer("/runtimeSpec/process/args")), R"(["/bin/sh","-c"])");
  EXPECT_EQ(info.at_pointer("/runtimeSpec/mounts/0/source").as_string(), "/data");
  EXPECT_EQ(info.at_pointer("/runtimeSpec/mounts/0/options/2").as_string(), "ro");
  EXPECT_NE(text.find(R"({"type":"network","path":"/proc/5/ns/net"})"), std::string::npos) << text;
}

TEST(Verbose, ASandboxWithoutItsShim) {
  Loop loop;
  Sandbox sandbox(loop);
  sandbox.status.set_id("s1");
  auto info = boost::json::parse(verbose_info(sandbox));
  EXPECT_EQ(info.at("pid").as_int64(), 0);
  EXPECT_TRUE(info.at("netNamespaceClosed").as_bool());
  EXPECT_TRUE(info.at("config").is_null()) << "its record is lost";
}

}  // namespace
}  // namespace gantry::cri
