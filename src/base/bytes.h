// SPDX-License-Identifier: Apache-2.0
// A flat, bounded, versionable encoding for what our own processes send each other and keep on tmpfs: little-endian
// integers and length-prefixed byte strings, one after the other, nothing self-describing. The reader never allocates
// and never reads past its end: after the first short read it is not ok() and every further read yields zero values, so
// a decoder reads all fields and asks once.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace gantry {

class ByteWriter {
 public:
  template <typename T>
    requires std::is_integral_v<T> || std::is_enum_v<T>
  void integer(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.append(raw, sizeof(T));
  }
  // At most 4 GiB; the length is a 32-bit count of bytes before them.
  void string(std::string_view value) {
    integer(static_cast<std::uint32_t>(value.size()));
    bytes_.append(value);
  }
  const std::string& bytes() const { return bytes_; }
  std::string take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
    requires std::is_integral_v<T> || std::is_enum_v<T>
  T integer() {
    T value{};
    if (bytes_.size() < sizeof(T)) {
      ok_ = false;
      bytes_ = {};
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return value;
  }
  // A view into the bytes that the reader was made of.
  std::string_view string() {
    auto size = integer<std::uint32_t>();
    if (bytes_.size() < size) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    std::string_view value = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return value;
  }
  bool ok() const { return ok_; }
  // Nothing is left: what a decoder of a closed format asks at the end.
  bool at_end() const { return ok_ && bytes_.empty(); }
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace gantry
