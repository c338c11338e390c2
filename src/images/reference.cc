// SPDX-License-Identifier: Apache-2.0
#include "images/reference.h"

#include <algorithm>

namespace gantry::images {
namespace {

constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxTag = 128;
constexpr std::size_t kMaxText = 512;
constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kDefaultPrefix = "library/";

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_word(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Letters and digits, joined by one '.', one or two '_', or any number of '-'.
bool is_path_component(std::string_view text) {
  if (text.empty() || !is_lower(text.front()) || !is_lower(text.back())) return false;
  for (std::size_t i = 0; i < text.size();) {
    if (is_lower(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && text[end] == text[i]) ++end;
    std::size_t run = end - i;
    bool fine = (text[i] == '.' && run == 1) || (text[i] == '_' && run <= 2) || text[i] == '-';
    if (!fine || end == text.size() || !is_lower(text[end])) return false;
    i = end;
  }
  return true;
}

bool is_host(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
    return std::all_of(text.begin(), text.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
    });
  }
  while (true) {
    std::size_t dot = text.find('.');
    std::string_view label = text.substr(0, dot);
    if (label.empty() || !is_word(label.front()) || !is_word(label.back())) return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_word(c) || c == '-'; })) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_domain(std::string_view text) {
  std::size_t colon = text.rfind(':');
  std::size_t bracket = text.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && bracket > colon)) return is_host(text);
  return is_host(text.substr(0, colon)) && is_digits(text.substr(colon + 1));
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > kMaxTag || text.front() == '.' || text.front() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_word(c) || c == '_' || c == '.' || c == '-'; });
}

std::unexpected<Error> bad(std::string_view text, std::string_view why) {
  std::string message = "image reference \"";
  for (char c : text.substr(0, 120)) message += (c >= ' ' && c < 0x7f && c != '"') ? c : '?';
  if (text.size() > 120) message += "...";
  message.append("\": ").append(why);
  return invalid_argument(std::move(message));
}

// Splits "host:5000/a/b" as Docker does: what is before the first '/' is a domain if it looks like one.
void split_domain(std::string_view name, Reference& out) {
  std::size_t slash = name.find('/');
  std::string_view first = name.substr(0, slash);
  bool has_upper = std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  bool is_first_domain = slash != std::string_view::npos &&
                         (first.find_first_of(".:") != std::string_view::npos || first == "localhost" || has_upper);
  out.domain = is_first_domain ? first : kDefaultDomain;
  out.path = is_first_domain ? name.substr(slash + 1) : name;
  if (out.domain == "index.docker.io") out.domain = kDefaultDomain;
  if (out.domain == kDefaultDomain && out.path.find('/') == std::string::npos) out.path.insert(0, kDefaultPrefix);
}

}  // namespace

std::string Reference::to_string() const { return digest ? name() + "@" + digest->to_string() : name() + ":" + tag; }

Result<Reference> parse_reference(std::string_view text) {
  if (text.empty()) return bad(text, "it is empty");
  if (text.size() > kMaxText) return bad(text, "it is longer than " + std::to_string(kMaxText) + " bytes");
  Reference out;
  std::string_view name = text;
  if (std::size_t at = name.find('@'); at != std::string_view::npos) {
    auto digest = Digest::parse(name.substr(at + 1));
    if (!digest) return bad(text, digest.error().message());
    out.digest = std::move(*digest);
    name = name.substr(0, at);
  }
  std::size_t slash = name.rfind('/');
  std::size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    out.tag = name.substr(colon + 1);
    if (!is_tag(out.tag))
      return bad(text, "a tag is 1 to 128 letters, digits, '_', '.' or '-', not starting with '.' or '-'");
    name = name.substr(0, colon);
  }
  if (name.size() == 64 && is_hex(name)) return bad(text, "a name of 64 hex digits would be an image id");
  split_domain(name, out);
  if (!is_domain(out.domain)) return bad(text, "what is before the first '/' is no registry host");
  std::string_view rest = out.path;
  while (true) {
    std::size_t next = rest.find('/');
    if (!is_path_component(rest.substr(0, next))) {
      return bad(text, "a repository is lower-case letters and digits, joined by '.', '_', '__', '-' or '/'");
    }
    if (next == std::string_view::npos) break;
    rest.remove_prefix(next + 1);
  }
  if (out.name().size() > kMaxName) return bad(text, "its name is longer than " + std::to_string(kMaxName) + " bytes");
  if (out.digest) {
    out.tag.clear();
  } else if (out.tag.empty()) {
    out.tag = "latest";
  }
  return out;
}

}  // namespace gantry::images
