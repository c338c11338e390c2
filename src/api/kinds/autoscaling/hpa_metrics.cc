// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/autoscaling/hpa.h"
#include "api/quantity.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {

namespace {

namespace v1 = k8s::io::api::autoscaling::v1;
namespace v2 = k8s::io::api::autoscaling::v2;
using Amount = k8s::io::apimachinery::pkg::api::resource::Quantity;

template <typename From, typename To>
void copy_reference(const From& from, To* to) {
  to->set_kind(from.kind());
  to->set_name(from.name());
  to->set_api_version(from.api_version());
}

bool is_zero(const Amount& amount) {
  const Result<Quantity> quantity = Quantity::parse(amount.string());
  return !quantity || quantity->is_zero();
}

// v1 holds some amounts by value, which are 0 when they are not set.
const Amount& or_zero(bool is_set, const Amount& amount, Amount* zero) {
  zero->set_string("0");
  return is_set ? amount : *zero;
}

// Resource and ContainerResource, whose fields have the same names.
template <typename From>
void target_to_v2(const From& from, v2::MetricTarget* to) {
  to->set_type(from.has_target_average_utilization() ? "Utilization" : "AverageValue");
  if (from.has_target_average_utilization()) to->set_average_utilization(from.target_average_utilization());
  if (from.has_target_average_value()) *to->mutable_average_value() = from.target_average_value();
}

template <typename To>
void target_to_v1(const v2::MetricTarget& from, To* to) {
  if (from.has_average_utilization()) to->set_target_average_utilization(from.average_utilization());
  if (from.has_average_value()) *to->mutable_target_average_value() = from.average_value();
}

template <typename From>
void current_to_v2(const From& from, v2::MetricValueStatus* to) {
  if (from.has_current_average_utilization()) to->set_average_utilization(from.current_average_utilization());
  *to->mutable_average_value() = from.current_average_value();
}

template <typename To>
void current_to_v1(const v2::MetricValueStatus& from, To* to) {
  Amount zero;
  if (from.has_average_utilization()) to->set_current_average_utilization(from.average_utilization());
  *to->mutable_current_average_value() = or_zero(from.has_average_value(), from.average_value(), &zero);
}

void object_to_v2(const v1::ObjectMetricSource& from, v2::ObjectMetricSource* to) {
  copy_reference(from.target(), to->mutable_described_object());
  to->mutable_metric()->set_name(from.metric_name());
  if (from.has_selector()) *to->mutable_metric()->mutable_selector() = from.selector();
  v2::MetricTarget* target = to->mutable_target();
  target->set_type(from.has_average_value() ? "AverageValue" : "Value");
  if (from.has_average_value()) *target->mutable_average_value() = from.average_value();
  if (!from.has_average_value() || !is_zero(from.target_value())) *target->mutable_value() = from.target_value();
}

void object_to_v1(const v2::ObjectMetricSource& from, v1::ObjectMetricSource* to) {
  Amount zero;
  copy_reference(from.described_object(), to->mutable_target());
  to->set_metric_name(from.metric().name());
  if (from.metric().has_selector()) *to->mutable_selector() = from.metric().selector();
  *to->mutable_target_value() = or_zero(from.target().has_value(), from.target().value(), &zero);
  if (from.target().has_average_value()) *to->mutable_average_value() = from.target().average_value();
}

void external_to_v2(const v1::ExternalMetricSource& from, v2::ExternalMetricSource* to) {
  to->mutable_metric()->set_name(from.metric_name());
  if (from.has_metric_selector()) *to->mutable_metric()->mutable_selector() = from.metric_selector();
  v2::MetricTarget* target = to->mutable_target();
  target->set_type(from.has_target_value() ? "Value" : "AverageValue");
  if (from.has_target_value()) *target->mutable_value() = from.target_value();
  if (from.has_target_average_value()) *target->mutable_average_value() = from.target_average_value();
}

void external_to_v1(const v2::ExternalMetricSource& from, v1::ExternalMetricSource* to) {
  to->set_metric_name(from.metric().name());
  if (from.metric().has_selector()) *to->mutable_metric_selector() = from.metric().selector();
  if (from.target().has_value()) *to->mutable_target_value() = from.target().value();
  if (from.target().has_average_value()) *to->mutable_target_average_value() = from.target().average_value();
}

void object_to_v2(const v1::ObjectMetricStatus& from, v2::ObjectMetricStatus* to) {
  copy_reference(from.target(), to->mutable_described_object());
  to->mutable_metric()->set_name(from.metric_name());
  if (from.has_selector()) *to->mutable_metric()->mutable_selector() = from.selector();
  *to->mutable_current()->mutable_value() = from.current_value();
  if (from.has_average_value()) *to->mutable_current()->mutable_average_value() = from.average_value();
}

void object_to_v1(const v2::ObjectMetricStatus& from, v1::ObjectMetricStatus* to) {
  Amount zero;
  copy_reference(from.described_object(), to->mutable_target());
  to->set_metric_name(from.metric().name());
  if (from.metric().has_selector()) *to->mutable_selector() = from.metric().selector();
  *to->mutable_current_value() = or_zero(from.current().has_value(), from.current().value(), &zero);
  if (from.current().has_average_value()) *to->mutable_average_value() = from.current().average_value();
}

void external_to_v2(const v1::ExternalMetricStatus& from, v2::ExternalMetricStatus* to) {
  to->mutable_metric()->set_name(from.metric_name());
  if (from.has_metric_selector()) *to->mutable_metric()->mutable_selector() = from.metric_selector();
  *to->mutable_current()->mutable_value() = from.current_value();
  if (from.has_current_average_value()) *to->mutable_current()->mutable_average_value() = from.current_average_value();
}

void external_to_v1(const v2::ExternalMetricStatus& from, v1::ExternalMetricStatus* to) {
  Amount zero;
  to->set_metric_name(from.metric().name());
  if (from.metric().has_selector()) *to->mutable_metric_selector() = from.metric().selector();
  *to->mutable_current_value() = or_zero(from.current().has_value(), from.current().value(), &zero);
  if (from.current().has_average_value()) *to->mutable_current_average_value() = from.current().average_value();
}

}  // namespace

v2::MetricSpec metric_to_v2(const v1::MetricSpec& from) {
  v2::MetricSpec to;
  to.set_type(from.type());
  if (from.has_object()) object_to_v2(from.object(), to.mutable_object());
  if (from.has_external()) external_to_v2(from.external(), to.mutable_external());
  if (from.has_pods()) {
    to.mutable_pods()->mutable_metric()->set_name(from.pods().metric_name());
    if (from.pods().has_selector()) *to.mutable_pods()->mutable_metric()->mutable_selector() = from.pods().selector();
    to.mutable_pods()->mutable_target()->set_type("AverageValue");
    *to.mutable_pods()->mutable_target()->mutable_average_value() = from.pods().target_average_value();
  }
  if (from.has_resource()) {
    to.mutable_resource()->set_name(from.resource().name());
    target_to_v2(from.resource(), to.mutable_resource()->mutable_target());
  }
  if (from.has_container_resource()) {
    to.mutable_container_resource()->set_name(from.container_resource().name());
    to.mutable_container_resource()->set_container(from.container_resource().container());
    target_to_v2(from.container_resource(), to.mutable_container_resource()->mutable_target());
  }
  return to;
}

v1::MetricSpec metric_to_v1(const v2::MetricSpec& from) {
  v1::MetricSpec to;
  Amount zero;
  to.set_type(from.type());
  if (from.has_object()) object_to_v1(from.object(), to.mutable_object());
  if (from.has_external()) external_to_v1(from.external(), to.mutable_external());
  if (from.has_pods()) {
    const v2::PodsMetricSource& pods = from.pods();
    to.mutable_pods()->set_metric_name(pods.metric().name());
    if (pods.metric().has_selector()) *to.mutable_pods()->mutable_selector() = pods.metric().selector();
    *to.mutable_pods()->mutable_target_average_value() =
        or_zero(pods.target().has_average_value(), pods.target().average_value(), &zero);
  }
  if (from.has_resource()) {
    to.mutable_resource()->set_name(from.resource().name());
    target_to_v1(from.resource().target(), to.mutable_resource());
  }
  if (from.has_container_resource()) {
    to.mutable_container_resource()->set_name(from.container_resource().name());
    to.mutable_container_resource()->set_container(from.container_resource().container());
    target_to_v1(from.container_resource().target(), to.mutable_container_resource());
  }
  return to;
}

v2::MetricStatus metric_to_v2(const v1::MetricStatus& from) {
  v2::MetricStatus to;
  to.set_type(from.type());
  if (from.has_object()) object_to_v2(from.object(), to.mutable_object());
  if (from.has_external()) external_to_v2(from.external(), to.mutable_external());
  if (from.has_pods()) {
    to.mutable_pods()->mutable_metric()->set_name(from.pods().metric_name());
    if (from.pods().has_selector()) *to.mutable_pods()->mutable_metric()->mutable_selector() = from.pods().selector();
    *to.mutable_pods()->mutable_current()->mutable_average_value() = from.pods().current_average_value();
  }
  if (from.has_resource()) {
    to.mutable_resource()->set_name(from.resource().name());
    current_to_v2(from.resource(), to.mutable_resource()->mutable_current());
  }
  if (from.has_container_resource()) {
    to.mutable_container_resource()->set_name(from.container_resource().name());
    to.mutable_container_resource()->set_container(from.container_resource().container());
    current_to_v2(from.container_resource(), to.mutable_container_resource()->mutable_current());
  }
  return to;
}

v1::MetricStatus metric_to_v1(const v2::MetricStatus& from) {
  v1::MetricStatus to;
  Amount zero;
  to.set_type(from.type());
  if (from.has_object()) object_to_v1(from.object(), to.mutable_object());
  if (from.has_external()) external_to_v1(from.external(), to.mutable_external());
  if (from.has_pods()) {
    const v2::PodsMetricStatus& pods = from.pods();
    to.mutable_pods()->set_metric_name(pods.metric().name());
    if (pods.metric().has_selector()) *to.mutable_pods()->mutable_selector() = pods.metric().selector();
    *to.mutable_pods()->mutable_current_average_value() =
        or_zero(pods.current().has_average_value(), pods.current().average_value(), &zero);
  }
  if (from.has_resource()) {
    to.mutable_resource()->set_name(from.resource().name());
    current_to_v1(from.resource().current(), to.mutable_resource());
  }
  if (from.has_container_resource()) {
    to.mutable_container_resource()->set_name(from.container_resource().name());
    to.mutable_container_resource()->set_container(from.container_resource().container());
    current_to_v1(from.container_resource().current(), to.mutable_container_resource());
  }
  return to;
}

}  // namespace gantry::api
