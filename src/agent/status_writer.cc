// SPDX-License-Identifier: Apache-2.0
#include "agent/status_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string_view>
#include <utility>

#include "agent/api_source.h"
#include "api/codec.h"
#include "base/log.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using api::Value;

// What of a pod's status is the agent's, but for the conditions.
constexpr std::array<std::string_view, 13> kOwnMembers = {"observedGeneration",
                                                          "phase",
                                                          "message",
                                                          "reason",
                                                          "hostIP",
                                                          "hostIPs",
                                                          "podIP",
                                                          "podIPs",
                                                          "startTime",
                                                          "qosClass",
                                                          "initContainerStatuses",
                                                          "containerStatuses",
                                                          "ephemeralContainerStatuses"};

// Lists that would be merged by a key are replaced as a whole.
Value replaced(std::string_view member, const Value& value) {
  if (member != "hostIPs" && member != "podIPs") return value;
  Value::List list = {Value::object({{"$patch", "replace"}})};
  for (const Value& item : *value.as_list()) list.push_back(item);
  return Value(std::move(list));
}

const Value* condition_of(const Value& status, const std::string& type) {
  for (const Value& condition : status.list_at("conditions")) {
    if (condition.text_at("type") == type) return &condition;
  }
  return nullptr;
}

// Without resourceVersions that are numbers nobody knows which is the newer one.
bool is_older(const core::Pod& a, const core::Pod& b) {
  const auto number = [](const std::string& text) {
    std::uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? value : 0;
  };
  return number(a.metadata().resource_version()) < number(b.metadata().resource_version());
}

}  // namespace

std::optional<Value> status_patch(const core::Pod& known, const core::PodStatus& wanted) {
  core::PodStatus merged = wanted;
  if (has_ended(known.status()) && known.status().phase() != merged.phase()) {
    merged.set_phase(known.status().phase());
    merged.set_reason(known.status().reason());
    merged.set_message(known.status().message());
  }
  const Value before = api::encode(known.status());
  const Value after = api::encode(merged);
  Value changes = Value::object({});
  for (std::string_view member : kOwnMembers) {
    const Value* old = before.find(member);
    const Value* now = after.find(member);
    if (now == nullptr && old != nullptr && member != "startTime") changes[member] = nullptr;
    if (now != nullptr && (old == nullptr || !(*old == *now))) changes[member] = replaced(member, *now);
  }
  Value::List conditions;
  for (const Value& condition : after.list_at("conditions")) {
    const std::string type = condition.text_at("type");
    const Value* old = condition_of(before, type);
    // The one who bound the pod has said it, too, and when.
    if (type == "PodScheduled" && old != nullptr && old->text_at("status") == "True") {
      const Value* said = old->find("observedGeneration");
      const Value* seen = condition.find("observedGeneration");
      if (seen == nullptr || (said != nullptr && *said == *seen)) continue;
      conditions.push_back(Value::object({{"type", type}, {"observedGeneration", *seen}}));
      continue;
    }
    if (old != nullptr && *old == condition) continue;
    conditions.push_back(condition);
    if (old == nullptr) continue;
    // What it loses is said: conditions are merged.
    for (const auto& member : *old->as_object()) {
      if (condition.find(member.key) == nullptr) conditions.back()[member.key] = nullptr;
    }
  }
  if (!conditions.empty()) changes["conditions"] = Value(std::move(conditions));
  if (changes.as_object()->empty()) return std::nullopt;
  return Value::object(
      {{"metadata", Value::object({{"uid", known.metadata().uid()}})}, {"status", std::move(changes)}});
}

struct StatusWriter::Impl : std::enable_shared_from_this<Impl> {
  struct Entry {
    PodKey pod;
    std::shared_ptr<const core::PodStatus> wanted;  // null: nothing to write
    PodPtr written;                                 // what the API server answered last
    bool to_remove = false;
    bool busy = false;
  };

  Impl(api::Client& api_client, Known is_known, BackoffLimits limits)
      : client(api_client), known(std::move(is_known)), backoff(limits) {}

  void serve(const std::shared_ptr<Entry>& entry);
  static Task<> work(std::shared_ptr<Impl> self, std::shared_ptr<Entry> entry);
  Task<api::Answer<void>> write(std::shared_ptr<Entry> entry);
  Task<api::Answer<void>> remove(std::shared_ptr<Entry> entry);
  Entry& entry_of(const PodKey& pod);

  api::Client& client;
  Known known;
  Backoff backoff;
  std::map<std::string, std::shared_ptr<Entry>> entries;  // by uid
  bool stopped = false;
};

void StatusWriter::Impl::serve(const std::shared_ptr<Entry>& entry) {
  if (stopped || std::exchange(entry->busy, true)) return;
  client.here().spawn(work(shared_from_this(), entry));
}

Task<> StatusWriter::Impl::work(std::shared_ptr<Impl> self, std::shared_ptr<Entry> entry) {
  while (!self->stopped && (entry->wanted || entry->to_remove)) {
    const bool is_end = !entry->wanted;
    api::Answer<void> done;
    if (is_end) {
      done = co_await self->remove(entry);
    } else {
      done = co_await self->write(entry);
    }
    if (self->stopped) co_return;
    // Gone, or another pod has its name now; nobody needs to hear of this one any more. As long as the pod is known a
    // conflict may be one with another writer.
    if (!done && (done.error().is_not_found() || (done.error().is_conflict() && !self->known(entry->pod)))) {
      entry->wanted = nullptr;
      entry->to_remove = false;
      break;
    }
    if (done) {
      self->backoff.succeeded(entry->pod.uid);
      if (is_end) entry->to_remove = false;
      continue;
    }
    if (done.error().is_cancelled()) break;
    log::warning(is_end ? "removing a pod from the API, retrying" : "writing a pod's status, retrying",
                 {{"pod", entry->pod.namespace_ + "/" + entry->pod.name}, {"error", done.error().message}});
    // It would be refused again. There may be something else to say meanwhile.
    if (!is_end && done.error().is_invalid()) continue;
    const auto now = std::chrono::steady_clock::now();
    co_await self->client.here().sleep_for(self->backoff.failed(entry->pod.uid, now) - now);
  }
  entry->busy = false;
}

// What is set while the call is under way is written by the next one.
Task<api::Answer<void>> StatusWriter::Impl::write(std::shared_ptr<Entry> entry) {
  const auto status = std::exchange(entry->wanted, nullptr);
  const auto failed = [&entry, &status](api::ApiError error) {
    if (!error.is_invalid() && !entry->wanted) entry->wanted = status;
    return api::fail(std::move(error));
  };
  PodPtr base = known(entry->pod);
  if (!base || (entry->written && is_older(*base, *entry->written))) base = entry->written;
  if (!base) {
    auto read = co_await client.get<core::Pod>(entry->pod.namespace_, entry->pod.name);
    if (!read) co_return failed(std::move(read.error()));
    if (read->metadata().uid() != entry->pod.uid) co_return api::fail({.code = 404, .message = "it is another pod"});
    base = std::make_shared<core::Pod>(std::move(*read));
  }
  auto patch = status_patch(*base, *status);
  if (!patch) co_return api::Answer<void>();
  auto answer = co_await client.patch<core::Pod>(entry->pod.namespace_, entry->pod.name,
                                                 api::PatchForm::kStrategicMerge, std::move(*patch), "status");
  if (!answer) co_return failed(std::move(answer.error()));
  entry->written = std::make_shared<core::Pod>(std::move(*answer));
  co_return api::Answer<void>();
}

Task<api::Answer<void>> StatusWriter::Impl::remove(std::shared_ptr<Entry> entry) {
  co_return co_await client.remove<core::Pod>(entry->pod.namespace_, entry->pod.name,
                                              {.uid = entry->pod.uid, .grace_period = 0});
}

StatusWriter::Impl::Entry& StatusWriter::Impl::entry_of(const PodKey& pod) {
  auto& entry = entries[pod.uid];
  if (!entry) entry = std::make_shared<Entry>(Entry{.pod = pod});
  return *entry;
}

StatusWriter::StatusWriter(api::Client& client, Known known, BackoffLimits again)
    : impl_(std::make_shared<Impl>(client, std::move(known), again)) {}

StatusWriter::~StatusWriter() { stop(); }

void StatusWriter::set(const PodKey& pod, std::shared_ptr<const core::PodStatus> status) {
  impl_->entry_of(pod).wanted = std::move(status);
  impl_->serve(impl_->entries[pod.uid]);
}

void StatusWriter::remove(const PodKey& pod) {
  impl_->entry_of(pod).to_remove = true;
  impl_->serve(impl_->entries[pod.uid]);
}

void StatusWriter::forget_unknown() {
  std::erase_if(impl_->entries, [&](const auto& pair) {
    Impl::Entry& entry = *pair.second;
    if (impl_->known(entry.pod)) return false;
    entry.wanted = nullptr;
    entry.to_remove = false;
    impl_->backoff.succeeded(pair.first);
    return true;
  });
}

void StatusWriter::stop() { impl_->stopped = true; }

}  // namespace gantry::agent
