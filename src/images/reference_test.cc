// SPDX-License-Identifier: Apache-2.0
#include "images/reference.h"

#include <gtest/gtest.h>

namespace gantry::images {
namespace {

const std::string kDigest = digest_of("").to_string();

TEST(ReferenceTest, NormalisesAsContainerdDoes) {
  const std::pair<std::string, std::string> cases[] = {
      {"my-app:1.0", "docker.io/library/my-app:1.0"},
      {"my-app", "docker.io/library/my-app:latest"},
      {"someone/my-app", "docker.io/someone/my-app:latest"},
      {"docker.io/my-app", "docker.io/library/my-app:latest"},
      {"index.docker.io/my-app:2", "docker.io/library/my-app:2"},
      {"docker.io/library/my-app:1.0", "docker.io/library/my-app:1.0"},
      {"localhost/x", "localhost/x:latest"},
      {"localhost:5000/x/y__z.a--b:T_1.-", "localhost:5000/x/y__z.a--b:T_1.-"},
      {"registry.example/a/b/c", "registry.example/a/b/c:latest"},
      {"UPPER/x", "UPPER/x:latest"},
      {"[::1]:5000/x", "[::1]:5000/x:latest"},
      {"my-app@" + kDigest, "docker.io/library/my-app@" + kDigest},
      {"my-app:1.0@" + kDigest, "docker.io/library/my-app@" + kDigest},
  };
  for (const auto& [text, full] : cases) {
    auto reference = parse_reference(text);
    ASSERT_TRUE(reference) << text << ": " << reference.error().message();
    EXPECT_EQ(reference->to_string(), full);
    EXPECT_EQ(*parse_reference(reference->to_string()), *reference) << "the full form must stand for itself";
  }
}

TEST(ReferenceTest, RefusesWhatIsNoReference) {
  for (const std::string& text : {std::string(),
                                  std::string(":1.0"),
                                  std::string("my-app:"),
                                  std::string("My-App"),
                                  std::string("a//b"),
                                  std::string("/a"),
                                  std::string("a/"),
                                  std::string("../a"),
                                  std::string("a/../b"),
                                  std::string("a:b:c"),
                                  std::string("a_"),
                                  std::string("a___b"),
                                  std::string("a..b"),
                                  std::string("a b"),
                                  std::string("a\n"),
                                  std::string("a:-x"),
                                  std::string("a:") + std::string(129, 'x'),
                                  std::string(300, 'a'),
                                  std::string(64, 'a'),
                                  std::string("a@sha256:12"),
                                  std::string("a@md5:12"),
                                  "a@" + kDigest + "@" + kDigest,
                                  std::string("host:x/a"),
                                  std::string("-.example/a"),
                                  std::string("a\0b", 3)}) {
    auto reference = parse_reference(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_TRUE(reference.error().is_invalid());
    for (char c : reference.error().message()) EXPECT_GE(c, ' ') << "control bytes reach the message";
  }
}

}  // namespace
}  // namespace gantry::images
