// SPDX-License-Identifier: Apache-2.0
#include "agent/event_recorder.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/event_correlator.h"
#include "api/time.h"
#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using api::Value;

constexpr char kComponent[] = "kubelet";
constexpr std::size_t kLongestMessage = 1024;
// Of the object's name: a name is of 253, and a point and up to 16 digits follow.
constexpr std::size_t kLongestStem = 236;

TimePoint now() { return std::chrono::steady_clock::now(); }

std::int64_t wall_nanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// "spec.containers{web}"
std::string field_path(const core::PodSpec& spec, std::string_view container) {
  if (container.empty()) return "";
  const auto is_it = [&](const auto& other) { return other.name() == container; };
  std::string_view list = "containers";
  if (std::ranges::any_of(spec.init_containers(), is_it)) list = "initContainers";
  const auto is_ephemeral = [&](const auto& other) { return other.ephemeral_container_common().name() == container; };
  if (std::ranges::any_of(spec.ephemeral_containers(), is_ephemeral)) list = "ephemeralContainers";
  return cat("spec.", list, "{", container, "}");
}

// It would be refused again. (Too many requests, and a server that is about to end, are not that.)
bool is_final(const api::ApiError& error) { return error.code >= 400 && error.code < 500 && error.code != 429; }

}  // namespace

struct EventRecorder::Impl : std::enable_shared_from_this<Impl> {
  struct Entry {
    core::Event event;
    TimePoint at;
  };

  Impl(api::Client& api_client, std::string node, std::function<std::string()> uid)
      : client(api_client),
        node_name(std::move(node)),
        node_uid(std::move(uid)),
        backoff(limits.again),
        tokens(limits.rate, now()) {}

  void add(core::ObjectReference object, EventType type, std::string_view reason, std::string_view message);
  static Task<> work(std::shared_ptr<Impl> self);
  Task<> write(Entry entry);
  Task<api::Answer<void>> try_once(core::Event* event, EventCorrelator::Write* how);
  Task<> take_token();

  api::Client& client;
  const std::string node_name;
  const std::function<std::string()> node_uid;
  EventLimits limits;
  EventCorrelator correlator;
  Backoff backoff;
  std::deque<Entry> waiting;
  TokenBucket tokens;
  std::uint64_t last_name = 0;
  bool busy = false;
  bool stopped = false;
  bool loses = false;  // it was said that some are lost
};

void EventRecorder::Impl::add(core::ObjectReference object, EventType type, std::string_view reason,
                              std::string_view message) {
  if (stopped) return;
  core::Event event;
  const std::int64_t nanos = wall_nanos();
  last_name = std::max(static_cast<std::uint64_t>(nanos), last_name + 1);
  std::string stem = object.name().substr(0, kLongestStem);
  while (!stem.empty() && (stem.back() == '.' || stem.back() == '-')) stem.pop_back();
  event.mutable_metadata()->set_name(cat(stem, ".", absl::StrCat(absl::Hex(last_name))));
  event.mutable_metadata()->set_namespace_(object.namespace_().empty() ? "default" : object.namespace_());
  *event.mutable_involved_object() = std::move(object);
  event.set_type(type == EventType::kNormal ? "Normal" : "Warning");
  event.set_reason(std::string(reason));
  event.set_message(as_utf8(message, kLongestMessage));
  event.mutable_source()->set_component(kComponent);
  event.mutable_source()->set_host(node_name);
  event.set_reporting_component(kComponent);
  event.set_reporting_instance(node_name);
  event.mutable_first_timestamp()->set_seconds(nanos / 1'000'000'000);
  event.mutable_last_timestamp()->set_seconds(nanos / 1'000'000'000);
  waiting.push_back({std::move(event), now()});
  if (waiting.size() > limits.waiting) {
    waiting.pop_front();
    if (!std::exchange(loses, true)) log::warning("more events than the API server takes, ignoring the oldest");
  }
  if (!std::exchange(busy, true)) client.here().spawn(work(shared_from_this()));
}

Task<> EventRecorder::Impl::take_token() {
  const Duration wait = tokens.take(now());
  if (wait > Duration::zero()) co_await client.here().sleep_for(wait);
}

Task<api::Answer<void>> EventRecorder::Impl::try_once(core::Event* event, EventCorrelator::Write* how) {
  co_await take_token();
  if (*how == EventCorrelator::Write::kCount) {
    // The message, as that of combined events is the last one's.
    Value change = Value::object({{"count", event->count()},
                                  {"message", event->message()},
                                  {"lastTimestamp", api::format_rfc3339(event->last_timestamp().seconds())}});
    auto counted_up = co_await client.patch<core::Event>(event->metadata().namespace_(), event->metadata().name(),
                                                         api::PatchForm::kStrategicMerge, std::move(change));
    if (counted_up) co_return api::Answer<void>();
    if (!counted_up.error().is_not_found()) co_return api::fail(std::move(counted_up.error()));
    *how = EventCorrelator::Write::kCreate;  // its time was over; it goes on counting
  }
  auto made = co_await client.create(*event);
  if (made) co_return api::Answer<void>();
  co_return api::fail(std::move(made.error()));
}

Task<> EventRecorder::Impl::write(Entry entry) {
  EventCorrelator::Write how = correlator.take(&entry.event, entry.at);
  if (how == EventCorrelator::Write::kNothing) co_return;
  while (!stopped) {
    auto done = co_await try_once(&entry.event, &how);
    if (done || stopped) {
      backoff.succeeded("");
      loses = false;
      if (done) correlator.written(entry.event);
      co_return;
    }
    // An answer to an earlier try was lost on its way.
    if (done.error().is_already_exists()) co_return correlator.written(entry.event);
    const bool is_late = now() - entry.at > limits.age;
    if (is_final(done.error()) || done.error().is_cancelled() || is_late) {
      log::debug("an event can't be written, ignoring", {{"object", entry.event.involved_object().name()},
                                                         {"reason", entry.event.reason()},
                                                         {"error", done.error().message}});
      co_return;
    }
    const TimePoint failed_at = now();
    co_await client.here().sleep_for(backoff.failed("", failed_at) - failed_at);
  }
}

Task<> EventRecorder::Impl::work(std::shared_ptr<Impl> self) {
  while (!self->stopped && !self->waiting.empty()) {
    Entry entry = std::move(self->waiting.front());
    self->waiting.pop_front();
    co_await self->write(std::move(entry));
  }
  self->busy = false;
}

EventRecorder::EventRecorder(api::Client& client, std::string node_name, std::function<std::string()> node_uid)
    : impl_(std::make_shared<Impl>(client, std::move(node_name), std::move(node_uid))) {}

EventRecorder::~EventRecorder() { stop(); }

void EventRecorder::limit(EventLimits limits) {
  impl_->limits = limits;
  impl_->backoff = Backoff(limits.again);
  impl_->tokens = TokenBucket(limits.rate, now());
}

void EventRecorder::record(const core::Pod& pod, EventType type, std::string_view reason, std::string_view message,
                           std::string_view container) {
  core::ObjectReference object;
  object.set_api_version("v1");
  object.set_kind("Pod");
  object.set_namespace_(pod.metadata().namespace_());
  object.set_name(pod.metadata().name());
  object.set_uid(pod.metadata().uid());
  object.set_resource_version(pod.metadata().resource_version());
  object.set_field_path(field_path(pod.spec(), container));
  impl_->add(std::move(object), type, reason, message);
}

void EventRecorder::record_node(EventType type, std::string_view reason, std::string_view message) {
  core::ObjectReference object;
  object.set_api_version("v1");
  object.set_kind("Node");
  object.set_name(impl_->node_name);
  object.set_uid(impl_->node_uid());
  impl_->add(std::move(object), type, reason, message);
}

void EventRecorder::stop() {
  impl_->stopped = true;
  impl_->waiting.clear();
}

}  // namespace gantry::agent
