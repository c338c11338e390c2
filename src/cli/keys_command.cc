// SPDX-License-Identifier: Apache-2.0
#include "cli/keys_command.h"

#include <cstdio>

#include "api/time.h"
#include "base/text.h"
#include "control/identity/key_rotation.h"
#include "sys/given_files.h"

namespace gantry {

namespace {

constexpr std::size_t kMostBytes = 1U << 20;

control::KeyUse use_of(const KeysCommand& command) {
  return command.which == "ca" ? control::KeyUse::kCa : control::KeyUse::kToken;
}

Status prepare(const KeysCommand& command, const std::string& folder) {
  if (command.certificate_file.empty() && command.key_file.empty()) return prepare_key(folder, use_of(command));
  if (use_of(command) != control::KeyUse::kCa || command.certificate_file.empty() || command.key_file.empty()) {
    return invalid_argument("a given CA has --ca-cert and --ca-key");
  }
  Result<std::string> certificate = sys::read_given(command.certificate_file, kMostBytes);
  if (!certificate) return fail_with(std::move(certificate.error()), "--ca-cert");
  Result<std::string> key = sys::read_given(command.key_file, kMostBytes);
  if (!key) return fail_with(std::move(key.error()), "--ca-key");
  return prepare_key(folder, control::KeyUse::kCa, control::KeyPair{std::move(*certificate), std::move(*key)});
}

Status rotate(const KeysCommand& command, const std::string& folder) { return rotate_key(folder, use_of(command)); }
Status retire(const KeysCommand& command, const std::string& folder) { return retire_keys(folder, use_of(command)); }

Status list(const KeysCommand&, const std::string& folder) {
  const Result<std::vector<control::KeyState>> keys = control::list_keys(folder);
  if (!keys) return std::unexpected(keys.error());
  std::printf("%-6s %-9s %-22s %-24s %s\n", "KEY", "STATE", "NAME", "ENDS", "ID");
  for (const control::KeyState& each : *keys) {
    const std::string ends =
        each.not_after ? api::format_rfc3339(std::chrono::system_clock::to_time_t(*each.not_after)) : "-";
    std::printf("%-6s %-9s %-22s %-24s %s\n", each.use == control::KeyUse::kCa ? "ca" : "token",
                std::string(each.state).c_str(), each.name.empty() ? "-" : each.name.c_str(), ends.c_str(),
                each.id.c_str());
  }
  return {};
}

}  // namespace

void add_keys_command(CLI::App& app, KeysCommand* command) {
  CLI::App* keys = app.add_subcommand("keys", "changes the CA and the key of service accounts' tokens");
  keys->require_subcommand(1);
  keys->fallthrough();
  const auto add = [&](const char* name, const char* help, bool of_one, auto run) {
    CLI::App* made = keys->add_subcommand(name, help);
    made->fallthrough();
    if (of_one)
      made->add_option("KEY", command->which, "ca or token")->required()->check(CLI::IsMember({"ca", "token"}));
    made->callback([command, run] { command->run = run; });
    return made;
  };
  add("list", "what is in use, and what else is trusted", false, list);
  CLI::App* prepared = add("prepare", "a new one is trusted, and not used yet", true, prepare);
  prepared->add_option("--ca-cert", command->certificate_file, "PEM: a CA that is there already, and who signed it");
  prepared->add_option("--ca-key", command->key_file, "PEM: its key");
  add("rotate", "the prepared one is used, or a new one; what the old one signed stays good", true, rotate);
  add("retire", "those that are used no more are trusted no more", true, retire);
}

}  // namespace gantry
