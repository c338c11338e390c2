// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/horizontal_controller.h"

#include <algorithm>

#include "api/codec.h"
#include "api/kind_parts.h"
#include "api/kinds/autoscaling/hpa.h"
#include "api/quantity.h"
#include "base/text.h"
#include "control/autoscaling/hpa_status.h"
#include "control/workloads/owner.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control::autoscaling {

namespace core = k8s::io::api::core::v1;
namespace v2 = k8s::io::api::autoscaling::v2;

namespace {

constexpr std::size_t kWorkers = 5;
// How often a scale is written that others write at the same time.
constexpr int kTries = 5;

Tolerances tolerances_of(const v2::HorizontalPodAutoscalerSpec& spec, const Settings& settings) {
  Tolerances tolerances{settings.tolerance, settings.tolerance};
  const auto read = [](const v2::HPAScalingRules& rules, double* tolerance) {
    if (!rules.has_tolerance()) return;
    const Result<api::Quantity> own = api::Quantity::parse(rules.tolerance().string());
    if (own) *tolerance = static_cast<double>(own->scaled(-9)) / 1e9;
  };
  if (spec.has_behavior()) {
    read(spec.behavior().scale_down(), &tolerances.down);
    read(spec.behavior().scale_up(), &tolerances.up);
  }
  return tolerances;
}

}  // namespace

struct HorizontalController::Round {
  std::string key;
  std::shared_ptr<const Hpa> object;
  Hpa updated;  // whose status is written at the end
  EventRecorder::About about;
  std::int64_t now = 0;
  api::Target target = {};
  Scale scale = {};
  std::int32_t minimum = 1;
  std::int32_t current = 0;
  std::int32_t desired = 0;
  std::string reason = {};  // why there shall be more or fewer
  bool rescaled = false;
  std::vector<v2::MetricStatus> metrics = {};

  const v2::HorizontalPodAutoscalerSpec& spec() const { return object->spec(); }
  void set(std::string_view type, bool holds, std::string why, std::string message) {
    set_condition(updated.mutable_status(), type, holds, {std::move(why), std::move(message)}, now);
  }
  std::string scale_path() const {
    return target.path(object->metadata().namespace_(), spec().scale_target_ref().name(), "scale");
  }
  // What a round that came so far tells.
  void set_numbers(std::int32_t wanted) {
    v2::HorizontalPodAutoscalerStatus& status = *updated.mutable_status();
    status.set_current_replicas(current);
    status.set_desired_replicas(wanted);
    status.set_observed_generation(object->metadata().generation());
    status.clear_current_metrics();
    for (const v2::MetricStatus& metric : metrics) *status.add_current_metrics() = metric;
    if (!rescaled) return;
    status.mutable_last_scale_time()->set_seconds(now);
    status.mutable_last_scale_time()->set_nanos(0);
  }
};

HorizontalController::HorizontalController(ControllerParts parts, Settings settings)
    : parts_(std::move(parts)),
      settings_(settings),
      objects_(parts_.informers.of<Hpa>()),
      pods_(parts_.informers.of<core::Pod>()),
      events_(parts_, "horizontal-pod-autoscaler"),
      queue_(parts_.queues(), "horizontalpodautoscaler", [this](std::string key) { return work(key); }, kWorkers),
      wakes_(parts_.here, queue_),
      resources_(parts_),
      reader_(parts_.client, resources_) {
  workloads::index_by_namespace(pods_);
  workloads::index_by_namespace(objects_);
  objects_.on_change([this](const api::Informer::Change& change) {
    const auto& metadata = static_cast<const Hpa&>(change.object()).metadata();
    const std::string key = api::object_key(metadata.namespace_(), metadata.name());
    if (change.now == nullptr) known_.erase(key);
    // What is written of its status makes it no different.
    const bool is_same = change.before != nullptr && change.now != nullptr &&
                         static_cast<const Hpa&>(*change.before).metadata().generation() == metadata.generation() &&
                         static_cast<const Hpa&>(*change.before).metadata().uid() == metadata.uid();
    if (change.now != nullptr && !is_same) queue_.add(key);
  });
}

HorizontalController::~HorizontalController() = default;

HorizontalController::Known& HorizontalController::known_of(const Round& round) {
  Known& known = known_[round.key];
  if (known.uid != round.object->metadata().uid()) known = Known{.uid = round.object->metadata().uid(), .history = {}};
  return known;
}

Task<Status> HorizontalController::work(std::string key) {
  const std::shared_ptr<const Hpa> object = objects_.find_key(key);
  if (object == nullptr) co_return Status();
  // The next round comes whatever becomes of this one: what fails is told, and not hurried.
  wakes_.within(key, settings_.sync_period);
  Round round{.key = key,
              .object = object,
              .updated = *object,
              .about = events_.about(*object),
              .now = parts_.now().seconds};
  const Status looked = co_await look(round);
  if (!looked && looked.error().is_cancelled()) co_return looked;
  const Status written = co_await write_status(round);
  if (objects_.find_key(key) == nullptr) known_.erase(key);  // it went meanwhile
  co_return written;
}

Task<Status> HorizontalController::look(Round& round) {
  if (Status found = co_await get_scale(round); !found) {
    if (found.error().is_cancelled()) co_return found;
    events_.warning(round.about, "FailedGetScale", found.error().message());
    round.set(kAbleToScale, false, "FailedGetScale",
              cat("the HPA controller was unable to get the target's current scale: ", found.error().message()));
    co_return found;
  }
  round.set(kAbleToScale, true, "SucceededGetScale",
            "the HPA controller was able to get the target's current scale");
  round.current = round.scale.spec().replicas();
  round.minimum = round.spec().has_min_replicas() ? round.spec().min_replicas() : 1;
  known_of(round).history.begin(round.current, round.now);
  const bool was_scaled_to_zero = has_condition(round.object->status(), kScaledToZero);
  if (round.current == 0 &&
      !(was_scaled_to_zero && (round.minimum != 0 || api::measures_without_pods(round.spec())))) {
    round.set(kScalingActive, false, "ScalingDisabled",
              "scaling is disabled since the replica count of the target is zero");
    round.set_numbers(0);
    co_return Status();
  }
  if (round.current > round.spec().max_replicas()) {
    round.reason = "Current number of replicas above Spec.MaxReplicas";
    round.desired = round.spec().max_replicas();
  } else if (round.current != 0 && round.current < round.minimum) {
    round.reason = "Current number of replicas below Spec.MinReplicas";
    round.desired = round.minimum;
  } else if (!co_await measure(round)) {
    round.set_numbers(round.object->status().desired_replicas());
    co_return Status();
  }
  if (round.desired == round.current) {
    round.set_numbers(round.current);
    co_return Status();
  }
  co_return co_await rescale(round);
}

Task<Status> HorizontalController::get_scale(Round& round) {
  const auto& reference = round.spec().scale_target_ref();
  Result<api::Target> target = co_await resources_.find(reference.api_version(), reference.kind());
  if (!target) co_return std::unexpected(std::move(target.error()));
  round.target = std::move(*target);
  const api::Answer<api::Value> document = co_await parts_.client.document("GET", round.scale_path());
  if (!document) co_return std::unexpected(document.error().as_error());
  if (api::Answer<void> read = api::Client::decode_item(*document, &round.scale); !read) {
    co_return std::unexpected(read.error().as_error());
  }
  co_return Status();
}

Task<Status> HorizontalController::put_scale(Round& round) {
  for (int i = 1;; ++i) {
    round.scale.mutable_spec()->set_replicas(round.desired);
    std::string body;
    api::encode_json(round.scale, &body);
    const api::Answer<api::Value> done =
        co_await parts_.client.document("PUT", round.scale_path(), "application/json", std::move(body));
    if (done) co_return Status();
    if (!done.error().is_conflict() || i == kTries) co_return std::unexpected(done.error().as_error());
    if (Status again = co_await get_scale(round); !again) co_return again;
  }
}

bool HorizontalController::choose_pods(Round& round, Subject* subject) {
  const std::string& text = round.scale.status().selector();
  if (text.empty()) {
    events_.warning(round.about, "SelectorRequired", "selector is required");
    round.set(kScalingActive, false, "InvalidSelector", "the HPA target's scale is missing a selector");
    events_.warning(round.about, "FailedComputeMetricsReplicas", "selector is required");
    return false;
  }
  const auto refuse = [&](const char* reason, std::string message) {
    events_.warning(round.about, reason, message);
    events_.warning(round.about, "FailedComputeMetricsReplicas", message);
    round.set(kScalingActive, false, reason, std::move(message));
    return false;
  };
  const Result<api::LabelSelector> selector = api::LabelSelector::parse(text);
  if (!selector) {
    return refuse("InvalidSelector", cat("couldn't convert selector into a corresponding internal selector object: ",
                                         selector.error().message()));
  }
  known_of(round).selector = *selector;
  const std::string& ns = round.object->metadata().namespace_();
  for (const auto& pod : pods_.by(workloads::kByNamespace, ns)) {
    if (selector->matches_map(pod->metadata().labels())) subject->pods.push_back(pod);
  }
  std::string others;
  int count = 0;
  for (const auto& object : objects_.by(workloads::kByNamespace, ns)) {
    const auto known = known_.find(api::object_key(ns, object->metadata().name()));
    if (known == known_.end() || count == 2) continue;
    const bool matches = std::ranges::any_of(subject->pods, [&](const auto& pod) {
      return known->second.selector.matches_map(pod->metadata().labels());
    });
    if (!matches) continue;
    others += cat(count++ == 0 ? "" : " ", "{", object->metadata().name(), " ", ns, "}");
  }
  if (count > 1) {
    return refuse("AmbiguousSelector", cat("pods by selector ", text,
                                           " are controlled by more than one HPA (e.g. [", others, "])"));
  }
  subject->ns = ns;
  subject->selector = selector->to_string();
  return true;
}

Task<bool> HorizontalController::measure(Round& round) {
  Subject subject;
  if (!choose_pods(round, &subject)) co_return false;
  subject.spec_replicas = round.current;
  subject.status_replicas = round.scale.status().replicas();
  subject.question = {.current = round.current,
                      .tolerances = tolerances_of(round.spec(), settings_),
                      .settings = settings_,
                      .now = round.now};
  MetricEvaluation metrics(reader_, [this, &round](const std::string& reason, const std::string& message) {
    events_.warning(round.about, reason, message);
  });
  Evaluation found = co_await metrics.evaluate(round.spec(), std::move(subject));
  round.metrics = std::move(found.statuses);
  round.set(kScalingActive, found.replicas.has_value(), std::move(found.active.reason),
            std::move(found.active.message));
  if (!found.replicas) {
    events_.warning(round.about, "FailedComputeMetricsReplicas", found.error);
    co_return false;
  }
  const std::int32_t proposed = std::max(*found.replicas, 0);
  if (proposed > round.current) round.reason = cat(found.metric, " above target");
  if (proposed < round.current) round.reason = "All metrics below target";
  const Allowed allowed = known_of(round).history.allow(round.spec(), round.minimum, round.current, proposed,
                                                        settings_, round.now);
  round.set(kAbleToScale, true, allowed.able.reason, allowed.able.message);
  round.set(kScalingLimited, allowed.is_limited, allowed.limit.reason, allowed.limit.message);
  round.desired = allowed.replicas;
  // From none there are as many as there must be.
  if (round.current == 0 && round.desired < round.minimum) {
    round.desired = round.minimum;
    if (round.reason.empty()) round.reason = "Current number of replicas below Spec.MinReplicas";
  }
  co_return true;
}

Task<Status> HorizontalController::rescale(Round& round) {
  if (Status done = co_await put_scale(round); !done) {
    if (done.error().is_cancelled()) co_return done;
    events_.warning(round.about, "FailedRescale",
                    cat("New size: ", round.desired, "; reason: ", round.reason, "; error: ", done.error().message()));
    round.set(kAbleToScale, false, "FailedUpdateScale",
              cat("the HPA controller was unable to update the target scale: ", done.error().message()));
    round.set_numbers(round.object->status().desired_replicas());
    co_return Status();
  }
  round.rescaled = true;
  round.set(kAbleToScale, true, "SucceededRescale",
            cat("the HPA controller was able to update the target scale to ", round.desired));
  events_.normal(round.about, "SuccessfulRescale", cat("New size: ", round.desired, "; reason: ", round.reason));
  known_of(round).history.scaled(round.spec(), round.current, round.desired, round.now);
  if (round.current > 0 && round.desired == 0 && round.minimum == 0 && api::measures_without_pods(round.spec())) {
    round.set(kScaledToZero, true, "ScaledToZero", "the HPA controller scaled the workload to zero");
  } else {
    round.set(kScaledToZero, false, "NotScaledToZero", "the HPA controller did not scale the workload to zero");
  }
  round.set_numbers(round.desired);
  co_return Status();
}

Task<Status> HorizontalController::write_status(Round& round) {
  if (Status normal = api::normalize(&round.updated); !normal) co_return normal;
  if (api::equal(round.updated.status(), round.object->status())) co_return Status();
  api::Answer<Hpa> done = co_await parts_.client.update_status(round.updated);
  // What was done is not forgotten because somebody changed the object meanwhile, or it was not seen here yet.
  for (int i = 1; i < kTries && !done && done.error().is_conflict(); ++i) {
    const auto& metadata = round.object->metadata();
    api::Answer<Hpa> live = co_await parts_.client.get<Hpa>(metadata.namespace_(), metadata.name());
    if (!live || live->metadata().uid() != metadata.uid()) break;
    *live->mutable_status() = round.updated.status();
    done = co_await parts_.client.update_status(*live);
  }
  if (!done && done.error().is_cancelled()) co_return std::unexpected(done.error().as_error());
  // That it is gone comes by itself; the rest is told, and tried in the next round.
  if (!done && !done.error().is_conflict() && !done.error().is_not_found()) {
    events_.warning(round.about, "FailedUpdateStatus", done.error().message);
  }
  co_return Status();
}

}  // namespace gantry::control::autoscaling
