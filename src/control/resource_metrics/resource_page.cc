// SPDX-License-Identifier: Apache-2.0
#include "control/resource_metrics/resource_page.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "base/text.h"

namespace gantry::control {

namespace {

constexpr std::size_t kMaxLabels = 16;

struct Sample {
  std::string_view name;
  std::vector<std::pair<std::string_view, std::string>> labels;
  Measurement measured;

  std::string_view label(std::string_view wanted) const {
    for (const auto& [name, value] : labels) {
      if (name == wanted) return value;
    }
    return {};
  }
};

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

// Milliseconds since 1970, in the year 2109: what a node says is a number in nanoseconds, too.
constexpr std::int64_t kLatest = std::int64_t{1} << 42;

class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  // False: this is no sample.
  bool read(Sample* sample) {
    sample->name = name();
    if (sample->name.empty() || !labels(sample)) return false;
    skip_blanks();
    const std::string_view value = word();
    if (!number(value, &sample->measured.value)) return false;
    skip_blanks();
    if (rest_.empty()) return true;
    const std::string_view time = word();
    std::int64_t at = 0;
    const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), at);
    if (error != std::errc() || end != time.data() + time.size()) return false;
    if (at < 0 || at > kLatest) return false;
    sample->measured.at = at;
    skip_blanks();
    return rest_.empty();
  }

 private:
  void skip_blanks() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t')) rest_.remove_prefix(1);
  }
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view name() {
    std::size_t size = 0;
    while (size < rest_.size() && is_name_character(rest_[size])) ++size;
    const std::string_view found = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return found;
  }
  std::string_view word() {
    const std::string_view found = rest_.substr(0, rest_.find_first_of(" \t"));
    rest_.remove_prefix(found.size());
    return found;
  }
  static bool number(std::string_view text, double* value) {
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
    return error == std::errc() && end == text.data() + text.size();
  }
  bool labels(Sample* sample) {
    skip_blanks();
    if (!take('{')) return true;
    for (;;) {
      skip_blanks();
      if (take('}')) return true;
      const std::string_view label = name();
      skip_blanks();
      if (label.empty() || sample->labels.size() == kMaxLabels || !take('=')) return false;
      skip_blanks();
      std::string value;
      if (!quoted_text(&value)) return false;
      sample->labels.emplace_back(label, std::move(value));
      skip_blanks();
      if (take(',')) continue;
      return take('}');
    }
  }
  bool quoted_text(std::string* out) {
    if (!take('"')) return false;
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\') {
        if (rest_.empty()) return false;
        c = rest_.front() == 'n' ? '\n' : rest_.front();
        rest_.remove_prefix(1);
      }
      *out += c;
    }
    return false;
  }

  std::string_view rest_;
};

bool is_amount(const Sample& sample) { return std::isfinite(sample.measured.value) && sample.measured.value >= 0; }

class PageReader {
 public:
  Status take(const Sample& sample) {
    if (!is_amount(sample)) return {};
    if (sample.name == "node_cpu_usage_seconds_total") reading_.node.cpu = sample.measured;
    if (sample.name == "node_memory_working_set_bytes") reading_.node.memory = sample.measured;
    if (!sample.name.starts_with("container_")) return {};
    const bool cpu = sample.name == "container_cpu_usage_seconds_total";
    const bool memory = sample.name == "container_memory_working_set_bytes";
    const bool start = sample.name == "container_start_time_seconds";
    if (!cpu && !memory && !start) return {};
    UsageReading* container = find(sample);
    if (container == nullptr) {
      return fail(Code::kResourceExhausted, cat("the page has more than ", kMaxContainers, " containers"));
    }
    if (cpu) container->cpu = sample.measured;
    if (memory) container->memory = sample.measured;
    if (start) container->started = sample.measured.value;
    return {};
  }
  NodeReading finish() { return std::move(reading_); }

 private:
  UsageReading* find(const Sample& sample) {
    auto& pod = reading_.pods[cat(sample.label("namespace"), "/", sample.label("pod"))];
    const auto [slot, is_new] = pod.try_emplace(std::string(sample.label("container")));
    if (is_new && ++containers_ > kMaxContainers) return nullptr;
    return &slot->second;
  }

  NodeReading reading_;
  std::size_t containers_ = 0;
};

}  // namespace

Result<NodeReading> parse_resource_page(std::string_view page) {
  PageReader reader;
  while (!page.empty()) {
    const std::size_t end = std::min(page.find('\n'), page.size());
    std::string_view line = page.substr(0, end);
    page.remove_prefix(std::min(end + 1, page.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    Sample sample;
    if (!LineReader(line).read(&sample)) {
      return invalid_argument(cat(quoted(line, 200), " is no sample of a metric"));
    }
    if (Status taken = reader.take(sample); !taken) return std::unexpected(std::move(taken.error()));
  }
  return reader.finish();
}

}  // namespace gantry::control
