// SPDX-License-Identifier: Apache-2.0
// A kubeconfig's current context: which server, whom to trust, and as whom to ask. Credentials that another program
// would have to be run for (exec, auth-provider) are an error.
#pragma once

#include <string>

#include "base/result.h"
#include "http/tls.h"

namespace gantry::api {

struct Kubeconfig {
  std::string server;  // "https://10.0.0.1:6443"
  http::TlsClientOptions tls;
  std::string
      certificate_file;     // where the client's certificate was read; empty: the kubeconfig has it itself, or none
  std::string server_name;  // that its certificate must have; empty: the server's host
  std::string token;        // empty: none
};

// Files that it names are relative to its own folder. Blocking. Errors name the file.
Result<Kubeconfig> read_kubeconfig(const std::string& path);

}  // namespace gantry::api
