// SPDX-License-Identifier: Apache-2.0
// The environment's proxies: those for http and https, NO_PROXY, and a URL that is asked for; four texts.
#include "images/registry/proxy.h"
#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto parts = gantry::fuzz::parts_of(gantry::fuzz::text_of(bytes, size), 4);
  auto origin = images::origin_of(std::string(parts[3]));
  if (!origin) {
    gantry::fuzz::expect_sentence(origin.error());
    return 0;
  }
  const std::string http(parts[0]), https(parts[1]), direct(parts[2]);
  auto proxy_with = [&](const std::string& list) { return images::ProxyRules(http, https, list).proxy_for(*origin); };
  const std::string proxy = proxy_with(direct);
  const std::string& wanted = origin->scheme == "https" ? https : http;
  if (wanted.empty()) expect(proxy.empty(), "a scheme without a proxy has none");
  if (!proxy.empty()) {
    expect(proxy == wanted || (wanted.starts_with("socks5://") && proxy == "socks5h" + wanted.substr(6)),
           "a proxy is the one of the scheme");
    expect(!origin->is_loopback(), "loopback is asked directly");
  }
  expect(proxy_with("*").empty(), "with * everything is");
  expect(proxy_with(origin->host).empty(), "and what is listed");
  expect(proxy_with(direct + "," + origin->host).empty(), "beside others, too");
  if (proxy.empty()) {
    expect(proxy_with(direct + ",further.example").empty(), "a further entry takes nothing out of the list");
  } else {
    expect(proxy_with(direct + "," + direct) == proxy, "an entry says twice what it says once");
  }
  return 0;
}
