// SPDX-License-Identifier: Apache-2.0
#include "control/authentication/service_account_claims.h"

#include "api/json.h"
#include "base/text.h"

namespace gantry::control {

namespace {

constexpr std::string_view kPrivate = "kubernetes.io";

api::Value id_value(const ObjectId& id) { return api::Value::object({{"name", id.name}, {"uid", id.uid}}); }

std::optional<int64_t> number_of(const api::Value& object, std::string_view key) {
  const api::Value* value = object.find(key);
  if (value == nullptr) return std::nullopt;
  if (const std::optional<int64_t> number = value->as_int64()) return number;
  // Other libraries write times as 1.7e9, too.
  const std::optional<double> real = value->as_double();
  if (!real || !(*real >= 0) || !(*real < 1e15)) return std::nullopt;
  return static_cast<int64_t>(*real);
}

std::optional<ObjectId> id_of(const api::Value& object, std::string_view key) {
  const api::Value* value = object.find(key);
  if (value == nullptr || value->as_object() == nullptr) return std::nullopt;
  return ObjectId{value->text_at("name"), value->text_at("uid")};
}

std::vector<std::string> audiences_of(const api::Value& claims) {
  const api::Value* value = claims.find("aud");
  if (value == nullptr) return {};
  if (const std::string* one = value->as_string()) return {*one};
  std::vector<std::string> all;
  if (const api::Value::List* list = value->as_list()) {
    for (const api::Value& item : *list) {
      if (item.as_string() != nullptr) all.push_back(*item.as_string());
    }
  }
  return all;
}

}  // namespace

std::string ServiceAccountClaims::user_name() const { return cat("system:serviceaccount:", ns, ":", account.name); }

std::string write_claims(const ServiceAccountClaims& claims) {
  api::Value::List audiences(claims.audiences.begin(), claims.audiences.end());
  api::Value own = api::Value::object({{"namespace", claims.ns}});
  if (claims.node) own["node"] = id_value(*claims.node);
  if (claims.pod) own["pod"] = id_value(*claims.pod);
  if (claims.secret) own["secret"] = id_value(*claims.secret);
  own["serviceaccount"] = id_value(claims.account);
  if (claims.warn_after) own["warnafter"] = *claims.warn_after;
  return api::write_json(api::Value::object({{"aud", std::move(audiences)},
                                             {"exp", claims.expires},
                                             {"iat", claims.issued_at},
                                             {"iss", claims.issuer},
                                             {"jti", claims.id},
                                             {std::string(kPrivate), std::move(own)},
                                             {"nbf", claims.not_before},
                                             {"sub", claims.user_name()}}));
}

Result<ServiceAccountClaims> read_claims(std::string_view json) {
  Result<api::Value> value = api::parse_json(json);
  const api::Value* own = value ? value->find(kPrivate) : nullptr;
  const std::optional<ObjectId> account = own != nullptr ? id_of(*own, "serviceaccount") : std::nullopt;
  if (!account || account->name.empty() || account->uid.empty()) {
    return fail(Code::kUnauthenticated, "the token's claims are no service account's");
  }
  ServiceAccountClaims claims{.issuer = value->text_at("iss"),
                              .audiences = audiences_of(*value),
                              .id = value->text_at("jti"),
                              .issued_at = number_of(*value, "iat").value_or(0),
                              .not_before = number_of(*value, "nbf").value_or(0),
                              .expires = number_of(*value, "exp").value_or(0),
                              .warn_after = number_of(*own, "warnafter"),
                              .ns = own->text_at("namespace"),
                              .account = *account,
                              .pod = id_of(*own, "pod"),
                              .node = id_of(*own, "node"),
                              .secret = id_of(*own, "secret")};
  if (claims.ns.empty() || value->text_at("sub") != claims.user_name()) {
    return fail(Code::kUnauthenticated, "the token's subject is not its service account");
  }
  return claims;
}

}  // namespace gantry::control
