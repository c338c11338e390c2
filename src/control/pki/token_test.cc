// SPDX-License-Identifier: Apache-2.0
#include "control/pki/token.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <string>

#include "control/pki/authority.h"
#include "control/pki/files.h"
#include "http/base64url.h"
#include "sys/file.h"
#include "sys/private_file.h"

namespace gantry::control {
namespace {

using namespace std::chrono_literals;

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

PrivateKey rsa_key(unsigned bits) {
  return PrivateKey(std::shared_ptr<evp_pkey_st>(EVP_RSA_gen(bits), [](evp_pkey_st* key) { EVP_PKEY_free(key); }));
}

std::string why(const Result<std::string>& result) { return result ? "valid" : result.error().message(); }

TEST(TokenTest, IsVerifiedWithTheKeyThatSignedIt) {
  const std::string claims = R"({"iss":"https://kubernetes.default.svc","sub":"system:serviceaccount:a:b"})";
  for (const PrivateKey& key : {*PrivateKey::generate(), rsa_key(2048)}) {
    auto signer = TokenSigner::make(key);
    ASSERT_TRUE(signer) << signer.error().message();
    auto token = signer->sign(claims);
    ASSERT_TRUE(token) << token.error().message();
    auto other = PrivateKey::generate()->public_key();
    auto verifier = TokenVerifier::make({other, key.public_key(), other});
    ASSERT_TRUE(verifier);
    auto read = verifier->verify(*token);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, claims);
    EXPECT_EQ(why(TokenVerifier::make({other})->verify(*token)), "token: its key is not known");
    for (std::size_t at = token->find('.') + 1; at < token->size(); at += 11) {
      std::string changed = *token;
      changed[at] = changed[at] == 'x' ? 'y' : 'x';
      auto result = verifier->verify(changed);
      EXPECT_TRUE(!result && result.error().code() == Code::kUnauthenticated) << at;
    }
  }
}

// The token of RFC 7515, A.3, whose key is given there, without a key id.
TEST(TokenTest, OthersTokensAreVerified) {
  std::string point = "\x04" + *http::from_base64url("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU") +
                      *http::from_base64url("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
  // SubjectPublicKeyInfo for a point on P-256.
  std::string der =
      "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42";
  der += '\0';
  der += point;
  std::string text(200, 0);
  text.resize(static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                                       reinterpret_cast<const unsigned char*>(der.data()),
                                                       static_cast<int>(der.size()))));
  auto keys = PublicKey::read_all("-----BEGIN PUBLIC KEY-----\n" + text.substr(0, 64) + "\n" + text.substr(64) +
                                  "\n-----END PUBLIC KEY-----\n");
  ASSERT_TRUE(keys) << keys.error().message();
  auto verifier = TokenVerifier::make(*keys);
  auto claims = verifier->verify(
      "eyJhbGciOiJFUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  ASSERT_TRUE(claims) << claims.error().message();
  EXPECT_TRUE(claims->starts_with(R"({"iss":"joe",)"));
  EXPECT_TRUE(
      has(verifier->jwks(), R"("x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNp)"));
}

TEST(TokenTest, TheAlgorithmIsNotTheTokensChoice) {
  auto key = *PrivateKey::generate();
  auto verifier = TokenVerifier::make({key.public_key()});
  auto with_header = [&](std::string_view header, std::string_view signature = "c2ln") {
    return why(verifier->verify(http::base64url(header) + "." + http::base64url("{}") + "." + std::string(signature)));
  };
  EXPECT_EQ(with_header(R"({"alg":"none"})", ""), "token: its key is not known");
  EXPECT_EQ(with_header(R"({"alg":"HS256"})"), "token: its key is not known");
  EXPECT_EQ(with_header(R"({"alg":"ES256"})"), "token: its signature is not valid");
  EXPECT_EQ(with_header(R"({"alg":"ES256"})", http::base64url(std::string(64, '\0'))),
            "token: its signature is not valid");
  EXPECT_EQ(with_header(R"({"alg":"ES256","crit":["exp"]})"), "token: it has critical members");
  EXPECT_EQ(with_header(R"({"alg":1})"), "token: malformed");
  EXPECT_EQ(with_header("[]"), "token: malformed");
  EXPECT_EQ(why(verifier->verify("")), "token: malformed");
  EXPECT_EQ(why(verifier->verify("a.b")), "token: malformed");
  EXPECT_EQ(why(verifier->verify("a.b.c.d")), "token: malformed");
  EXPECT_EQ(why(verifier->verify(std::string(kMaxTokenBytes + 1, '.'))), "token: too long");
}

TEST(KeyTest, WeakAndOtherKeysAreRefused) {
  EXPECT_FALSE(PrivateKey::read(rsa_key(1024).pem()));
  EXPECT_FALSE(PrivateKey::read(""));
  EXPECT_FALSE(PublicKey::read_all("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
  auto key = *PrivateKey::generate();
  auto again = PrivateKey::read(key.pem());
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->public_key() == key.public_key());
  auto authority = Authority::make("ca", 1h);
  auto all = PublicKey::read_all(key.pem() + key.public_key().pem() + authority->certificate_pem());
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 3U);
  EXPECT_TRUE((*all)[0] == (*all)[1] && (*all)[2] == authority->key().public_key());
  EXPECT_EQ((*all)[0].id().size(), 43U);
}

TEST(Base64UrlTest, HasOneFormForEachText) {
  for (std::string_view bytes : {"", "f", "fo", "foo", "foob", "\xff\xfe\xfd\xfb"}) {
    EXPECT_EQ(http::from_base64url(http::base64url(bytes)), bytes);
  }
  EXPECT_EQ(http::base64url("\xff\xfe\xfd\xfb"), "__79-w");
  EXPECT_FALSE(http::from_base64url("Zg=="));
  EXPECT_FALSE(http::from_base64url("Zh")) << "bits that say nothing";
  EXPECT_FALSE(http::from_base64url("Z"));
  EXPECT_FALSE(http::from_base64url("+/+/"));
}

TEST(FilesTest, SecretsAreReplacedWholeAndAreTheOwners) {
  char folder[] = "/tmp/gantry-pki-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  auto dir = sys::open_dir(sys::kCwd, folder);
  ASSERT_TRUE(dir);
  EXPECT_TRUE(read_pem_file(*dir, "ca.key").error().is_not_found());
  EXPECT_TRUE(sys::write_private_file(*dir, "ca.key", "one"));
  auto left = sys::openat(*dir, "ca.key.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);  // by a crash
  ASSERT_TRUE(left);
  EXPECT_TRUE(sys::write_private_file(*dir, "ca.key", "two"));
  EXPECT_EQ(*read_pem_file(*dir, "ca.key"), "two");
  auto facts = sys::fstatat(*dir, "ca.key", 0);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->st_mode & 0777, 0600U);
  EXPECT_EQ(sys::list_dir(*dir)->size(), 1U);
  EXPECT_TRUE(sys::unlinkat(*dir, "ca.key", 0));
  ::rmdir(folder);
}

}  // namespace
}  // namespace gantry::control
