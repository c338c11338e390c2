// SPDX-License-Identifier: Apache-2.0
// The value of a field of KubeletConfiguration as what it means, or an error with the field's name: kInvalidArgument,
// then `out` stays as it was. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/value.h"
#include "base/loop.h"
#include "base/result.h"

namespace gantry::agent {

struct KubeletSettings;

inline constexpr std::chrono::hours kLongestTime{24 * 366};

// One field by its name.
struct KubeletField {
  using Take = Status (*)(const api::Value& value, std::string_view field, KubeletSettings& to);
  std::string_view name;
  // Null: it has no effect here.
  Take take;
  // Not null: the values that have one.
  bool (*counts)(const api::Value& value) = nullptr;
};

std::unexpected<Error> wrong_field(std::string_view field, std::string_view problem);

Status take_number(const api::Value& value, std::string_view field, std::int64_t least, std::int64_t most,
                   std::int64_t* out);
Status take_numbers(const api::Value& value, std::string_view field, std::vector<std::int64_t>* out);
Status take_flag(const api::Value& value, std::string_view field, bool* out);
Status take_text(const api::Value& value, std::string_view field, std::string* out);
Status take_texts(const api::Value& value, std::string_view field, std::vector<std::string>* out);
// Numeric addresses.
Status take_addresses(const api::Value& value, std::string_view field, std::vector<std::string>* out);
// Numeric; empty is what is not said.
Status take_address(const api::Value& value, std::string_view field, std::string* out);
Status take_port(const api::Value& value, std::string_view field, std::uint16_t* out);
// Absolute; empty is what is not said.
Status take_path(const api::Value& value, std::string_view field, std::string* out);
// At most a year. Zero is, as with kubelet, what is not said.
Status take_duration(const api::Value& value, std::string_view field, Duration* out);
Status take_size(const api::Value& value, std::string_view field, std::int64_t least, std::int64_t most,
                 std::size_t* out);
Status take_percent(const api::Value& value, std::string_view field, int* out);
// A quantity; negative ones have a meaning of their own.
Status take_bytes(const api::Value& value, std::string_view field, std::int64_t* out);

// An object with these members alone.
template <typename Out>
struct MemberField {
  std::string_view name;
  Status (*take)(const api::Value& value, std::string_view field, Out& to);
};
template <typename Out>
Status take_members(const api::Value& value, std::string_view field, std::span<const MemberField<Out>> members,
                    Out& to) {
  const auto* object = value.as_object();
  if (object == nullptr) return wrong_field(field, "an object was expected");
  for (const auto& [name, member, position] : *object) {
    const std::string place = std::string(field) + "." + name;
    const MemberField<Out>* known = nullptr;
    for (const auto& one : members) known = one.name == name ? &one : known;
    if (known == nullptr) return wrong_field(place, "is no field of KubeletConfiguration");
    if (member.is_null()) continue;
    if (Status taken = known->take(member, place, to); !taken) return taken;
  }
  return {};
}

}  // namespace gantry::agent
