// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/log_lines.h"

#include <algorithm>

#include "base/text.h"

namespace gantry::agent {
namespace {

// Up to the next space, which is taken away, too.
std::string_view take_word(std::string_view& text) {
  std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

Result<std::optional<std::uint64_t>> read_count(const http::Query& query, std::string_view name, std::int64_t least) {
  auto number = query.number(name);
  if (!number) return std::unexpected(std::move(number.error()));
  if (!*number) return std::nullopt;
  if (**number < least)
    return invalid_argument(cat("the parameter ", name, " is ", **number, "; expected no less than ", least));
  return static_cast<std::uint64_t>(**number);
}

Status read_since(const http::Query& query, std::int64_t now, LogOptions& options) {
  auto seconds = read_count(query, "sinceSeconds", 1);
  if (!seconds) return std::unexpected(std::move(seconds.error()));
  std::string time = query.text("sinceTime");
  if (*seconds && !time.empty()) return invalid_argument("at most one of sinceTime and sinceSeconds may be given");
  if (*seconds) options.since = {now - static_cast<std::int64_t>(std::min<std::uint64_t>(**seconds, now)), 0};
  if (time.empty()) return {};
  auto parsed = api::parse_rfc3339(time);
  if (!parsed) return fail_with(std::move(parsed.error()), "the parameter sinceTime");
  options.since = *parsed;
  return {};
}

Status read_stream(const http::Query& query, LogOptions& options) {
  std::string stream = query.text("stream");
  if (stream.empty() || stream == "All") return {};
  if (stream != "Stdout" && stream != "Stderr")
    return invalid_argument(cat("the parameter stream is ", quoted(stream), "; expected All, Stdout or Stderr"));
  if (options.tail_lines) return invalid_argument("tailLines counts the lines of both streams; leave out stream");
  options.stream = lowered(stream);
  return {};
}

}  // namespace

Result<LogOptions> read_log_options(const http::Query& query, std::int64_t now) {
  LogOptions options;
  for (auto [name, flag] : {std::pair{"follow", &LogOptions::follow},
                            {"previous", &LogOptions::previous},
                            {"timestamps", &LogOptions::timestamps}}) {
    auto value = query.flag(name);
    if (!value) return std::unexpected(std::move(value.error()));
    options.*flag = *value;
  }
  auto tail = read_count(query, "tailLines", 0);
  if (!tail) return std::unexpected(std::move(tail.error()));
  auto limit = read_count(query, "limitBytes", 1);
  if (!limit) return std::unexpected(std::move(limit.error()));
  options.tail_lines = *tail;
  options.limit_bytes = *limit;
  if (auto read = read_since(query, now, options); !read) return std::unexpected(std::move(read.error()));
  if (auto read = read_stream(query, options); !read) return std::unexpected(std::move(read.error()));
  return options;
}

std::optional<LogLine> parse_log_line(std::string_view line) {
  LogLine parsed;
  parsed.time = take_word(line);
  parsed.stream = take_word(line);
  std::string_view tags = take_word(line);
  std::string_view tag = tags.substr(0, tags.find(':'));
  if (parsed.time.empty() || (parsed.stream != "stdout" && parsed.stream != "stderr")) return std::nullopt;
  if (tag != "F" && tag != "P") return std::nullopt;
  parsed.is_partial = tag == "P";
  parsed.text = line;
  return parsed;
}

void LogLines::put(std::string_view bytes, std::string& out) {
  if (left_) {
    bytes = bytes.substr(0, *left_);
    *left_ -= bytes.size();
  }
  out += bytes;
}

void LogLines::take(std::string_view line, std::string& out) {
  auto parsed = parse_log_line(line);
  if (!parsed) return;
  if (!options_.stream.empty() && parsed->stream != options_.stream) return;
  if (options_.since) {
    auto time = api::parse_rfc3339(parsed->time);
    if (!time) return;
    if (std::pair(time->seconds, time->nanos) < std::pair(options_.since->seconds, options_.since->nanos)) return;
  }
  bool& in_line = parsed->stream == "stdout" ? in_out_ : in_err_;
  if (options_.timestamps && !in_line) {
    put(parsed->time, out);
    put(" ", out);
  }
  put(parsed->text, out);
  if (!parsed->is_partial) put("\n", out);
  in_line = parsed->is_partial;
}

void LogLines::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty() && !is_full()) {
    std::size_t end = bytes.find('\n');
    std::string_view piece = bytes.substr(0, end);
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
    bool ends = end != std::string_view::npos;
    if (!skipping_ && begun_.size() + piece.size() > kMaxLine) {
      skipping_ = true;
      begun_.clear();
    }
    if (!skipping_ && ends && begun_.empty()) {
      take(piece, out);
    } else if (!skipping_) {
      begun_ += piece;
      if (ends) take(begun_, out);
    }
    if (ends) {
      begun_.clear();
      skipping_ = false;
    }
  }
}

}  // namespace gantry::agent
