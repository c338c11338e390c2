// SPDX-License-Identifier: Apache-2.0
// Digests of content: sha256 only, which is what images have today. A Digest that exists is well-formed (64 lower-case
// hex digits), so it may name a file. Values; any thread.
#pragma once

#include <compare>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::images {

class Digest {
 public:
  // "sha256:" and 64 lower-case hex digits, nothing else: no other algorithm, case or length.
  static Result<Digest> parse(std::string_view text);
  // The 64 digits alone.
  static Result<Digest> from_hex(std::string_view hex);

  const std::string& hex() const { return hex_; }
  // "sha256:..."
  std::string to_string() const { return "sha256:" + hex_; }

  auto operator<=>(const Digest&) const = default;

 private:
  explicit Digest(std::string hex) : hex_(std::move(hex)) {}
  friend class Hasher;
  std::string hex_;
};

// True for 1 to 64 lower-case hex digits: the start of an image id, as people type it.
bool is_hex(std::string_view text);

// Hashes a stream. finish() is called once.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(std::string_view bytes);
  Digest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

Digest digest_of(std::string_view bytes);

}  // namespace gantry::images
