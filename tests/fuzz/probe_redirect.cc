// SPDX-License-Identifier: Apache-2.0
// Where a probed server says that a probe should go on: the target of the page that was asked for, and a Location. What
// comes of them is one absolute URL that can be asked for, whatever they say.
#include "agent/probe/http_probe.h"
#include "tests/fuzz/fuzz.h"

using namespace gantry;
using agent::ProbeUrl;
using fuzz::expect;

namespace {

void check(const ProbeUrl& url) {
  expect(!url.host.empty() && url.port != 0, "somebody to ask");
  expect(url.target.starts_with('/'), "a target begins at the root");
  for (unsigned char c : url.host + url.target) expect(c > 0x20 && c < 0x7f, "no second line, word or header");
  const std::string path = url.target.substr(0, url.target.find('?')) + "/";
  expect(path.find("/./") == path.npos && path.find("/../") == path.npos, "no dots are left");
  expect(url.target.find('#') == url.target.npos, "a fragment stays with the client");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto parts = fuzz::parts_of(fuzz::text_of(bytes, size), 2);
  const ProbeUrl start{false, "10.0.0.1", 8080, "/"};
  // The page that was asked for is one that a Location led to.
  auto base = agent::follow_location(start, parts[0]);
  if (!base) {
    fuzz::expect_sentence(base.error());
    base = start;
  }
  auto url = agent::follow_location(*base, parts[1]);
  if (!url) {
    fuzz::expect_sentence(url.error());
    return 0;
  }
  check(*base);
  check(*url);
  const std::string text = url->text();
  if (text.size() > 8192) return 0;
  auto again = agent::follow_location(start, text);
  expect(again && *again == *url, "as a text it is the same URL");
  return 0;
}
