// SPDX-License-Identifier: Apache-2.0
// What happens, told to observers in this process and to followers over gRPC.
#include "cri/runtime_impl.h"

namespace gantry::cri {

Task<Status> Runtime::get_container_events(v1::GetEventsRequest, EventTaker take, std::shared_ptr<Event> over) {
  return events_.follow(std::move(take), std::move(over), EventFeed::Clock::now());
}

void Runtime::notify(v1::ContainerEventType type, const Sandbox& sandbox) {
  v1::ContainerEventResponse event;
  event.set_container_id(sandbox.id());
  event.set_container_event_type(type);
  // Also of one that has just been removed.
  *event.mutable_pod_sandbox_status() = sandbox.status;
  publish(std::move(event), sandbox.id());
}

void Runtime::notify(v1::ContainerEventType type, const Container& container) {
  v1::ContainerEventResponse event;
  event.set_container_id(container.id());
  event.set_container_event_type(type);
  if (auto sandbox = sandboxes_.find(container.sandbox_id); sandbox != sandboxes_.end()) {
    *event.mutable_pod_sandbox_status() = sandbox->second->status;
  } else {
    event.mutable_pod_sandbox_status()->set_id(container.sandbox_id);
  }
  publish(std::move(event), container.sandbox_id);
}

void Runtime::publish(v1::ContainerEventResponse event, const std::string& sandbox_id) {
  event.set_created_at(now());
  for (const auto& container : containers_of(sandbox_id)) *event.add_containers_statuses() = container->status;
  for (const auto& observer : observers_) observer(event);
  events_.publish(event, EventFeed::Clock::now());
}

}  // namespace gantry::cri
