// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/event.h"
#include "api/kinds/events/kinds.h"
#include "base/text.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/events/v1/event.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;
namespace events = k8s::io::api::events::v1;

core::Event as_stored(const events::Event& served) {
  core::Event stored;
  *stored.mutable_metadata() = served.metadata();
  *stored.mutable_involved_object() = served.regarding();
  stored.set_reason(served.reason());
  stored.set_message(served.note());
  *stored.mutable_source() = served.deprecated_source();
  *stored.mutable_first_timestamp() = served.deprecated_first_timestamp();
  *stored.mutable_last_timestamp() = served.deprecated_last_timestamp();
  stored.set_count(served.deprecated_count());
  stored.set_type(served.type());
  *stored.mutable_event_time() = served.event_time();
  if (served.has_series()) {
    stored.mutable_series()->set_count(served.series().count());
    *stored.mutable_series()->mutable_last_observed_time() = served.series().last_observed_time();
  }
  stored.set_action(served.action());
  if (served.has_related()) *stored.mutable_related() = served.related();
  stored.set_reporting_component(served.reporting_controller());
  stored.set_reporting_instance(served.reporting_instance());
  return stored;
}

Status to_storage(const Message& served, Message* stored) {
  static_cast<core::Event&>(*stored) = as_stored(static_cast<const events::Event&>(served));
  return {};
}

Status from_storage(const Message& from, Message* to) {
  const auto& stored = static_cast<const core::Event&>(from);
  auto& served = static_cast<events::Event&>(*to);
  served.Clear();
  *served.mutable_metadata() = stored.metadata();
  *served.mutable_event_time() = stored.event_time();
  if (stored.has_series()) {
    served.mutable_series()->set_count(stored.series().count());
    *served.mutable_series()->mutable_last_observed_time() = stored.series().last_observed_time();
  }
  served.set_reporting_controller(stored.reporting_component());
  served.set_reporting_instance(stored.reporting_instance());
  served.set_action(stored.action());
  served.set_reason(stored.reason());
  *served.mutable_regarding() = stored.involved_object();
  if (stored.has_related()) *served.mutable_related() = stored.related();
  served.set_note(stored.message());
  served.set_type(stored.type());
  *served.mutable_deprecated_source() = stored.source();
  *served.mutable_deprecated_first_timestamp() = stored.first_timestamp();
  *served.mutable_deprecated_last_timestamp() = stored.last_timestamp();
  served.set_deprecated_count(stored.count());
  return {};
}

std::vector<Value> row(const events::Event& event, int64_t now) { return event_row(as_stored(event), now); }

std::vector<std::string> selectable(const events::Event& event) {
  std::vector<std::string> values = event_selectable(as_stored(event));
  values.erase(values.end() - 2);  // the source, which this group has no name for
  return values;
}

FieldProblems validate(const events::Event& event) { return validate_event(as_stored(event), true); }

FieldProblems validate_update(const events::Event& old, const events::Event& updated) {
  return validate_event_update(as_stored(old), as_stored(updated), true);
}

}  // namespace

Kind new_event_kind() {
  Kind kind = make_kind<events::Event>("events", "event", {"ev"});
  kind.storage = "events";
  kind.put_creates = true;
  kind.lifetime = kEventLifetime;
  kind.is_uncollected = true;
  kind.conversion = Conversion{{"", "v1", "Event"}, &to_storage, &from_storage};
  for (const char* field : {"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"}) {
    kind.selectable.push_back(cat("regarding.", field));
  }
  for (const char* field : {"reason", "reportingController", "type"}) kind.selectable.emplace_back(field);
  kind.selectable_values = over(&selectable);
  kind.validate = over(&validate);
  kind.update = {.validate = over(&validate_update), .changes_alone = true};
  kind.table = {event_columns(), over(&row)};
  return kind;
}

}  // namespace gantry::api
