// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/value_keys.h"

#include <gtest/gtest.h>

#include "api/text.h"

namespace gantry::control {
namespace {

constexpr std::string_view kSecret = "0123456789abcdef0123456789ABCDEF";
constexpr std::string_view kContext = "/registry/secrets/default/a";
const std::string kPlain(
    "k8s\0 a secret that is longer than one block of the ciphers: 0123456789 0123456789 0123456789", 92);

// What k8s.io/apiserver 0.37.0 wrote of kPlain, by its transformers, with the key's first bytes.
struct Vector {
  CipherKind kind;
  const char* name;
  std::size_t key_bytes;
  const char* base64;
};
constexpr Vector kVectors[] = {
    {CipherKind::kAesGcm, "aesgcm", 16,
     "azhzOmVuYzphZXNnY206djE6Zmlyc3Q6jr+L8S3qEnesC967T8ucUmOWn47rfFjp4J1Vkh2borgLmyZ2IaO9DvOZP+CoKvJx4af10/prODB6E6u/"
     "sgeJ/fOPMBxAgEYKnjKDLv1NogFvkgDcVX3BhsZ4TvdrzLCv+VnWWD84BQo46j0+PgfrrcXFsY5Ox30Q"},
    {CipherKind::kAesCbc, "aescbc", 16,
     "azhzOmVuYzphZXNjYmM6djE6Zmlyc3Q6rtL0F5KLnrnaiC8WkUDHVmOqrewmxgR0nPy+8HM8YKkv/JINz6Bb2A+wWWQM8MG9OJEWdr06IAtT6BHY"
     "Yav65VBqDtURKvbrphgnNHNjS/5HAmc1rUmgAFRxZb91CRj1I90y+4emx3+fXT4SfUugeQ=="},
    {CipherKind::kAesGcm, "aesgcm", 24,
     "azhzOmVuYzphZXNnY206djE6Zmlyc3Q6+8UK0YZ2zG77A4Kc5xl6+toBM/vdJ6o97sAJLtMAGxIdkUF7S6z7MkGqQmCpITJSUJyso1dGygwgQRX7"
     "R8r/LWAXksyeLrwJGuAEewNg1HbY3LhgXzPWr0+CGVG9bpetRmhC3iV4HfbnyNP/+CzGtMoSye0gWeKi"},
    {CipherKind::kAesCbc, "aescbc", 24,
     "azhzOmVuYzphZXNjYmM6djE6Zmlyc3Q6u2YqFC3D8i1MmVfD4410Y/I+RbPQVB1fQ67cG+MDTC9TcuLFtUnjBG535haWmDqsEuHkRyGJLxqwYk31"
     "sH749/VTGglY+QnW5NIp7xXe9eBnxbsg23/xU/xiAwhApAa5iUwkio9OtolzZUSnB+WWbw=="},
    {CipherKind::kAesGcm, "aesgcm", 32,
     "azhzOmVuYzphZXNnY206djE6Zmlyc3Q6LF2HnC+5DdVtEOH6vHWNypussEL6mX5I7evKH3o/qpBG2M7tAJhK/EPEGxIqjarFxLjXcZMm9BaHjzq8"
     "TGyopj5AoZzHAXdjFoLbsu3y3XhzuDbwfyWYa7EY6lQB/uRUlZpfSoXVhIlJITnZJieXDvJu1eU+obQN"},
    {CipherKind::kAesCbc, "aescbc", 32,
     "azhzOmVuYzphZXNjYmM6djE6Zmlyc3Q6fjudXzlfW319KQqSAy1+n3+NRjG7fZc567Lu/U7s2pV771WPM6s9k6P8v8SM06CVMJvoSZTE+dBDMnG4"
     "8Diec+tpU6OpGZRLbfzRHx8q3XVXjkwl3ETSRBsZJlSqlVgYMf6JV8M2FxlahJSP7y29aw=="},
    {CipherKind::kSecretbox, "secretbox", 32,
     "azhzOmVuYzpzZWNyZXRib3g6djE6Zmlyc3Q65ZHPf4/TRM2Lp0wqv0+RE9zVNTVxIm1hOw1RAK/tV33zKSC4Dj3mSEshQt28Gx09XvNdRDZpPVp6"
     "xmtbLg1MNZd0SdjlZJkQrRyegf6LkZvDq3vYhNK4xHjMIXAXs7vjbLRQqrpIqWoYPWqw2VMOJmo8q5lJgHGhUI6RR+BF697OgbAg"}};

ValueKeys::Key key_of(const Vector& vector, std::string_view name = "first") {
  auto cipher = make_cipher(vector.kind, std::string(kSecret.substr(0, vector.key_bytes)));
  EXPECT_TRUE(cipher);
  return {std::string("k8s:enc:") + vector.name + ":v1:" + std::string(name) + ":", *cipher};
}

TEST(ValueKeysTest, WhatUpstreamWroteIsRead) {
  for (const Vector& vector : kVectors) {
    Result<ValueKeys::Opened> opened = ValueKeys({key_of(vector)}).open(*api::decode_base64(vector.base64), kContext);
    ASSERT_TRUE(opened) << vector.name << ": " << opened.error().message();
    EXPECT_EQ(opened->plain, kPlain) << vector.name;
    EXPECT_FALSE(opened->outdated);
  }
}

TEST(ValueKeysTest, WhatIsSealedIsReadAndNeverTheSameTwice) {
  for (const Vector& vector : kVectors) {
    const ValueKeys keys({key_of(vector)});
    for (const std::size_t size : {0, 1, 15, 16, 17, 64, 1000}) {
      const std::string plain(size, 'x');
      Result<std::string> sealed = keys.seal(plain, kContext);
      ASSERT_TRUE(sealed);
      EXPECT_TRUE(sealed->starts_with(std::string("k8s:enc:") + vector.name + ":v1:first:"));
      EXPECT_EQ(keys.open(*sealed, kContext)->plain, plain);
      EXPECT_NE(*keys.seal(plain, kContext), *sealed);
    }
  }
}

TEST(ValueKeysTest, TamperedValuesAreErrors) {
  for (const Vector& vector : kVectors) {
    const ValueKeys keys({key_of(vector)});
    const std::string good = *keys.seal(kPlain, kContext);
    for (std::size_t size = 0; size < good.size(); ++size) {
      EXPECT_FALSE(keys.open(good.substr(0, size), kContext) && vector.kind != CipherKind::kAesCbc);
    }
    if (vector.kind == CipherKind::kAesCbc) continue;  // has nothing that would tell
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1);
      Result<ValueKeys::Opened> opened = keys.open(bad, kContext);
      ASSERT_FALSE(opened);
      EXPECT_EQ(opened.error().code(), Code::kDataLoss);
    }
  }
  const ValueKeys gcm({key_of(kVectors[0])});
  EXPECT_FALSE(gcm.open(*gcm.seal(kPlain, kContext), "/registry/secrets/default/b")) << "moved to another key";
}

TEST(ValueKeysTest, KeysAreChanged) {
  const ValueKeys::Key first = key_of(kVectors[0], "first");
  const ValueKeys::Key second = key_of(kVectors[6], "second");
  const std::string old = *ValueKeys({first}).seal(kPlain, kContext);
  const ValueKeys both({second, first});
  EXPECT_TRUE(both.open(old, kContext)->outdated);
  EXPECT_EQ(both.open(old, kContext)->plain, kPlain);
  EXPECT_FALSE(both.open(*both.seal(kPlain, kContext), kContext)->outdated);
  Result<ValueKeys::Opened> gone = ValueKeys({second}).open(old, kContext);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().message(), "there is no key for \"k8s:enc:aesgcm:v1:first:\"");
}

TEST(ValueKeysTest, OfTwoKeysWithOneNameEachReadsItsOwn) {
  const ValueKeys::Key old = key_of(kVectors[0]);
  const ValueKeys::Key fresh = key_of(kVectors[4]);
  ASSERT_EQ(old.prefix, fresh.prefix);
  const ValueKeys both({fresh, old});
  Result<ValueKeys::Opened> opened = both.open(*ValueKeys({old}).seal("x", kContext), kContext);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->plain, "x");
  EXPECT_TRUE(opened->outdated);
  EXPECT_FALSE(both.open(*both.seal("x", kContext), kContext)->outdated);
  EXPECT_EQ(both.open(fresh.prefix + "damaged", kContext).error().code(), Code::kDataLoss);
}

TEST(ValueKeysTest, IdentityIsAProvider) {
  const ValueKeys::Key gcm = key_of(kVectors[0]);
  EXPECT_TRUE(ValueKeys({gcm, {}}).open("plain", kContext)->outdated) << "to be encrypted";
  EXPECT_FALSE(ValueKeys({gcm}).open("plain", kContext));
  const ValueKeys off({{}, gcm});
  EXPECT_EQ(*off.seal("plain", kContext), "plain");
  EXPECT_TRUE(off.open(*ValueKeys({gcm}).seal("x", kContext), kContext)->outdated) << "to be decrypted";
  EXPECT_FALSE(ValueKeys({{}}).open(*ValueKeys({gcm}).seal("x", kContext), kContext));
}

TEST(ValueKeysTest, KeysHaveTheirLength) {
  EXPECT_FALSE(make_cipher(CipherKind::kAesGcm, "short"));
  EXPECT_FALSE(make_cipher(CipherKind::kSecretbox, std::string(16, 'x')));
}

}  // namespace
}  // namespace gantry::control
