// SPDX-License-Identifier: Apache-2.0
// What is particular to the kind Pod: its defaults and its rules. Plain functions over the message, for the API server
// and for a node that reads manifests. Pure; any thread.
#pragma once

#include "api/problem.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::api {

// Sets what the API server would set where the manifest says nothing: restartPolicy, dnsPolicy, grace period, pull
// policies by tag, termination message, probe periods, port protocols, volume modes, requests from limits, and the
// constants that the schema declares. What a kubelet adds (uid, namespace, tolerations of a static pod) is not here.
// Precondition: normalized (codec.h), and it is afterwards.
void default_pod(k8s::io::api::core::v1::Pod* pod);

// Every rule that the pod breaks. Precondition: default_pod was called.
FieldProblems validate_pod(const k8s::io::api::core::v1::Pod& pod);

// What a pod from a manifest folder may not ask for, as no API server stands behind it: secrets, config maps, claims,
// service accounts, ephemeral containers. Beside validate_pod.
FieldProblems validate_static_pod(const k8s::io::api::core::v1::Pod& pod);

}  // namespace gantry::api
