// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/routes.h"

#include <gtest/gtest.h>

#include "agent/node_api/streams.h"

namespace gantry::agent {
namespace {

TEST(RoutesTest, PathsAreRead) {
  auto logs = parse_route("/containerLogs/shop/web-0/app");
  ASSERT_TRUE(logs);
  EXPECT_EQ(logs->kind, Route::Kind::kLogs);
  EXPECT_EQ(logs->pod.ns + " " + logs->pod.name + " " + logs->pod.container, "shop web-0 app");
  EXPECT_TRUE(logs->is_of_pod() && !logs->is_stream());
  auto exec = parse_route("/exec/shop/web-0/uid-1/a%70p");
  ASSERT_TRUE(exec && exec->is_stream());
  EXPECT_EQ(exec->pod.uid + " " + exec->pod.container, "uid-1 app");
  auto ports = parse_route("/portForward/shop/web-0");
  ASSERT_TRUE(ports);
  EXPECT_TRUE(ports->pod.uid.empty() && ports->pod.container.empty());
  ports = parse_route("/portForward/shop/web-0/uid-1");
  ASSERT_TRUE(ports);
  EXPECT_EQ(ports->pod.uid, "uid-1");
  EXPECT_EQ(parse_route("/runningpods/")->kind, Route::Kind::kRunningPods);
  EXPECT_EQ(parse_route("/stats/summary")->path, "/stats/summary");
  EXPECT_EQ(parse_route("/%70ods")->path, "/pods");
}

TEST(RoutesTest, WhatCanBeNoNameIsNoRoute) {
  for (const char* path : {"",
                           "/",
                           "pods",
                           "/nothing",
                           "/containerLogs/a/b",
                           "/containerLogs/a/b/c/d",
                           "/containerLogs/a/b/..",
                           "/containerLogs/a/b/%2e%2e",
                           "/containerLogs/a/b/%2e%2e%2fetc",
                           "/containerLogs/a//c",
                           "/containerLogs/a/b/c%00",
                           "/containerLogs/a/b/c%0a",
                           "/containerLogs/a/b/c%2",
                           "/exec/a/b",
                           "/exec/a/b/c/d/e",
                           "/portForward/a",
                           "/portForward/a/b/c/d",
                           "/pods/../exec/a/b/c",
                           "//pods",
                           "/pods//",
                           "/a/b/c/d/e/f/g/h/i/j"}) {
    EXPECT_FALSE(parse_route(path)) << path;
  }
}

TEST(StreamingUrlTest, TheRuntimesUrlsAreRead) {
  auto url = parse_streaming_url("http://127.0.0.1:4321/exec/token");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "127.0.0.1");
  EXPECT_EQ(url->port, 4321);
  EXPECT_EQ(url->target, "/exec/token");
  EXPECT_EQ(parse_streaming_url("http://[::1]:80/x")->host, "::1");
  for (const char* wrong : {"", "https://h:1/x", "http://h/x", "http://h:0/x", "http://h:99999/x", "http://:1/x",
                            "http://h:1", "http://h:1/a b", "http://h:1/a\r\nX: y", "/exec/token"}) {
    EXPECT_FALSE(parse_streaming_url(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace gantry::agent
