// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/encryption_config.h"

#include <algorithm>

#include "api/text.h"
#include "api/yaml.h"
#include "base/text.h"
#include "sys/given_files.h"

namespace gantry::control {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kMaxEntries = 1000;

std::unexpected<Error> wrong(const std::string& field, std::string_view expected) {
  return invalid_argument(cat(field, ": expected ", expected));
}

Result<std::string> read_string(const api::Value* value, const std::string& field) {
  const std::string* text = value == nullptr ? nullptr : value->as_string();
  if (text == nullptr || text->empty()) return wrong(field, "a string");
  return *text;
}

Result<const api::Value::List*> read_list(const api::Value* value, const std::string& field) {
  const api::Value::List* list = value == nullptr ? nullptr : value->as_list();
  if (list == nullptr || list->empty() || list->size() > kMaxEntries) return wrong(field, "a list that is not empty");
  return list;
}

// The members of an object that has none but these, each once.
class Members {
 public:
  static Result<Members> read(const api::Value& value, const std::string& field,
                              std::initializer_list<std::string_view> known) {
    Members members;
    members.object_ = value.as_object();
    if (members.object_ == nullptr) return wrong(field, "an object");
    for (const auto& [key, member, position] : *members.object_) {
      if (std::ranges::find(known, std::string_view(key)) == known.end()) {
        return invalid_argument(cat(field, field.empty() ? "" : ".", as_utf8(key), ": unknown field"));
      }
      if (members.find(key) != &member) {
        return invalid_argument(cat(field, field.empty() ? "" : ".", key, ": is there twice"));
      }
    }
    return members;
  }
  const api::Value* find(std::string_view name) const {
    const auto found =
        std::ranges::find(*object_, name, [](const auto& member) { return std::string_view(member.key); });
    return found == object_->end() ? nullptr : &found->value;
  }
  std::size_t size() const { return object_->size(); }
  const std::string& first() const { return object_->front().key; }

 private:
  const api::Value::Object* object_ = nullptr;
};

Status add_keys(const api::Value& provider, const std::string& field, CipherKind kind, std::string_view name,
                std::vector<ValueKeys::Key>* keys) {
  Result<Members> members = Members::read(provider, field, {"keys"});
  if (!members) return std::unexpected(std::move(members.error()));
  Result<const api::Value::List*> list = read_list(members->find("keys"), cat(field, ".keys"));
  if (!list) return std::unexpected(std::move(list.error()));
  for (std::size_t i = 0; i < (*list)->size(); ++i) {
    const std::string place = cat(field, ".keys[", i, "]");
    Result<Members> key = Members::read((**list)[i], place, {"name", "secret"});
    if (!key) return std::unexpected(std::move(key.error()));
    Result<std::string> called = read_string(key->find("name"), cat(place, ".name"));
    if (!called) return std::unexpected(std::move(called.error()));
    Result<std::string> secret = read_string(key->find("secret"), cat(place, ".secret"));
    if (!secret) return std::unexpected(std::move(secret.error()));
    std::optional<std::string> bytes = api::decode_base64(*secret);
    if (!bytes) return wrong(cat(place, ".secret"), "base64");
    Result<std::shared_ptr<const ValueCipher>> cipher = make_cipher(kind, std::move(*bytes));
    if (!cipher) return fail_with(std::move(cipher.error()), cat(place, ".secret"));
    keys->push_back({cat("k8s:enc:", name, ":v1:", *called, ":"), std::move(*cipher)});
  }
  return {};
}

Status add_provider(const api::Value& value, const std::string& field, std::vector<ValueKeys::Key>* keys) {
  Result<Members> members = Members::read(value, field, {"aesgcm", "aescbc", "secretbox", "identity", "kms"});
  if (!members) return std::unexpected(std::move(members.error()));
  if (members->size() != 1) return wrong(field, "one provider");
  const std::string& name = members->first();
  const std::string place = cat(field, ".", name);
  const api::Value& provider = *members->find(name);
  if (name == "kms")
    return fail(Code::kUnimplemented, cat(place, ": there are aesgcm, aescbc, secretbox and identity"));
  if (name == "identity") {
    Result<Members> empty = Members::read(provider, place, {});
    if (!empty) return std::unexpected(std::move(empty.error()));
    keys->push_back({});
    return {};
  }
  const CipherKind kind = name == "aesgcm"   ? CipherKind::kAesGcm
                          : name == "aescbc" ? CipherKind::kAesCbc
                                             : CipherKind::kSecretbox;
  return add_keys(provider, place, kind, name, keys);
}

Result<std::shared_ptr<const ValueKeys>> read_providers(const api::Value* value, const std::string& field) {
  Result<const api::Value::List*> list = read_list(value, field);
  if (!list) return std::unexpected(std::move(list.error()));
  std::vector<ValueKeys::Key> keys;
  for (std::size_t i = 0; i < (*list)->size(); ++i) {
    if (Status added = add_provider((**list)[i], cat(field, "[", i, "]"), &keys); !added) {
      return std::unexpected(std::move(added.error()));
    }
  }
  return std::make_shared<const ValueKeys>(std::move(keys));
}

Result<std::vector<std::string>> read_resources(const api::Value* value, const std::string& field) {
  Result<const api::Value::List*> list = read_list(value, field);
  if (!list) return std::unexpected(std::move(list.error()));
  std::vector<std::string> resources;
  for (std::size_t i = 0; i < (*list)->size(); ++i) {
    Result<std::string> name = read_string(&(**list)[i], cat(field, "[", i, "]"));
    if (!name) return std::unexpected(std::move(name.error()));
    resources.push_back(std::move(*name));
  }
  return resources;
}

}  // namespace

Result<EncryptionConfig> EncryptionConfig::parse(std::string_view text) {
  Result<std::vector<api::Value>> documents = api::parse_documents(text);
  if (!documents) return std::unexpected(std::move(documents.error()));
  if (documents->size() != 1) return invalid_argument("expected one document");
  Result<Members> members = Members::read(documents->front(), "", {"apiVersion", "kind", "resources"});
  if (!members) return std::unexpected(std::move(members.error()));
  Result<std::string> version = read_string(members->find("apiVersion"), "apiVersion");
  Result<std::string> kind = read_string(members->find("kind"), "kind");
  if (!version || *version != "apiserver.config.k8s.io/v1") return wrong("apiVersion", "apiserver.config.k8s.io/v1");
  if (!kind || *kind != "EncryptionConfiguration") return wrong("kind", "EncryptionConfiguration");
  Result<const api::Value::List*> list = read_list(members->find("resources"), "resources");
  if (!list) return std::unexpected(std::move(list.error()));
  EncryptionConfig config;
  for (std::size_t i = 0; i < (*list)->size(); ++i) {
    const std::string field = cat("resources[", i, "]");
    Result<Members> entry = Members::read((**list)[i], field, {"resources", "providers"});
    if (!entry) return std::unexpected(std::move(entry.error()));
    Result<std::vector<std::string>> resources = read_resources(entry->find("resources"), cat(field, ".resources"));
    if (!resources) return std::unexpected(std::move(resources.error()));
    Result<std::shared_ptr<const ValueKeys>> keys = read_providers(entry->find("providers"), cat(field, ".providers"));
    if (!keys) return std::unexpected(std::move(keys.error()));
    config.rules_.push_back({std::move(*resources), std::move(*keys)});
  }
  return config;
}

Result<EncryptionConfig> EncryptionConfig::read(const std::string& path) {
  Result<std::string> text = sys::read_given(path, kMaxBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  Result<EncryptionConfig> config = parse(*text);
  if (!config) return fail_with(std::move(config.error()), path);
  return config;
}

std::shared_ptr<const ValueKeys> EncryptionConfig::keys_of(std::string_view plural, std::string_view group) const {
  const std::string name = group.empty() ? std::string(plural) : cat(plural, ".", group);
  const std::string whole_group = cat("*.", group);
  for (const Rule& rule : rules_) {
    for (const std::string& resource : rule.resources) {
      if (resource == name || resource == whole_group || resource == "*.*") return rule.keys;
    }
  }
  return nullptr;
}

}  // namespace gantry::control
