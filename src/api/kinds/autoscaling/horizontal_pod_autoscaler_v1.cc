// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/autoscaling/hpa.h"
#include "api/kinds/autoscaling/kinds.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {

namespace {

namespace v1 = k8s::io::api::autoscaling::v1;
namespace v2 = k8s::io::api::autoscaling::v2;

Status to_storage(const Message& served, Message* stored) {
  static_cast<v2::HorizontalPodAutoscaler&>(*stored) =
      hpa_to_v2(static_cast<const v1::HorizontalPodAutoscaler&>(served));
  return {};
}

Status from_storage(const Message& stored, Message* served) {
  static_cast<v1::HorizontalPodAutoscaler&>(*served) =
      hpa_to_v1(static_cast<const v2::HorizontalPodAutoscaler&>(stored));
  return {};
}

std::vector<Value> row(const v1::HorizontalPodAutoscaler& object, int64_t now) {
  return hpa_row(hpa_to_v2(object), now);
}

void set_defaults(v1::HorizontalPodAutoscaler* object) {
  if (!object->spec().has_min_replicas()) object->mutable_spec()->set_min_replicas(1);
}

FieldProblems validate(const v1::HorizontalPodAutoscaler& object) { return validate_hpa(hpa_to_v2(object)); }

}  // namespace

Kind horizontal_pod_autoscaler_v1_kind() {
  Kind kind = make_kind<v1::HorizontalPodAutoscaler>("horizontalpodautoscalers", "horizontalpodautoscaler", {"hpa"});
  kind.categories = {"all"};
  kind.storage = "horizontalpodautoscalers";
  kind.validate = over(&validate);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.conversion = Conversion{{"autoscaling", "v2", "HorizontalPodAutoscaler"}, &to_storage, &from_storage};
  kind.table = {hpa_columns(), over(&row)};
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
