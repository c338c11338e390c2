// SPDX-License-Identifier: Apache-2.0
#include "control/server/actions/success.h"

#include "api/codec.h"
#include "kubernetes/meta/v1/status.pb.h"

namespace gantry::control {

std::unique_ptr<api::Message> success() {
  auto status = std::make_unique<k8s::io::apimachinery::pkg::apis::meta::v1::Status>();
  status->set_status("Success");
  status->set_code(201);
  (void)api::normalize(status.get());  // our own words can be written
  return status;
}

}  // namespace gantry::control
