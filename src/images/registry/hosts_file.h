// SPDX-License-Identifier: Apache-2.0
// A hosts.toml, as containerd's folder of registries has them: which hosts serve a registry's images, and how each is
// to be asked. Pure; what is read here is checked, but no file that it names is opened.
//
//   server = "https://registry.example"           asked last; not given: the registry itself
//   ca, client, skip_verify, header, ...          at the top they are the server's
//   [host."https://mirror.example"]               asked before it, in the file's order
//   capabilities = ["pull", "resolve", "push"]    all, when not given
//   ca = "a.crt"                                  or a list; beside the system's authorities
//   client = [["client.cert", "client.key"]]      or one file with both
//   skip_verify = true
//   override_path = true                          the URL's path has all that is before the repository; no /v2
//   dial_timeout = "5s"
//   proxy = "http://proxy.example:3128"           in place of the environment's
//   [host."https://mirror.example".header]
//   x-name = "value"                              or a list
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::images {

struct HostEntry {
  std::string url;  // as it is written; "" for the registry itself
  bool pulls = true;
  bool resolves = true;                  // may say which image a tag means
  bool pushes = true;                    // may be pushed to
  std::vector<std::string> authorities;  // paths
  std::string certificate;               // path, "" for none
  std::string key;                       // path; "" when it is in the certificate's file
  bool verify = true;
  bool override_path = false;
  std::vector<std::string> headers;  // "name: value"
  std::chrono::milliseconds dial_timeout{0};
  std::string proxy;
};

// Never empty: the last is the server. kInvalidArgument names line or key, for anything that is not understood, so that
// a slip of the pen is no mirror that is silently not asked. At most 256 KiB and 32 hosts.
Result<std::vector<HostEntry>> parse_hosts_file(std::string_view text);

}  // namespace gantry::images
