// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/secretbox.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace gantry::control {

namespace {

constexpr std::size_t kTag = 16;
constexpr std::size_t kBlock = 64;
// The stream's beginning is the key of the tag.
constexpr std::size_t kTagKey = 32;

using Words = std::array<std::uint32_t, 16>;

std::uint32_t word_at(std::string_view bytes, std::size_t index) {
  std::uint32_t word = 0;
  for (std::size_t i = 4; i-- > 0;) word = word << 8 | static_cast<unsigned char>(bytes[4 * index + i]);
  return word;
}

void put_word(char* to, std::uint32_t word) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(word >> (8 * i));
}

// The constants ("expand 32-byte k") on the diagonal, the key around them, 16 bytes of input in the middle.
Words state_of(std::string_view key, std::string_view input) {
  Words s = {0x61707865, 0, 0, 0, 0, 0x3320646e, 0, 0, 0, 0, 0x79622d32, 0, 0, 0, 0, 0x6b206574};
  for (std::size_t i = 0; i < 4; ++i) {
    s[1 + i] = word_at(key, i);
    s[6 + i] = word_at(input, i);
    s[11 + i] = word_at(key, 4 + i);
  }
  return s;
}

void quarter(Words& s, int a, int b, int c, int d) {
  s[b] ^= std::rotl(s[a] + s[d], 7);
  s[c] ^= std::rotl(s[b] + s[a], 9);
  s[d] ^= std::rotl(s[c] + s[b], 13);
  s[a] ^= std::rotl(s[d] + s[c], 18);
}

// Twenty rounds.
void mix(Words& s) {
  for (int i = 0; i < 10; ++i) {
    quarter(s, 0, 4, 8, 12);
    quarter(s, 5, 9, 13, 1);
    quarter(s, 10, 14, 2, 6);
    quarter(s, 15, 3, 7, 11);
    quarter(s, 0, 1, 2, 3);
    quarter(s, 5, 6, 7, 4);
    quarter(s, 10, 11, 8, 9);
    quarter(s, 15, 12, 13, 14);
  }
}

// HSalsa20: a key for each first part of a nonce.
std::string derive_key(std::string_view key, std::string_view input) {
  Words s = state_of(key, input);
  mix(s);
  std::string out(kSecretboxKey, '\0');
  std::size_t at = 0;
  for (const int i : {0, 5, 10, 15, 6, 7, 8, 9}) {
    put_word(&out[at], s[i]);
    at += 4;
  }
  return out;
}

// XSalsa20's stream.
std::string make_stream(std::string_view key, std::string_view nonce, std::size_t size) {
  const std::string derived = derive_key(key, nonce.substr(0, 16));
  std::string input(nonce.substr(16));
  input.resize(16);
  std::string stream((size + kBlock - 1) / kBlock * kBlock, '\0');
  for (std::size_t block = 0; block * kBlock < stream.size(); ++block) {
    put_word(&input[8], static_cast<std::uint32_t>(block));
    put_word(&input[12], static_cast<std::uint32_t>(static_cast<std::uint64_t>(block) >> 32));
    const Words start = state_of(derived, input);
    Words mixed = start;
    mix(mixed);
    for (std::size_t i = 0; i < mixed.size(); ++i) put_word(&stream[block * kBlock + 4 * i], mixed[i] + start[i]);
  }
  stream.resize(size);
  return stream;
}

Result<std::string> make_tag(std::string_view key, std::string_view text) {
  std::string tag(kTag, '\0');
  std::size_t size = 0;
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, "POLY1305", nullptr);
  EVP_MAC_CTX* context = mac == nullptr ? nullptr : EVP_MAC_CTX_new(mac);
  const bool done =
      context != nullptr &&
      EVP_MAC_init(context, reinterpret_cast<const unsigned char*>(key.data()), key.size(), nullptr) == 1 &&
      EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1 &&
      EVP_MAC_final(context, reinterpret_cast<unsigned char*>(tag.data()), &size, tag.size()) == 1;
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(mac);
  if (!done || size != kTag) return fail(Code::kInternal, "OpenSSL has no Poly1305");
  return tag;
}

std::string mixed_with(std::string_view text, std::string_view stream) {
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(out[i] ^ stream[i]);
  return out;
}

}  // namespace

Result<std::string> seal_secretbox(std::string_view key, std::string_view nonce, std::string_view plain) {
  const std::string stream = make_stream(key, nonce, kTagKey + plain.size());
  const std::string text = mixed_with(plain, std::string_view(stream).substr(kTagKey));
  Result<std::string> tag = make_tag(std::string_view(stream).substr(0, kTagKey), text);
  if (!tag) return tag;
  return *tag + text;
}

Result<std::string> open_secretbox(std::string_view key, std::string_view nonce, std::string_view box) {
  const auto damaged = [] { return fail(Code::kDataLoss, "the value is damaged, or of another key"); };
  if (box.size() < kTag) return damaged();
  const std::string_view text = box.substr(kTag);
  const std::string stream = make_stream(key, nonce, kTagKey + text.size());
  Result<std::string> tag = make_tag(std::string_view(stream).substr(0, kTagKey), text);
  if (!tag) return tag;
  if (CRYPTO_memcmp(tag->data(), box.data(), kTag) != 0) return damaged();
  return mixed_with(text, std::string_view(stream).substr(kTagKey));
}

}  // namespace gantry::control
