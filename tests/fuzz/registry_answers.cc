// SPDX-License-Identifier: Apache-2.0
// What a registry or its token server answers: the lines of a head, a challenge, a token, where a redirect leads. The
// parts are the URL that was asked, the head, and the body of a token server.
#include <chrono>
#include <string>

#include "images/registry/challenge.h"
#include "images/registry/credentials.h"
#include "images/registry/headers.h"
#include "images/registry/origin.h"
#include "images/registry/token.h"
#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check_url(const std::string& url) {
  auto origin = images::origin_of(url);
  if (!origin) return expect_sentence(origin.error());
  expect(origin->scheme == "http" || origin->scheme == "https", "one of two schemes");
  expect(!origin->host.empty() && !origin->port.empty(), "a host and a port");
  auto again = images::origin_of(origin->url());
  expect(again && *again == *origin, "an origin's URL is of that origin");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto parts = gantry::fuzz::parts_of(gantry::fuzz::text_of(bytes, size), 3);
  images::HttpHead head;
  for (std::string_view lines = parts[1]; !lines.empty();) {
    std::size_t end = std::min(lines.find('\n'), lines.size() - 1);
    head.take_line(lines.substr(0, end + 1));
    lines.remove_prefix(end + 1);
  }
  auto wait = images::parse_retry_after(head.retry_after, std::chrono::system_clock::time_point());
  expect(!wait || wait->count() >= 0, "a pause is never negative");
  images::parse_range_start(head.content_range);
  for (const std::string& line : head.challenges) {
    auto challenges = images::parse_challenges(line);
    if (!challenges) {
      expect_sentence(challenges.error());
      continue;
    }
    for (const auto& challenge : *challenges) {
      expect(!challenge.scheme.empty(), "a challenge has a scheme");
      check_url(challenge.parameter("realm"));
    }
  }
  std::string url(parts[0]);
  check_url(url);
  if (auto to = images::resolve_url(url, head.location)) {
    expect(to->find('#') == std::string::npos, "a URL without a fragment");
    check_url(*to);
  } else {
    expect_sentence(to.error());
  }
  auto token = images::token_in(parts[2]);
  if (!token) {
    expect_sentence(token.error());
  } else {
    expect(images::is_token_text(*token), "a token can stand in a header");
    for (char c : images::bearer_authorization(*token)) expect(c >= ' ' && c < 0x7f, "in one line");
  }
  images::CredentialWords words{.auth = std::string(parts[2]), .server_address = url};
  auto credentials = images::credentials_for(words, "registry.example");
  if (!credentials) {
    expect_sentence(credentials.error());
    if (parts[2].size() > 8)
      expect(credentials.error().message().find(parts[2]) == std::string::npos, "no secret is told");
  } else if (credentials->has_password()) {
    for (char c : images::basic_authorization(*credentials)) expect(c >= ' ' && c < 0x7f, "in one line");
  }
  return 0;
}
