// SPDX-License-Identifier: Apache-2.0
// What kubectl get shows of NodeMetrics and PodMetrics: its name, what it uses, and how long that was measured.
#pragma once

#include <string>

#include "api/kind_parts.h"
#include "api/quantity.h"
#include "base/duration.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::api {

inline std::vector<Column> usage_columns() {
  Column window = column("window", "string", "How long it was measured.");
  window.format = "duration";
  Column cpu = column("cpu", "string", "Cores that are used.");
  Column memory = column("memory", "string", "Bytes of the working set.");
  cpu.format = memory.format = "quantity";
  return {name_column(), std::move(cpu), std::move(memory), std::move(window)};
}

// Adds the amount of that name, if there is one and it can be read.
template <typename Usage>
void add_usage(const Usage& usage, const char* name, Quantity* sum) {
  const auto found = usage.find(name);
  if (found == usage.end()) return;
  if (const Result<Quantity> amount = Quantity::parse(found->second.string())) sum->add(*amount);
}

template <typename M>
std::vector<Value> usage_row(const M& metrics, const Quantity& cpu, const Quantity& memory) {
  return {metrics.metadata().name(), cpu.to_string(), memory.to_string(),
          format_duration(std::chrono::nanoseconds(metrics.window().duration()))};
}

}  // namespace gantry::api
