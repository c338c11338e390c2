// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/reviews.h"

#include "api/json.h"
#include "base/text.h"

namespace gantry::agent {
namespace {

using api::Value;

constexpr char kTokens[] = "/apis/authentication.k8s.io/v1/tokenreviews";
constexpr char kAccess[] = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

Value strings(const std::vector<std::string>& texts) {
  Value::List list;
  for (const std::string& text : texts) list.emplace_back(text);
  return list;
}

std::vector<std::string> strings_at(const Value& object, std::string_view key) {
  std::vector<std::string> texts;
  for (const Value& item : object.list_at(key)) {
    if (const std::string* text = item.as_string()) texts.push_back(*text);
  }
  return texts;
}

bool flag_at(const Value& object, std::string_view key) {
  const Value* value = object.find(key);
  return value != nullptr && value->as_bool().value_or(false);
}

Value document(const char* version, const char* kind, Value spec) {
  return Value::object({{"apiVersion", version}, {"kind", kind}, {"spec", std::move(spec)}});
}

// The user that a TokenReview's status names.
Result<ApiUser> user_of(const Value& status) {
  const Value* user = status.find("user");
  if (user == nullptr || user->text_at("username").empty())
    return fail(Code::kInternal, "TokenReview: authenticated, and no user is named");
  ApiUser named{.name = user->text_at("username"),
                .uid = user->text_at("uid"),
                .groups = strings_at(*user, "groups"),
                .extra = {}};
  if (const Value* extra = user->find("extra"); extra != nullptr && extra->as_object() != nullptr) {
    for (const auto& member : *extra->as_object()) named.extra[member.key] = strings_at(*extra, member.key);
  }
  return named;
}

}  // namespace

Task<Result<std::optional<ApiUser>>> ApiReviewer::review(std::string token) {
  Value question = document("authentication.k8s.io/v1", "TokenReview", Value::object({{"token", std::move(token)}}));
  auto answer = co_await client_.document("POST", kTokens, "application/json", api::write_json(question));
  if (!answer) co_return fail_with(answer.error().as_error(), "TokenReview");
  const Value* status = answer->find("status");
  if (status == nullptr || !flag_at(*status, "authenticated")) co_return std::optional<ApiUser>();
  auto user = user_of(*status);
  if (!user) co_return std::unexpected(std::move(user.error()));
  co_return std::optional(std::move(*user));
}

Task<Result<bool>> ApiReviewer::may(ApiUser user, NodeAction action) {
  Value attributes = Value::object({{"verb", action.verb}, {"version", "v1"}, {"resource", "nodes"}, {"name", node_}});
  if (!action.subresource.empty()) attributes["subresource"] = action.subresource;
  Value extra = Value::Object();
  for (const auto& [key, values] : user.extra) extra[key] = strings(values);
  Value spec = Value::object({{"resourceAttributes", std::move(attributes)},
                              {"user", user.name},
                              {"groups", strings(user.groups)},
                              {"uid", user.uid},
                              {"extra", std::move(extra)}});
  Value question = document("authorization.k8s.io/v1", "SubjectAccessReview", std::move(spec));
  auto answer = co_await client_.document("POST", kAccess, "application/json", api::write_json(question));
  if (!answer) co_return fail_with(answer.error().as_error(), "SubjectAccessReview");
  const Value* status = answer->find("status");
  co_return status != nullptr&& flag_at(*status, "allowed") && !flag_at(*status, "denied");
}

}  // namespace gantry::agent
