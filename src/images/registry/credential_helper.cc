// SPDX-License-Identifier: Apache-2.0
#include "images/registry/credential_helper.h"

#include <algorithm>

#include "images/json_reader.h"
#include "images/text.h"
#include "sys/file.h"
#include "sys/program.h"

namespace gantry::images {
namespace {

constexpr std::string_view kTokenUser = "<token>";
// The one sentence that helpers agree on.
constexpr std::string_view kNone = "credentials not found in native keychain";

// It says on standard output what is wrong; whatever might be a secret is not repeated.
std::string words_of(const sys::ProgramEnd& end) {
  const std::string_view said = trimmed(end.output);
  if (said.empty()) return quoted(trimmed(end.errors), 300);
  return said.find('{') == std::string_view::npos ? quoted(said, 300) : "an answer";
}

}  // namespace

bool is_helper_name(std::string_view name) {
  return !name.empty() && name.size() <= 100 && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-_.").contains(c);
  });
}

std::string helper_server(std::string_view domain) {
  return domain == "docker.io" ? "https://index.docker.io/v1/" : std::string(domain);
}

Result<Credentials> parse_helper_answer(std::string_view text) {
  constexpr char kWhat[] = "its answer";
  auto object = parse_json_object(text, kWhat, kMaxHelperAnswer);
  if (!object) return std::unexpected(std::move(object.error()));
  JsonReader reader(kWhat);
  CredentialWords words;
  words.username = reader.text(*object, "Username");
  (words.username == kTokenUser ? words.identity_token : words.password) = reader.text(*object, "Secret");
  if (words.username == kTokenUser) words.username.clear();
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  auto credentials = credentials_for(words, "");
  if (credentials && *credentials == Credentials())
    return invalid_argument("its answer has neither a name nor a token");
  return credentials;
}

Result<std::optional<Credentials>> ask_credential_helper(const std::string& name, std::string_view domain,
                                                         std::string_view path, std::chrono::milliseconds limit) {
  const std::string program = cat("docker-credential-", name);
  auto file = sys::find_program(program, path);
  if (!file) return std::unexpected(std::move(file.error()));
  Command command;
  command.path = std::move(*file);
  command.argv = {program, "get"};
  command.envp = sys::environment_with({});
  const auto deadline = std::chrono::steady_clock::now() + limit;
  auto end = sys::run_program(std::move(command), helper_server(domain), kMaxHelperAnswer, deadline);
  if (!end) return std::unexpected(std::move(end.error()));
  if (end->status.signal == 0 && end->status.code != 0 && trimmed(end->output) == kNone) return std::nullopt;
  if (auto well = sys::ended_well(*end, words_of(*end)); !well) return std::unexpected(std::move(well.error()));
  auto credentials = parse_helper_answer(end->output);
  if (!credentials) return std::unexpected(std::move(credentials.error()));
  return std::move(*credentials);
}

}  // namespace gantry::images
