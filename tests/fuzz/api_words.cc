// SPDX-License-Identifier: Apache-2.0
// The small forms of the API: quantities, times, base64, addresses, terminal sizes; and a container's output as log
// lines. Of those that come in pieces, pieces mean what the whole means.
#include <string>
#include <vector>

#include "api/names.h"
#include "api/quantity.h"
#include "api/text.h"
#include "api/time.h"
#include "cri/streaming_messages.h"
#include "shim/log_line.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check_quantity(std::string_view text) {
  auto quantity = api::Quantity::parse(text);
  if (!quantity) return expect_sentence(quantity.error());
  std::string once = quantity->to_string();
  auto again = api::Quantity::parse(once);
  expect(again && again->to_string() == once, "the canonical form is its own");
  expect(quantity->compare(*again) == 0 && quantity->is_negative() == again->is_negative(), "and the same amount");
  expect(quantity->is_negative() ? quantity->value() <= 0 : quantity->value() >= 0, "the sign stays");
  quantity->milli_value();
  quantity->round_up(-3);
}

std::string sizes_of(std::string_view bytes, std::size_t piece) {
  gantry::cri::TerminalSizeReader reader;
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    auto s = reader.feed(bytes.substr(at, piece), [&](gantry::cri::TerminalSize size) {
      out += std::to_string(size.rows) + "x" + std::to_string(size.columns) + " ";
    });
    if (!s) {
      expect_sentence(s.error());
      return out + "!";
    }
  }
  return out;
}

std::string log_of(std::string_view bytes, std::size_t piece) {
  gantry::shim::LogStream stream("stdout");
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) stream.add(bytes.substr(at, piece), 0, out);
  stream.finish(0, out);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text = gantry::fuzz::text_of(bytes + 1, size - 1);
  std::size_t piece = bytes[0] % 32 + 1;
  check_quantity(text);
  if (auto decoded = api::decode_base64(text)) {
    auto again = api::decode_base64(api::encode_base64(*decoded));
    expect(again && *again == *decoded, "base64 is written and read");
  }
  expect(api::is_utf8(text) == gantry::fuzz::is_utf8(std::string(text)), "one opinion on UTF-8");
  for (auto check :
       {api::check_dns1123_label, api::check_dns1123_subdomain, api::check_port_name, api::check_qualified_name,
        api::check_label_value, api::check_env_name, api::check_config_key, api::check_ip})
    check(text);
  expect(sizes_of(text, text.size() + 1) == sizes_of(text, piece), "terminal sizes in pieces");
  expect(log_of(text, text.size() + 1) == log_of(text, piece), "log lines in pieces");
  return 0;
}
