// SPDX-License-Identifier: Apache-2.0
#include "control/server/request_info.h"

#include <gtest/gtest.h>

namespace gantry::control {
namespace {

// "verb group/version ns resource/name/subresource rest"
std::string read(std::string_view method, std::string_view target) {
  Outcome<RequestInfo> info = parse_request_info(method, target);
  if (!info) return std::to_string(info.error().code) + " " + info.error().message;
  if (!info->is_resource) return info->verb + " path " + info->path;
  return info->verb + " " + info->group + "/" + info->version + " [" + info->ns + "] " + info->resource + "/" +
         info->name + "/" + info->subresource + " " + info->rest;
}

TEST(RequestInfoTest, ThePathSaysWhatIsAskedFor) {
  EXPECT_EQ(read("GET", "/api/v1/pods"), "list /v1 [] pods// ");
  EXPECT_EQ(read("GET", "/api/v1/namespaces/a/pods"), "list /v1 [a] pods// ");
  EXPECT_EQ(read("HEAD", "/api/v1/namespaces/a/pods/b"), "get /v1 [a] pods/b/ ");
  EXPECT_EQ(read("POST", "/apis/apps/v1/namespaces/a/deployments"), "create apps/v1 [a] deployments// ");
  EXPECT_EQ(read("PUT", "/apis/apps/v1/namespaces/a/deployments/d/scale"), "update apps/v1 [a] deployments/d/scale ");
  EXPECT_EQ(read("PATCH", "/api/v1/nodes/n/status"), "patch /v1 [] nodes/n/status ");
  EXPECT_EQ(read("DELETE", "/api/v1/nodes/n"), "delete /v1 [] nodes/n/ ");
  EXPECT_EQ(read("DELETE", "/api/v1/nodes"), "deletecollection /v1 [] nodes// ");
}

TEST(RequestInfoTest, ANamespaceIsAnObjectAndAPlace) {
  EXPECT_EQ(read("GET", "/api/v1/namespaces"), "list /v1 [] namespaces// ");
  EXPECT_EQ(read("GET", "/api/v1/namespaces/a"), "get /v1 [a] namespaces/a/ ");
  EXPECT_EQ(read("PUT", "/api/v1/namespaces/a/finalize"), "update /v1 [a] namespaces/a/finalize ");
  EXPECT_EQ(read("PUT", "/api/v1/namespaces/a/status"), "update /v1 [a] namespaces/a/status ");
}

TEST(RequestInfoTest, WatchesAreAskedForByTheQueryOrTheOldPath) {
  EXPECT_EQ(read("GET", "/api/v1/pods?watch=true"), "watch /v1 [] pods// ");
  EXPECT_EQ(read("GET", "/api/v1/pods?watch=0"), "list /v1 [] pods// ");
  EXPECT_EQ(read("GET", "/api/v1/watch/namespaces/a/pods"), "watch /v1 [a] pods// ");
  EXPECT_EQ(read("GET", "/api/v1/pods?watch=perhaps"),
            "400 the parameter watch is \"perhaps\"; expected true or false");
}

TEST(RequestInfoTest, AProxysPathIsTheTargetsOwn) {
  EXPECT_EQ(read("GET", "/api/v1/namespaces/a/services/http:s:80/proxy/x/%2F/../y"),
            "get /v1 [a] services/http:s:80/proxy /x/%2F/../y");
  EXPECT_EQ(read("POST", "/api/v1/nodes/n/proxy/"), "create /v1 [] nodes/n/proxy /");
}

TEST(RequestInfoTest, ProxyIsANameToo) {
  EXPECT_EQ(read("GET", "/api/v1/namespaces/proxy/pods/x"), "get /v1 [proxy] pods/x/ ");
  EXPECT_EQ(read("POST", "/api/v1/namespaces/a/pods/proxy/binding"), "create /v1 [a] pods/proxy/binding ");
  EXPECT_EQ(read("DELETE", "/api/v1/namespaces/a/pods/proxy/"), "delete /v1 [a] pods/proxy/ ");
  EXPECT_EQ(read("GET", "/api/v1/namespaces/a/pods/proxy/proxy/proxy/"), "get /v1 [a] pods/proxy/proxy /proxy/");
}

TEST(RequestInfoTest, AMethodIsNoVerb) {
  EXPECT_EQ(read("LIST", "/api/v1/namespaces/a/secrets/b").substr(0, 3), "405");
  EXPECT_EQ(read("DELETECOLLECTION", "/api/v1/namespaces/a/secrets/b").substr(0, 3), "405");
}

TEST(RequestInfoTest, WhatIsNoResourceIsAPath) {
  EXPECT_EQ(read("GET", "/healthz"), "get path /healthz");
  EXPECT_EQ(read("GET", "/apis/apps/v1"), "get path /apis/apps/v1");
  EXPECT_EQ(read("OPTIONS", "/"), "options path /");
}

TEST(RequestInfoTest, PathsThatCouldBeMistakenAreRefused) {
  EXPECT_EQ(read("GET", "/api/v1/namespaces/../pods").substr(0, 3), "400");
  EXPECT_EQ(read("GET", "/api/v1/namespaces/a%2Fb/pods").substr(0, 3), "400");
  EXPECT_EQ(read("GET", "/api/v1/pods/%zz").substr(0, 3), "400");
  EXPECT_EQ(read("GET", "/api/v1/namespaces/a/pods/b/log/c").substr(0, 3), "404");
  EXPECT_EQ(read("GET", "http://x/").substr(0, 3), "400");
}

TEST(QueryTest, DecodesWhatClientsEncode) {
  Result<Query> query = Query::parse("labelSelector=a%3Db%2Cc&x=1+2&x=3&empty=&flag");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->text("labelSelector"), "a=b,c");
  EXPECT_EQ(query->all("x"), (std::vector<std::string>{"1 2", "3"}));
  EXPECT_EQ(query->flag("flag").value(), true);
  EXPECT_EQ(query->flag("none").value(), false);
  EXPECT_EQ(query->number("empty").value(), std::nullopt);
  EXPECT_FALSE(query->number("labelSelector"));
  EXPECT_FALSE(Query::parse("a=%f"));
}

}  // namespace
}  // namespace gantry::control
