// SPDX-License-Identifier: Apache-2.0
#include "agent/event_correlator.h"

#include <algorithm>

#include "base/text.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

// client-go's defaults.
constexpr double kBurst = 25;
constexpr std::chrono::seconds kOneMoreEach{300};
constexpr std::size_t kMostSimilar = 10;
constexpr std::chrono::seconds kSimilarFor{600};
constexpr char kCombined[] = "(combined from similar events): ";

// A byte that is in none of the texts stands between them.
std::string object_key(const core::Event& event) {
  const core::ObjectReference& object = event.involved_object();
  return cat(object.kind(), '\0', object.namespace_(), '\0', object.name(), '\0', object.uid());
}

std::string reason_key(const core::Event& event) {
  return cat(object_key(event), '\0', event.type(), '\0', event.reason());
}

// What is combined is one for the whole object.
std::string whole_key(const core::Event& event) {
  if (event.message().starts_with(kCombined)) return reason_key(event);
  return cat(reason_key(event), '\0', event.involved_object().field_path(), '\0', event.message());
}

}  // namespace

bool EventCorrelator::has_budget(const core::Event& event, TimePoint now) {
  Budget& budget = budgets_[object_key(event)];
  if (budget.at == TimePoint::min()) {
    budget.left = kBurst;
  } else {
    const std::chrono::duration<double> passed = now - budget.at;
    budget.left = std::min(kBurst, budget.left + passed / kOneMoreEach);
  }
  budget.at = now;
  if (budget.left < 1) return false;
  budget.left -= 1;
  return true;
}

bool EventCorrelator::is_one_of_many(const core::Event& event, TimePoint now) {
  Similar& similar = similar_[reason_key(event)];
  if (similar.at == TimePoint::min() || now - similar.at > kSimilarFor) similar.messages.clear();
  similar.at = now;
  similar.messages.insert(event.message());
  if (similar.messages.size() < kMostSimilar) return false;
  // Bounded: one goes, whichever.
  similar.messages.erase(similar.messages.begin());
  return true;
}

EventCorrelator::Write EventCorrelator::take(core::Event* event, TimePoint now) {
  if (is_one_of_many(*event, now)) event->set_message(cat(kCombined, event->message()));
  if (!has_budget(*event, now)) return Write::kNothing;
  const Known& known = known_[whole_key(*event)];
  if (known.count == 0) {
    event->set_count(1);
    return Write::kCreate;
  }
  event->mutable_metadata()->set_name(known.name);
  event->mutable_first_timestamp()->set_seconds(known.first);
  event->set_count(known.count + 1);
  return Write::kCount;
}

void EventCorrelator::written(const core::Event& event) {
  known_[whole_key(event)] = {event.metadata().name(), event.count(), event.first_timestamp().seconds()};
}

}  // namespace gantry::agent
