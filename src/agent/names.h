// SPDX-License-Identifier: Apache-2.0
// The labels and annotations by which kubelet knows its pods and containers in a runtime, and others (crictl, log
// collectors, metrics) find them. They are what is left of the agent's state when gantryd starts anew, so they don't
// change.
#pragma once

namespace gantry::agent {

// Labels of sandboxes and containers.
inline constexpr char kPodNameLabel[] = "io.kubernetes.pod.name";
inline constexpr char kPodNamespaceLabel[] = "io.kubernetes.pod.namespace";
inline constexpr char kPodUidLabel[] = "io.kubernetes.pod.uid";
// Label of containers.
inline constexpr char kContainerNameLabel[] = "io.kubernetes.container.name";

// Annotations of containers.
inline constexpr char kContainerHashAnnotation[] = "io.kubernetes.container.hash";
inline constexpr char kRestartCountAnnotation[] = "io.kubernetes.container.restartCount";
inline constexpr char kTerminationPathAnnotation[] = "io.kubernetes.container.terminationMessagePath";
inline constexpr char kTerminationPolicyAnnotation[] = "io.kubernetes.container.terminationMessagePolicy";
inline constexpr char kPortsAnnotation[] = "io.kubernetes.container.ports";
inline constexpr char kGracePeriodAnnotation[] = "io.kubernetes.pod.terminationGracePeriod";

// Annotations of static pods, and of their sandboxes with them.
inline constexpr char kConfigSourceAnnotation[] = "kubernetes.io/config.source";
inline constexpr char kConfigHashAnnotation[] = "kubernetes.io/config.hash";
inline constexpr char kConfigSeenAnnotation[] = "kubernetes.io/config.seen";
// Of the API objects that stand for static pods: the hash of the pod that they show.
inline constexpr char kConfigMirrorAnnotation[] = "kubernetes.io/config.mirror";
// Of sandboxes alone: the manifest's file name. It marks a pod as this agent's, and says which pod a broken file stands
// for.
inline constexpr char kManifestFileAnnotation[] = "gantry.io/manifest-file";
// Of sandboxes alone: the node whose pod the API server says it is. Of pods that come from there.
inline constexpr char kApiNodeAnnotation[] = "gantry.io/api-node";

}  // namespace gantry::agent
