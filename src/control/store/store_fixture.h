// SPDX-License-Identifier: Apache-2.0
// What the tests of stores share: a folder in memory, and a loop on which a task is run to its end.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "base/loop.h"
#include "control/store/store.h"

namespace gantry::control {

template <typename T>
Task<> keep_result(Loop& loop, Task<T> task, std::optional<T>& result) {
  result.emplace(co_await task);
  loop.stop();
}

template <typename T>
T run(Loop& loop, Task<T> task) {
  std::optional<T> result;
  loop.post([&] { loop.spawn(keep_result(loop, std::move(task), result)); });
  loop.run();
  return std::move(*result);
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char path[] = "/dev/shm/gantry-store-test-XXXXXX";
    if (::mkdtemp(path) == nullptr) ADD_FAILURE() << "mkdtemp " << path;
    path_ = path;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline Write create(std::string key, std::string value) { return {std::move(key), std::move(value), kAbsent, {}}; }
inline Write update(std::string key, std::string value, std::int64_t expected) {
  return {std::move(key), std::move(value), expected, {}};
}
inline Write removal(std::string key, std::int64_t expected) { return {std::move(key), {}, expected, {}}; }

}  // namespace gantry::control
