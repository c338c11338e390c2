// SPDX-License-Identifier: Apache-2.0
// Resources: amounts as the scheduler counts with them, whole numbers that many nodes and pods are compared by. Plain
// values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "api/kinds/core/amounts.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control::scheduling {

struct Resources {
  std::int64_t milli_cpu = 0;
  std::int64_t memory = 0;             // bytes
  std::int64_t ephemeral_storage = 0;  // bytes
  std::map<std::string, std::int64_t> others;

  void add(const Resources& more);
  void subtract(const Resources& less);
  std::int64_t other(const std::string& name) const;
};

// Of an object; "pods" is not among them.
Resources read_resources(const api::Amounts& amounts);
// What the pod takes of a node: its containers and its overhead.
Resources requests_of(const k8s::io::api::core::v1::Pod& pod);
// The same, where a container that says nothing counts with 100m of CPU and 200Mi of memory: by this nodes are
// compared, so that pods without requests are spread, too.
Resources weighed_requests_of(const k8s::io::api::core::v1::Pod& pod);

}  // namespace gantry::control::scheduling
