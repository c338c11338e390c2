// SPDX-License-Identifier: Apache-2.0
// What NRI plugins want of a container that is being created, put into its configuration. What this runtime does not do
// is refused by the field's name (kUnimplemented), before anything is made. Pure.
#pragma once

#include <string>

#include "base/result.h"
#include "cri/make_spec.h"
#include "cri/runtime/v1/api.pb.h"
#include "images/image_config.h"

namespace nri::pkg::api::v1alpha1 {
class ContainerAdjustment;
}

namespace gantry::cri {

namespace api = ::nri::pkg::api::v1alpha1;

// What they are put into. What fits neither the configuration nor `edits` is kept as it was said, for extras().
struct Adjusted {
  v1::ContainerConfig config;
  images::ImageConfig image;  // its environment
  std::string edits;          // a containerEdits object of CDI, as JSON; "" for none
  std::string extras;         // "" for none
};
Status adjust(const api::ContainerAdjustment& adjustment, Adjusted& container);

// Of Adjusted::extras.
Result<Extras> parse_extras(const std::string& bytes, const v1::PodSandboxConfig& pod);

}  // namespace gantry::cri
