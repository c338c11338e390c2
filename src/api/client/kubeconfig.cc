// SPDX-License-Identifier: Apache-2.0
#include "api/client/kubeconfig.h"

#include "api/text.h"
#include "api/yaml.h"
#include "base/text.h"
#include "sys/given_files.h"

namespace gantry::api {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;

// `key` of the entry of that name in a list such as "clusters"; null when there is none.
const Value* named(const Value& config, std::string_view list, std::string_view name, std::string_view key) {
  const Value* all = config.find(list);
  if (all == nullptr || all->as_list() == nullptr) return nullptr;
  for (const Value& entry : *all->as_list()) {
    if (entry.text_at("name") == name) return entry.find(key);
  }
  return nullptr;
}

// Of a path in a kubeconfig.
std::string absolute(const std::string& file, const std::string& folder) {
  return file.starts_with('/') ? file : folder + file;
}

// What is in "KEY-data", or in the file that "KEY" names; "" when there is neither.
Result<std::string> content(const Value& object, const std::string& key, const std::string& folder) {
  if (const std::string data = object.text_at(key + "-data"); !data.empty()) {
    std::optional<std::string> bytes = decode_base64(data);
    if (!bytes) return invalid_argument(cat(key, "-data is no base64"));
    return std::move(*bytes);
  }
  const std::string file = object.text_at(key);
  if (file.empty()) return std::string();
  return sys::read_given(absolute(file, folder), kMaxBytes);
}

Result<Kubeconfig> parse(const Value& config, const std::string& folder) {
  const Value* context = named(config, "contexts", config.text_at("current-context"), "context");
  if (context == nullptr) return invalid_argument("it has no current context");
  const Value* cluster = named(config, "clusters", context->text_at("cluster"), "cluster");
  if (cluster == nullptr) return invalid_argument("it has no cluster of its current context");
  Kubeconfig read;
  read.server = cluster->text_at("server");
  read.server_name = cluster->text_at("tls-server-name");
  const Value* insecure = cluster->find("insecure-skip-tls-verify");
  read.tls.verify = insecure == nullptr || !insecure->as_bool().value_or(false);
  Result<std::string> ca = content(*cluster, "certificate-authority", folder);
  if (!ca) return std::unexpected(std::move(ca.error()));
  read.tls.ca_pem = std::move(*ca);
  const Value* user = named(config, "users", context->text_at("user"), "user");
  if (user == nullptr) return read;
  if (user->find("exec") != nullptr || user->find("auth-provider") != nullptr) {
    return invalid_argument("credentials of other programs are not supported");
  }
  Result<std::string> certificate = content(*user, "client-certificate", folder);
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  Result<std::string> key = content(*user, "client-key", folder);
  if (!key) return std::unexpected(std::move(key.error()));
  read.tls.certificate_pem = std::move(*certificate);
  const std::string file = user->text_at("client-certificate");
  if (!file.empty() && user->text_at("client-certificate-data").empty()) read.certificate_file = absolute(file, folder);
  read.tls.key_pem = std::move(*key);
  read.token = user->text_at("token");
  if (const std::string token_file = user->text_at("tokenFile"); read.token.empty() && !token_file.empty()) {
    Result<std::string> token = sys::read_given(absolute(token_file, folder), kMaxBytes);
    if (!token) return std::unexpected(std::move(token.error()));
    read.token = std::string(trimmed(*token));
  }
  return read;
}

}  // namespace

Result<Kubeconfig> read_kubeconfig(const std::string& path) {
  Result<std::string> text = sys::read_given(path, kMaxBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  Result<std::vector<Value>> documents = parse_documents(*text);
  if (!documents) return fail_with(std::move(documents.error()), path);
  if (documents->size() != 1) return invalid_argument(cat(path, ": not one document"));
  Result<Kubeconfig> read = parse(documents->front(), path.substr(0, path.rfind('/') + 1));
  if (!read) return fail_with(std::move(read.error()), path);
  return read;
}

}  // namespace gantry::api
