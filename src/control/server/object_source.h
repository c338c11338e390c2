// SPDX-License-Identifier: Apache-2.0
// ObjectSource: where objects come from that are stored nowhere and only read: what was measured. ApiServer is given
// them by their resources, and asks instead of the store.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/server/call.h"
#include "control/server/failure.h"
#include "control/server/list_options.h"

namespace gantry::control {

// Called on any loop, by several at once.
class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  // The object that call.info names, of the kind call.kind, which is one version of the resource. 404 without it.
  virtual Task<Outcome<std::unique_ptr<api::Message>>> get(Call& call) = 0;
  // Those of call.info.ns, or of all namespaces when that is empty, which are selected; by namespace and name.
  virtual Task<Outcome<std::vector<std::unique_ptr<api::Message>>>> list(Call& call, const Selection& selection) = 0;
};

// By "RESOURCE.GROUP", whatever the version: "pods.metrics.k8s.io". They are not owned.
using ObjectSources = std::map<std::string, ObjectSource*, std::less<>>;

}  // namespace gantry::control
