// SPDX-License-Identifier: Apache-2.0
// Rules of kinds that own pods: their selector, their template, and how fast they may change. Pure; any thread.
#pragma once

#include "api/kind.h"
#include "api/object_meta.h"

namespace k8s::io::api::core::v1 {
class PodTemplateSpec;
}
namespace k8s::io::apimachinery::pkg::util::intstr {
class IntOrString;
}

namespace gantry::api {

// Every rule of a template, wherever it stands: labels, annotations, spec.
void check_pod_template(const k8s::io::api::core::v1::PodTemplateSpec& pod, const Check& check);
// And those of pods that are replaced for ever: restartPolicy is Always, and there is no deadline.
void check_lasting_template(const k8s::io::api::core::v1::PodTemplateSpec& pod, const Check& check);

// spec.selector and spec.template.metadata.labels: the one selects the other, and not everything. `check` stands at
// spec.
void check_selector_of(const LabelSelectorMessage& selector, const k8s::io::api::core::v1::PodTemplateSpec& pod,
                       const Check& check);
// For a selector that is absent: it selects nothing, so that the template's labels are wrong, too.
void check_absent_selector(const Check& check);
bool selector_matches(const LabelSelectorMessage& selector,
                      const google::protobuf::Map<std::string, std::string>& labels);

// A whole number that is not negative, or such a percentage; what can be more than there are, or not ("at most 100%").
void check_share(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& share, bool at_most_all,
                 const Check& check);
// 0 or "0%"
bool is_no_share(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& share);

// Adds "field is immutable" unless both are equal.
void check_immutable(const Message& old, const Message& updated, const Check& check);

}  // namespace gantry::api
