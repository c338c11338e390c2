// SPDX-License-Identifier: Apache-2.0
#include "images/digest.h"

#include <gtest/gtest.h>

namespace gantry::images {
namespace {

constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(DigestTest, TakesOneFormOnly) {
  EXPECT_EQ(Digest::parse(std::string("sha256:") + kEmpty)->hex(), kEmpty);
  std::string upper = kEmpty;
  upper[0] = 'E';
  std::string with_nul = kEmpty;
  with_nul[5] = '\0';
  for (const std::string& bad :
       {std::string(kEmpty), std::string("sha512:") + kEmpty, "sha256:" + upper, std::string("sha256:../../x"),
        std::string("sha256:"), std::string("sha256:") + kEmpty + "0", std::string("sha256:") + (kEmpty + 1),
        "sha256:" + with_nul, std::string()}) {
    auto digest = Digest::parse(bad);
    ASSERT_FALSE(digest) << bad;
    EXPECT_TRUE(digest.error().is_invalid());
  }
}

TEST(DigestTest, HashesInPiecesAsInOne) {
  EXPECT_EQ(digest_of("").hex(), kEmpty);
  Hasher hasher;
  hasher.update("a");
  hasher.update("");
  hasher.update("bc");
  EXPECT_EQ(hasher.finish(), digest_of("abc"));
  EXPECT_EQ(digest_of("abc").to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(DigestTest, HexIsLowerCaseAndBounded) {
  EXPECT_TRUE(is_hex("0"));
  EXPECT_TRUE(is_hex(kEmpty));
  EXPECT_FALSE(is_hex(""));
  EXPECT_FALSE(is_hex("A"));
  EXPECT_FALSE(is_hex("g"));
  EXPECT_FALSE(is_hex(std::string(65, 'a')));
}

}  // namespace
}  // namespace gantry::images
