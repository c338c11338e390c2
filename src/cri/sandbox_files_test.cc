// SPDX-License-Identifier: Apache-2.0
#include "cri/sandbox_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "cri/runtime/v1/api.pb.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

TEST(SandboxFiles, ResolvConf) {
  ::runtime::v1::DNSConfig dns;
  EXPECT_EQ(resolv_conf(dns), "") << "nothing is asked for: the host's";
  dns.add_servers("10.10.10.10");
  dns.add_servers("fd00::1");
  dns.add_searches("google.com");
  dns.add_searches("svc.local");
  dns.add_options("ndots:8");
  EXPECT_EQ(resolv_conf(dns),
            "search google.com svc.local\nnameserver 10.10.10.10\nnameserver fd00::1\noptions ndots:8\n");
}

TEST(SandboxFiles, Hosts) {
  std::string text = hosts_file({"10.88.0.5", "fd00::5"}, "web");
  EXPECT_TRUE(text.starts_with("127.0.0.1\tlocalhost\n"));
  EXPECT_TRUE(text.ends_with("10.88.0.5\tweb\nfd00::5\tweb\n"));
  EXPECT_EQ(hosts_file({"10.88.0.5"}, "").find("10.88"), std::string::npos);
}

TEST(SandboxFiles, AreReplacedWhole) {
  std::string path = std::filesystem::temp_directory_path() / "gantry-sandbox-files-XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  auto folder = sys::open_dir(sys::kCwd, path.c_str());
  ASSERT_TRUE(folder);
  ASSERT_TRUE(write_sandbox_files(*folder, {.resolv_conf = std::string(1000, 'x'), .hosts = "h", .hostname = "old"}));
  ASSERT_TRUE(write_sandbox_files(*folder, {.resolv_conf = "r", .hosts = "h", .hostname = "web"}));
  EXPECT_EQ(*sys::read_file(*folder, "resolv.conf", 4096), "r");
  EXPECT_EQ(*sys::read_file(*folder, "hostname", 4096), "web\n");
  EXPECT_FALSE(*read_host_file((path + "/none").c_str()));
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace gantry::cri
