// SPDX-License-Identifier: Apache-2.0
// The options of a mount, with commas between them.
#include "runtime/oci/mount_options.h"

#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace sys = gantry::sys;
using gantry::fuzz::expect;

namespace {

void check(const std::vector<std::string>& words, bool is_bind) {
  auto options = gantry::runtime::oci::parse_mount_options(words, is_bind);
  if (!options) return gantry::fuzz::expect_sentence(options.error());
  // Of access times the kernel wants all of them cleared when one is set.
  auto known = ~static_cast<std::uint64_t>(MOUNT_ATTR__ATIME);
  expect((raw(options->set) & raw(options->clear) & known) == 0, "no attribute is both set and cleared");
  expect((raw(options->tree_set) & raw(options->tree_clear) & known) == 0, "nor of what lies beneath");
  expect(!is_bind || options->is_bind, "what is a bind stays one");
  expect(!options->is_bind || options->data.empty(), "a bind has no options of a file system");
  expect(options->is_bind || !options->is_recursive, "only a bind is recursive");
  expect(options->data.size() <= words.size(), "no option comes from nowhere");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    std::size_t end = std::min(text.find(',', at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  for (bool is_bind : {false, true}) check(words, is_bind);
  return 0;
}
