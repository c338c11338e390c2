// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <type_traits>

namespace gantry::log {
namespace {

spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("gantry", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern("%Y-%m-%dT%H:%M:%S.%f%z %l %v");
    return made;
  }();
  return instance;
}

void append_escaped(std::string& line, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += static_cast<char>(c);
    } else if (c == '\n') {
      line += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      line += "\\x";
      line += kHex[c >> 4];
      line += kHex[c & 15];
    } else {
      line += static_cast<char>(c);
    }
  }
}

void write(spdlog::level::level_enum level, std::string_view sentence, std::initializer_list<Field> fields) {
  if (!logger().should_log(level)) return;
  std::string line;
  append_escaped(line, sentence);
  for (const Field& field : fields) {
    line += ' ';
    line += field.key;
    line += "=\"";
    append_escaped(line, field.value);
    line += '"';
  }
  logger().log(level, "{}", line);
}

}  // namespace

void set_level(Level level) {
  switch (level) {
    case Level::kDebug:
      return logger().set_level(spdlog::level::debug);
    case Level::kInfo:
      return logger().set_level(spdlog::level::info);
    case Level::kWarning:
      return logger().set_level(spdlog::level::warn);
    case Level::kError:
      return logger().set_level(spdlog::level::err);
  }
}

Result<Level> parse_level(std::string_view text) {
  if (text == "debug") return Level::kDebug;
  if (text == "info") return Level::kInfo;
  if (text == "warning") return Level::kWarning;
  if (text == "error") return Level::kError;
  return invalid_argument("log level \"" + std::string(text) + "\": expected debug, info, warning or error");
}

void debug(std::string_view s, std::initializer_list<Field> f) { write(spdlog::level::debug, s, f); }
void info(std::string_view s, std::initializer_list<Field> f) { write(spdlog::level::info, s, f); }
void warning(std::string_view s, std::initializer_list<Field> f) { write(spdlog::level::warn, s, f); }
void error(std::string_view s, std::initializer_list<Field> f) { write(spdlog::level::err, s, f); }

}  // namespace gantry::log
