// SPDX-License-Identifier: Apache-2.0
#include "images/registry/origin.h"

#include <curl/curl.h>
#include <unistd.h>

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

std::string file_below(const std::string& folder, const char* name) {
  std::string path = cat(folder, "/", name);
  return ::access(path.c_str(), R_OK) == 0 ? path : "";
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

TrustFiles trust_files(const RegistrySettings& settings, const Origin& origin) {
  // Hosts come from URLs of strangers, too: they name a folder only if they look like hosts.
  const std::string name = origin.name();
  bool is_plain = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == std::string::npos;
  if (settings.folder.empty() || !is_plain || name.starts_with('.')) return {};
  const std::string folder = cat(settings.folder, "/", name);
  return {file_below(folder, "ca.crt"), file_below(folder, "client.cert"), file_below(folder, "client.key")};
}

Result<Origin> registry_origin(const RegistrySettings& settings, std::string_view domain) {
  // The one registry whose references name another host than its own.
  const std::string_view host = domain == "docker.io" ? std::string_view("index.docker.io") : domain;
  auto origin = origin_of(cat("https://", host));
  if (!origin) return origin;
  bool is_plain =
      settings.plain_http.contains(std::string(domain)) ||
      (origin->is_loopback() && origin->port != "443" && trust_files(settings, *origin).authorities.empty());
  return is_plain ? origin_of(cat("http://", host)) : origin;
}

}  // namespace gantry::images
