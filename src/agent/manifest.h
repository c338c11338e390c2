// SPDX-License-Identifier: Apache-2.0
// A manifest file's text made a pod: parsed strictly, defaulted, validated, and given what a kubelet gives a pod that
// no API server has seen. Pure; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

inline constexpr std::size_t kMaxManifestBytes = std::size_t{1} << 20;

// A manifest that is not in force as it stands.
struct ManifestProblem {
  std::string file;  // its name in the folder; empty: the folder as a whole
  // Where and what: "spec.containers[0].imag: line 7: unknown field", all of them, "; " between.
  std::string sentence;
};

struct StaticPod {
  std::string file;  // its name in the folder
  std::string uid, name, namespace_;
  std::shared_ptr<const k8s::io::api::core::v1::Pod> pod;

  std::string full_name() const { return namespace_ + "/" + name; }
};

struct ManifestContext {
  std::string folder;
  std::string node_name;
  std::string name_suffix;
};

// The uid is a hash of node name, file path and what the manifest says (not of how it says it: a comment or an order of
// keys does not matter, and neither do defaults that a later release adds). So the same manifest is the same pod after
// a restart, and a changed one is another pod. A uid and a status that the manifest brings are not taken over.
// kInvalidArgument with all problems, each with field and line.
Result<StaticPod> parse_manifest(const ManifestContext& context, const std::string& file, std::string_view text);

}  // namespace gantry::agent
