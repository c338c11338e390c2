// SPDX-License-Identifier: Apache-2.0
// Who a container runs as. Texts of /etc/passwd and /etc/group (the image's, so hostile) are read by the caller,
// bounded, and parsed here; a user string becomes numbers or an error. A user that does not parse or is not found is an
// error, never 0; only an absent one is 0. Digits are always an id and never looked up as a name. Ids are
// 0..2147483647: above that, tools and kernels disagree about signs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::runtime {

// The most that a caller should read of either file; parse() refuses longer texts.
inline constexpr std::size_t kMaxUserDatabaseBytes = 4U << 20;
inline constexpr std::int64_t kMaxId = 2147483647;

struct PasswdEntry {
  std::string name;
  std::uint32_t uid = 0, gid = 0;
  std::string home;
};

// The users and groups that an image knows. Lines that are comments, malformed or hold an id out of range count as not
// there. The first of several with one name (or one id) wins, as in libc.
class UserDatabase {
 public:
  // Empty: an image without these files.
  UserDatabase() = default;
  // A file that the image lacks is the empty text. kResourceExhausted names the file that is over
  // kMaxUserDatabaseBytes.
  static Result<UserDatabase> parse(std::string_view passwd, std::string_view group);

  std::optional<PasswdEntry> user_by_name(std::string_view name) const;
  std::optional<PasswdEntry> user_by_uid(std::uint32_t uid) const;
  std::optional<std::uint32_t> gid_by_name(std::string_view name) const;
  // Gids of the groups that list `name` as a member, in file order.
  std::vector<std::uint32_t> groups_of(std::string_view name) const;

 private:
  std::string passwd_, group_;
};

// An id as the CRI has it: kInvalidArgument names `what` ("run_as_user") and the value when it is out of range.
Result<std::uint32_t> checked_id(std::int64_t id, std::string_view what);

struct ResolvedUser {
  std::uint32_t uid = 0, gid = 0;
  // Of the image's passwd entry; empty when there is none. The user's groups by membership, without gid.
  std::string name;
  std::string home;
  std::vector<std::uint32_t> member_groups;
};

// The user string of an image ("uid", "name", "uid:gid", "name:group", any mix). Empty: root. Without a group it is the
// user's from passwd; 0 when a numeric user has no entry.
Result<ResolvedUser> resolve_user(std::string_view user, const UserDatabase& database);
// A user and maybe group that the API gave. `name` of digits is a uid.
Result<ResolvedUser> resolve_uid(std::uint32_t uid, std::optional<std::uint32_t> gid, const UserDatabase& database);
Result<ResolvedUser> resolve_name(std::string_view name, std::optional<std::uint32_t> gid,
                                  const UserDatabase& database);

// A value that may become HOME or part of a passwd line: kInvalidArgument when it holds a control character or ':'.
Status check_home(std::string_view home, std::string_view where);

}  // namespace gantry::runtime
