// SPDX-License-Identifier: Apache-2.0
#include "proxy/nftables/service_maps.h"

#include <netinet/in.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace gantry::proxy::nftables {
namespace {

constexpr EndpointPool kPools[] = {EndpointPool::kCluster, EndpointPool::kLocal};

std::size_t index_of(EndpointPool pool) { return pool == EndpointPool::kCluster ? 0 : 1; }

// A service's id has its lowest bit free for the pool.
std::uint32_t pool_id(std::uint32_t id, EndpointPool pool) { return id | static_cast<std::uint32_t>(index_of(pool)); }

std::uint8_t number_of(netns::Protocol protocol) {
  switch (protocol) {
    case netns::Protocol::kTcp:
      return IPPROTO_TCP;
    case netns::Protocol::kUdp:
      return IPPROTO_UDP;
    case netns::Protocol::kSctp:
      return IPPROTO_SCTP;
  }
  std::unreachable();
}

Action action_of(const Frontend& frontend) {
  if (frontend.inside.answer == Answer::kReject) return Action::kReject;
  if (frontend.origin == Frontend::Origin::kClusterAddress) {
    return frontend.inside.answer == Answer::kDrop ? Action::kDrop : Action::kCluster;
  }
  if (frontend.inside.answer == Answer::kDrop) return Action::kDrop;
  if (frontend.outside.pool == EndpointPool::kCluster) return Action::kExternal;
  return frontend.outside.answer == Answer::kServe ? Action::kExternalLocal : Action::kExternalNowhere;
}

// For how long a client stays is a part of rules, not data: of few values, so that nobody makes many rules.
std::uint32_t rounded_up(std::uint32_t seconds) {
  const std::uint32_t step = seconds <= 60 ? 1 : seconds <= 3600 ? 60 : 600;
  return (seconds + step - 1) / step * step;
}

netns::IpAddress last_of(const netns::Cidr& range) {
  std::vector<std::uint8_t> bytes(range.network().bytes().begin(), range.network().bytes().end());
  for (unsigned bit = range.prefix(); bit < range.network().bits(); ++bit) {
    bytes[bit / 8] |= static_cast<std::uint8_t>(0x80 >> bit % 8);
  }
  return *netns::IpAddress::from_bytes(bytes);
}

}  // namespace

// What stays keeps its number; what is new takes numbers of what went, and the last ones fill what is free then.
void ServiceMaps::renumber(Service* service, EndpointPool pool) {
  auto& slots = service->slots[index_of(pool)];
  const auto& now = service->rule.endpoints(pool);
  std::vector<EndpointAddress> known, added;
  for (Slot& slot : slots) {
    known.push_back(slot.where);
    bool stays = std::ranges::binary_search(now, slot.where) && service->rule.affinity_seconds > 0;
    if (!stays) slot.id = 0;
  }
  std::ranges::sort(known);
  std::ranges::set_difference(now, known, std::back_inserter(added));
  std::size_t next = 0;
  for (std::size_t i = 0; i < slots.size();) {
    if (std::ranges::binary_search(now, slots[i].where)) {
      ++i;
    } else if (next < added.size()) {
      slots[i++] = {added[next++]};
    } else {
      slots[i] = slots.back();
      slots.pop_back();
    }
  }
  for (; next < added.size(); ++next) slots.push_back({added[next]});
  if (service->rule.affinity_seconds == 0) return;
  for (Slot& slot : slots) {
    if (slot.id == 0) slot.id = ++last_endpoint_;
  }
}

void ServiceMaps::set(const std::string& name, const ServiceRule& rule) {
  auto [it, is_new] = services_.try_emplace(name);
  Service& service = it->second;
  if (is_new) {
    service.id = last_service_ += 2;  // the lowest bit is the pool's
  } else {
    if (service.rule == rule) return;
    describe(name, service, false);
  }
  service.rule = rule;
  for (EndpointPool pool : kPools) renumber(&service, pool);
  describe(name, service, true);
}

void ServiceMaps::erase(const std::string& name) {
  auto it = services_.find(name);
  if (it == services_.end()) return;
  describe(name, it->second, false);
  services_.erase(it);
}

// Everything that the maps have of a service, or no longer have.
void ServiceMaps::describe(const std::string& name, const Service& service, bool there) {
  const ServiceRule& rule = service.rule;
  for (EndpointPool pool : kPools) {
    const auto& slots = service.slots[index_of(pool)];
    for (std::size_t i = 0; i < slots.size(); ++i) {
      Element numbered;
      append(&numbered.key, pool_id(service.id, pool));
      append(&numbered.key, static_cast<std::uint32_t>(i));
      Bytes where;
      append(&where, slots[i].where.address);
      append_port(&where, slots[i].where.port);
      if (slots[i].id == 0) {
        numbered.value = std::move(where);
        change({MapKind::kEndpoints, rule.family}, std::move(numbered), there);
        continue;
      }
      append(&numbered.value, slots[i].id);
      change({MapKind::kById, rule.family}, {.key = numbered.value, .value = std::move(where)}, there);
      change({MapKind::kNumbered, rule.family}, std::move(numbered), there);
    }
  }
  for (const netns::Cidr& range : rule.source_ranges) {
    Element element;
    append(&element.key, service.id);
    element.key_end = element.key;
    append(&element.key, range.network());
    append(&element.key_end, last_of(range));
    change({MapKind::kRanges, rule.family}, std::move(element), there);
  }
  for (const Frontend& frontend : rule.frontends) claim(name, service, frontend, there);
  for (const netns::IpAddress& address : rule.here) count_hairpin(address, there);
  if (there) {
    endpoints_ += rule.cluster.size();
  } else {
    endpoints_ -= rule.cluster.size();
  }
}

void ServiceMaps::claim(const std::string& name, const Service& service, const Frontend& frontend, bool there) {
  const ServiceRule& rule = service.rule;
  Bytes key;
  append(&key, frontend.address);
  append_protocol(&key, number_of(rule.protocol));
  append_port(&key, frontend.port);
  Claims& claims = claims_[key];
  if (!claims.empty()) describe_frontend(rule.family, key, claims.begin()->second, false);
  if (there) {
    bool restricted = frontend.origin == Frontend::Origin::kLoadBalancer && !rule.source_ranges.empty();
    Values values{.action = action_of(frontend), .service = service.id};
    values.gate = restricted ? Action::kRestricted : values.action;
    auto way = [&](const Path& path) -> Values::Way {
      return {{static_cast<std::uint32_t>(rule.endpoints(path.pool).size()), rounded_up(rule.affinity_seconds)},
              pool_id(service.id, path.pool)};
    };
    values.inside = way(frontend.inside);
    values.outside = way(frontend.outside);
    claims[{frontend.origin, name}] = values;
  } else {
    claims.erase({frontend.origin, name});
  }
  if (claims.empty()) {
    claims_.erase(key);
  } else {
    describe_frontend(rule.family, key, claims.begin()->second, true);
  }
}

// What the maps by frontend have; only what a packet may ask for.
void ServiceMaps::describe_frontend(netns::Family family, const Bytes& key, const Values& values, bool there) {
  auto say = [&](MapKind kind, std::uint32_t number) {
    Element element{.key = key};
    append(&element.value, number);
    change({kind, family}, std::move(element), there);
  };
  auto lead = [&](MapKind pickers, MapKind pools, const Values::Way& way) {
    say(pickers, count_picker(way.picker, there));
    say(pools, way.pool);
  };
  say(MapKind::kGates, static_cast<std::uint32_t>(values.gate));
  if (values.gate == Action::kRestricted) {
    say(MapKind::kServices, values.service);
    say(MapKind::kActions, static_cast<std::uint32_t>(values.action));
  }
  if (values.action == Action::kReject || values.action == Action::kDrop) return;
  lead(MapKind::kInsidePickers, MapKind::kInsidePools, values.inside);
  if (values.action != Action::kExternalLocal) return;
  lead(MapKind::kOutsidePickers, MapKind::kOutsidePools, values.outside);
}

void ServiceMaps::count_hairpin(const netns::IpAddress& address, bool there) {
  std::size_t& count = hairpins_[address];
  Element element;
  append(&element.key, address);
  append(&element.key, address);
  MapId map{MapKind::kHairpins, address.family()};
  bool only = there ? count++ == 0 : --count == 0;
  if (only) change(map, std::move(element), there);
  if (count == 0) hairpins_.erase(address);
}

std::uint32_t ServiceMaps::count_picker(const Picker& picker, bool there) {
  Counted& counted = pickers_[picker];
  changed_pickers_.try_emplace(picker, counted.count > 0);
  // It keeps its number until it is known, in write(), that it is gone.
  if (counted.number == 0) counted.number = ++last_picker_;
  counted.count = there ? counted.count + 1 : counted.count - 1;
  return counted.number;
}

void ServiceMaps::change(MapId map, Element element, bool there) {
  auto [it, is_first] = changes_[map].try_emplace(element.key);
  if (there) {
    it->second.after = std::move(element);
    return;
  }
  // Of several in a row the first one says what the kernel has; what was put since then it has never seen.
  if (is_first) it->second.before = std::move(element);
  it->second.after.reset();
}

void ServiceMaps::write(Batch* batch) {
  for (const auto& [picker, was_there] : changed_pickers_) {
    const Counted& counted = pickers_[picker];
    if (!was_there && counted.count > 0) rules_.add_picker(batch, {picker, counted.number});
  }
  for (auto& [map, changes] : changes_) {
    std::vector<Element> removed, added;
    for (auto& [key, change] : changes) {
      bool same = change.before && change.after && change.before->value == change.after->value &&
                  change.before->key_end == change.after->key_end;
      if (same) continue;
      if (change.before) removed.push_back(std::move(*change.before));
      if (change.after) added.push_back(std::move(*change.after));
    }
    rules_.remove_elements(batch, map.kind, map.family, removed);
    rules_.add_elements(batch, map.kind, map.family, added);
  }
  for (const auto& [picker, was_there] : changed_pickers_) {
    auto it = pickers_.find(picker);
    if (it->second.count > 0) continue;
    if (was_there) rules_.remove_picker(batch, {picker, it->second.number});
    pickers_.erase(it);
  }
  changes_.clear();
  changed_pickers_.clear();
}

}  // namespace gantry::proxy::nftables
