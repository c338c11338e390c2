// SPDX-License-Identifier: Apache-2.0
// A request passed on to another server, and its answer passed back as it comes. Loop thread.
#pragma once

#include <string>

#include "control/server/failure.h"
#include "http/client.h"
#include "http/message.h"

namespace gantry::control {

struct ForwardTo {
  http::ClientOptions server;
  std::string target;  // path and query
  // What a Location header of the answer that names the server's own paths begins with here; empty: none is changed.
  std::string prefix;
  // An answer that is none (not 2xx) comes back as Failure with its text: of a node, which answers in plain words,
  // where clients look for a Status.
  bool fails_in_words = false;
};

// Whether it is passed on as one that asks for an upgrade.
bool asks_for_upgrade(const http::Request& request);

// Headers that belong to one connection, and the client's credentials, are left out. 503 when the server can't be
// reached or answers with what is no HTTP; 500 when it leads who asks for an upgrade elsewhere.
Task<Outcome<http::Reply>> forward(Loop& here, const http::Request& request, ForwardTo to);

}  // namespace gantry::control
