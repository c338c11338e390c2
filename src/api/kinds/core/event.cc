// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/event.h"

#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "base/text.h"
#include "kubernetes/core/v1/event.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

const std::string& first_set(const std::string& a, const std::string& b) { return a.empty() ? b : a; }

std::string source_text(const core::Event& event) {
  const std::string& component = first_set(event.source().component(), event.reporting_component());
  const std::string& host = first_set(event.source().host(), event.reporting_instance());
  return host.empty() ? component : cat(component, ", ", host);
}

}  // namespace

std::vector<Column> event_columns() {
  Column name = name_column();
  name.priority = 1;
  return {column("Last Seen", "string", "Time since it happened last."),
          column("Type", "string", "Normal or Warning."),
          column("Reason", "string", "One word for machines."),
          column("Object", "string", "What it is about."),
          wide_column("Subobject", "string", "The part of the object that it is about."),
          wide_column("Source", "string", "Who reports it."),
          column("Message", "string", "A sentence for people."),
          wide_column("First Seen", "string", "Time since it happened first."),
          wide_column("Count", "string", "How often it happened."),
          name};
}

std::vector<Value> event_row(const core::Event& event, int64_t now) {
  std::string first = since(event.first_timestamp(), now);
  if (event.first_timestamp().seconds() == 0) first = since(event.event_time(), now);
  std::string last = event.last_timestamp().seconds() == 0 ? first : since(event.last_timestamp(), now);
  int64_t count = event.count() == 0 ? 1 : event.count();
  if (event.has_series()) {
    last = since(event.series().last_observed_time(), now);
    count = event.series().count();
  }
  const core::ObjectReference& object = event.involved_object();
  std::string target = lowered(object.kind());
  if (!object.name().empty()) target += cat("/", object.name());
  return {last,
          event.type(),
          event.reason(),
          target,
          object.field_path(),
          source_text(event),
          trimmed(event.message()),
          first,
          count,
          event.metadata().name()};
}

std::vector<std::string> event_selectable(const core::Event& event) {
  const core::ObjectReference& object = event.involved_object();
  return {object.kind(),
          object.namespace_(),
          object.name(),
          object.uid(),
          object.api_version(),
          object.resource_version(),
          object.field_path(),
          event.reason(),
          event.reporting_component(),
          first_set(event.source().component(), event.reporting_component()),
          event.type()};
}

Kind event_kind() {
  Kind kind = make_kind<core::Event>("events", "event", {"ev"});
  kind.storage = "events";
  kind.put_creates = true;
  kind.lifetime = kEventLifetime;
  kind.is_uncollected = true;
  for (const char* field : {"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"}) {
    kind.selectable.push_back(cat("involvedObject.", field));
  }
  for (const char* field : {"reason", "reportingComponent", "source", "type"}) kind.selectable.emplace_back(field);
  kind.selectable_values = over(&event_selectable);
  kind.validate = [](const Message& event) { return validate_event(static_cast<const core::Event&>(event), false); };
  kind.table = {event_columns(), over(&event_row)};
  return kind;
}

}  // namespace gantry::api
