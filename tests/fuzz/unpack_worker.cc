// SPDX-License-Identifier: Apache-2.0
// What the unpack worker answers, which has parsed a stranger's bytes and may be the stranger's by now; and its
// arguments.
#include <string>
#include <vector>

#include "images/worker_protocol.h"
#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  if (auto answer = images::WorkerAnswer::decode(text))
    expect(answer->encode() == text, "an answer is encoded as it was");
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size() && words.size() < 8;) {
    std::size_t end = std::min(text.find(' ', at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  auto arguments = images::WorkerArguments::parse(static_cast<int>(argv.size()), argv.data());
  if (!arguments) return 0;
  auto again = arguments->to_argv();
  argv.clear();
  for (std::string& word : again) argv.push_back(word.data());
  auto same = images::WorkerArguments::parse(static_cast<int>(argv.size()), argv.data());
  expect(same && same->to_argv() == again, "arguments are written and read as they are");
  return 0;
}
