// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/text.h"

namespace gantry::metrics {

namespace {

std::string number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> text;
  auto* end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

std::string escaped(std::string_view text, bool quotes) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
      continue;
    }
    if (c == '\\' || (quotes && c == '"')) result += '\\';
    result += c;
  }
  return result;
}

using Pair = std::pair<std::string_view, std::string_view>;

// The label names with the values that a series' key has.
std::vector<Pair> labels_of(const std::vector<std::string>& names, std::string_view key) {
  std::vector<Pair> labels;
  for (const std::string& name : names) {
    const size_t end = key.find('\0');
    labels.emplace_back(name, key.substr(0, end));
    key.remove_prefix(end + 1);
  }
  return labels;
}

void write_series(Page* page, std::string_view name, std::span<const Pair> labels, const Counter& counter) {
  page->sample(name, labels, static_cast<double>(counter.value()));
}

void write_series(Page* page, std::string_view name, std::span<const Pair> labels, const Gauge& gauge) {
  page->sample(name, labels, static_cast<double>(gauge.value()));
}

void write_series(Page* page, std::string_view name, std::span<const Pair> labels, const Histogram& histogram) {
  const std::string bucket = cat(name, "_bucket");
  std::vector<Pair> with_bound(labels.begin(), labels.end());
  std::uint64_t total = 0;
  for (size_t i = 0; i <= histogram.bounds().size(); ++i) {
    total += histogram.count(i);
    const std::string bound = i < histogram.bounds().size() ? number(histogram.bounds()[i]) : "+Inf";
    with_bound.emplace_back("le", bound);
    page->sample(bucket, with_bound, static_cast<double>(total));
    with_bound.pop_back();
  }
  page->sample(cat(name, "_sum"), labels, histogram.sum());
  page->sample(cat(name, "_count"), labels, static_cast<double>(total));
}

constexpr std::string_view type_of(const Counter*) { return "counter"; }
constexpr std::string_view type_of(const Gauge*) { return "gauge"; }
constexpr std::string_view type_of(const Histogram*) { return "histogram"; }

std::string key_of(std::span<const std::string_view> values) {
  std::string key;
  for (const std::string_view value : values) {
    // A NUL would end it early.
    for (const char c : value) key += c == '\0' ? ' ' : c;
    key += '\0';
  }
  return key;
}

}  // namespace

void Histogram::observe(double value) {
  const auto bound = std::ranges::lower_bound(bounds_, value);
  counts_[static_cast<size_t>(bound - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

void Page::begin(std::string_view name, std::string_view help, std::string_view type) {
  text_ += cat("# HELP ", name, " ", escaped(help, false), "\n# TYPE ", name, " ", type, "\n");
}

void Page::sample(std::string_view name, std::span<const Pair> labels, double value) {
  text_ += name;
  char before = '{';
  for (const auto& [label, text] : labels) {
    text_ += before;
    text_ += cat(label, "=\"", escaped(text, true), "\"");
    before = ',';
  }
  text_ += cat(labels.empty() ? " " : "} ", number(value), "\n");
}

void Page::single(std::string_view name, std::string_view help, std::string_view type, double value) {
  begin(name, help, type);
  sample(name, {}, value);
}

template <typename Metric>
Metric& Family<Metric>::at(Values values) {
  std::string key = key_of(values);
  {
    const std::shared_lock lock(mutex_);
    if (const auto found = series_.find(key); found != series_.end()) return *found->second;
  }
  const std::unique_lock lock(mutex_);
  if (series_.size() >= kMaxSeries) key = key_of(std::vector<std::string_view>(labels_.size(), "other"));
  std::unique_ptr<Metric>& metric = series_[key];
  if (metric == nullptr) metric = make_();
  return *metric;
}

template <typename Metric>
void Family<Metric>::write(Page* page) const {
  const std::shared_lock lock(mutex_);
  if (series_.empty()) return;
  page->begin(name_, help_, type_of(static_cast<const Metric*>(nullptr)));
  std::vector<std::pair<std::string_view, const Metric*>> sorted;
  for (const auto& [key, metric] : series_) sorted.emplace_back(key, metric.get());
  std::ranges::sort(sorted);
  for (const auto& [key, metric] : sorted) write_series(page, name_, labels_of(labels_, key), *metric);
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

template <typename Metric>
Family<Metric>& Registry::add(std::unique_ptr<Family<Metric>> family) {
  const std::lock_guard lock(mutex_);
  Family<Metric>& added = *family;
  families_.push_back(std::move(family));
  return added;
}

Family<Counter>& Registry::counters(std::string name, std::string help, Labels labels) {
  return add(std::make_unique<Family<Counter>>(std::move(name), std::move(help), std::move(labels),
                                               [] { return std::make_unique<Counter>(); }));
}

Family<Gauge>& Registry::gauges(std::string name, std::string help, Labels labels) {
  return add(std::make_unique<Family<Gauge>>(std::move(name), std::move(help), std::move(labels),
                                             [] { return std::make_unique<Gauge>(); }));
}

Family<Histogram>& Registry::histograms(std::string name, std::string help, Labels labels,
                                        std::span<const double> bounds) {
  return add(std::make_unique<Family<Histogram>>(std::move(name), std::move(help), std::move(labels),
                                                 [bounds] { return std::make_unique<Histogram>(bounds); }));
}

void Registry::add_source(std::function<void(Page*)> source) {
  const std::lock_guard lock(mutex_);
  sources_.push_back(std::move(source));
}

std::string Registry::text() const {
  std::vector<const FamilyBase*> families;
  std::vector<std::function<void(Page*)>> sources;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& family : families_) families.push_back(family.get());
    sources = sources_;
  }
  std::ranges::sort(families, {}, &FamilyBase::name);
  Page page;
  for (const FamilyBase* family : families) family->write(&page);
  for (const auto& source : sources) source(&page);
  return page.take();
}

}  // namespace gantry::metrics
