// SPDX-License-Identifier: Apache-2.0
// The log: one line an event, to standard error: time, level, sentence, then key="value" pairs. Only edges log (main,
// an RPC handler, the task that decides what to do); library code returns errors. Values are quoted and control bytes
// in them escaped, so that no name from outside can forge a line. Never an environment value or a secret. Any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::log {

enum class Level { kDebug, kInfo, kWarning, kError };

struct Field {
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  Field(std::string_view k, const Error& error) : key(k), value(error.message()) {}
  template <typename T>
    requires std::is_integral_v<T>
  Field(std::string_view k, T v) : key(k), value(std::to_string(v)) {}

  std::string_view key;
  std::string value;
};

// What is below `level` is not written. Before the first call it is kInfo.
void set_level(Level level);
// "debug", "info", "warning" or "error".
Result<Level> parse_level(std::string_view text);

void debug(std::string_view sentence, std::initializer_list<Field> fields = {});
void info(std::string_view sentence, std::initializer_list<Field> fields = {});
void warning(std::string_view sentence, std::initializer_list<Field> fields = {});
void error(std::string_view sentence, std::initializer_list<Field> fields = {});

}  // namespace gantry::log
