// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/revisions.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "api/codec.h"
#include "api/json.h"
#include "base/text.h"
#include "control/workloads/pod_names.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
using api::Value;

namespace {

constexpr std::size_t kLongestPrefix = 223;
// Names that are taken by others' revisions. More are no accident.
constexpr int kMostCollisions = 32;

// As Go writes maps.
Value with_sorted_keys(const Value& value) {
  if (const Value::List* list = value.as_list()) {
    Value::List out;
    for (const Value& item : *list) out.push_back(with_sorted_keys(item));
    return Value(std::move(out));
  }
  const Value::Object* object = value.as_object();
  if (object == nullptr) return value;
  Value::Object out;
  for (const Value::Member& member : *object) out.emplace_back(member.key, with_sorted_keys(member.value));
  std::ranges::sort(out, {}, &Value::Member::key);
  return Value(std::move(out));
}

std::int64_t newest_number(const std::vector<RevisionPtr>& revisions) {
  std::int64_t newest = 0;
  for (const RevisionPtr& revision : revisions) newest = std::max(newest, revision->revision());
  return std::min(newest, std::numeric_limits<std::int64_t>::max() - 1);
}

}  // namespace

std::string revision_data(const PodTemplateSpec& pod_template) {
  Value replaced = api::encode(pod_template);
  replaced["$patch"] = "replace";
  return api::write_json(with_sorted_keys(
      Value::object({{"spec", Value::object({{"template", std::move(replaced)}})}})));
}

std::optional<PodTemplateSpec> template_of(const apps::ControllerRevision& revision) {
  const Result<Value> data = api::parse_json(revision.data().raw());
  const Value* spec = data ? data->find("spec") : nullptr;
  const Value* found = spec != nullptr ? spec->find("template") : nullptr;
  if (found == nullptr || !found->is_object()) return std::nullopt;
  Value::Object members = *found->as_object();
  std::erase_if(members, [](const Value::Member& member) { return member.key == "$patch"; });
  PodTemplateSpec out;
  const Status read = api::decode(Value(std::move(members)), &out, {.strict = false, .require_type = false});
  if (!read) return std::nullopt;
  return out;
}

bool has_template(const apps::ControllerRevision& revision, const std::string& data) {
  if (revision.data().raw() == data) return true;
  const std::optional<PodTemplateSpec> held = template_of(revision);
  return held && revision_data(*held) == data;
}

std::string revision_hash(std::string_view data, std::int32_t collisions) {
  std::uint32_t hash = 0x811c9dc5;  // FNV-1, 32 bits
  const auto add = [&hash](std::string_view text) {
    for (const char byte : text) hash = (hash * 0x01000193) ^ static_cast<unsigned char>(byte);
  };
  add(data);
  add(cat(collisions));
  // Each decimal digit as a letter or digit that makes no words.
  std::string out;
  for (const char digit : cat(hash)) out += kSafeLetters[static_cast<unsigned char>(digit) % kSafeLetters.size()];
  return out;
}

void sort_revisions(std::vector<RevisionPtr>* revisions) {
  std::ranges::sort(*revisions, [](const RevisionPtr& a, const RevisionPtr& b) {
    const auto rank = [](const apps::ControllerRevision& revision) {
      return std::make_tuple(revision.revision(), revision.metadata().creation_timestamp().seconds(),
                             std::cref(revision.metadata().name()));
    };
    return rank(*a) < rank(*b);
  });
}

std::vector<RevisionPtr> surplus_revisions(const std::vector<RevisionPtr>& revisions, const std::set<std::string>& used,
                                           std::int32_t limit) {
  std::vector<RevisionPtr> unused;
  for (const RevisionPtr& revision : revisions) {
    if (!used.contains(revision->metadata().name())) unused.push_back(revision);
  }
  const std::size_t kept = std::min<std::size_t>(unused.size(), std::max(limit, 0));
  unused.resize(unused.size() - kept);
  return unused;
}

Revisions::Revisions(ControllerParts parts, Owners owners)
    : parts_(std::move(parts)),
      owners_(std::move(owners)),
      revisions_(parts_.informers.of<apps::ControllerRevision>()) {
  index_by_controller(revisions_);
  revisions_.on_change([this](const api::Informer::Change& change) {
    if (change.now != nullptr) return;
    const auto& gone = static_cast<const apps::ControllerRevision&>(*change.before);
    const OwnerReference* controller = controller_of(gone.metadata());
    if (controller == nullptr || controller->kind() != owners_.kind) return;
    owners_.wake(api::object_key(gone.metadata().namespace_(), controller->name()));
  });
}

Task<Result<std::vector<RevisionPtr>>> Revisions::claim(Owner owner, std::function<Task<Status>()> check) {
  std::vector<RevisionPtr> candidates = controlled_by(revisions_, owner.uid);
  for (RevisionPtr& orphan : orphans_in(revisions_, owner.ns)) candidates.push_back(std::move(orphan));
  Result<std::vector<RevisionPtr>> claimed = co_await workloads::claim<apps::ControllerRevision>(
      parts_.client, std::move(owner), std::move(candidates), std::move(check));
  if (claimed) sort_revisions(&*claimed);
  co_return claimed;
}

Task<Result<Revisions::Current>> Revisions::current(Owner owner, api::ObjectMeta metadata, PodTemplateSpec pod_template,
                                                    std::vector<RevisionPtr>* known, std::int32_t collisions) {
  const std::string data = revision_data(pod_template);
  const auto last = std::ranges::find_if(known->rbegin(), known->rend(),
                                         [&](const RevisionPtr& revision) { return has_template(*revision, data); });
  const std::int64_t newest = newest_number(*known);
  if (last == known->rend()) {
    Result<Current> made =
        co_await make(std::move(owner), std::move(metadata), std::move(pod_template), newest + 1, collisions);
    if (made) known->push_back(made->revision);
    co_return made;
  }
  if ((*last)->revision() == newest) co_return Current{*last, collisions};
  // A template that comes again is the newest one.
  apps::ControllerRevision renewed = **last;
  renewed.set_revision(newest + 1);
  api::Answer<apps::ControllerRevision> done = co_await parts_.client.update(renewed);
  if (!done) co_return std::unexpected(done.error().as_error());
  *last = std::make_shared<const apps::ControllerRevision>(std::move(*done));
  Current current{*last, collisions};
  sort_revisions(known);
  co_return current;
}

Task<Result<Revisions::Current>> Revisions::make(Owner owner, api::ObjectMeta metadata, PodTemplateSpec pod_template,
                                                 std::int64_t number, std::int32_t collisions) {
  const std::string data = revision_data(pod_template);
  for (int tries = 0; tries < kMostCollisions; ++tries, ++collisions) {
    const std::string hash = revision_hash(data, collisions);
    apps::ControllerRevision revision;
    api::ObjectMeta* own = revision.mutable_metadata();
    own->set_namespace_(owner.ns);
    own->set_name(cat(std::string_view(owner.name).substr(0, kLongestPrefix), "-", hash));
    *own->mutable_labels() = pod_template.metadata().labels();
    (*own->mutable_labels())[owners_.hash_label] = hash;
    *own->mutable_annotations() = metadata.annotations();
    set_controller(owner, own);
    revision.mutable_data()->set_raw(data);
    revision.set_revision(number);
    api::Answer<apps::ControllerRevision> made = co_await parts_.client.create(revision);
    if (!made && made.error().is_already_exists()) {
      made = co_await parts_.client.get<apps::ControllerRevision>(owner.ns, own->name());
      const bool is_equal = made && has_template(*made, data);
      if (is_equal && controller_of(made->metadata()) == nullptr) {
        co_return fail(Code::kAborted, cat("the revision ", own->name(), " is free, and will be seen to be so"));
      }
      // Made by this one already, and not seen yet. Else it is another's, or of another template.
      const bool is_ours = is_equal && is_controlled_by(made->metadata(), owner.uid);
      if (made && !is_ours) continue;
    }
    if (!made) co_return std::unexpected(made.error().as_error());
    co_return Current{std::make_shared<const apps::ControllerRevision>(std::move(*made)), collisions};
  }
  co_return fail(Code::kAlreadyExists, cat("all names of a revision of ", owner.key(), " are taken"));
}

Task<Status> Revisions::remove(std::vector<RevisionPtr> revisions) {
  for (const RevisionPtr& revision : revisions) {
    const api::ObjectMeta& metadata = revision->metadata();
    const api::Answer<void> done = co_await parts_.client.remove<apps::ControllerRevision>(
        metadata.namespace_(), metadata.name(),
        {.uid = metadata.uid(),
         .resource_version = metadata.resource_version(),
         .grace_period = {},
         .propagation = {}});
    if (Status gone = done_or_late(done); !gone) co_return gone;
  }
  co_return Status();
}

}  // namespace gantry::control::workloads
