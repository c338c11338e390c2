// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/autoscaling/hpa.h"
#include "api/kinds/autoscaling/kinds.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {

namespace {

namespace v2 = k8s::io::api::autoscaling::v2;

FieldProblems validate(const v2::HorizontalPodAutoscaler& object) { return validate_hpa(object); }

}  // namespace

Kind horizontal_pod_autoscaler_v2_kind() {
  Kind kind = make_kind<k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler>("horizontalpodautoscalers",
                                                                                "horizontalpodautoscaler", {"hpa"});
  kind.categories = {"all"};
  kind.storage = "horizontalpodautoscalers";
  kind.has_generation = true;
  kind.set_defaults = over(&default_hpa);
  kind.validate = over(&validate);
  kind.table = {hpa_columns(), over(&hpa_row)};
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
