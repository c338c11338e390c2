// SPDX-License-Identifier: Apache-2.0
// Numbers about a running process, as Prometheus reads them (text format 0.0.4). A Registry has families, each a name
// with label names; a family has one series for each set of label values, made when it is first used. Counting is a
// few relaxed atomics: any thread, no lock but a shared one to find the series. Who counts often keeps the reference,
// which stays good as long as the Registry lives.
//
// Label values must be of small, known sets, never what a stranger can invent; should one do so all the same, a family
// ends at kMaxSeries, and what is beyond it is counted together under "other".
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gantry::metrics {

inline constexpr std::size_t kMaxSeries = 20'000;

// Of seconds, from half a millisecond to a minute.
inline constexpr double kLatencies[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                        0.25,   0.5,   1,      2.5,   5,    10,    30,   60};

class Counter {
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

class Gauge {
 public:
  void add(std::int64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_ = 0;
};

class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds.size() + 1)) {}

  void observe(double value);
  std::span<const double> bounds() const { return bounds_; }
  // Those in the bucket that ends with bounds()[index]; the last index is beyond all of them.
  std::uint64_t count(std::size_t index) const { return counts_[index].load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::span<const double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  std::atomic<double> sum_ = 0;
};

// The text of one answer, a family after the other.
class Page {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  // `type`: "counter", "gauge" or "histogram". Samples of it follow.
  void begin(std::string_view name, std::string_view help, std::string_view type);
  void sample(std::string_view name, std::span<const std::pair<std::string_view, std::string_view>> labels,
              double value);
  void sample(std::string_view name, Labels labels, double value) { sample(name, std::span(labels), value); }
  // A family of one sample without labels.
  void single(std::string_view name, std::string_view help, std::string_view type, double value);

  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// The part of Family that does not depend on what is counted.
class FamilyBase {
 public:
  FamilyBase(std::string name, std::string help, std::vector<std::string> labels)
      : name_(std::move(name)), help_(std::move(help)), labels_(std::move(labels)) {}
  virtual ~FamilyBase() = default;
  FamilyBase(const FamilyBase&) = delete;
  FamilyBase& operator=(const FamilyBase&) = delete;

  const std::string& name() const { return name_; }
  virtual void write(Page* page) const = 0;

 protected:
  std::string name_;
  std::string help_;
  std::vector<std::string> labels_;
};

template <typename Metric>
class Family final : public FamilyBase {
 public:
  using Values = std::initializer_list<std::string_view>;
  using Make = std::function<std::unique_ptr<Metric>()>;
  Family(std::string name, std::string help, std::vector<std::string> labels, Make make)
      : FamilyBase(std::move(name), std::move(help), std::move(labels)), make_(std::move(make)) {}

  // One value for each label name, in their order.
  Metric& at(Values values);
  void write(Page* page) const override;

 private:
  Make make_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<Metric>> series_;  // by the values, each with a NUL behind it
};

class Registry {
 public:
  using Labels = std::vector<std::string>;
  // While the process is put together; a name is asked for once.
  Family<Counter>& counters(std::string name, std::string help, Labels labels = {});
  Family<Gauge>& gauges(std::string name, std::string help, Labels labels = {});
  // `bounds` must outlive the Registry: a constant.
  Family<Histogram>& histograms(std::string name, std::string help, Labels labels = {},
                                std::span<const double> bounds = kLatencies);
  // What is read when somebody asks. Called on whatever thread that is, after all families.
  void add_source(std::function<void(Page*)> source);

  std::string text() const;

 private:
  template <typename Metric>
  Family<Metric>& add(std::unique_ptr<Family<Metric>> family);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<FamilyBase>> families_;
  std::vector<std::function<void(Page*)>> sources_;
};

// This process: CPU, memory, descriptors, start. By the names that Prometheus' own clients use.
void write_process_metrics(Page* page);

}  // namespace gantry::metrics
