// SPDX-License-Identifier: Apache-2.0
// Backend: makes the kernel do what ServiceRules say. Implementations are final; each blocks, on one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "proxy/service_rule.h"

namespace gantry::proxy {

struct RuleChanges {
  ServiceRules set;                  // new, or other than they were
  std::vector<std::string> removed;  // by name
  bool is_empty() const { return set.empty() && removed.empty(); }
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Whatever was there is replaced by these rules, at once for every packet; connections live. `pods`: where pods of
  // this cluster are; empty if nobody knows.
  virtual Status replace(const ServiceRules& rules, const std::vector<netns::Cidr>& pods) = 0;
  // Changes what replace() and earlier calls have made: all of it, or nothing. After an error only replace() may come.
  virtual Status apply(const RuleChanges& changes) = 0;
  // All of ours; gone already is fine.
  virtual Status remove() = 0;
};

}  // namespace gantry::proxy
