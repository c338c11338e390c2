// SPDX-License-Identifier: Apache-2.0
#include "control/pki/token.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "control/pki/openssl_text.h"
#include "http/base64url.h"

namespace gantry::control {
namespace {

namespace json = boost::json;

constexpr std::size_t kCoordinateBytes = 32;  // of P-256
constexpr std::string_view kEs256 = "ES256", kRs256 = "RS256";

using OwnDigest = std::unique_ptr<EVP_MD_CTX, OpensslDelete<EVP_MD_CTX_free>>;
using OwnSignature = std::unique_ptr<ECDSA_SIG, OpensslDelete<ECDSA_SIG_free>>;

std::unexpected<Error> refused(std::string_view why) { return fail(Code::kUnauthenticated, cat("token: ", why)); }

Result<std::string> algorithm_of(EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) return std::string(kRs256);
  std::array<char, 64> group;
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
      OBJ_sn2nid(group.data()) == NID_X9_62_prime256v1) {
    return std::string(kEs256);
  }
  ERR_clear_error();
  return invalid_argument("token key: neither an RSA one nor one on P-256");
}

// Between the two forms of an ECDSA signature: DER, and the two numbers one after the other.
std::string to_jws(std::string_view der) {
  auto bytes = reinterpret_cast<const unsigned char*>(der.data());
  OwnSignature signature(d2i_ECDSA_SIG(nullptr, &bytes, static_cast<long>(der.size())));
  std::string both(2 * kCoordinateBytes, 0);
  auto out = reinterpret_cast<unsigned char*>(both.data());
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, kCoordinateBytes) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + kCoordinateBytes, kCoordinateBytes) < 0) {
    return {};
  }
  return both;
}

std::string from_jws(std::string_view both) {
  if (both.size() != 2 * kCoordinateBytes) return {};
  auto in = reinterpret_cast<const unsigned char*>(both.data());
  OwnSignature signature(ECDSA_SIG_new());
  BIGNUM *r = BN_bin2bn(in, kCoordinateBytes, nullptr),
         *s = BN_bin2bn(in + kCoordinateBytes, kCoordinateBytes, nullptr);
  if (!signature || ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* bytes = nullptr;
  int size = i2d_ECDSA_SIG(signature.get(), &bytes);
  std::string der;
  if (size > 0) der.assign(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

bool is_signed_by(EVP_PKEY* key, std::string_view algorithm, std::string_view text, std::string_view signature) {
  std::string der;
  if (algorithm == kEs256) {
    der = from_jws(signature);
    if (der.empty()) return false;
    signature = der;
  }
  OwnDigest digest(EVP_MD_CTX_new());
  bool is = digest && EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
            EVP_DigestVerify(digest.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                             reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
  ERR_clear_error();
  return is;
}

std::string number_member(EVP_PKEY* key, const char* name, std::size_t least) {
  BIGNUM* raw = nullptr;
  EVP_PKEY_get_bn_param(key, name, &raw);
  OwnNumber number(raw);
  if (!number) return {};
  std::string bytes(std::max(least, static_cast<std::size_t>(BN_num_bytes(number.get()))), 0);
  BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  return http::base64url(bytes);
}

struct Header {
  std::string algorithm;
  std::string key_id;  // "" when it names none
};

Result<Header> read_header(std::string_view encoded) {
  auto text = http::from_base64url(encoded);
  if (!text) return refused("malformed");
  json::parse_options options;
  options.max_depth = 4;
  boost::system::error_code error;
  json::value value = json::parse(*text, error, {}, options);
  if (error || !value.is_object()) return refused("malformed");
  const json::object& members = value.get_object();
  // RFC 7515, 4.1.11: what is named there must be understood, and we understand none.
  if (members.contains("crit")) return refused("it has critical members");
  Header header;
  auto take = [&members](std::string_view name, std::string& into) {
    const json::value* member = members.if_contains(name);
    if (member == nullptr) return true;
    if (!member->is_string()) return false;
    into = std::string(member->get_string());
    return true;
  };
  if (!take("alg", header.algorithm) || !take("kid", header.key_id)) return refused("malformed");
  return header;
}

}  // namespace

Result<TokenSigner> TokenSigner::make(PrivateKey key) {
  auto algorithm = algorithm_of(key.raw());
  if (!algorithm) return std::unexpected(std::move(algorithm.error()));
  std::string header = cat(R"({"alg":")", *algorithm, R"(","kid":")", key.public_key().id(), R"("})");
  return TokenSigner(std::move(key), http::base64url(header));
}

Result<std::string> TokenSigner::sign(std::string_view claims_json) const {
  std::string text = cat(header_, ".", http::base64url(claims_json));
  OwnDigest digest(EVP_MD_CTX_new());
  ERR_clear_error();
  std::size_t size = 0;
  auto in = reinterpret_cast<const unsigned char*>(text.data());
  if (!digest || EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key_.raw()) != 1 ||
      EVP_DigestSign(digest.get(), nullptr, &size, in, text.size()) != 1) {
    return openssl_failed(Code::kInternal, "sign token");
  }
  std::string signature(size, 0);
  if (EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, in, text.size()) != 1) {
    return openssl_failed(Code::kInternal, "sign token");
  }
  signature.resize(size);
  if (EVP_PKEY_get_base_id(key_.raw()) == EVP_PKEY_EC) signature = to_jws(signature);
  return cat(text, ".", http::base64url(signature));
}

Result<TokenVerifier> TokenVerifier::make(std::vector<PublicKey> keys) {
  std::vector<Key> all;
  for (PublicKey& key : keys) {
    auto algorithm = algorithm_of(key.raw());
    if (!algorithm) return std::unexpected(std::move(algorithm.error()));
    std::string id = key.id();
    if (std::ranges::find(all, id, &Key::id) != all.end()) continue;
    all.push_back({std::move(key), std::move(id), std::move(*algorithm)});
  }
  return TokenVerifier(std::move(all));
}

Result<std::string> TokenVerifier::verify(std::string_view token) const {
  if (token.size() > kMaxTokenBytes) return refused("too long");
  std::size_t first = token.find('.'), last = token.rfind('.');
  if (first == std::string_view::npos || first == last) return refused("malformed");
  std::string_view claims = token.substr(first + 1, last - first - 1);
  if (claims.contains('.')) return refused("malformed");
  auto header = read_header(token.substr(0, first));
  if (!header) return std::unexpected(std::move(header.error()));
  auto signature = http::from_base64url(token.substr(last + 1));
  auto json = http::from_base64url(claims);
  if (!signature || !json) return refused("malformed");
  bool known = false;
  for (const Key& key : keys_) {
    if (!header->key_id.empty() && key.id != header->key_id) continue;
    // The algorithm is the key's, never the token's choice.
    if (key.algorithm != header->algorithm) continue;
    known = true;
    if (is_signed_by(key.key.raw(), key.algorithm, token.substr(0, last), *signature)) return std::move(*json);
  }
  return refused(known ? "its signature is not valid" : "its key is not known");
}

std::vector<std::string> TokenVerifier::algorithms() const {
  std::vector<std::string> all;
  for (const Key& key : keys_) {
    if (std::ranges::find(all, key.algorithm) == all.end()) all.push_back(key.algorithm);
  }
  return all;
}

std::string TokenVerifier::jwks() const {
  std::string keys;
  for (const Key& key : keys_) {
    if (!keys.empty()) keys += ",";
    EVP_PKEY* raw = key.key.raw();
    if (key.algorithm == kRs256) {
      keys += cat(R"({"use":"sig","kty":"RSA","kid":")", key.id, R"(","alg":"RS256","n":")",
                  number_member(raw, OSSL_PKEY_PARAM_RSA_N, 0), R"(","e":")",
                  number_member(raw, OSSL_PKEY_PARAM_RSA_E, 0), R"("})");
    } else {
      keys += cat(R"({"use":"sig","kty":"EC","kid":")", key.id, R"(","crv":"P-256","alg":"ES256","x":")",
                  number_member(raw, OSSL_PKEY_PARAM_EC_PUB_X, kCoordinateBytes), R"(","y":")",
                  number_member(raw, OSSL_PKEY_PARAM_EC_PUB_Y, kCoordinateBytes), R"("})");
    }
  }
  return cat(R"({"keys":[)", keys, "]}");
}

}  // namespace gantry::control
