// SPDX-License-Identifier: Apache-2.0
// IndexSet: which indexes of a job have succeeded, failed or must succeed, as its status and its policies write them:
// "1,3-5". Ranges, so that a job of 100,000 indexes stays a short text. A plain value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::control::workloads {

class IndexSet {
 public:
  struct Range {
    std::int32_t first;
    std::int32_t last;  // it is one of them
  };

  // Indexes of `end` and above are left out: a job may have shrunk. So is all from what is no index on.
  static IndexSet parse(std::string_view text, std::int32_t end);

  bool contains(std::int32_t index) const;
  std::int64_t count() const;
  bool is_empty() const { return ranges_.empty(); }
  void add(const std::vector<std::int32_t>& indexes);
  void add(const IndexSet& other);
  const std::vector<Range>& ranges() const { return ranges_; }
  // "1,3-5"
  std::string to_string() const;

 private:
  void merge(std::vector<Range> more);

  std::vector<Range> ranges_;  // in order, with something missing between each two
};

}  // namespace gantry::control::workloads
