// SPDX-License-Identifier: Apache-2.0
#include "control/services/slice_plan.h"

#include <algorithm>
#include <set>

#include "api/kinds/core/same_map.h"
#include "base/text.h"
#include "control/services/names.h"
#include "control/workloads/pod_names.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace {

using StringMap = google::protobuf::Map<std::string, std::string>;

// Equal for slices whose endpoints can be in one.
template <typename Ports>
std::string group_key(const std::string& address_type, const Ports& ports) {
  std::set<std::string> texts;
  for (const EndpointPort& port : ports) {
    texts.insert(cat(port.name(), "/", port.protocol(), "/", port.has_port() ? std::to_string(port.port()) : "",
                     "/", port.app_protocol(), ","));
  }
  std::string key = address_type + ":";
  for (const std::string& text : texts) key += text;
  return key;
}

std::string endpoint_key(const Endpoint& endpoint) {
  std::string key;
  for (const std::string& address : endpoint.addresses()) key += address + ",";
  return cat(key, endpoint.hostname(), ",", endpoint.target_ref().namespace_(), "/", endpoint.target_ref().name());
}

// A slice with what is to be in it.
struct Draft {
  SlicePtr base;  // null: it is new
  std::vector<Endpoint> endpoints;
  bool is_changed = false;
};

class Planner {
 public:
  Planner(const SliceFrame& frame, const std::function<bool(const std::string& name)>& is_taken)
      : frame_(frame), is_taken_(is_taken) {}

  void plan_type(const std::string& type, EndpointGroups& groups, const std::vector<SlicePtr>& existing);
  void drop(const SlicePtr& slice) { plan_.remove.push_back(slice); }
  SlicePlan take() { return std::move(plan_); }

 private:
  using Group = EndpointGroups::Group;
  bool is_framed(const EndpointSlice& slice) const;
  bool is_ours(const EndpointSlice& slice) const;
  std::vector<Draft> keep(const std::vector<SlicePtr>& existing, Group& group) const;
  void fill(std::vector<Draft>& drafts, Group& group) const;
  void move_into(Draft& draft, Group& group) const;
  EndpointSlice render(const Draft& draft, const Group& group) const;
  EndpointSlice rename(EndpointSlice slice, const SlicePtr& base) const;
  std::string new_name(const std::string& type);

  const SliceFrame& frame_;
  const std::function<bool(const std::string& name)>& is_taken_;
  std::set<std::string> named_;
  SlicePlan plan_;
};

bool Planner::is_ours(const EndpointSlice& slice) const {
  return std::ranges::any_of(slice.metadata().owner_references(), [this](const workloads::OwnerReference& owner) {
    return owner.uid() == frame_.owner.uid && owner.kind() == frame_.owner.kind;
  });
}

// Labels and annotations are what they should be.
bool Planner::is_framed(const EndpointSlice& slice) const {
  return api::same_map(slice.metadata().labels(), frame_.labels) &&
         (!frame_.annotations || api::same_map(slice.metadata().annotations(), *frame_.annotations));
}

// The slices with those of their endpoints that stay, as they should be now; these are taken out of the group.
std::vector<Draft> Planner::keep(const std::vector<SlicePtr>& existing, Group& group) const {
  std::vector<Draft> drafts;
  for (const SlicePtr& slice : existing) {
    Draft draft{.base = slice, .is_changed = !is_framed(*slice)};
    for (const Endpoint& endpoint : slice->endpoints()) {
      const auto wanted = group.endpoints.find(endpoint_key(endpoint));
      if (wanted == group.endpoints.end()) {
        draft.is_changed = true;
        continue;
      }
      if (wanted->second.SerializeAsString() != endpoint.SerializeAsString()) draft.is_changed = true;
      draft.endpoints.push_back(std::move(wanted->second));
      group.endpoints.erase(wanted);
    }
    drafts.push_back(std::move(draft));
  }
  return drafts;
}

void Planner::move_into(Draft& draft, Group& group) const {
  draft.is_changed = true;
  const auto most = static_cast<std::size_t>(frame_.most_endpoints);
  while (!group.endpoints.empty() && draft.endpoints.size() < most) {
    draft.endpoints.push_back(std::move(group.endpoints.begin()->second));
    group.endpoints.erase(group.endpoints.begin());
  }
}

void Planner::fill(std::vector<Draft>& drafts, Group& group) const {
  const auto most = static_cast<std::size_t>(frame_.most_endpoints);
  std::vector<Draft*> changed;
  for (Draft& draft : drafts) {
    if (draft.is_changed && !draft.endpoints.empty()) changed.push_back(&draft);
  }
  std::ranges::sort(changed, std::greater(), [](const Draft* draft) {
    return std::make_pair(draft->endpoints.size(), draft->base->metadata().name());
  });
  for (Draft* draft : changed) move_into(*draft, group);
  while (!group.endpoints.empty()) {
    // The one that is fullest afterwards.
    Draft* best = nullptr;
    for (Draft& draft : drafts) {
      const bool has_room = !draft.is_changed && draft.endpoints.size() + group.endpoints.size() <= most;
      if (has_room && (best == nullptr || draft.endpoints.size() > best->endpoints.size())) best = &draft;
    }
    move_into(best != nullptr ? *best : drafts.emplace_back(), group);
  }
}

// Without a name.
EndpointSlice Planner::render(const Draft& draft, const Group& group) const {
  EndpointSlice slice;
  if (draft.base != nullptr) {
    slice = *draft.base;
  } else {
    slice.mutable_metadata()->set_namespace_(frame_.owner.ns);
    slice.mutable_metadata()->set_generate_name(workloads::name_prefix(frame_.owner.name));
    workloads::set_controller(frame_.owner, slice.mutable_metadata());
    slice.set_address_type(group.address_type);
    slice.mutable_ports()->Assign(group.ports.begin(), group.ports.end());
  }
  slice.mutable_endpoints()->Assign(draft.endpoints.begin(), draft.endpoints.end());
  *slice.mutable_metadata()->mutable_labels() = StringMap(frame_.labels.begin(), frame_.labels.end());
  StringMap& annotations = *slice.mutable_metadata()->mutable_annotations();
  if (frame_.annotations) annotations = StringMap(frame_.annotations->begin(), frame_.annotations->end());
  annotations.erase(kTriggerTime);
  if (!frame_.trigger_time.empty()) annotations[kTriggerTime] = frame_.trigger_time;
  return slice;
}

// The new slice in the place of one that is there.
EndpointSlice Planner::rename(EndpointSlice slice, const SlicePtr& base) const {
  EndpointSlice out = *base;
  *out.mutable_metadata()->mutable_labels() = std::move(*slice.mutable_metadata()->mutable_labels());
  *out.mutable_metadata()->mutable_annotations() = std::move(*slice.mutable_metadata()->mutable_annotations());
  *out.mutable_ports() = std::move(*slice.mutable_ports());
  *out.mutable_endpoints() = std::move(*slice.mutable_endpoints());
  return out;
}

std::string Planner::new_name(const std::string& type) {
  std::string name = workloads::free_pod_name(
      frame_.owner.name, frame_.owner.uid, type,
      [this](const std::string& each) { return named_.contains(each) || is_taken_(each); });
  named_.insert(name);
  return name;
}

void Planner::plan_type(const std::string& type, EndpointGroups& groups, const std::vector<SlicePtr>& existing) {
  std::map<std::string, std::vector<SlicePtr>> by_group;
  std::vector<SlicePtr> spare;  // nothing is to be in them
  std::vector<EndpointSlice> made;
  for (const SlicePtr& slice : existing) {
    if (is_ours(*slice)) {
      by_group[group_key(type, slice->ports())].push_back(slice);
    } else {
      drop(slice);
    }
  }
  bool has_any = false;
  for (auto& [key, group] : groups.all()) {
    if (group.address_type != type || group.endpoints.empty()) continue;
    has_any = true;
    std::vector<Draft> drafts = keep(by_group[key], group);
    by_group.erase(key);
    fill(drafts, group);
    for (const Draft& draft : drafts) {
      if (draft.endpoints.empty()) {
        spare.push_back(draft.base);
      } else if (draft.base == nullptr) {
        made.push_back(render(draft, group));
      } else if (draft.is_changed) {
        plan_.update.push_back(render(draft, group));
      }
    }
  }
  for (const auto& [key, slices] : by_group) spare.insert(spare.end(), slices.begin(), slices.end());
  if (!has_any && frame_.keeps_one) {
    const auto is_right = [this](const SlicePtr& slice) {
      return slice->endpoints().empty() && slice->ports().empty() && is_framed(*slice);
    };
    const auto right = std::ranges::find_if(spare, is_right);
    if (right != spare.end()) {
      spare.erase(right);
    } else {
      made.push_back(render({}, {.address_type = type, .ports = {}, .endpoints = {}}));
    }
  }
  for (EndpointSlice& slice : made) {
    if (!spare.empty()) {
      plan_.update.push_back(rename(std::move(slice), spare.back()));
      spare.pop_back();
    } else {
      slice.mutable_metadata()->set_name(new_name(type));
      plan_.create.push_back(std::move(slice));
    }
  }
  for (const SlicePtr& slice : spare) drop(slice);
}

}  // namespace

void EndpointGroups::add(const std::string& address_type, const std::vector<EndpointPort>& ports, Endpoint endpoint) {
  Group& group = groups_[group_key(address_type, ports)];
  if (group.address_type.empty()) {
    group.address_type = address_type;
    group.ports = ports;
  }
  std::string key = endpoint_key(endpoint);
  group.endpoints.try_emplace(std::move(key), std::move(endpoint));
}

SlicePlan plan_slices(const SliceFrame& frame, EndpointGroups groups, const std::vector<SlicePtr>& existing,
                      const std::function<bool(const std::string& name)>& is_taken) {
  Planner planner(frame, is_taken);
  std::map<std::string, std::vector<SlicePtr>> by_type;
  for (const SlicePtr& slice : existing) by_type[slice->address_type()].push_back(slice);
  for (const std::string& type : frame.address_types) {
    planner.plan_type(type, groups, by_type[type]);
    by_type.erase(type);
  }
  for (const auto& [type, slices] : by_type) {
    for (const SlicePtr& slice : slices) planner.drop(slice);
  }
  return planner.take();
}

}  // namespace gantry::control::services
