// SPDX-License-Identifier: Apache-2.0
#include "images/registry/origin.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "images/text.h"

namespace gantry::images {
namespace {

constexpr std::size_t kMaxUrl = 16384;

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

std::string part(const Url& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (::curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return "";
  std::string out = text;
  ::curl_free(text);
  return out;
}

Result<Url> parse_url(const std::string& text) {
  Url url(::curl_url(), ::curl_url_cleanup);
  if (text.size() > kMaxUrl)
    return invalid_argument(cat("a URL of ", text.size(), " bytes, at most ", kMaxUrl, " are allowed"));
  if (text.find('\0') != std::string::npos || ::curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return invalid_argument(cat(in_quotes(text), ": expected a URL that begins with https:// or http://"));
  }
  return url;
}

}  // namespace

bool Origin::is_loopback() const {
  if (host == "localhost" || host == "[::1]") return true;
  bool is_address = host.find_first_not_of("0123456789.") == std::string::npos;
  return is_address && host.starts_with("127.");
}

std::string Origin::name() const {
  bool is_own = port == (scheme == "https" ? "443" : "80");
  return is_own ? host : cat(host, ":", port);
}

std::string Origin::url() const { return cat(scheme, "://", name()); }

Result<Origin> origin_of(const std::string& text) {
  auto url = parse_url(text);
  if (!url) return std::unexpected(std::move(url.error()));
  Origin origin{part(*url, CURLUPART_SCHEME), lowered(part(*url, CURLUPART_HOST)),
                part(*url, CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  if ((origin.scheme != "https" && origin.scheme != "http") || origin.host.empty()) {
    return invalid_argument(cat(in_quotes(text), ": expected a URL that begins with https:// or http://"));
  }
  if (!part(*url, CURLUPART_USER).empty() || !part(*url, CURLUPART_PASSWORD).empty())
    return invalid_argument("a URL with a user in it");
  return origin;
}

Result<std::string> resolve_url(const std::string& base, const std::string& location) {
  auto url = parse_url(base);
  if (!url) return std::unexpected(std::move(url.error()));
  if (location.size() > kMaxUrl || location.empty() ||
      ::curl_url_set(url->get(), CURLUPART_URL, location.c_str(), CURLU_URLENCODE) != CURLUE_OK) {
    return invalid_argument(cat(in_quotes(location), ": expected a URL"));
  }
  (void)::curl_url_set(url->get(), CURLUPART_FRAGMENT, nullptr, 0);
  return part(*url, CURLUPART_URL);
}

}  // namespace gantry::images
