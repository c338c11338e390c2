// SPDX-License-Identifier: Apache-2.0
#include "nri/merge.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "nri/nri.pb.h"

namespace gantry::nri {
namespace {

namespace pb = google::protobuf;

constexpr char kRemoved = '-';

// The key, and whether it is marked as one to remove.
std::pair<std::string, bool> key_of(const std::string& text) {
  if (!text.empty() && text[0] == kRemoved) return {text.substr(1), true};
  return {text, false};
}

std::string marked(const std::string& key) { return kRemoved + key; }

template <typename List, typename Predicate>
void drop(List& list, Predicate predicate) {
  list.erase(std::remove_if(list.begin(), list.end(), predicate), list.end());
}

std::string env_name(const std::string& entry) { return entry.substr(0, entry.find('=')); }

// Fields of `from` that are set, each claimed as `first` + its number and copied.
Status copy_claimed(const pb::Message& from, pb::Message& to, Owners& owners, const std::string& id, int first,
                    const std::string& plugin) {
  std::vector<const pb::FieldDescriptor*> fields;
  from.GetReflection()->ListFields(from, &fields);
  for (const auto* field : fields) {
    if (auto mine = owners.claim(id, first + field->number(), "", plugin); !mine) return mine;
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      to.GetReflection()->MutableMessage(&to, field)->CopyFrom(from.GetReflection()->GetMessage(from, field));
    } else {
      to.GetReflection()->SetString(&to, field, from.GetReflection()->GetString(from, field));
    }
  }
  return {};
}

Status merge_resources(const api::LinuxResources& from, api::LinuxResources& to, Owners& owners, const std::string& id,
                       const std::string& plugin) {
  // Memory and CPU have their fields' names in one row each, in the order of their numbers.
  if (auto s = copy_claimed(from.memory(), *to.mutable_memory(), owners, id, api::MemLimit - 1, plugin); !s) return s;
  if (auto s = copy_claimed(from.cpu(), *to.mutable_cpu(), owners, id, api::CPUShares - 1, plugin); !s) return s;
  for (const auto& limit : from.hugepage_limits()) {
    if (auto s = owners.claim(id, api::HugepageLimits, limit.page_size(), plugin); !s) return s;
    drop(*to.mutable_hugepage_limits(), [&](const auto& other) { return other.page_size() == limit.page_size(); });
    *to.add_hugepage_limits() = limit;
  }
  to.mutable_devices()->MergeFrom(from.devices());
  for (const auto& [file, value] : from.unified()) {
    if (auto s = owners.claim(id, api::CgroupsUnified, file, plugin); !s) return s;
    (*to.mutable_unified())[file] = value;
  }
  if (from.has_blockio_class()) {
    if (auto s = owners.claim(id, api::BlockioClass, "", plugin); !s) return s;
    *to.mutable_blockio_class() = from.blockio_class();
  }
  if (from.has_rdt_class()) {
    if (auto s = owners.claim(id, api::RdtClass, "", plugin); !s) return s;
    *to.mutable_rdt_class() = from.rdt_class();
  }
  if (from.has_pids()) {
    if (auto s = owners.claim(id, api::PidsLimit, "", plugin); !s) return s;
    *to.mutable_pids() = from.pids();
  }
  return {};
}

}  // namespace

// ---- owners

Owners::Owners() : all_(std::make_unique<api::OwningPlugins>()) {}
Owners::~Owners() = default;

Status Owners::claim(const std::string& id, int field, const std::string& key, const std::string& plugin) {
  auto& fields = (*all_->mutable_owners())[id];
  std::string& owner =
      key.empty() ? (*fields.mutable_simple())[field] : (*(*fields.mutable_compound())[field].mutable_owners())[key];
  auto [other, is_cleared] = key_of(owner);
  if (!other.empty() && !(is_cleared && other == plugin)) {
    return fail(Code::kAborted,
                cat("plugins ", quoted(plugin), " and ", quoted(other), " both tried to set ",
                    api::Field_Name(static_cast<api::Field>(field)), key.empty() ? "" : cat(" ", quoted(key))));
  }
  owner = plugin;
  return {};
}

void Owners::clear(const std::string& id, int field, const std::string& key, const std::string& plugin) {
  auto& fields = (*all_->mutable_owners())[id];
  (key.empty() ? (*fields.mutable_simple())[field] : (*(*fields.mutable_compound())[field].mutable_owners())[key]) =
      marked(plugin);
}

void Owners::share(const std::string& id, int field, const std::string& plugin) {
  std::string& owner = (*(*all_->mutable_owners())[id].mutable_simple())[field];
  owner = owner.empty() ? plugin : cat(owner, ",", plugin);
}

// ---- updates

Updates::Updates(Owners& owners) : owners_(owners), all_(std::make_unique<api::UpdateContainersRequest>()) {}
Updates::~Updates() = default;

std::unique_ptr<api::UpdateContainersRequest> Updates::take() {
  return std::exchange(all_, std::make_unique<api::UpdateContainersRequest>());
}

Status Updates::apply(const api::ContainerUpdate& update, const std::string& plugin, api::UpdateContainerRequest* of,
                      const std::string& creating) {
  const std::string& id = update.container_id();
  if (!creating.empty() && id == creating) {
    return invalid_argument(
        cat("plugin ", quoted(plugin), " asked for an update of ", quoted(id), " while it is being created"));
  }
  const auto& resources = update.linux().resources();
  if (of != nullptr && of->container().id() == id) {
    api::LinuxResources merged = of->linux_resources();
    auto done = merge_resources(resources, merged, owners_, id, plugin);
    if (done) *of->mutable_linux_resources() = std::move(merged);
    return done || update.ignore_failure() ? Status() : done;
  }
  auto same = std::ranges::find(*all_->mutable_update(), id, &api::ContainerUpdate::container_id);
  api::ContainerUpdate merged;
  if (same != all_->mutable_update()->end()) {
    merged = *same;
  } else {
    merged.set_container_id(id);
    merged.set_ignore_failure(true);
  }
  merged.set_ignore_failure(merged.ignore_failure() && update.ignore_failure());
  auto done = merge_resources(resources, *merged.mutable_linux()->mutable_resources(), owners_, id, plugin);
  if (!done) return update.ignore_failure() ? Status() : done;
  if (same != all_->mutable_update()->end()) {
    *same = std::move(merged);
  } else {
    *all_->add_update() = std::move(merged);
  }
  return {};
}

// ---- adjustments

// What one plugin asks for.
class Adjustments::One {
 public:
  One(Adjustments& of, const std::string& plugin)
      : owners_(of.owners_),
        container_(*of.request_.mutable_container()),
        id_(container_.id()),
        all_(*of.all_),
        plugin_(plugin) {}

  Status apply(const api::ContainerAdjustment& from) {
    Status done =
        merge_map(from.annotations(), *all_.mutable_annotations(), *container_.mutable_annotations(), api::Annotations);
    if (done) {
      done = merge_list(from.mounts(), *all_.mutable_mounts(), *container_.mutable_mounts(), api::Mounts,
                        &api::Mount::destination);
    }
    if (done) done = merge_env(from);
    if (done) done = merge_args(from);
    if (done) done = merge_hooks(from);
    if (done) done = merge_linux(from.linux());
    for (const auto& limit : from.rlimits()) {
      if (done) done = claim(api::Rlimits, limit.type());
      if (!done) return done;
      *all_.add_rlimits() = *container_.add_rlimits() = limit;
    }
    for (const auto& device : from.cdi_devices()) {
      if (done) done = claim(api::CdiDevices, device.name());
      if (!done) return done;
      *all_.add_cdi_devices() = device;
    }
    return done;
  }

 private:
  Status claim(int field, const std::string& key = "") { return owners_.claim(id_, field, key, plugin_); }

  template <typename Map>
  Status merge_map(const Map& from, Map& all, Map& seen, int field) {
    for (const auto& [text, value] : from) {
      auto [key, is_removed] = key_of(text);
      if (!is_removed) continue;
      owners_.clear(id_, field, key, plugin_);
      seen.erase(key);
      all.erase(key);
      all[text];
    }
    for (const auto& [text, value] : from) {
      if (key_of(text).second) continue;
      if (auto mine = claim(field, text); !mine) return mine;
      seen[text] = all[text] = value;
    }
    return {};
  }

  // `get` gives the key of an item; removals stay in `all`, before what is put in their place.
  template <typename List, typename Get>
  Status merge_list(const List& from, List& all, List& seen, int field, Get get) {
    std::set<std::string> named;
    for (const auto& item : from) {
      auto [key, is_removed] = key_of((item.*get)());
      named.insert(key);
      if (!is_removed) continue;
      owners_.clear(id_, field, key, plugin_);
      drop(all, [&](const auto& other) { return key_of((other.*get)()).first == key; });
      *all.Add() = item;
    }
    drop(seen, [&](const auto& other) { return named.contains((other.*get)()); });
    for (const auto& item : from) {
      if (key_of((item.*get)()).second) continue;
      if (auto mine = claim(field, (item.*get)()); !mine) return mine;
      *all.Add() = *seen.Add() = item;
    }
    return {};
  }

  Status merge_env(const api::ContainerAdjustment& from) {
    std::set<std::string> named;
    for (const auto& entry : from.env()) named.insert(key_of(entry.key()).first);
    pb::RepeatedPtrField<api::KeyValue> seen;
    if (auto s = merge_list(from.env(), *all_.mutable_env(), seen, api::Env, &api::KeyValue::key); !s) return s;
    drop(*container_.mutable_env(), [&](const std::string& entry) { return named.contains(env_name(entry)); });
    for (const auto& entry : seen) container_.add_env(cat(entry.key(), "=", entry.value()));
    return {};
  }

  // An empty first one says that those of an earlier plugin are replaced.
  Status merge_args(const api::ContainerAdjustment& from) {
    if (from.args().empty()) return {};
    auto args = from.args();
    if (args[0].empty()) {
      owners_.clear(id_, api::Args, "", plugin_);
      args.erase(args.begin());
    }
    if (auto mine = claim(api::Args); !mine) return mine;
    *all_.mutable_args() = args;
    *container_.mutable_args() = args;
    return {};
  }

  Status merge_hooks(const api::ContainerAdjustment& from) {
    if (from.hooks().ByteSizeLong() == 0) return {};
    owners_.share(id_, api::OciHooks, plugin_);
    all_.mutable_hooks()->MergeFrom(from.hooks());
    container_.mutable_hooks()->MergeFrom(from.hooks());
    return {};
  }

  Status merge_linux(const api::LinuxContainerAdjustment& from) {
    auto& all = *all_.mutable_linux();
    auto& seen = *container_.mutable_linux();
    if (auto s = merge_list(from.devices(), *all.mutable_devices(), *seen.mutable_devices(), api::Devices,
                            &api::LinuxDevice::path);
        !s) {
      return s;
    }
    // Twice the same claims, by the same plugin, of two copies.
    if (from.has_resources()) {
      Owners before;
      if (auto s = merge_resources(from.resources(), *all.mutable_resources(), owners_, id_, plugin_); !s) return s;
      if (auto s = merge_resources(from.resources(), *seen.mutable_resources(), before, id_, plugin_); !s) return s;
    }
    if (!from.cgroups_path().empty()) {
      if (auto s = claim(api::CgroupsPath); !s) return s;
      all.set_cgroups_path(from.cgroups_path());
      seen.set_cgroups_path(from.cgroups_path());
    }
    if (from.has_oom_score_adj()) {
      if (auto s = claim(api::OomScoreAdj); !s) return s;
      *all.mutable_oom_score_adj() = *seen.mutable_oom_score_adj() = from.oom_score_adj();
    }
    if (from.has_io_priority()) {
      if (auto s = claim(api::IoPriority); !s) return s;
      *all.mutable_io_priority() = *seen.mutable_io_priority() = from.io_priority();
    }
    if (from.has_seccomp_policy()) {
      if (auto s = claim(api::SeccompPolicy); !s) return s;
      *all.mutable_seccomp_policy() = *seen.mutable_seccomp_policy() = from.seccomp_policy();
    }
    if (from.has_scheduler()) {
      if (auto s = claim(api::LinuxSched); !s) return s;
      *all.mutable_scheduler() = *seen.mutable_scheduler() = from.scheduler();
    }
    if (from.has_memory_policy()) {
      if (auto s = claim(api::MemoryPolicy); !s) return s;
      *all.mutable_memory_policy() = from.memory_policy();
    }
    for (const auto& space : from.namespaces()) {
      auto [type, is_removed] = key_of(space.type());
      if (auto s = claim(api::Namespace, type); !s) return s;
      drop(*seen.mutable_namespaces(), [&](const auto& other) { return other.type() == type; });
      if (!is_removed) *seen.add_namespaces() = space;
      *all.add_namespaces() = space;
    }
    if (auto s = merge_map(from.sysctl(), *all.mutable_sysctl(), *seen.mutable_sysctl(), api::Sysctl); !s) return s;
    if (auto s = merge_map(from.net_devices(), *all.mutable_net_devices(), *seen.mutable_net_devices(),
                           api::LinuxNetDevices);
        !s) {
      return s;
    }
    return merge_rdt(from.rdt(), all);
  }

  Status merge_rdt(const api::LinuxRdt& from, api::LinuxContainerAdjustment& all) {
    if (from.remove()) {
      for (int field : {api::RdtClosID, api::RdtSchemata, api::RdtEnableMonitoring}) {
        owners_.clear(id_, field, "", plugin_);
      }
      all.mutable_rdt()->Clear();
      all.mutable_rdt()->set_remove(true);
    }
    if (!from.has_clos_id() && !from.has_schemata() && !from.has_enable_monitoring()) return {};
    if (from.has_clos_id()) {
      if (auto s = claim(api::RdtClosID); !s) return s;
    }
    if (from.has_schemata()) {
      if (auto s = claim(api::RdtSchemata); !s) return s;
      all.mutable_rdt()->clear_schemata();
    }
    if (from.has_enable_monitoring()) {
      if (auto s = claim(api::RdtEnableMonitoring); !s) return s;
    }
    all.mutable_rdt()->MergeFrom(from);
    all.mutable_rdt()->set_remove(false);
    return {};
  }

  Owners& owners_;
  api::Container& container_;
  const std::string id_;
  api::ContainerAdjustment& all_;
  const std::string& plugin_;
};

Adjustments::Adjustments(api::CreateContainerRequest& request)
    : request_(request), updates_(owners_), all_(std::make_unique<api::ContainerAdjustment>()) {}
Adjustments::~Adjustments() = default;

Status Adjustments::apply(const api::CreateContainerResponse& response, const std::string& plugin) {
  if (auto s = One(*this, plugin).apply(response.adjust()); !s) return s;
  for (const auto& update : response.update()) {
    if (auto s = updates_.apply(update, plugin, nullptr, request_.container().id()); !s) return s;
  }
  return {};
}

}  // namespace gantry::nri
