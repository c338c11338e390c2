// SPDX-License-Identifier: Apache-2.0
// A hosts.toml of the folder of registries.
#include <algorithm>
#include <chrono>

#include "base/duration.h"
#include "images/registry/hosts_file.h"
#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;
using namespace std::chrono_literals;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  auto is_line = [](const std::string& each) {
    return std::ranges::all_of(each, [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
  };
  auto duration = gantry::parse_duration(text);
  if (!duration) {
    expect_sentence(duration.error());
  } else {
    expect(*duration >= 0ms, "a duration is not negative");
  }
  auto entries = images::parse_hosts_file(text);
  if (!entries) {
    expect_sentence(entries.error());
    return 0;
  }
  expect(!entries->empty() && entries->size() <= 33, "the server, and at most 32 hosts before it");
  for (const images::HostEntry& entry : *entries) {
    expect(entry.pulls || entry.resolves || text.find("capabilities") != text.npos, "a host can something");
    expect(entry.key.empty() || !entry.certificate.empty(), "a key goes with a certificate");
    expect(entry.dial_timeout >= 0ms && entry.dial_timeout <= 24h, "a time is within its bounds");
    for (const std::string& header : entry.headers)
      expect(is_line(header) && header.find(": ") != header.npos, "a header is one line");
  }
  return 0;
}
