// SPDX-License-Identifier: Apache-2.0
// What a pod's claims are bound to: for each volume that is one (persistentVolumeClaim), or has one of its own
// (ephemeral), the PersistentVolume, seen to be the claim's and of the form in which the containers use it. Loop
// thread, the client's.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "api/client/client.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class PersistentVolume;
class Pod;
}  // namespace k8s::io::api::core::v1

namespace gantry::volumes {

struct Claimed {
  std::shared_ptr<const k8s::io::api::core::v1::PersistentVolume> volume;
  bool is_read_only = false;
  bool is_made_here = false;  // it is a folder that this node makes when it is not there (local_folder.h)
};
using Claims = std::map<std::string, Claimed, std::less<>>;  // by the volume's name in the pod

// Asks the API server; `client` null is a node without one. Nothing is asked for a pod without claims. Errors are in
// kubelet's words: a claim that is not there or not bound yet is kFailedPrecondition, an API server that does not
// answer kUnavailable.
Task<Result<Claims>> find_claims(api::Client* client, std::shared_ptr<const k8s::io::api::core::v1::Pod> pod);

}  // namespace gantry::volumes
