// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/users.h"

#include <algorithm>
#include <utility>

#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Digits only, 0..kMaxId.
std::optional<std::uint32_t> parse_id(std::string_view text) {
  if (!is_digits(text)) return std::nullopt;
  auto value = parse_number<std::int64_t>(text);
  if (!value || *value > kMaxId) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

std::unexpected<Error> out_of_range(std::string_view what, std::string_view value) {
  return invalid_argument(cat(what, " ", value, " is out of range: 0 to ", kMaxId, " was expected"));
}

// name:password:uid:gid:comment:home:shell. What misses its last fields still counts, as in libc.
std::optional<PasswdEntry> parse_passwd_line(std::string_view line) {
  if (line.find('\0') != std::string_view::npos) return std::nullopt;
  std::string_view name = take_until(line, ':');
  if (name.empty() || name[0] == '#' || name[0] == '+' || name[0] == '-') return std::nullopt;
  take_until(line, ':');
  auto uid = parse_id(take_until(line, ':'));
  auto gid = parse_id(take_until(line, ':'));
  if (!uid || !gid) return std::nullopt;
  take_until(line, ':');
  return PasswdEntry{std::string(name), *uid, *gid, std::string(take_until(line, ':'))};
}

struct GroupLine {
  std::string_view name;
  std::uint32_t gid = 0;
  std::string_view members;
};
// name:password:gid:member,member
std::optional<GroupLine> parse_group_line(std::string_view line) {
  if (line.find('\0') != std::string_view::npos) return std::nullopt;
  std::string_view name = take_until(line, ':');
  if (name.empty() || name[0] == '#' || name[0] == '+' || name[0] == '-') return std::nullopt;
  take_until(line, ':');
  auto gid = parse_id(take_until(line, ':'));
  if (!gid) return std::nullopt;
  return GroupLine{name, *gid, line};
}

template <typename Match>
std::optional<PasswdEntry> find_user(std::string_view text, Match&& matches) {
  while (!text.empty()) {
    auto entry = parse_passwd_line(take_until(text, '\n'));
    if (entry && matches(*entry)) return entry;
  }
  return std::nullopt;
}

bool lists(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    if (take_until(members, ',') == name) return true;
  }
  return false;
}

Result<std::uint32_t> resolve_group(std::string_view group, const UserDatabase& database) {
  if (is_digits(group)) {
    auto gid = parse_id(group);
    if (!gid) return out_of_range("group", group.substr(0, 32));
    return *gid;
  }
  auto gid = database.gid_by_name(group);
  if (!gid) return invalid_argument(cat("group ", quoted(group), " is not in the image's /etc/group"));
  return *gid;
}

ResolvedUser from_entry(PasswdEntry entry, std::uint32_t gid, const UserDatabase& database) {
  ResolvedUser user{entry.uid, gid, std::move(entry.name), std::move(entry.home), {}};
  user.member_groups = database.groups_of(user.name);
  std::erase(user.member_groups, gid);
  return user;
}

}  // namespace

Result<UserDatabase> UserDatabase::parse(std::string_view passwd, std::string_view group) {
  for (auto [text, name] : {std::pair(passwd, "/etc/passwd"), std::pair(group, "/etc/group")}) {
    if (text.size() <= kMaxUserDatabaseBytes) continue;
    return fail(Code::kResourceExhausted, cat("the image's ", name, " has ", text.size(), " bytes: at most ",
                                              kMaxUserDatabaseBytes, " are read"));
  }
  UserDatabase database;
  database.passwd_ = passwd;
  database.group_ = group;
  return database;
}

std::optional<PasswdEntry> UserDatabase::user_by_name(std::string_view name) const {
  return find_user(passwd_, [&](const PasswdEntry& entry) { return entry.name == name; });
}

std::optional<PasswdEntry> UserDatabase::user_by_uid(std::uint32_t uid) const {
  return find_user(passwd_, [&](const PasswdEntry& entry) { return entry.uid == uid; });
}

std::optional<std::uint32_t> UserDatabase::gid_by_name(std::string_view name) const {
  std::string_view text = group_;
  while (!text.empty()) {
    auto line = parse_group_line(take_until(text, '\n'));
    if (line && line->name == name) return line->gid;
  }
  return std::nullopt;
}

std::vector<std::uint32_t> UserDatabase::groups_of(std::string_view name) const {
  std::vector<std::uint32_t> gids;
  std::string_view text = group_;
  while (!text.empty()) {
    auto line = parse_group_line(take_until(text, '\n'));
    if (line && lists(line->members, name)) gids.push_back(line->gid);
  }
  return gids;
}

Result<std::uint32_t> checked_id(std::int64_t id, std::string_view what) {
  if (id < 0 || id > kMaxId) return out_of_range(what, cat(id));
  return static_cast<std::uint32_t>(id);
}

Result<ResolvedUser> resolve_uid(std::uint32_t uid, std::optional<std::uint32_t> gid, const UserDatabase& database) {
  auto entry = database.user_by_uid(uid);
  if (!entry) return ResolvedUser{uid, gid.value_or(0), {}, {}, {}};
  std::uint32_t own_gid = gid.value_or(entry->gid);
  return from_entry(std::move(*entry), own_gid, database);
}

Result<ResolvedUser> resolve_name(std::string_view name, std::optional<std::uint32_t> gid,
                                  const UserDatabase& database) {
  if (name.empty()) return invalid_argument("user name is empty: a name or number was expected");
  if (name.find(':') != std::string_view::npos) {
    return invalid_argument(cat("user name ", quoted(name), " has a ':': a name or number was expected"));
  }
  if (is_digits(name)) {
    auto uid = parse_id(name);
    if (!uid) return out_of_range("user", name.substr(0, 32));
    return resolve_uid(*uid, gid, database);
  }
  auto entry = database.user_by_name(name);
  if (!entry) return invalid_argument(cat("user ", quoted(name), " is not in the image's /etc/passwd"));
  std::uint32_t own_gid = gid.value_or(entry->gid);
  return from_entry(std::move(*entry), own_gid, database);
}

Result<ResolvedUser> resolve_user(std::string_view user, const UserDatabase& database) {
  if (user.empty()) return resolve_uid(0, std::nullopt, database);
  std::size_t colon = user.find(':');
  if (colon == std::string_view::npos) return resolve_name(user, std::nullopt, database);
  std::string_view name = user.substr(0, colon);
  std::string_view group = user.substr(colon + 1);
  if (name.empty() || group.empty() || group.find(':') != std::string_view::npos) {
    return invalid_argument(cat("user ", quoted(user), " is malformed: USER or USER:GROUP was expected"));
  }
  auto gid = resolve_group(group, database);
  if (!gid) return std::unexpected(std::move(gid.error()));
  return resolve_name(name, *gid, database);
}

Status check_home(std::string_view home, std::string_view where) {
  auto bad = std::ranges::find_if(home, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f || c == ':'; });
  if (bad == home.end()) return {};
  return invalid_argument(cat(where, ": HOME ", quoted(home), " has a control character or ':'"));
}

}  // namespace gantry::runtime
