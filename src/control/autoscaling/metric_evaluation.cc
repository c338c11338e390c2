// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/metric_evaluation.h"

#include "api/quantity.h"
#include "base/text.h"
#include "control/autoscaling/hpa_status.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::control::autoscaling {

namespace {

namespace v2 = k8s::io::api::autoscaling::v2;
using Quantity = k8s::io::apimachinery::pkg::api::resource::Quantity;

std::int64_t milli(const Quantity& quantity) {
  const Result<api::Quantity> parsed = api::Quantity::parse(quantity.string());
  return parsed ? parsed->milli_value() : 0;
}

Question question_of(const Subject& subject, std::int32_t current) {
  Question question = subject.question;
  question.current = current;
  return question;
}

Error sentence(std::string text) { return {Code::kFailedPrecondition, std::move(text)}; }

// Of a number that is none of the pods': shared by them, or in proportion to them.
Result<Proposal> propose_for(const v2::MetricTarget& target, const Subject& subject, std::int64_t usage) {
  if (target.has_average_value()) {
    return replicas_for_share(question_of(subject, subject.status_replicas), usage, milli(target.average_value()));
  }
  return replicas_for_value(question_of(subject, subject.spec_replicas), subject.pods, usage, milli(target.value()));
}

void set_current(const v2::MetricTarget& target, std::int64_t usage, v2::MetricValueStatus* current) {
  Quantity* quantity = target.has_average_value() ? current->mutable_average_value() : current->mutable_value();
  quantity->set_string(quantity_text(usage));
}

// Under which name people are told that a metric of this type can't be read.
const char* failure_reason(const std::string& type) {
  if (type == "Object") return "FailedGetObjectMetric";
  if (type == "Pods") return "FailedGetPodsMetric";
  if (type == "Resource") return "FailedGetResourceMetric";
  if (type == "ContainerResource") return "FailedGetContainerResourceMetric";
  if (type == "External") return "FailedGetExternalMetric";
  return "InvalidMetricSourceType";
}

// What is said of it among all metrics of the object.
std::string failure_context(const v2::MetricSpec& spec) {
  if (spec.type() == "Object") return "failed to get object metric value";
  if (spec.type() == "Pods") return "failed to get pods metric value";
  if (spec.type() == "Resource") return cat("failed to get ", spec.resource().name(), " resource metric value");
  if (spec.type() == "ContainerResource") {
    return cat("failed to get ", spec.container_resource().container(), " container metric value");
  }
  return cat("failed to get ", spec.external().metric().name(), " external metric value");
}

}  // namespace

Task<Evaluation> MetricEvaluation::evaluate(v2::HorizontalPodAutoscalerSpec spec, Subject subject) {
  Evaluation all;
  all.statuses.resize(static_cast<std::size_t>(spec.metrics_size()));
  std::int32_t replicas = 0;
  int invalid = 0;
  std::string first_error;
  Reason first_reason;
  for (int i = 0; i < spec.metrics_size(); ++i) {
    const v2::MetricSpec& metric = spec.metrics(i);
    const Result<One> one = co_await read(metric, subject, &all.statuses[static_cast<std::size_t>(i)]);
    if (one) {
      if (replicas != 0 && one->replicas <= replicas) continue;
      replicas = one->replicas;
      all.metric = one->name;
      continue;
    }
    const std::string reason = failure_reason(metric.type());
    warn_(reason, one.error().message());
    if (invalid++ > 0) continue;
    first_reason = {reason, cat("the HPA was unable to compute the replica count: ", one.error().message())};
    first_error = cat(failure_context(metric), ": ", one.error().message());
  }
  if (invalid > 0) {
    all.error = cat("invalid metrics (", invalid, " invalid out of ", spec.metrics_size(), "), first error is: ",
                    first_error);
  }
  // One that can't be read may ask for more: fewer there must not be without it.
  if (invalid > 0 && (invalid >= spec.metrics_size() || replicas < subject.spec_replicas)) {
    all.active = std::move(first_reason);
    co_return all;
  }
  all.replicas = replicas;
  all.active = {"ValidMetricFound",
                cat("the HPA was able to successfully calculate a replica count from ", all.metric)};
  co_return all;
}

Task<Result<MetricEvaluation::One>> MetricEvaluation::read(const MetricSpec& spec, const Subject& subject,
                                                           MetricStatus* status) {
  if (spec.type() == "Resource" || spec.type() == "ContainerResource") {
    co_return co_await read_resource(spec, subject, status);
  }
  if (spec.type() == "Pods") co_return co_await read_pods(spec, subject, status);
  if (spec.type() == "Object") co_return co_await read_object(spec, subject, status);
  if (spec.type() == "External") co_return co_await read_external(spec, subject, status);
  co_return std::unexpected(sentence(cat("unknown metric source type ", quoted(spec.type()))));
}

Task<Result<MetricEvaluation::One>> MetricEvaluation::read_resource(const MetricSpec& spec, const Subject& subject,
                                                                    MetricStatus* status) {
  const bool of_container = spec.type() == "ContainerResource";
  const std::string name = of_container ? spec.container_resource().name() : spec.resource().name();
  const std::string container = of_container ? spec.container_resource().container() : "";
  const v2::MetricTarget& target = of_container ? spec.container_resource().target() : spec.resource().target();
  const bool is_percentage = !target.has_average_value();
  if (is_percentage && !target.has_average_utilization()) {
    co_return std::unexpected(sentence(
        "invalid resource metric source: neither an average utilization target nor an average value (usage) target "
        "was set"));
  }
  const std::string context = cat("failed to get ", name, is_percentage ? " utilization" : " usage");
  const Question question = question_of(subject, subject.spec_replicas);
  Result<PodMetrics> metrics = co_await reader_.of_resource(subject.ns, subject.selector, name, container);
  if (!metrics) {
    co_return std::unexpected(
        metrics.error().with_context(cat("unable to get metrics for resource ", name)).with_context(context));
  }
  const Result<Proposal> proposal =
      is_percentage ? replicas_for_utilization(question, subject.pods, std::move(*metrics), name, container,
                                               target.average_utilization())
                    : replicas_for_average(question, subject.pods, std::move(*metrics), name,
                                           milli(target.average_value()));
  if (!proposal) co_return std::unexpected(proposal.error().with_context(context));
  v2::MetricValueStatus* current = nullptr;
  status->set_type(spec.type());
  if (of_container) {
    status->mutable_container_resource()->set_name(name);
    status->mutable_container_resource()->set_container(container);
    current = status->mutable_container_resource()->mutable_current();
  } else {
    status->mutable_resource()->set_name(name);
    current = status->mutable_resource()->mutable_current();
  }
  current->mutable_average_value()->set_string(quantity_text(proposal->usage, name == "memory"));
  if (proposal->percentage) current->set_average_utilization(*proposal->percentage);
  co_return One{proposal->replicas, resource_metric_name(name, of_container, is_percentage)};
}

Task<Result<MetricEvaluation::One>> MetricEvaluation::read_pods(const MetricSpec& spec, const Subject& subject,
                                                                MetricStatus* status) {
  const v2::MetricIdentifier& metric = spec.pods().metric();
  Result<PodMetrics> metrics = co_await reader_.of_pods(subject.ns, subject.selector, metric);
  if (!metrics) co_return std::unexpected(metrics.error().with_context(cat("unable to get metric ", metric.name())));
  const Result<Proposal> proposal =
      replicas_for_average(question_of(subject, subject.spec_replicas), subject.pods, std::move(*metrics), "",
                           milli(spec.pods().target().average_value()));
  if (!proposal) co_return std::unexpected(proposal.error());
  status->set_type(spec.type());
  *status->mutable_pods()->mutable_metric() = metric;
  status->mutable_pods()->mutable_current()->mutable_average_value()->set_string(quantity_text(proposal->usage));
  co_return One{proposal->replicas, cat("pods metric ", metric.name())};
}

Task<Result<MetricEvaluation::One>> MetricEvaluation::read_object(const MetricSpec& spec, const Subject& subject,
                                                                  MetricStatus* status) {
  const v2::ObjectMetricSource& source = spec.object();
  const v2::MetricIdentifier& metric = source.metric();
  const bool is_share = source.target().has_average_value();
  if (!is_share && !source.target().has_value()) {
    co_return std::unexpected(
        sentence("invalid object metric source: neither a value target nor an average value target was set"));
  }
  const Result<std::int64_t> usage = co_await reader_.of_object(subject.ns, source.described_object(), metric);
  if (!usage) {
    Error error = usage.error().with_context(cat("unable to get metric ", metric.name(), " on ",
                                                 source.described_object().kind(), " ", subject.ns, "/",
                                                 source.described_object().name()));
    if (is_share) error = std::move(error).with_context(cat("failed to get ", metric.name(), " object metric"));
    co_return std::unexpected(std::move(error));
  }
  const Result<Proposal> proposal = propose_for(source.target(), subject, *usage);
  if (!proposal) co_return std::unexpected(proposal.error());
  status->set_type(spec.type());
  *status->mutable_object()->mutable_described_object() = source.described_object();
  *status->mutable_object()->mutable_metric() = metric;
  set_current(source.target(), proposal->usage, status->mutable_object()->mutable_current());
  const std::string name = is_share ? cat("external metric ", identifier_text(metric))
                                    : cat(source.described_object().kind(), " metric ", metric.name());
  co_return One{proposal->replicas, name};
}

Task<Result<MetricEvaluation::One>> MetricEvaluation::read_external(const MetricSpec& spec, const Subject& subject,
                                                                    MetricStatus* status) {
  const v2::ExternalMetricSource& source = spec.external();
  const v2::MetricIdentifier& metric = source.metric();
  const bool is_share = source.target().has_average_value();
  if (!is_share && !source.target().has_value()) {
    co_return std::unexpected(
        sentence("invalid external metric source: neither a value target nor an average value target was set"));
  }
  const std::string context = is_share ? cat("failed to get ", metric.name(), " external metric")
                                       : cat("failed to get external metric ", metric.name());
  const Result<std::int64_t> usage = co_await reader_.of_external(subject.ns, metric);
  if (!usage) {
    const std::string what = cat(subject.ns, "/", metric.name(), "/", selector_text(metric));
    co_return std::unexpected(
        usage.error().with_context(cat("unable to get external metric ", what)).with_context(context));
  }
  const Result<Proposal> proposal = propose_for(source.target(), subject, *usage);
  if (!proposal) co_return std::unexpected(proposal.error().with_context(context));
  status->set_type(spec.type());
  *status->mutable_external()->mutable_metric() = metric;
  set_current(source.target(), proposal->usage, status->mutable_external()->mutable_current());
  co_return One{proposal->replicas, cat("external metric ", identifier_text(metric))};
}

}  // namespace gantry::control::autoscaling
