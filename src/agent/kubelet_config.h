// SPDX-License-Identifier: Apache-2.0
// KubeletConfiguration (kubelet.config.k8s.io/v1beta1), as kubelet reads it: a file, and a folder of files that change
// it, *.conf in the order of their names, where a later one counts more; maps are merged, lists and all else replaced.
// What is said there and has no effect here is told by name, so that nobody believes it; what kubelet does not know
// either is an error. kubelet_fields.h has the fields.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/agent.h"
#include "agent/node_config.h"
#include "agent/server_config.h"
#include "api/value.h"
#include "base/result.h"

namespace gantry::agent {

// What the fields become.
struct KubeletSettings {
  NodeConfig node;
  AgentConfig agent;
  ServerConfig server;
  bool merges_eviction_defaults = false;  // into an evictionHard that names only some
  std::string runtime_endpoint, image_endpoint;  // absolute paths of sockets; empty: not said
};

struct KubeletConfig {
  // Fields that are there and have no effect here, by name, sorted.
  std::vector<std::string> ignored;
  // All that the files say together.
  api::Value document{api::Value::Object()};
};

// What the document says becomes part of `settings`; where it says nothing they stay. kInvalidArgument names the field;
// then they all stay.
Result<KubeletConfig> apply_kubelet_config(const api::Value& document, KubeletSettings* settings);
// `file` or `folder` may be "". Blocking; an error names the file, but for one of fields that do not go together: they
// may be in several.
Result<KubeletConfig> read_kubelet_config(const std::string& file, const std::string& folder,
                                          KubeletSettings* settings);

// What is in force: `said` without what has no effect, and `settings`, which the command line may have changed since,
// with KubeletConfiguration's names and all defaults, as kubelet's /configz tells it. Pure.
api::Value effective_config(const KubeletConfig& said, const KubeletSettings& settings);

}  // namespace gantry::agent
