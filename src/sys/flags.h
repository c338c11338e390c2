// SPDX-License-Identifier: Apache-2.0
// Flag words of the kernel as types: one enum class a flag space, so that a mount attribute can't be given where a
// mount flag belongs. `a | b` stays in its space; raw() is for the system call.
#pragma once

#include <type_traits>

namespace gantry::sys {

template <typename E>
struct IsFlagSpace : std::false_type {};

template <typename E>
concept FlagSpace = std::is_enum_v<E> && IsFlagSpace<E>::value;

template <FlagSpace E>
constexpr E operator|(E a, E b) {
  using Raw = std::underlying_type_t<E>;
  return static_cast<E>(static_cast<Raw>(a) | static_cast<Raw>(b));
}
template <FlagSpace E>
constexpr E& operator|=(E& a, E b) {
  return a = a | b;
}
template <FlagSpace E>
constexpr bool has(E set, E flag) {
  using Raw = std::underlying_type_t<E>;
  return (static_cast<Raw>(set) & static_cast<Raw>(flag)) == static_cast<Raw>(flag);
}
template <FlagSpace E>
constexpr auto raw(E value) {
  return static_cast<std::underlying_type_t<E>>(value);
}

}  // namespace gantry::sys
