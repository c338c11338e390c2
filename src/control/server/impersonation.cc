// SPDX-License-Identifier: Apache-2.0
#include "control/server/impersonation.h"

#include <algorithm>

#include "base/text.h"
#include "control/server/request_info.h"

namespace gantry::control {

namespace {

constexpr std::string_view kUser = "impersonate-user";
constexpr std::string_view kGroup = "impersonate-group";
constexpr std::string_view kUid = "impersonate-uid";
constexpr std::string_view kExtra = "impersonate-extra-";
constexpr std::string_view kServiceAccount = "system:serviceaccount:";

struct Wanted {
  std::string user;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;

  bool nothing() const { return user.empty() && uid.empty() && groups.empty() && extra.empty(); }
};

Wanted wanted_by(const http::Request& request) {
  Wanted wanted;
  for (const auto& [header, value] : request.headers) {
    const std::string name = lowered(header);
    if (name == kUser) wanted.user = value;
    if (name == kUid) wanted.uid = value;
    if (name == kGroup) wanted.groups.push_back(value);
    if (name.starts_with(kExtra)) {
      const std::string_view key = std::string_view(name).substr(kExtra.size());
      wanted.extra[http::decode_percent(key, false).value_or(std::string(key))].push_back(value);
    }
  }
  return wanted;
}

// The namespace and the name of "system:serviceaccount:NS:NAME".
std::optional<std::pair<std::string, std::string>> service_account(std::string_view user) {
  if (!user.starts_with(kServiceAccount)) return std::nullopt;
  user.remove_prefix(kServiceAccount.size());
  const size_t colon = user.find(':');
  if (colon == user.npos) return std::nullopt;
  return std::pair(std::string(user.substr(0, colon)), std::string(user.substr(colon + 1)));
}

}  // namespace

std::vector<AccessRequest> impersonation_requests(const User& user, const http::Request& request) {
  std::vector<AccessRequest> requests;
  const Wanted wanted = wanted_by(request);
  const auto add = [&](std::string group, std::string ns, std::string resource, std::string subresource,
                       std::string name) {
    requests.push_back({.user = user,
                        .is_resource = true,
                        .verb = "impersonate",
                        .group = std::move(group),
                        .version = "v1",
                        .ns = std::move(ns),
                        .resource = std::move(resource),
                        .subresource = std::move(subresource),
                        .name = std::move(name),
                        .path = {}});
  };
  if (const auto account = service_account(wanted.user)) {
    add("", account->first, "serviceaccounts", "", account->second);
  } else if (!wanted.user.empty()) {
    add("", "", "users", "", wanted.user);
  }
  for (const std::string& group : wanted.groups) add("", "", "groups", "", group);
  if (!wanted.uid.empty()) add("authentication.k8s.io", "", "uids", "", wanted.uid);
  for (const auto& [key, values] : wanted.extra) {
    for (const std::string& value : values) add("authentication.k8s.io", "", "userextras", key, value);
  }
  return requests;
}

Outcome<User> impersonate(User user, const http::Request& request) {
  Wanted wanted = wanted_by(request);
  if (wanted.nothing()) return user;
  if (wanted.user.empty()) {
    return fail(bad_request("the request impersonates groups, a uid or extras, and no user (Impersonate-User)"));
  }
  User acting{.name = wanted.user, .uid = wanted.uid, .groups = wanted.groups, .extra = wanted.extra};
  if (const auto account = service_account(wanted.user); account && acting.groups.empty()) {
    acting.groups = {"system:serviceaccounts", cat("system:serviceaccounts:", account->first)};
  }
  const std::string_view all = wanted.user == kAnonymous ? kUnauthenticatedGroup : kAuthenticatedGroup;
  if (!acting.is_in(all)) acting.groups.emplace_back(all);
  return acting;
}

bool User::is_in(std::string_view group) const { return std::ranges::find(groups, group) != groups.end(); }

}  // namespace gantry::control
