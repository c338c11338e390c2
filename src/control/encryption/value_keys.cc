// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/value_keys.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace gantry::control {

namespace {
constexpr std::string_view kEncrypted = "k8s:enc:";
constexpr int kColons = 5;
constexpr std::size_t kMaxPrefix = 256;
}  // namespace

Result<std::string> ValueKeys::seal(std::string_view plain, std::string_view context) const {
  const Key& key = keys_.front();
  if (key.cipher == nullptr) return std::string(plain);
  Result<std::string> sealed = key.cipher->seal(plain, context);
  if (!sealed) return sealed;
  return key.prefix + *sealed;
}

Result<ValueKeys::Opened> ValueKeys::open(std::string_view stored, std::string_view context) const {
  const bool is_encrypted = stored.starts_with(kEncrypted);
  std::optional<Error> unreadable;
  for (const Key& key : keys_) {
    const bool outdated = &key != &keys_.front();
    if (key.cipher == nullptr) {
      if (is_encrypted) continue;
      return Opened{std::string(stored), outdated};
    }
    if (!stored.starts_with(key.prefix)) continue;
    Result<std::string> plain = key.cipher->open(stored.substr(key.prefix.size()), context);
    if (plain) return Opened{std::move(*plain), outdated};
    // Two keys may have one name while one of them is taken out of use.
    if (!unreadable) unreadable = std::move(plain.error());
  }
  if (unreadable) return std::unexpected(std::move(*unreadable));
  if (!is_encrypted)
    return fail(Code::kDataLoss, "the value is not encrypted, and identity is not among the providers");
  // Up to the colon after the key's name.
  std::size_t end = 0;
  for (int i = 0; i < kColons && (i == 0 || end != 0); ++i) end = stored.find(':', end) + 1;
  const std::string_view prefix = stored.substr(0, end == 0 ? kMaxPrefix : std::min(end, kMaxPrefix));
  return fail(Code::kDataLoss, cat("there is no key for ", quoted(as_utf8(prefix), kMaxPrefix)));
}

}  // namespace gantry::control
