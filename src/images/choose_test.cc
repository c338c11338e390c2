// SPDX-License-Identifier: Apache-2.0
#include "images/choose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "images/text.h"

namespace gantry::images {
namespace {

using ::testing::HasSubstr;

// Documents by digest, and how many were asked for.
struct Documents {
  std::map<Digest, std::string> texts;
  int reads = 0;

  Descriptor add(std::string media_type, const std::string& text) {
    Descriptor descriptor{std::move(media_type), digest_of(text), text.size(), std::nullopt, {}};
    texts[descriptor.digest] = text;
    return descriptor;
  }
  Descriptor image(std::string_view architecture, std::string_view variant = "") {
    auto config =
        add(kOciConfig, cat(R"({"architecture":")", architecture, R"(","os":"linux","variant":")", variant,
                            R"(","rootfs":{"type":"layers","diff_ids":[")", digest_of("layer").to_string(), "\"]}}"));
    return add(kOciManifest, manifest_json(config, {{kOciLayer, digest_of("layer"), 5, std::nullopt, {}}}));
  }
  Descriptor index(const std::vector<Descriptor>& entries) {
    std::string list;
    for (const Descriptor& entry : entries) {
      list += cat(list.empty() ? "" : ",", R"({"mediaType":")", entry.media_type, R"(","digest":")",
                  entry.digest.to_string(), R"(","size":)", entry.size);
      if (entry.platform) {
        list += cat(R"(,"platform":{"os":")", entry.platform->os, R"(","architecture":")", entry.platform->architecture,
                    R"(","variant":")", entry.platform->variant, "\"}");
      }
      list += "}";
    }
    return add(kOciIndex, cat(R"({"schemaVersion":2,"manifests":[)", list, "]}"));
  }
  Result<std::optional<Chosen>> choose(const Descriptor& top) {
    reads = 0;
    return choose_image(top, [this](const Descriptor& at) -> Result<std::string> {
      ++reads;
      return texts.at(at.digest);
    });
  }
};

Descriptor with_platform(Descriptor descriptor, std::string architecture, std::string variant = "") {
  descriptor.platform = Platform{std::move(architecture), "linux", std::move(variant)};
  return descriptor;
}

TEST(ChooseTest, ThisMachinesImageIsTakenAndOthersAreNotRead) {
  Documents documents;
  auto ours = documents.image(kHostArchitecture);
  auto fast = documents.image(kHostArchitecture, "v4");
  auto top = documents.index({with_platform(documents.image("s390x"), "s390x"),
                              with_platform(fast, kHostArchitecture, "v4"), with_platform(ours, kHostArchitecture)});
  auto chosen = documents.choose(top);
  ASSERT_TRUE(chosen) << chosen.error().message();
  ASSERT_TRUE(*chosen);
  EXPECT_EQ((*chosen)->manifest.digest, ours.digest) << "the variant that any processor has";
  EXPECT_EQ((*chosen)->top.digest, top.digest);
  EXPECT_EQ(digest_of((*chosen)->manifest_text), ours.digest);
  EXPECT_EQ(documents.reads, 3);

  auto foreign = documents.choose(documents.index({with_platform(documents.image("s390x"), "s390x")}));
  ASSERT_TRUE(foreign);
  EXPECT_FALSE(*foreign);
}

TEST(ChooseTest, TheDepthAndNumberOfDocumentsAreBounded) {
  Documents documents;
  auto deep = documents.image(kHostArchitecture);
  for (int i = 0; i < 4; ++i) deep = documents.index({deep});
  EXPECT_THAT(documents.choose(deep).error().message(), HasSubstr("nested more than 3 deep"));

  // Images that don't say that they are for another machine, in indexes that are full of them.
  std::vector<Descriptor> many;
  for (int i = 0; i < 20; ++i) {
    std::vector<Descriptor> entries;
    for (int j = 0; j < 20; ++j) entries.push_back(documents.image("s390x", cat(i, "-", j)));
    many.push_back(documents.index(entries));
  }
  EXPECT_THAT(documents.choose(documents.index(many)).error().message(), HasSubstr("among the first 64 documents"));
  EXPECT_EQ(documents.reads, 64);

  auto big = documents.image(kHostArchitecture);
  big.size = kMaxDocumentBytes + 1;
  EXPECT_THAT(documents.choose(big).error().message(), HasSubstr("a document of 4194305 bytes, at most 4194304"));
  EXPECT_EQ(documents.reads, 0);
}

}  // namespace
}  // namespace gantry::images
