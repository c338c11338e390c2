// SPDX-License-Identifier: Apache-2.0
// Who serves a registry's images on this node, and how each host is asked: the folder of registries, laid out as
// containerd's. Blocking; the files are read anew each time, so that what is changed there holds from the next pull on.
//
//   FOLDER/HOST_PORT_/ or FOLDER/HOST[:PORT]/ or FOLDER/_default/    the first that is there, for the registry that
//                                                                    references call HOST[:PORT]
//     hosts.toml    hosts_file.h says what is in it
//     *.crt         without a hosts.toml: authorities that may vouch for the host, beside the system's
//     *.cert *.key  and what is shown to it, one of each
//
// Without such a folder the registry itself is asked: by HTTPS, or by plain HTTP when it is on loopback and its port is
// not 443. One on loopback whose folder has authorities is asked by HTTPS.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "images/registry/http.h"
#include "images/registry/origin.h"

namespace gantry::images {

// Where gantryd and `gantry image pull` look, unless they are told otherwise.
inline constexpr char kRegistriesFolder[] = "/etc/gantry/registries";

struct RegistryHost {
  Origin origin;
  std::string path = "/v2";  // before a repository's
  bool is_mirror = false;    // another host than the one that the reference names: has no right to its credentials
  bool pulls = true;
  bool resolves = true;
  bool pushes = true;
  TlsSettings tls;
  std::vector<std::string> headers;  // for this host alone
  std::chrono::milliseconds dial_timeout{0};
  std::string proxy;  // "" for the environment's

  // "registry 127.0.0.1:5000", "mirror ..."
  std::string name() const;
};

// Those that serve a reference's domain, in the order in which they are to be asked; never empty. `folder` may be "".
Result<std::vector<RegistryHost>> registry_hosts(const std::string& folder, std::string_view domain);

// What the folder says of a host that a redirect or a token server's URL leads to; nothing when it says nothing.
Result<std::optional<TlsSettings>> tls_settings_of(const std::string& folder, const Origin& origin);

}  // namespace gantry::images
