// SPDX-License-Identifier: Apache-2.0
#include "control/server/invalid_options.h"

namespace gantry::control {

Failure invalid_options(std::string_view kind, const api::FieldProblems& problems) {
  api::Kind options;
  options.gvk = {"meta.k8s.io", "v1", std::string(kind)};
  return invalid(options, "", problems);
}

}  // namespace gantry::control
