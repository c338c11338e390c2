// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/replica_count.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "api/quantity.h"
#include "base/text.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control::autoscaling {

namespace {

namespace core = k8s::io::api::core::v1;

// Sums of many pods' memory in thousandths of a byte are beyond 64 bits.
__extension__ using Wide = __int128;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

std::int32_t rounded_up(double replicas) {
  constexpr double kMostReplicas = std::numeric_limits<std::int32_t>::max();
  if (!(replicas > 0)) return 0;  // no number, too
  return static_cast<std::int32_t>(std::min(std::ceil(replicas), kMostReplicas));
}

template <typename T>
T clamped(Wide value) {
  constexpr Wide kLow = std::numeric_limits<T>::min(), kHigh = std::numeric_limits<T>::max();
  return static_cast<T>(std::clamp(value, kLow, kHigh));
}

Error sentence(std::string text) { return {Code::kFailedPrecondition, std::move(text)}; }

struct Groups {
  int ready = 0;
  std::set<std::string> unready, missing, ignored;
};

const core::PodCondition* ready_condition(const core::Pod& pod) {
  for (const core::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return &condition;
  }
  return nullptr;
}

// Whether what its CPU did says nothing of what it will do.
bool is_warming_up(const core::Pod& pod, const PodMetric& metric, const Question& question) {
  const core::PodCondition* condition = ready_condition(pod);
  if (condition == nullptr || !pod.status().has_start_time()) return true;
  const std::int64_t started = pod.status().start_time().seconds();
  const std::int64_t changed = condition->last_transition_time().seconds();
  const bool unready = condition->status() == "False";
  if (started + question.settings.cpu_initialization_period.count() > question.now) {
    return unready || static_cast<double>(metric.at) < static_cast<double>(changed) + metric.window_seconds;
  }
  return unready && started + question.settings.initial_readiness_delay.count() > changed;
}

Groups group(const Pods& pods, const PodMetrics& metrics, const std::string& resource, const Question& question) {
  Groups groups;
  for (const auto& pod : pods) {
    const std::string& name = pod->metadata().name();
    const std::string& phase = pod->status().phase();
    if (pod->metadata().has_deletion_timestamp() || phase == "Failed") {
      groups.ignored.insert(name);
    } else if (phase == "Pending") {
      groups.unready.insert(name);
    } else if (const auto metric = metrics.find(name); metric == metrics.end()) {
      groups.missing.insert(name);
    } else if (resource == "cpu" && is_warming_up(*pod, metric->second, question)) {
      groups.unready.insert(name);
    } else {
      ++groups.ready;
    }
  }
  return groups;
}

// --- What pods request ---

using Amounts = google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>;

std::optional<std::int64_t> amount(const Amounts& amounts, const std::string& name) {
  const auto found = amounts.find(name);
  if (found == amounts.end()) return std::nullopt;
  const Result<api::Quantity> quantity = api::Quantity::parse(found->second.string());
  return quantity ? quantity->milli_value() : 0;
}

bool has_pod_level(const core::Pod& pod) {
  if (!pod.spec().has_resources()) return false;
  return std::ranges::any_of(pod.spec().resources().requests(), [](const auto& entry) {
    return entry.first == "cpu" || entry.first == "memory" || entry.first.starts_with("hugepages-");
  });
}

std::vector<const core::Container*> running_containers(const core::Pod& pod) {
  std::vector<const core::Container*> all;
  for (const core::Container& one : pod.spec().containers()) all.push_back(&one);
  for (const core::Container& one : pod.spec().init_containers()) {
    if (one.restart_policy() == "Always") all.push_back(&one);
  }
  return all;
}

Result<std::int64_t> pod_level_request(const core::Pod& pod, const std::string& resource) {
  std::optional<Wide> request;
  if (const auto whole = amount(pod.spec().resources().requests(), resource)) request = *whole;
  if (!request) {
    for (const core::Container* container : running_containers(pod)) {
      const auto own = amount(container->resources().requests(), resource);
      if (own) request = request.value_or(0) + *own;
    }
  }
  if (!request) {
    return std::unexpected(
        sentence(cat("missing pod-level request for ", resource, " in Pod ", pod.metadata().name())));
  }
  return clamped<std::int64_t>(*request + amount(pod.spec().overhead(), resource).value_or(0));
}

Result<std::int64_t> request_of(const core::Pod& pod, const std::string& container, const std::string& resource) {
  if (container.empty() && has_pod_level(pod)) return pod_level_request(pod, resource);
  Wide sum = 0;
  for (const core::Container* one : running_containers(pod)) {
    if (!container.empty() && container != one->name()) continue;
    const std::optional<std::int64_t> request = amount(one->resources().requests(), resource);
    if (!request) {
      return std::unexpected(sentence(cat("missing request for ", resource, " in container ", one->name(), " of Pod ",
                                          pod.metadata().name())));
    }
    sum += *request;
    if (!container.empty()) return clamped<std::int64_t>(sum);
  }
  if (!container.empty()) {
    return std::unexpected(sentence(cat("container ", container, " not found in Pod ", pod.metadata().name())));
  }
  return clamped<std::int64_t>(sum);
}

using Requests = std::map<std::string, std::int64_t>;

Result<Requests> requests_of(const Pods& pods, const std::string& container, const std::string& resource) {
  Requests requests;
  for (const auto& pod : pods) {
    const Result<std::int64_t> request = request_of(*pod, container, resource);
    if (!request) return std::unexpected(request.error());
    requests[pod->metadata().name()] = *request;
  }
  return requests;
}

// --- Ratios ---

struct Ratio {
  double ratio = 0;  // of what is used to what it should be
  std::int64_t usage = 0;
  std::optional<std::int32_t> percentage;
};

Result<Ratio> utilization(const PodMetrics& metrics, const Requests& requests, std::int32_t target) {
  Wide used = 0, requested = 0;
  int count = 0;
  for (const auto& [name, metric] : metrics) {
    const auto request = requests.find(name);
    if (request == requests.end()) continue;
    used += metric.value;
    requested += request->second;
    ++count;
  }
  if (requested == 0) return std::unexpected(sentence("no metrics returned matched known pods"));
  Ratio found;
  found.percentage = clamped<std::int32_t>(used * 100 / requested);
  found.ratio = static_cast<double>(*found.percentage) / static_cast<double>(target);
  found.usage = clamped<std::int64_t>(used / count);
  return found;
}

Ratio average(const PodMetrics& metrics, std::int64_t target) {
  Wide used = 0;
  for (const auto& [name, metric] : metrics) used += metric.value;
  Ratio found;
  found.usage = clamped<std::int64_t>(used / static_cast<Wide>(metrics.size()));
  found.ratio = static_cast<double>(found.usage) / static_cast<double>(target);
  return found;
}

// What makes a ratio of metrics, and what a pod without one is taken to use when there are to be fewer.
struct Measure {
  std::function<Result<Ratio>(const PodMetrics&)> ratio;
  std::function<std::int64_t(const std::string& pod)> at_target;
};

// Of pods that are grouped; those that do not count have no metric any more.
Result<Proposal> propose(const Question& question, const Groups& groups, PodMetrics metrics, const Measure& measure) {
  const Result<Ratio> first = measure.ratio(metrics);
  if (!first) return std::unexpected(first.error());
  Proposal proposal{.replicas = question.current, .usage = first->usage, .percentage = first->percentage};
  const double ratio = first->ratio;
  const bool unready_matter = !groups.unready.empty() && ratio > 1.0;
  if (!unready_matter && groups.missing.empty()) {
    if (!question.tolerances.has(ratio)) proposal.replicas = rounded_up(ratio * groups.ready);
    return proposal;
  }
  // Nothing known: as much as it may use where there were to be fewer, nothing where there were to be more.
  for (const std::string& name : groups.missing) {
    if (ratio < 1.0) metrics[name].value = measure.at_target(name);
    if (ratio > 1.0) metrics[name].value = 0;
  }
  if (unready_matter) {
    for (const std::string& name : groups.unready) metrics[name].value = 0;
  }
  const Result<Ratio> second = measure.ratio(metrics);
  if (!second) return std::unexpected(second.error());
  const bool turns = (ratio < 1.0 && second->ratio > 1.0) || (ratio > 1.0 && second->ratio < 1.0);
  if (question.tolerances.has(second->ratio) || turns) return proposal;
  const std::int32_t replicas = rounded_up(second->ratio * static_cast<double>(metrics.size()));
  const bool contradicts = (second->ratio < 1.0 && replicas > question.current) ||
                           (second->ratio > 1.0 && replicas < question.current);
  if (!contradicts) proposal.replicas = replicas;
  return proposal;
}

Result<Groups> count_pods(const Question& question, const Pods& pods, const std::string& resource,
                          PodMetrics* metrics) {
  if (pods.empty()) return std::unexpected(sentence("no pods returned by selector while calculating replica count"));
  Groups groups = group(pods, *metrics, resource, question);
  for (const auto* without : {&groups.ignored, &groups.unready}) {
    for (const std::string& name : *without) metrics->erase(name);
  }
  if (metrics->empty()) {
    return std::unexpected(sentence("did not receive metrics for targeted pods (pods might be unready)"));
  }
  return groups;
}

}  // namespace

Result<Proposal> replicas_for_utilization(const Question& question, const Pods& pods, PodMetrics metrics,
                                          const std::string& resource, const std::string& container,
                                          std::int32_t target) {
  const Result<Groups> groups = count_pods(question, pods, resource, &metrics);
  if (!groups) return std::unexpected(groups.error());
  const Result<Requests> requests = requests_of(pods, container, resource);
  if (!requests) return std::unexpected(requests.error());
  const Measure measure{
      .ratio = [&](const PodMetrics& some) { return utilization(some, *requests, target); },
      .at_target =
          [&](const std::string& pod) {
            return clamped<std::int64_t>(static_cast<Wide>(requests->at(pod)) * std::max(100, target) / 100);
          }};
  return propose(question, *groups, std::move(metrics), measure);
}

Result<Proposal> replicas_for_average(const Question& question, const Pods& pods, PodMetrics metrics,
                                      const std::string& resource, std::int64_t target) {
  const Result<Groups> groups = count_pods(question, pods, resource, &metrics);
  if (!groups) return std::unexpected(groups.error());
  const Measure measure{.ratio = [&](const PodMetrics& some) -> Result<Ratio> { return average(some, target); },
                        .at_target = [&](const std::string&) { return target; }};
  return propose(question, *groups, std::move(metrics), measure);
}

Result<Proposal> replicas_for_value(const Question& question, const Pods& pods, std::int64_t usage,
                                    std::int64_t target) {
  Proposal proposal{.replicas = question.current, .usage = usage, .percentage = {}};
  const double ratio = static_cast<double>(usage) / static_cast<double>(target);
  if (question.current == 0) {
    proposal.replicas = rounded_up(ratio);
    return proposal;
  }
  if (question.tolerances.has(ratio)) return proposal;
  if (pods.empty()) {
    return std::unexpected(
        sentence("unable to calculate ready pods: no pods returned by selector while calculating replica count"));
  }
  const auto ready = std::ranges::count_if(
      pods, [](const auto& pod) { return pod->status().phase() == "Running" && workloads::is_ready(*pod); });
  proposal.replicas = rounded_up(ratio * static_cast<double>(ready));
  return proposal;
}

Proposal replicas_for_share(const Question& question, std::int64_t usage, std::int64_t target) {
  Proposal proposal{.replicas = question.current, .usage = 0, .percentage = {}};
  const double used = static_cast<double>(usage), wanted = static_cast<double>(target);
  const double ratio = used / (wanted * question.current);
  if (!question.tolerances.has(ratio)) proposal.replicas = rounded_up(used / wanted);
  const double share = question.current == 0 ? 0 : std::ceil(used / question.current);
  proposal.usage = share >= static_cast<double>(kMost) ? kMost : static_cast<std::int64_t>(share);
  return proposal;
}

}  // namespace gantry::control::autoscaling
