// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/event.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/core/v1/event.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr size_t kMaxWord = 128;
constexpr size_t kMaxMessage = 1024;
constexpr int64_t kNanosecondsOfMicrosecond = 1000;

template <typename Time>
bool is_set(const Time& time) {
  return time.seconds() != 0 || time.nanos() != 0;
}

void check_word(const std::string& word, const Check& check) {
  if (word.empty()) check.required();
  if (word.size() > kMaxWord) check.invalid("", "must have at most 128 characters");
}

// An event in the old way: in the namespace of what it is about.
void check_old(const core::Event& event, const Check& check) {
  const std::string& ns = event.metadata().namespace_();
  const std::string& about = event.involved_object().namespace_();
  if (about.empty() ? !ns.empty() && ns != "default" : ns != about) {
    check.at("involvedObject").at("namespace").invalid(about, "must be the event's namespace");
  }
}

// An event with the time at which it happened: it says who reports it, and what was done.
void check_new(const core::Event& event, bool strict, const Check& check) {
  const std::string& ns = event.metadata().namespace_();
  if (event.involved_object().namespace_().empty() && ns != "default" && ns != "kube-system") {
    check.at("involvedObject").at("namespace").invalid("", "must be the event's namespace");
  }
  const Check reporter = check.at(strict ? "reportingController" : "reportingComponent");
  if (event.reporting_component().empty()) reporter.required();
  reporter.well_formed(event.reporting_component(), check_qualified_name);
  check_word(event.reporting_instance(), check.at("reportingInstance"));
  check_word(event.action(), check.at("action"));
  check_word(event.reason(), check.at("reason"));
  if (event.message().size() > kMaxMessage) check.at("message").invalid("", "must have at most 1024 characters");
}

void check_legacy(const core::Event& event, bool strict, const Check& check) {
  if (is_set(event.event_time())) {
    check_new(event, strict, check);
  } else {
    check_old(event, check);
  }
}

void check_series(const core::Event& event, const Check& check) {
  if (!event.has_series()) return;
  if (event.series().count() < 2) check.at("count").invalid(event.series().count(), "must be at least 2");
  if (!is_set(event.series().last_observed_time())) check.at("lastObservedTime").required();
}

// What only the old API writes.
void check_unused(const core::Event& event, const Check& check) {
  const auto unused = [&](bool is_unset, const char* field) {
    if (!is_unset) check.at(field).invalid("", "must not be set");
  };
  unused(!is_set(event.first_timestamp()), "firstTimestamp");
  unused(!is_set(event.last_timestamp()), "lastTimestamp");
  unused(event.count() == 0, "count");
  unused(event.source().component().empty() && event.source().host().empty(), "source");
}

}  // namespace

FieldProblems validate_event(const core::Event& event, bool strict) {
  FieldProblems problems;
  const Check check(&problems);
  check_legacy(event, strict, check);
  if (!strict) return problems;
  check_series(event, check.at("series"));
  if (!is_set(event.event_time())) check.at("eventTime").required();
  if (event.type() != "Normal" && event.type() != "Warning") {
    check.at("type").invalid(event.type(), "must be Normal or Warning");
  }
  check_unused(event, check);
  return problems;
}

FieldProblems validate_event_update(const core::Event& old, const core::Event& updated, bool strict) {
  FieldProblems problems;
  const Check check(&problems);
  check_legacy(updated, strict, check);
  if (!strict) return problems;
  if (!equal(old.series(), updated.series())) check_series(updated, check.at("series"));
  const auto same = [&](bool is_same, const char* field) {
    if (!is_same) check.at(field).invalid("", "field is immutable");
  };
  same(equal(old.involved_object(), updated.involved_object()), "involvedObject");
  same(old.reason() == updated.reason(), "reason");
  same(old.message() == updated.message(), "message");
  same(equal(old.source(), updated.source()), "source");
  same(equal(old.first_timestamp(), updated.first_timestamp()), "firstTimestamp");
  same(equal(old.last_timestamp(), updated.last_timestamp()), "lastTimestamp");
  same(old.count() == updated.count(), "count");
  same(old.type() == updated.type(), "type");
  const auto micro = [](const core::Event& event) {
    return std::pair(event.event_time().seconds(), event.event_time().nanos() / kNanosecondsOfMicrosecond);
  };
  same(micro(old) == micro(updated), "eventTime");
  same(old.action() == updated.action(), "action");
  same(old.has_related() == updated.has_related() && equal(old.related(), updated.related()), "related");
  same(old.reporting_component() == updated.reporting_component(), "reportingController");
  same(old.reporting_instance() == updated.reporting_instance(), "reportingInstance");
  return problems;
}

}  // namespace gantry::api
