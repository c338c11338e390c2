// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming_messages.h"

#include <charconv>
#include <optional>

#include "http/text.h"

namespace gantry::cri {
namespace {

// A JSON string. Bytes above 0x7f pass as they are; an error's text is UTF-8 or shows as the client's decoder likes.
std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
  return out;
}

// The reader of one flat JSON object.
class FlatObject {
 public:
  explicit FlatObject(std::string_view text) : text_(text) {}

  bool take(char c) {
    skip_spaces();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::optional<std::string_view> name() {
    if (!take('"')) return std::nullopt;
    auto end = text_.find_first_of("\"\\");
    if (end == std::string_view::npos || text_[end] == '\\') return std::nullopt;
    std::string_view value = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return value;
  }
  // A number, or a word such as null.
  std::string_view scalar() {
    skip_spaces();
    std::string_view value = text_.substr(0, text_.find_first_of(",} \t\r\n"));
    text_.remove_prefix(value.size());
    return value;
  }

 private:
  void skip_spaces() {
    while (!text_.empty() && std::string_view(" \t\r\n").find(text_.front()) != std::string_view::npos) {
      text_.remove_prefix(1);
    }
  }
  std::string_view text_;
};

std::unexpected<Error> malformed() {
  return invalid_argument(R"(terminal size: expected {"Width":columns,"Height":rows} with numbers up to 65535)");
}

Result<TerminalSize> parse_size(std::string_view text) {
  FlatObject object(text);
  TerminalSize size;
  if (!object.take('{')) return malformed();
  if (object.take('}')) return size;
  do {
    auto name = object.name();
    if (!name || !object.take(':')) return malformed();
    bool width = http::equals_ignore_case(*name, "width");
    if (!width && !http::equals_ignore_case(*name, "height")) {
      if (!object.name()) object.scalar();
      continue;
    }
    std::string_view value = object.scalar();
    std::uint16_t number = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size()) return malformed();
    (width ? size.columns : size.rows) = number;
  } while (object.take(','));
  if (!object.take('}')) return malformed();
  return size;
}

}  // namespace

std::string exec_status_message(const Result<sys::ExitStatus>& end, StatusForm form) {
  if (!end) {
    std::string cause = cat("error executing command in container: ", end.error().message());
    std::string message = cat("Internal error occurred: ", cause);
    if (form == StatusForm::kText) return message;
    return cat(R"({"metadata":{},"status":"Failure","message":)", quoted(message),
               R"(,"reason":"InternalError","details":{"causes":[{"message":)", quoted(cause), R"(}]},"code":500})");
  }
  if (end->code == 0) return form == StatusForm::kText ? "" : R"({"metadata":{},"status":"Success"})";
  std::string message =
      cat("command terminated with non-zero exit code: command terminated with exit code ", end->code);
  if (form == StatusForm::kText) return message;
  // The client reads the code from the cause, and takes eight bits.
  return cat(R"({"metadata":{},"status":"Failure","message":)", quoted(message),
             R"(,"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":")", end->code & 0xff,
             R"("}]}})");
}

Status TerminalSizeReader::feed(std::string_view bytes, const std::function<void(TerminalSize)>& each) {
  for (char c : bytes) {
    if (object_.size() >= kMaxObject) return malformed();
    object_ += c;
    if (c != '}') continue;
    auto size = parse_size(object_);
    object_.clear();
    if (!size) return std::unexpected(std::move(size.error()));
    each(*size);
  }
  return {};
}

}  // namespace gantry::cri
