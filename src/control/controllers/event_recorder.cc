// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/event_recorder.h"

#include <algorithm>

#include "base/text.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::size_t kRemembered = 1024;
constexpr std::size_t kLongestMessage = 1024;
// Seconds in which the same word is said once: a controller looks at an object more often than something happens to it.
constexpr int64_t kAgain = 10;

std::string hex(uint64_t number) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string digits;
  for (; number != 0; number >>= 4) digits.insert(digits.begin(), kHex[number & 15]);
  return digits;
}

}  // namespace

EventRecorder::EventRecorder(ControllerParts parts, std::string component)
    : parts_(std::move(parts)), component_(std::move(component)) {}

void EventRecorder::record(About about, std::string_view type, std::string_view reason, std::string message) {
  message = as_utf8(message, kLongestMessage);
  std::string key = cat(about.kind, "/", about.ns, "/", about.name, "/", about.uid, "/", reason, "/", message);
  const auto [found, is_new] = said_.try_emplace(key);
  const int64_t now = parts_.now().seconds;
  if (!is_new && now - found->second.said_at < kAgain) return;
  found->second.said_at = now;
  ++found->second.count;
  if (found->second.is_writing) return;
  found->second.is_writing = true;
  if (is_new) {
    order_.push_back(key);
    if (order_.size() > kRemembered) {
      said_.erase(order_.front());
      order_.pop_front();
    }
  }
  parts_.here.spawn(
      write(std::move(key), std::move(about), std::string(type), std::string(reason), std::move(message)));
}

Task<> EventRecorder::write(std::string key, About about, std::string type, std::string reason, std::string message) {
  // An entry may be forgotten while its event is written.
  const auto entry = [&]() -> Said* {
    const auto found = said_.find(key);
    return found == said_.end() ? nullptr : &found->second;
  };
  const std::string ns = about.ns.empty() ? "default" : about.ns;
  int written = 0;
  while (Said* said = entry()) {
    if (said->count == written) {
      said->is_writing = false;
      co_return;
    }
    written = said->count;
    const api::Timestamp now = parts_.now();
    if (!said->name.empty()) {
      const api::Value change =
          api::Value::object({{"count", written}, {"lastTimestamp", api::format_rfc3339(now.seconds)}});
      const api::Answer<core::Event> counted =
          co_await parts_.client.patch<core::Event>(ns, said->name, api::PatchForm::kMerge, change);
      if (counted || !counted.error().is_not_found()) continue;
    }
    core::Event event;
    event.mutable_metadata()->set_namespace_(ns);
    // As client-go names events: the object, and the time in nanoseconds, which here are never the same twice.
    const uint64_t nanos = static_cast<uint64_t>(now.seconds) * 1'000'000'000 + static_cast<uint64_t>(now.nanos);
    last_name_ = std::max(nanos, last_name_ + 1);
    event.mutable_metadata()->set_name(cat(about.name, ".", hex(last_name_)));
    core::ObjectReference* object = event.mutable_involved_object();
    object->set_api_version(about.api_version);
    object->set_kind(about.kind);
    object->set_namespace_(about.ns);
    object->set_name(about.name);
    object->set_uid(about.uid);
    object->set_resource_version(about.resource_version);
    event.set_type(type);
    event.set_reason(reason);
    event.set_message(message);
    event.set_count(written);
    event.mutable_first_timestamp()->set_seconds(now.seconds);
    event.mutable_last_timestamp()->set_seconds(now.seconds);
    event.mutable_source()->set_component(component_);
    event.set_reporting_component(component_);
    const api::Answer<core::Event> made = co_await parts_.client.create(event);
    if (Said* after = entry(); after != nullptr) after->name = made ? made->metadata().name() : std::string();
  }
}

}  // namespace gantry::control
