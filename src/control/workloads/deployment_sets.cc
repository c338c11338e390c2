// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/deployment_sets.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "api/json.h"
#include "control/controllers/share.h"
#include "control/workloads/pod_names.h"

namespace gantry::control::workloads {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kRevisionHistory[] = "deployment.kubernetes.io/revision-history";
constexpr std::size_t kLongestHistory = 2000;
constexpr int kHashLetters = 10;
// Of the deployment alone.
constexpr std::string_view kNotCopied[] = {"kubectl.kubernetes.io/last-applied-configuration",
                                           kRevision,
                                           kRevisionHistory,
                                           kDesiredReplicas,
                                           kMaxReplicas,
                                           "deprecated.deployment.rollback.to"};

template <typename Number>
bool parse(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

const std::string* annotation(const ReplicaSet& set, const std::string& name) {
  const auto& annotations = set.metadata().annotations();
  const auto found = annotations.find(name);
  return found == annotations.end() ? nullptr : &found->second;
}

// Equal for equal templates, however they came here.
std::string template_text(const core::PodTemplateSpec& pod_template) {
  core::PodTemplateSpec bare = pod_template;
  bare.mutable_metadata()->mutable_labels()->erase(kTemplateHash);
  // What can't be brought to the one form is no template that a server holds.
  (void)api::normalize(&bare);
  return api::write_json(api::encode(bare));
}

// Most templates of a deployment differ in an image, which is seen without their texts.
bool have_equal_images(const core::PodTemplateSpec& a, const core::PodTemplateSpec& b) {
  return std::ranges::equal(a.spec().containers(), b.spec().containers(), {}, &core::Container::image,
                            &core::Container::image);
}

bool are_equal(const core::PodTemplateSpec& a, const core::PodTemplateSpec& b) {
  return have_equal_images(a, b) && template_text(a) == template_text(b);
}

// The numbers that a set had before, with one more; the oldest go when there is no room.
std::string longer_history(std::string history, const std::string& last) {
  if (history.empty()) return last;
  while (history.size() + 1 + last.size() > kLongestHistory) {
    const std::size_t comma = history.find(',');
    if (comma == std::string::npos) return last;
    history.erase(0, comma + 1);
  }
  return cat(history, ",", last);
}

}  // namespace

bool is_recreated(const Deployment& deployment) { return deployment.spec().strategy().type() == "Recreate"; }

Bounds bounds_of(const Deployment& deployment) {
  if (is_recreated(deployment)) return {};
  const std::int32_t replicas = deployment.spec().replicas();
  const auto& update = deployment.spec().strategy().rolling_update();
  Bounds bounds{.surge = amount_of(update.max_surge(), replicas, Rounding::kUp),
                .unavailable = amount_of(update.max_unavailable(), replicas, Rounding::kDown)};
  // Rounding may leave no way to go on.
  if (bounds.surge == 0 && bounds.unavailable == 0) bounds.unavailable = 1;
  bounds.unavailable = std::min(bounds.unavailable, replicas);
  return bounds;
}

std::int32_t size_of(const ReplicaSet& set) { return set.spec().has_replicas() ? set.spec().replicas() : 1; }

std::pair<std::int64_t, std::string> age_of(const ReplicaSet& set) {
  return {set.metadata().creation_timestamp().seconds(), set.metadata().name()};
}

std::vector<SetPtr> by_age(std::vector<SetPtr> sets) {
  std::ranges::sort(sets, {}, [](const SetPtr& set) { return age_of(*set); });
  return sets;
}

bool has_template_of(const Deployment& deployment, const ReplicaSet& set) {
  return are_equal(deployment.spec().template_(), set.spec().template_());
}

SetPtr find_new(const Deployment& deployment, const std::vector<SetPtr>& sets) {
  const core::PodTemplateSpec& wanted = deployment.spec().template_();
  std::string text;  // of it; written when it is needed
  for (const SetPtr& set : by_age(sets)) {
    const core::PodTemplateSpec& held = set->spec().template_();
    if (!have_equal_images(wanted, held)) continue;
    if (text.empty()) text = template_text(wanted);
    if (template_text(held) == text) return set;
  }
  return nullptr;
}

std::vector<SetPtr> without(const std::vector<SetPtr>& sets, const SetPtr& one) {
  std::vector<SetPtr> others = sets;
  std::erase(others, one);
  return others;
}

std::vector<SetPtr> active(const std::vector<SetPtr>& sets) {
  std::vector<SetPtr> those = sets;
  std::erase_if(those, [](const SetPtr& set) { return size_of(*set) == 0; });
  return those;
}

std::int64_t number_in(const ReplicaSet& set, const char* name) {
  const std::string* text = annotation(set, name);
  std::int64_t number = 0;
  return text != nullptr && parse(*text, &number) ? number : -1;
}

std::int64_t revision_of(const ReplicaSet& set) { return std::max<std::int64_t>(number_in(set, kRevision), 0); }

Annotations missing_annotations(const Deployment& deployment, const ReplicaSet& set,
                                const std::vector<SetPtr>& others) {
  Annotations missing;
  for (const auto& [name, value] : deployment.metadata().annotations()) {
    if (std::ranges::find(kNotCopied, name) != std::end(kNotCopied)) continue;
    const std::string* present = annotation(set, name);
    if (present == nullptr || *present != value) missing[name] = value;
  }
  std::int64_t last = 0;
  for (const SetPtr& other : others) last = std::max(last, revision_of(*other));
  const std::string* before = annotation(set, kRevision);
  // Somebody's own word, which is left alone.
  if (before != nullptr && !before->empty() && number_in(set, kRevision) < 0) return missing;
  if (revision_of(set) >= last + 1) return missing;
  missing[kRevision] = cat(last + 1);
  // It is gone back to: its former numbers are kept.
  if (before != nullptr) {
    const std::string* history = annotation(set, kRevisionHistory);
    missing[kRevisionHistory] = longer_history(history == nullptr ? "" : *history, *before);
  }
  return missing;
}

Annotations size_annotations(const Deployment& deployment) {
  const std::int64_t replicas = deployment.spec().replicas();
  return {{kDesiredReplicas, cat(replicas)}, {kMaxReplicas, cat(replicas + bounds_of(deployment).surge)}};
}

ReplicaSet new_set(const Deployment& deployment, const Owner& owner, const std::vector<SetPtr>& others,
                   std::int32_t size) {
  const core::PodTemplateSpec& pod_template = deployment.spec().template_();
  const std::string salt = deployment.status().has_collision_count() ? cat(deployment.status().collision_count()) : "";
  const std::string hash = safe_text(stable_hash(cat(template_text(pod_template), salt)), kHashLetters);
  ReplicaSet set;
  *set.mutable_spec()->mutable_template_() = pod_template;
  auto& labels = *set.mutable_spec()->mutable_template_()->mutable_metadata()->mutable_labels();
  labels[kTemplateHash] = hash;
  *set.mutable_spec()->mutable_selector() = deployment.spec().selector();
  (*set.mutable_spec()->mutable_selector()->mutable_match_labels())[kTemplateHash] = hash;
  set.mutable_spec()->set_min_ready_seconds(deployment.spec().min_ready_seconds());
  set.mutable_spec()->set_replicas(size);
  api::ObjectMeta* metadata = set.mutable_metadata();
  metadata->set_namespace_(owner.ns);
  metadata->set_name(cat(owner.name, "-", hash));
  *metadata->mutable_labels() = labels;
  set_controller(owner, metadata);
  Annotations annotations = missing_annotations(deployment, set, others);
  annotations.merge(size_annotations(deployment));
  for (const auto& [name, value] : annotations) (*metadata->mutable_annotations())[name] = value;
  return set;
}

}  // namespace gantry::control::workloads
