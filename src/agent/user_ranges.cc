// SPDX-License-Identifier: Apache-2.0
#include "agent/user_ranges.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/json.h"
#include "api/text.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/given_files.h"
#include "sys/private_file.h"

namespace gantry::agent {
namespace {

using api::Value;

constexpr char kRecord[] = "userns";
constexpr char kNewRecord[] = "userns.new";
constexpr char kUser[] = "kubelet";
constexpr std::size_t kMaxRecord = 4096;
constexpr std::size_t kMaxIdFile = 1U << 20;
constexpr std::uint64_t kNoId = 0xffffffff;

// The lines of the user's; a host without the file has none.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> found;
  for (absl::string_view line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ':');
    if (fields.size() == 3 && fields[0] == kUser) found.push_back(absl::StrCat(fields[1], ":", fields[2]));
  }
  return found;
}

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

Result<std::string> read_id_file(const std::string& path) {
  auto text = sys::read_given(path, kMaxIdFile);
  if (!text && text.error().is_not_found()) return std::string();
  return text;
}

std::string text_of(UserRange range) {
  const Value mapping =
      Value::List{Value::object({{"hostId", static_cast<std::int64_t>(range.first)},
                                 {"containerId", std::int64_t{0}},
                                 {"length", static_cast<std::int64_t>(range.length)}})};
  return api::write_json(Value::object({{"uidMappings", mapping}, {"gidMappings", mapping}}));
}

// Of kubelet's, too: one mapping, the same of users and of groups, from 0 of the pod on.
Result<UserRange> parse_record(std::string_view text) {
  auto record = api::parse_json(text);
  if (!record) return std::unexpected(std::move(record.error()));
  std::vector<UserRange> found;
  for (const char* name : {"uidMappings", "gidMappings"}) {
    const auto& list = record->list_at(name);
    if (list.size() != 1) return invalid_argument(absl::StrCat(name, ": one mapping was expected"));
    std::int64_t numbers[3];
    for (std::size_t i = 0; const char* field : {"hostId", "containerId", "length"}) {
      const Value* value = list[0].find(field);
      const auto number = value == nullptr ? std::nullopt : value->as_int64();
      if (!number || *number < 0 || *number > static_cast<std::int64_t>(kNoId)) {
        return invalid_argument(absl::StrCat(name, "[0].", field, ": an id or a number of them was expected"));
      }
      numbers[i++] = *number;
    }
    const auto [first, inside, length] = numbers;
    if (inside != 0 || length == 0 || static_cast<std::uint64_t>(first + length) > kNoId) {
      return invalid_argument(absl::StrCat(name, "[0]: is no range of ids from 0 of the pod on"));
    }
    found.push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(length)});
  }
  if (found[0] != found[1]) return invalid_argument("uidMappings and gidMappings differ");
  return found[0];
}

bool overlap(UserRange one, UserRange other) {
  return one.first < std::uint64_t{other.first} + other.length && other.first < std::uint64_t{one.first} + one.length;
}

}  // namespace

Result<UserRange> ids_for_pods(std::string_view subuid, std::string_view subgid, std::uint32_t per_pod) {
  const auto users = lines_of(subuid), groups = lines_of(subgid);
  if (users.empty() && groups.empty()) {
    const auto end = static_cast<std::uint32_t>(kNoId / per_pod * per_pod);
    if (end == per_pod) return invalid_argument(absl::StrCat("there are no ", per_pod, " ids for a pod"));
    return UserRange{per_pod, end - per_pod};
  }
  if (users != groups) return invalid_argument(absl::StrCat("mismatched subuids and subgids for user \"", kUser, "\""));
  if (users.size() != 1) {
    return invalid_argument(
        absl::StrCat("subuids of user \"", kUser, "\": ", users.size(), " ranges; one was expected"));
  }
  const std::vector<std::string> parts = absl::StrSplit(users[0], ':');
  const auto first = number_of(parts[0]), length = number_of(parts[1]);
  if (!first || !length || std::uint64_t{*first} + *length > kNoId) {
    return invalid_argument(absl::StrCat("subuids of user \"", kUser, "\": ", api::quoted(users[0]), " are none"));
  }
  if (*first < per_pod || *first % per_pod != 0) {
    return invalid_argument(absl::StrCat("kubelet user assigned ID ", *first, " is not a multiple of ", per_pod));
  }
  if (*length < per_pod || *length % per_pod != 0) {
    return invalid_argument(
        absl::StrCat("kubelet user assigned IDs length ", *length, " is not a multiple of ", per_pod));
  }
  return UserRange{*first, *length};
}

Status UserRanges::load(const std::set<std::string>& with_sandbox) {
  const std::lock_guard writer(writing_);
  loaded_ = load_all(with_sandbox);
  return loaded_;
}

Status UserRanges::load_all(const std::set<std::string>& with_sandbox) {
  auto dir = sys::open_dir(sys::kCwd, places_.pods.c_str());
  auto names = dir ? sys::list_dir(*dir) : Result<std::vector<std::string>>(std::unexpected(dir.error()));
  if (!names && !names.error().is_not_found()) return fail_with(std::move(names.error()), places_.pods);
  Status all;
  for (const auto& uid : names ? *names : std::vector<std::string>()) {
    if (uid.starts_with('.')) continue;  // on its way out (pod_folders.h)
    // One that can't be read says nothing of the others.
    if (auto one = load_one(uid, with_sandbox.contains(uid)); !one && all) all = std::move(one);
  }
  if (!all) return all;
  auto subuid = read_id_file(places_.subuid);
  if (!subuid) return std::unexpected(std::move(subuid.error()));
  auto subgid = read_id_file(places_.subgid);
  if (!subgid) return std::unexpected(std::move(subgid.error()));
  auto ids = ids_for_pods(*subuid, *subgid, per_pod_);
  if (!ids) return std::unexpected(std::move(ids.error()));
  all_ = *ids;
  return {};
}

Status UserRanges::load_one(const std::string& uid, bool has_sandbox) {
  auto dir = sys::open_dir(sys::kCwd, folder_of(uid).c_str());
  const auto failed = [&](Error error) {
    return fail_with(std::move(error), absl::StrCat("ids of a pod: ", folder_of(uid), "/", kRecord));
  };
  // No folder, or gone: what is no pod's has no record.
  if (!dir) return dir.error().is_not_found() ? Status() : failed(std::move(dir.error()));
  auto text = sys::read_file(*dir, kRecord, kMaxRecord);
  if (!text && text.error().is_not_found()) {
    // A first one may have been under way.
    if (!has_sandbox) (void)remove_record(uid);
    return {};
  }
  if (!text) return failed(std::move(text.error()));
  auto range = parse_record(*text);
  if (!range) return failed(std::move(range.error()));
  if (!has_sandbox) {
    auto names = sys::list_dir(*dir);
    if (!names) return failed(std::move(names.error()));
    const auto is_ours = [](const std::string& name) { return name == kRecord || name == kNewRecord; };
    if (std::ranges::all_of(*names, is_ours)) return remove_record(uid);
  }
  const std::lock_guard lock(mutex_);
  ranges_[uid] = *range;
  return {};
}

std::optional<UserRange> UserRanges::of(const std::string& uid) const {
  const std::lock_guard lock(mutex_);
  auto found = ranges_.find(uid);
  return found == ranges_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<UserRange> UserRanges::free_range() const {
  const std::uint32_t count = all_.length / per_pod_;
  std::random_device random;
  const std::uint32_t begin = std::uniform_int_distribution<std::uint32_t>(0, count - 1)(random);
  for (std::uint32_t i = 0; i < count; ++i) {
    const UserRange range{all_.first + (begin + i) % count * per_pod_, per_pod_};
    const auto is_taken = [&](const auto& taken) { return overlap(taken.second, range); };
    if (std::ranges::none_of(ranges_, is_taken)) return range;
  }
  return std::nullopt;
}

Result<UserRange> UserRanges::take(const std::string& uid) {
  const std::lock_guard writer(writing_);
  if (auto found = ranges_.find(uid); found != ranges_.end()) return found->second;
  if (!loaded_) return std::unexpected(loaded_.error());
  auto range = free_range();
  if (!range) {
    return fail(Code::kResourceExhausted, "could not find an empty slot to allocate a user namespace");
  }
  if (auto written = write_record(uid, *range); !written) return std::unexpected(std::move(written.error()));
  const std::lock_guard lock(mutex_);
  ranges_[uid] = *range;
  return *range;
}

Status UserRanges::write_record(const std::string& uid, UserRange range) const {
  const std::string folder = folder_of(uid);
  if (auto made = sys::make_folders(folder, 0750); !made) return made;
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return fail_with(std::move(dir.error()), folder);
  auto done = sys::write_private_file(*dir, kRecord, text_of(range));
  if (done) return {};
  (void)remove_record(uid);
  return fail_with(std::move(done.error()), absl::StrCat(folder, "/", kRecord));
}

Status UserRanges::release(const std::string& uid) {
  const std::lock_guard writer(writing_);
  if (!ranges_.contains(uid)) return {};
  if (auto removed = remove_record(uid); !removed) return removed;
  const std::lock_guard lock(mutex_);
  ranges_.erase(uid);
  return {};
}

Status UserRanges::remove_record(const std::string& uid) const {
  auto dir = sys::open_dir(sys::kCwd, folder_of(uid).c_str());
  if (!dir) return dir.error().is_not_found() ? Status() : fail_with(std::move(dir.error()), folder_of(uid));
  for (const char* name : {kNewRecord, kRecord}) {
    auto gone = sys::unlinkat(*dir, name, 0);
    if (!gone && !gone.error().is_not_found()) return fail_with(std::move(gone.error()), folder_of(uid));
  }
  // That of a pod which never had more. Whatever else is there keeps it.
  (void)sys::unlinkat(sys::kCwd, folder_of(uid).c_str(), AT_REMOVEDIR);
  return {};
}

}  // namespace gantry::agent
