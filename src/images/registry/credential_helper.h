// SPDX-License-Identifier: Apache-2.0
// Docker's credential helpers: a program docker-credential-NAME, which "credHelpers" and "credsStore" of a config.json
// name, keeps the secrets in the file's place. `docker-credential-NAME get` reads the registry and writes
// {"Username": "...", "Secret": "..."}; the name "<token>" says that the secret is an identity token.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "images/registry/credentials.h"

namespace gantry::images {

inline constexpr std::size_t kMaxHelperAnswer = 128 << 10;

// What is not the program's alone to answer for: at most 100 letters, digits, "-", "_" and ".".
bool is_helper_name(std::string_view name);

// "registry.example:5000" as helpers call it.
std::string helper_server(std::string_view domain);

// Pure. kInvalidArgument for what is no answer, without repeating it.
Result<Credentials> parse_helper_answer(std::string_view json);

// Looks for the program in `path` ("/usr/local/bin:/usr/bin"; relative folders are passed over), and runs it in this
// process' environment, for as long as `limit`. Nothing when it has none for the registry. Blocks.
Result<std::optional<Credentials>> ask_credential_helper(const std::string& name, std::string_view domain,
                                                         std::string_view path, std::chrono::milliseconds limit);

}  // namespace gantry::images
