// SPDX-License-Identifier: Apache-2.0
#include "images/registry/proxy.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace gantry::images {
namespace {

constexpr char kProxy[] = "http://proxy.example:3128";

// Whether a URL goes through the proxy.
bool passes(const char* direct, const char* url) {
  const ProxyRules rules(kProxy, kProxy, direct);
  const std::string proxy = rules.proxy_for(*origin_of(url));
  EXPECT_TRUE(proxy.empty() || proxy == kProxy) << proxy;
  return !proxy.empty();
}

TEST(ProxyRules, HttpAndHttpsAreApart) {
  const ProxyRules rules("one.example:1", "http://two.example:2", "");
  EXPECT_EQ(rules.proxy_for(*origin_of("http://a.example")), "one.example:1");
  EXPECT_EQ(rules.proxy_for(*origin_of("https://a.example")), "http://two.example:2");
  EXPECT_EQ(ProxyRules().proxy_for(*origin_of("https://a.example")), "");
  EXPECT_EQ(ProxyRules("socks5://a.example:1", "", "").proxy_for(*origin_of("http://b.example")),
            "socks5h://a.example:1");
}

TEST(ProxyRules, LoopbackIsAskedDirectly) {
  for (const char* url : {"http://localhost:5000", "http://127.0.0.1:5000", "https://127.9.9.9", "http://[::1]:80"})
    EXPECT_FALSE(passes("", url)) << url;
  EXPECT_TRUE(passes("", "http://localhost.example"));
}

TEST(ProxyRules, NamesMatchAtTheirDots) {
  EXPECT_FALSE(passes("a.example", "https://a.example"));
  EXPECT_FALSE(passes(" other.example , A.Example ", "https://b.a.example:5000"));
  EXPECT_TRUE(passes("a.example", "https://ba.example"));
  EXPECT_TRUE(passes(".a.example", "https://a.example"));
  EXPECT_FALSE(passes(".a.example", "https://b.a.example"));
  EXPECT_TRUE(passes("*.a.example", "https://a.example"));
  EXPECT_FALSE(passes("*.a.example", "https://c.b.a.example"));
  EXPECT_TRUE(passes("a.*", "https://a.example"));
  EXPECT_FALSE(passes("b.example,*", "https://a.example"));
}

TEST(ProxyRules, AddressesMatchHostsThatAreOnes) {
  EXPECT_FALSE(passes("10.1.2.3", "https://10.1.2.3:5000"));
  EXPECT_TRUE(passes("10.1.2.3", "https://10.1.2.30"));
  EXPECT_FALSE(passes("10.1.0.0/16", "https://10.1.2.3"));
  EXPECT_TRUE(passes("10.1.0.0/15", "https://10.2.2.3"));
  EXPECT_FALSE(passes("10.2.0.0/15", "https://10.3.2.3"));
  EXPECT_FALSE(passes("0.0.0.0/0", "https://10.3.2.3"));
  EXPECT_TRUE(passes("10.1.0.0/33", "https://10.1.0.0"));
  EXPECT_TRUE(passes("10.1.0.0/", "https://10.1.0.0"));
  EXPECT_FALSE(passes("2001:db8::/32", "https://[2001:db8::5]:5000"));
  EXPECT_FALSE(passes("2001:db8::5", "https://[2001:db8::5]:5000"));
  EXPECT_TRUE(passes("2001:db8::/32", "https://10.1.2.3"));
}

TEST(ProxyRules, APortCountsWhenItIsThere) {
  EXPECT_FALSE(passes("a.example:5000", "https://a.example:5000"));
  EXPECT_TRUE(passes("a.example:5000", "https://a.example"));
  EXPECT_FALSE(passes("a.example:443", "https://a.example"));
  EXPECT_FALSE(passes("10.1.2.3:5000", "https://10.1.2.3:5000"));
  EXPECT_TRUE(passes("10.1.2.3:5001", "https://10.1.2.3:5000"));
  EXPECT_FALSE(passes("[2001:db8::5]:5000", "https://[2001:db8::5]:5000"));
  EXPECT_TRUE(passes("[2001:db8::5]:80", "https://[2001:db8::5]:5000"));
  EXPECT_TRUE(passes(":5000,,/,[]", "https://a.example:5000"));
}

TEST(ProxyRules, UpperCaseComesFirst) {
  ::setenv("HTTP_PROXY", "upper.example", 1);
  ::setenv("http_proxy", "lower.example", 1);
  ::unsetenv("HTTPS_PROXY");
  ::setenv("https_proxy", "lower.example", 1);
  ::setenv("NO_PROXY", "", 1);
  ::setenv("no_proxy", "a.example", 1);
  const ProxyRules rules = ProxyRules::from_environment();
  EXPECT_EQ(rules.proxy_for(*origin_of("http://b.example")), "upper.example");
  EXPECT_EQ(rules.proxy_for(*origin_of("https://b.example")), "lower.example");
  EXPECT_EQ(rules.proxy_for(*origin_of("https://a.example")), "");
  for (const char* name : {"HTTP_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"}) ::unsetenv(name);
}

}  // namespace
}  // namespace gantry::images
