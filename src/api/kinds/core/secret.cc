// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/json.h"
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/same_map.h"
#include "api/names.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::Secret& object, int64_t now) {
  return {object.metadata().name(), object.type(), static_cast<int64_t>(object.data_size()),
          age(object.metadata(), now)};
}

std::vector<std::string> selectable(const core::Secret& object) { return {object.type()}; }

// stringData is another way to write data, for people, and is never stored.
void set_defaults(core::Secret* secret) {
  for (const auto& [key, text] : secret->string_data()) (*secret->mutable_data())[key] = text;
  secret->clear_string_data();
  if (secret->type().empty()) secret->set_type("Opaque");
}

constexpr size_t kMaxBytes = size_t{1} << 20;
constexpr const char* kAccountName = "kubernetes.io/service-account.name";

// A key that holds a JSON object.
void check_json(const core::Secret& secret, const std::string& key, const Check& data) {
  const auto found = secret.data().find(key);
  if (found == secret.data().end()) return data.key(key).required();
  const Result<Value> document = parse_json(found->second);
  if (!document || !(document->is_object() || document->is_null())) {
    data.key(key).invalid("<secret contents redacted>", "must be a JSON object");
  }
}

// What the type of a secret promises.
void check_type(const core::Secret& secret, const Check& root) {
  const Check data = root.at("data");
  const auto has = [&](const char* key) { return secret.data().contains(key); };
  if (secret.type() == "kubernetes.io/service-account-token") {
    const auto name = secret.metadata().annotations().find(kAccountName);
    if (name == secret.metadata().annotations().end() || name->second.empty()) {
      root.at("metadata").at("annotations").key(kAccountName).required();
    }
  } else if (secret.type() == "kubernetes.io/dockercfg") {
    check_json(secret, ".dockercfg", data);
  } else if (secret.type() == "kubernetes.io/dockerconfigjson") {
    check_json(secret, ".dockerconfigjson", data);
  } else if (secret.type() == "kubernetes.io/basic-auth") {
    if (has("username") || has("password")) return;
    data.key("username").required();
    data.key("password").required();
  } else if (secret.type() == "kubernetes.io/ssh-auth") {
    const auto key = secret.data().find("ssh-privatekey");
    if (key == secret.data().end() || key->second.empty()) data.key("ssh-privatekey").required();
  } else if (secret.type() == "kubernetes.io/tls") {
    if (!has("tls.crt")) data.key("tls.crt").required();
    if (!has("tls.key")) data.key("tls.key").required();
  }
}

FieldProblems validate(const core::Secret& secret) {
  FieldProblems problems;
  const Check check(&problems);
  size_t bytes = 0;
  for (const auto& [key, value] : secret.data()) {
    if (const std::string wrong = check_config_key(key); !wrong.empty()) check.at("data").key(key).invalid(key, wrong);
    bytes += value.size();
  }
  if (bytes > kMaxBytes) check.at("data").too_long(bytes, kMaxBytes, "bytes");
  check_type(secret, check);
  return problems;
}

FieldProblems validate_update(const core::Secret& old, const core::Secret& updated) {
  FieldProblems problems;
  const Check check(&problems);
  if (old.type() != updated.type()) check.at("type").invalid(updated.type(), "field is immutable");
  if (!old.immutable()) return problems;
  const std::string_view reason = "field is immutable when `immutable` is set";
  if (!updated.immutable()) check.at("immutable").forbidden(reason);
  if (!same_map(old.data(), updated.data())) check.at("data").forbidden(reason);
  return problems;
}

}  // namespace

Kind secret_kind() {
  Kind kind = make_kind<core::Secret>("secrets", "secret");
  kind.storage = "secrets";
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.selectable = {"type"};
  kind.selectable_values = over(&selectable);
  kind.table = {{name_column(), column("Type", "string", "What its keys mean."),
                 column("Data", "string", "How many keys it has."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
