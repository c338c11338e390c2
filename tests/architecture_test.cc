// SPDX-License-Identifier: Apache-2.0
// Holds the code to the table of docs/architecture.md: which folder may include which.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;

// Folder of src/ -> the folders that it may include, from rows "| src/NAME | what | may include |".
std::map<std::string, std::set<std::string>> read_table() {
  std::map<std::string, std::set<std::string>> table;
  std::ifstream page(GANTRY_SOURCE_DIR "/docs/architecture.md");
  std::string line;
  while (std::getline(page, line)) {
    if (!line.starts_with("| src/")) continue;
    std::size_t name_end = line.find(' ', 6);
    std::size_t last = line.rfind('|');
    std::size_t before = line.rfind('|', last - 1);
    std::istringstream allowed(line.substr(before + 1, last - before - 1));
    auto& folders = table[line.substr(6, name_end - 6)];
    for (std::string folder; allowed >> folder;) folders.insert(folder);
  }
  return table;
}

TEST(ArchitectureTest, EveryIncludeIsAllowedByTheTable) {
  auto table = read_table();
  ASSERT_GE(table.size(), 10U);
  std::size_t includes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(GANTRY_SOURCE_DIR "/src")) {
    auto extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc") continue;
    std::string relative = fs::relative(entry.path(), GANTRY_SOURCE_DIR "/src").string();
    std::string own = relative.substr(0, relative.find('/'));
    ASSERT_TRUE(table.contains(own)) << "src/" << own << " is not in the table of docs/architecture.md";
    std::ifstream file(entry.path());
    std::string line;
    while (std::getline(file, line)) {
      if (!line.starts_with("#include \"")) continue;
      std::string path = line.substr(10, line.find('"', 10) - 10);
      std::string target = path.substr(0, path.find('/'));
      if (target == own || !fs::exists(std::string(GANTRY_SOURCE_DIR "/src/") + path)) continue;  // generated code
      ++includes;
      EXPECT_TRUE(table[own].contains(target)) << relative << " includes " << path;
    }
  }
  EXPECT_GT(includes, 100U);
}

TEST(ArchitectureTest, LargeLibrariesStayOutOfHeaders) {
  for (const auto& entry : fs::recursive_directory_iterator(GANTRY_SOURCE_DIR "/src")) {
    // The door for .cc files to Asio.
    static const std::set<std::string> kDoors = {"loop_asio.h"};
    if (entry.path().extension() != ".h" || kDoors.contains(entry.path().filename())) continue;
    std::ifstream file(entry.path());
    std::string line;
    while (std::getline(file, line)) {
      if (!line.starts_with("#include <")) continue;
      for (const char* library : {"<boost/asio", "<boost/beast", "<grpc", "<google/protobuf"}) {
        EXPECT_EQ(line.find(library), std::string::npos) << entry.path() << ": " << line;
      }
    }
  }
}

}  // namespace
