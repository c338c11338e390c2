// SPDX-License-Identifier: Apache-2.0
// Gives every fuzzer its corpus, once: what was found stays found.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#define FUZZER(name) extern "C" int fuzz_##name(const std::uint8_t* bytes, std::size_t size);
#include "fuzzers.inc"
#undef FUZZER

namespace {

namespace fs = std::filesystem;

struct Fuzzer {
  const char* name;
  int (*run)(const std::uint8_t* bytes, std::size_t size);
};
constexpr Fuzzer kFuzzers[] = {
#define FUZZER(name) {#name, fuzz_##name},
#include "fuzzers.inc"
#undef FUZZER
};

class Corpus : public testing::TestWithParam<Fuzzer> {};

TEST_P(Corpus, BreaksNothing) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(GANTRY_CORPUS) / GetParam().name))
    files.push_back(entry.path());
  std::ranges::sort(files);
  ASSERT_FALSE(files.empty());
  GetParam().run(nullptr, 0);
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(in)), {});
    SCOPED_TRACE(file.filename().string());
    GetParam().run(bytes.data(), bytes.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Corpus, testing::ValuesIn(kFuzzers),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(CorpusFolders, BelongToFuzzers) {
  for (const auto& entry : fs::directory_iterator(GANTRY_CORPUS)) {
    std::string name = entry.path().filename();
    EXPECT_TRUE(std::ranges::any_of(kFuzzers, [&](const Fuzzer& fuzzer) { return fuzzer.name == name; })) << name;
  }
}

}  // namespace
