// SPDX-License-Identifier: Apache-2.0
#include "cli/token_command.h"

#include <charconv>
#include <cstdio>
#include <ctime>

#include "api/client/client.h"
#include "api/client/remote_transport.h"
#include "api/duration_text.h"
#include "api/kinds/all.h"
#include "api/time.h"
#include "api/yaml.h"
#include "base/random.h"
#include "base/text.h"
#include "control/authentication/bootstrap_token.h"
#include "control/pki/key.h"
#include "control/plane/ground.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kNamespace[] = "kube-system";
constexpr char kGroups[] = "system:bootstrappers:kubeadm:default-node-token";
constexpr char kNever[] = "<forever>";

// "24h", "1h30m", "90s"; "0" is for ever.
Result<int64_t> parse_ttl(std::string_view text) {
  if (text == "0") return 0;
  int64_t total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const int64_t unit = rest.starts_with('h') ? 3600 : rest.starts_with('m') ? 60 : rest.starts_with('s') ? 1 : 0;
    constexpr int64_t kMost = 1'000'000;
    if (error != std::errc() || unit == 0 || number < 0 || number > kMost) {
      return invalid_argument(
          cat("--ttl is ", gantry::quoted(text), "; expected a time such as 24h or 90m, or 0 for ever"));
    }
    total += number * unit;
    rest.remove_prefix(1);
  }
  if (total == 0) return invalid_argument("--ttl is empty");
  return total;
}

// Of a-z0-9, all alike probable.
Result<std::string> new_token() {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr int kEven = 256 / 36 * 36;
  constexpr std::size_t kSize = 22, kId = 6;
  std::string letters;
  while (letters.size() < kSize) {
    const Result<std::string> random = random_hex(64);
    if (!random) return std::unexpected(random.error());
    for (std::size_t i = 0; i + 1 < random->size() && letters.size() < kSize; i += 2) {
      int byte = 0;
      std::from_chars(random->data() + i, random->data() + i + 2, byte, 16);
      if (byte < kEven) letters += kAlphabet[static_cast<std::size_t>(byte % 36)];
    }
  }
  return cat(letters.substr(0, kId), ".", letters.substr(kId));
}

std::string field(const core::Secret& secret, const char* key) {
  const auto found = secret.data().find(key);
  return found == secret.data().end() ? std::string() : found->second;
}

// What nodes are told of the server: what cluster-info says.
Task<Result<std::string>> join_command(api::Client& client, const api::Kubeconfig& config, const std::string& token) {
  std::string server = config.server;
  const api::Answer<core::ConfigMap> info = co_await client.get<core::ConfigMap>("kube-public", "cluster-info");
  if (info && info->data().contains("kubeconfig")) {
    const auto documents = api::parse_yaml(info->data().at("kubeconfig"));
    if (documents && documents->size() == 1) {
      const api::Value::List& clusters = documents->front().list_at("clusters");
      const api::Value* cluster = clusters.empty() ? nullptr : clusters.front().find("cluster");
      const std::string said = cluster == nullptr ? "" : cluster->text_at("server");
      if (!said.empty()) server = said;
    }
  }
  Result<std::vector<control::PublicKey>> keys = control::PublicKey::read_all(config.tls.ca_pem);
  if (!keys) co_return std::unexpected(std::move(keys.error()));
  co_return cat("gantry join ", server, " --token ", token, " --ca-hash ", keys->front().pin());
}

Task<Status> create(api::Client& client, const api::Kubeconfig& config, const TokenCommand& command) {
  Result<int64_t> ttl = parse_ttl(command.ttl);
  if (!ttl) co_return std::unexpected(std::move(ttl.error()));
  Result<std::string> token = command.token.empty() ? new_token() : Result<std::string>(command.token);
  if (!token) co_return std::unexpected(std::move(token.error()));
  if (!control::is_bootstrap_token(*token)) {
    co_return invalid_argument(
        cat(gantry::quoted(command.token), " is no token; expected six letters, a dot, sixteen letters"));
  }
  core::Secret secret;
  secret.mutable_metadata()->set_namespace_(kNamespace);
  secret.mutable_metadata()->set_name(control::bootstrap_secret_name(*token));
  secret.set_type(control::kBootstrapSecretType);
  auto& data = *secret.mutable_data();
  data["token-id"] = token->substr(0, token->find('.'));
  data["token-secret"] = token->substr(token->find('.') + 1);
  if (*ttl > 0) data["expiration"] = api::format_rfc3339(std::time(nullptr) + *ttl);
  data["usage-bootstrap-signing"] = "true";
  data["usage-bootstrap-authentication"] = "true";
  data["auth-extra-groups"] = kGroups;
  if (!command.description.empty()) data["description"] = command.description;
  const api::Answer<core::Secret> made = co_await client.create(secret);
  if (!made) co_return std::unexpected(made.error().as_error());
  if (!command.print_join_command) {
    std::printf("%s\n", token->c_str());
    co_return Status();
  }
  Result<std::string> line = co_await join_command(client, config, *token);
  if (!line) co_return std::unexpected(std::move(line.error()));
  std::printf("%s\n", line->c_str());
  co_return Status();
}

Task<Status> list(api::Client& client, const api::Kubeconfig&, const TokenCommand&) {
  const auto secrets = co_await client.list<core::Secret>(
      {.ns = kNamespace, .label_selector = {}, .field_selector = cat("type=", control::kBootstrapSecretType)});
  if (!secrets) co_return std::unexpected(secrets.error().as_error());
  std::printf("%-25s %-10s %-22s %-24s %-s\n", "TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION");
  for (const core::Secret& secret : *secrets) {
    const std::string token = cat(field(secret, "token-id"), ".", field(secret, "token-secret"));
    const std::optional<int64_t> end = control::token_end(secret);
    const int64_t left = end ? *end - std::time(nullptr) : 0;
    std::string usages;
    for (const char* usage : {"authentication", "signing"}) {
      if (field(secret, cat("usage-bootstrap-", usage).c_str()) != "true") continue;
      usages += cat(usages.empty() ? "" : ",", usage);
    }
    const std::string rest = !end ? kNever : left > 0 ? api::duration_text(left) : "<invalid>";
    std::printf("%-25s %-10s %-22s %-24s %-s\n", token.c_str(), rest.c_str(),
                end ? field(secret, "expiration").c_str() : "<never>", usages.empty() ? "<none>" : usages.c_str(),
                field(secret, "description").c_str());
  }
  co_return Status();
}

Task<Status> remove(api::Client& client, const api::Kubeconfig&, const TokenCommand& command) {
  const std::string name = cat("bootstrap-token-", command.token.substr(0, command.token.find('.')));
  const api::Answer<void> gone = co_await client.remove<core::Secret>(kNamespace, name);
  if (!gone) co_return std::unexpected(gone.error().as_error());
  std::printf("bootstrap token %s deleted\n", gantry::quoted(command.token.substr(0, command.token.find('.'))).c_str());
  co_return Status();
}

using Work = Task<Status> (*)(api::Client& client, const api::Kubeconfig& config, const TokenCommand& command);

Status run(const TokenCommand& command, Work work) {
  Result<api::Kubeconfig> config = api::read_kubeconfig(command.kubeconfig);
  if (!config) return std::unexpected(std::move(config.error()));
  Loop loop;
  Result<std::unique_ptr<api::RemoteTransport>> transport = api::RemoteTransport::make(loop, *config);
  if (!transport) return std::unexpected(std::move(transport.error()));
  const api::Kinds kinds(api::all_kinds());
  api::Client client(loop, **transport, kinds, "gantry-control");
  return control::run_to_end(loop, work(client, *config, command));
}

}  // namespace

void add_token_command(CLI::App& app, TokenCommand* command) {
  CLI::App* token = app.add_subcommand("token", "the tokens by which nodes join");
  token->require_subcommand(1);
  token->add_option("--kubeconfig", command->kubeconfig, "as whom to ask; the admin's of the data folder");
  const auto add = [token, command](const char* name, const char* help, Work work) {
    CLI::App* added = token->add_subcommand(name, help);
    added->callback([command, work] { command->run = [work](const TokenCommand& given) { return run(given, work); }; });
    return added;
  };
  CLI::App* made = add("create", "makes a token and prints it", &create);
  made->add_option("TOKEN", command->token, "ID.SECRET; without it a new one");
  made->add_option("--ttl", command->ttl, "how long it is good, such as 24h; 0 is for ever")->capture_default_str();
  made->add_option("--description", command->description, "what it is for");
  made->add_flag("--print-join-command", command->print_join_command, "prints how a node joins with it");
  add("list", "prints the tokens that there are", &list);
  add("delete", "removes a token", &remove)->add_option("TOKEN", command->token, "ID or ID.SECRET")->required();
}

}  // namespace gantry
