// SPDX-License-Identifier: Apache-2.0
// An image's passwd and group, and the user and the stop signal that it names: four texts.
#include "runtime/plan/users.h"

#include <algorithm>

#include "runtime/plan/signals.h"
#include "tests/fuzz/fuzz.h"

namespace runtime = gantry::runtime;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check(const gantry::Result<runtime::ResolvedUser>& user) {
  if (!user) return expect_sentence(user.error());
  expect(user->uid <= runtime::kMaxId && user->gid <= runtime::kMaxId, "ids are within the bounds");
  expect(std::ranges::all_of(user->member_groups, [](auto gid) { return gid <= runtime::kMaxId; }), "groups, too");
  expect(std::ranges::find(user->member_groups, user->gid) == user->member_groups.end(), "gid is not among the others");
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto parts = gantry::fuzz::parts_of(gantry::fuzz::text_of(bytes, size), 4);
  std::string_view name = parts[2];
  auto database = runtime::UserDatabase::parse(parts[0], parts[1]);
  expect(database.has_value(), "a short file is always taken");
  auto user = runtime::resolve_user(name, *database);
  check(user);
  if (user && user->uid == 0 && !name.empty()) {
    // Root only when the text or the image's own file says so.
    std::string_view first = name.substr(0, name.find(':'));
    auto entry = database->user_by_name(first);
    expect(is_digits(first) ? first.find_first_not_of('0') == first.npos : entry && entry->uid == 0,
           "a user that is not found is never root");
  }
  check(runtime::resolve_name(name, std::nullopt, *database));
  check(runtime::resolve_uid(static_cast<std::uint32_t>(size), std::nullopt, *database));
  if (auto s = runtime::check_home(name, "HOME"); !s) expect_sentence(s.error());
  auto signal = runtime::parse_signal(parts[3]);
  if (!signal) {
    expect_sentence(signal.error());
  } else {
    expect(*signal >= 1 && *signal <= 64, "a signal is one of 64");
    auto again = runtime::parse_signal(runtime::signal_name(*signal));
    bool is_libcs_own = *signal == 32 || *signal == 33;
    expect(is_libcs_own || (again && *again == *signal), "a signal's name names it");
  }
  return 0;
}
