// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/workload.h"

#include <algorithm>

#include "api/codec.h"
#include "api/kind_parts.h"
#include "api/kinds/core/pod_rules.h"
#include "api/label_selector.h"
#include "kubernetes/core/v1/pod_template.pb.h"
#include "kubernetes/util/intstr.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;
using IntOrString = k8s::io::apimachinery::pkg::util::intstr::IntOrString;

// The number before '%', or nothing.
std::optional<int64_t> percentage(const std::string& text) {
  if (text.size() < 2 || text.size() > 10 || text.back() != '%') return std::nullopt;
  const std::string_view digits = std::string_view(text).substr(0, text.size() - 1);
  if (!std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  return std::stoll(std::string(digits));
}

}  // namespace

void check_pod_template(const core::PodTemplateSpec& pod, const Check& check) {
  check_labels(pod.metadata().labels(), check.at("labels"));
  check_annotations(pod.metadata().annotations(), check.at("annotations"));
  check_pod_spec(pod.spec(), check.at("spec"));
  if (!pod.spec().ephemeral_containers().empty()) {
    check.at("spec").at("ephemeralContainers").forbidden("are added to running pods, and not part of a template");
  }
}

void check_lasting_template(const core::PodTemplateSpec& pod, const Check& check) {
  check_pod_template(pod, check);
  check.at("spec").at("restartPolicy").one_of(pod.spec().restart_policy(), {"Always"});
  if (pod.spec().has_active_deadline_seconds()) {
    check.at("spec").at("activeDeadlineSeconds").forbidden("pods that are replaced for ever have no deadline");
  }
}

bool selector_matches(const LabelSelectorMessage& selector,
                      const google::protobuf::Map<std::string, std::string>& labels) {
  const Result<LabelSelector> parsed = LabelSelector::from_value(encode(selector));
  return parsed && parsed->matches_map(labels);
}

void check_selector_of(const LabelSelectorMessage& selector, const core::PodTemplateSpec& pod, const Check& check) {
  check_label_selector(selector, check.at("selector"));
  if (selector.match_labels().empty() && selector.match_expressions().empty()) {
    check.at("selector").invalid("", "must not be empty: it would select every pod");
    return;
  }
  const Result<LabelSelector> parsed = LabelSelector::from_value(encode(selector));
  if (!parsed) {
    check.at("selector").invalid(selector_text(selector), parsed.error().message());
  } else if (!parsed->matches_map(pod.metadata().labels())) {
    check.at("template")
        .at("metadata")
        .at("labels")
        .invalid(selector_text(pod.metadata().labels()), "`selector` does not match template `labels`");
  }
}

void check_absent_selector(const Check& check) {
  check.at("template").at("metadata").at("labels").invalid("", "`selector` does not match template `labels`");
}

void check_share(const IntOrString& share, bool at_most_all, const Check& check) {
  if (share.type() == 0) return check.not_negative(share.int_val());
  const std::optional<int64_t> percent = percentage(share.str_val());
  if (!percent) return check.invalid(share.str_val(), "must be a whole number or a percentage, such as 10 or 25%");
  if (at_most_all && *percent > 100) check.invalid(share.str_val(), "must not be greater than 100%");
}

bool is_no_share(const IntOrString& share) {
  return share.type() == 0 ? share.int_val() == 0 : percentage(share.str_val()) == 0;
}

void check_immutable(const Message& old, const Message& updated, const Check& check) {
  if (!equal(old, updated)) check.invalid("", "field is immutable");
}

}  // namespace gantry::api
