// SPDX-License-Identifier: Apache-2.0
// ServiceMaps: what the maps of the table (rule_set.h) have for each service, and how a change of services changes
// them. It keeps what the kernel has, and asks it nothing. Inside this folder only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/nftables/rule_set.h"
#include "proxy/service_rule.h"

namespace gantry::proxy::nftables {

class ServiceMaps {
 public:
  explicit ServiceMaps(const RuleSet& rules) : rules_(rules) {}

  void set(const std::string& name, const ServiceRule& rule);
  // One that is not there: nothing.
  void erase(const std::string& name);
  // Writes what changed since the last call. If that transaction fails, this object is of no use any more.
  void write(Batch* batch);

  std::size_t services() const { return services_.size(); }
  std::size_t endpoints() const { return endpoints_; }

 private:
  struct Slot {
    EndpointAddress where;
    std::uint32_t id = 0;  // 0: its pool does not remember clients
    auto operator<=>(const Slot&) const = default;
  };
  struct Service {
    ServiceRule rule;
    std::uint32_t id = 0;
    // The endpoints of a pool in the order of their numbers, which stay with them: the last one takes the place of one
    // that goes.
    std::vector<Slot> slots[2];
  };
  // What the maps by frontend say of one.
  struct Values {
    Action gate = Action::kReject, action = Action::kReject;
    std::uint32_t service = 0;
    struct Way {
      Picker picker;
      std::uint32_t pool = 0;
    } inside, outside;
  };
  // Who wants an address and port, best first.
  using Claims = std::map<std::pair<Frontend::Origin, std::string>, Values>;
  struct MapId {
    MapKind kind;
    netns::Family family;
    auto operator<=>(const MapId&) const = default;
  };
  struct Change {
    std::optional<Element> before, after;
  };

  void describe(const std::string& name, const Service& service, bool there);
  void claim(const std::string& name, const Service& service, const Frontend& frontend, bool there);
  void count_hairpin(const netns::IpAddress& address, bool there);
  std::uint32_t count_picker(const Picker& picker, bool there);
  void describe_frontend(netns::Family family, const Bytes& key, const Values& values, bool there);
  void renumber(Service* service, EndpointPool pool);
  void change(MapId map, Element element, bool there);

  const RuleSet& rules_;
  std::unordered_map<std::string, Service> services_;
  // A packet carries actions', pickers', pools' and endpoints' numbers in one place, one after the other: none is ever
  // one of another kind. Nor is one given twice: the kernel may remember a client's endpoint for longer than it is
  // there.
  std::uint32_t last_service_ = 0x40000000, last_endpoint_ = 0x80000000;
  std::unordered_map<Bytes, Claims> claims_;
  std::unordered_map<netns::IpAddress, std::size_t> hairpins_;
  struct Counted {
    std::size_t count = 0;
    std::uint32_t number = 0;
  };
  std::map<Picker, Counted> pickers_;
  std::uint32_t last_picker_ = 0;
  std::size_t endpoints_ = 0;
  // Not written yet.
  std::map<MapId, std::unordered_map<Bytes, Change>> changes_;
  std::map<Picker, bool> changed_pickers_;  // whether it was there
};

}  // namespace gantry::proxy::nftables
