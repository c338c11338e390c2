// SPDX-License-Identifier: Apache-2.0
// What a container wrote, as its log file has it: whichever pieces it is read in the same comes out, no more than was
// in it and than was asked for. The first line is the query that asks, and a path.
#include "agent/node_api/log_lines.h"
#include "agent/node_api/routes.h"
#include "tests/fuzz/fuzz.h"

using namespace gantry;
using fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view input = fuzz::text_of(bytes, size);
  std::string_view first = input.substr(0, input.find('\n'));
  input.remove_prefix(std::min(input.size(), first.size() + 1));
  if (auto route = agent::parse_route(first)) {
    for (const std::string& name : {route->pod.ns, route->pod.name, route->pod.uid, route->pod.container}) {
      expect(name.find('/') == name.npos && name != "." && name != "..", "a name is no path");
    }
  }
  auto query = http::Query::parse(first);
  if (!query) return 0;
  auto options = agent::read_log_options(*query, 1'700'000'000);
  if (!options) {
    fuzz::expect_sentence(options.error());
    return 0;
  }
  agent::LogLines whole(*options), pieces(*options);
  std::string out, again;
  whole.feed(input, out);
  for (std::size_t at = 0; at < input.size(); at += 7) pieces.feed(input.substr(at, 7), again);
  expect(out == again, "the pieces do not matter");
  expect(out.size() <= input.size(), "nothing is added");
  expect(!options->limit_bytes || out.size() <= *options->limit_bytes, "no more than was asked for");
  return 0;
}
