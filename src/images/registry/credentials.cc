// SPDX-License-Identifier: Apache-2.0
#include "images/registry/credentials.h"

#include <openssl/evp.h>

#include <algorithm>
#include <optional>

#include "images/text.h"

namespace gantry::images {
namespace {

constexpr std::size_t kMaxPassword = 16384;
constexpr std::size_t kMaxToken = 65536;

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  int size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                               reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out(text.size() / 4 * 3 + 1, '\0');
  int size = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                               reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0 || static_cast<std::size_t>(size) < padding) return std::nullopt;
  out.resize(static_cast<std::size_t>(size) - padding);  // OpenSSL counts the padding as zeros
  return out;
}

// "https://registry.example/v1/" and "registry.example" are the same registry.
std::string_view domain_of(std::string_view address) {
  if (std::size_t scheme = address.find("://"); scheme != std::string_view::npos) address.remove_prefix(scheme + 3);
  address = address.substr(0, address.find('/'));
  return address == "index.docker.io" ? std::string_view("docker.io") : address;
}

}  // namespace

bool is_token_text(std::string_view text) {
  return !text.empty() && text.size() <= kMaxToken &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

Result<Credentials> credentials_for(const CredentialWords& words, std::string_view domain) {
  if (!words.server_address.empty() && domain_of(words.server_address) != domain) return Credentials();
  Credentials out{words.username, words.password, words.identity_token, words.registry_token};
  if (!words.auth.empty()) {
    if (words.auth.size() > kMaxPassword * 2) return invalid_argument("credentials: \"auth\" is too long");
    auto pair = from_base64(words.auth);
    std::size_t colon = pair ? pair->find(':') : std::string::npos;
    if (colon == std::string::npos) return invalid_argument("credentials: \"auth\" is not base64 of name:password");
    out.username = pair->substr(0, colon);
    out.password = pair->substr(colon + 1);
    // Some writers pad it.
    out.password.erase(std::min(out.password.find('\0'), out.password.size()));
  }
  if (out.username.size() > kMaxPassword || out.password.size() > kMaxPassword)
    return invalid_argument(cat("credentials: a name or password of more than ", kMaxPassword, " bytes"));
  if (out.username.find(':') != std::string::npos)
    return invalid_argument("credentials: a colon in the user's name, which HTTP can't send");
  for (const std::string* token : {&out.identity_token, &out.registry_token}) {
    if (!token->empty() && !is_token_text(*token))
      return invalid_argument("credentials: a token has characters that HTTP can't send");
  }
  return out;
}

std::string basic_authorization(const Credentials& credentials) {
  return cat("Basic ", base64(cat(credentials.username, ":", credentials.password)));
}

std::string bearer_authorization(std::string_view token) { return cat("Bearer ", token); }

std::string url_encoded(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                 std::string_view("-._~").contains(c);
    if (plain) {
      out += c;
      continue;
    }
    out += '%';
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace gantry::images
