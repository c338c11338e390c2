// SPDX-License-Identifier: Apache-2.0
// Where a URL leads, and what this node thinks of that place. Values; blocking where files are read.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::images {

// Who may be told a secret: scheme, host and port, all three.
struct Origin {
  std::string scheme;  // "https", "http"
  std::string host;    // lower-case; an IPv6 address in brackets
  std::string port;    // digits, also when it is the scheme's own

  bool is_loopback() const;
  // "registry.example:5000"; the scheme's own port is left out.
  std::string name() const;
  std::string url() const;  // "https://registry.example:5000"

  bool operator==(const Origin&) const = default;
};

// Of an absolute URL. Only http and https, and no user in it.
Result<Origin> origin_of(const std::string& url);

// `location` as seen from `url`; an absolute URL without a fragment.
Result<std::string> resolve_url(const std::string& url, const std::string& location);

// Where gantryd and `gantry image pull` look for whom to trust, unless they are told otherwise.
inline constexpr char kRegistriesFolder[] = "/etc/gantry/registries";

// How registries are reached.
struct RegistrySettings {
  // Registries, as references name them, that are asked by plain HTTP. Those on loopback are anyway, unless they have
  // a ca.crt or the port 443.
  std::set<std::string> plain_http;
  // FOLDER/HOST[:PORT]/ca.crt: the authorities that may vouch for that host, in place of the system's;
  // client.cert and client.key: what is shown to it. "" for none.
  std::string folder;
};

// Paths of files that are there, "" for those that are not.
struct TrustFiles {
  std::string authorities;
  std::string certificate;
  std::string key;
};
TrustFiles trust_files(const RegistrySettings& settings, const Origin& origin);

// Where the registry of a reference's domain is.
Result<Origin> registry_origin(const RegistrySettings& settings, std::string_view domain);

}  // namespace gantry::images
