// SPDX-License-Identifier: Apache-2.0
#include "proxy/nftables/rule_set.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/nftables/expressions.h"

namespace gantry::proxy::nftables {
namespace {

using netns::Family;

constexpr Family kFamilies[] = {Family::kV4, Family::kV6};

// Before those of hostPorts, which are at -100 and 100.
constexpr int kDestinationPriority = -110, kSourcePriority = 90;
// The bit that kube-proxy has for the same purpose.
constexpr std::uint32_t kMasqueradeMark = 0x4000;
// Clients that stay with their endpoints; beyond, new ones are balanced without being remembered.
constexpr std::uint32_t kMaxSessions = 1 << 20;
// How much of a message elements may take: its lists are 64 KiB at most.
constexpr std::size_t kMessageSize = 48 * 1024;

// By what gates and actions say. The kernel admits no loop, so that only one of them leads to `restricted`.
constexpr const char *kGateChains = "gate-chains", *kActionMap = "action-chains";

struct Balance {
  const char* chain;
  const char* chains;  // the map by a picker's number
  MapKind pickers, pools;
};
constexpr Balance kInside{"inside", "inside-chains", MapKind::kInsidePickers, MapKind::kInsidePools};
constexpr Balance kOutside{"outside", "outside-chains", MapKind::kOutsidePickers, MapKind::kOutsidePools};

// Registers that an address takes.
std::uint32_t words(Family family) { return family == Family::kV4 ? 1 : 4; }

// What nft(8) calls the types of fields, so that it can list them; the kernel keeps the numbers and looks at none.
enum Type : std::uint32_t { kAddress4 = 7, kAddress6 = 8, kProtocol = 12, kPort = 13, kPriority = 23 };
constexpr std::uint32_t types(std::initializer_list<std::uint32_t> fields) {
  std::uint32_t all = 0;
  for (std::uint32_t field : fields) all = all << 6 | field;
  return all;
}

struct Shape {
  const char* name;
  std::uint32_t flags;
  std::uint32_t key_type, key;      // bytes
  std::uint32_t value_type, value;  // 0 for a set
};

Shape shape_of(MapKind kind, Family family) {
  std::uint32_t size = words(family) * 4;
  std::uint32_t address = family == Family::kV4 ? kAddress4 : kAddress6;
  std::uint32_t endpoint = types({address, kPort}), frontend = types({address, kProtocol, kPort});
  auto of_frontends = [&](const char* name) {
    return Shape{name, NFT_SET_MAP, frontend, size + 8, kPriority, 4};
  };
  switch (kind) {
    case MapKind::kGates:
      return of_frontends("gates");
    case MapKind::kActions:
      return of_frontends("actions");
    case MapKind::kServices:
      return of_frontends("services");
    case MapKind::kInsidePickers:
      return of_frontends("inside-pickers");
    case MapKind::kInsidePools:
      return of_frontends("inside-pools");
    case MapKind::kOutsidePickers:
      return of_frontends("outside-pickers");
    case MapKind::kOutsidePools:
      return of_frontends("outside-pools");
    case MapKind::kEndpoints:
      return {"endpoints", NFT_SET_MAP, types({kPriority, kPriority}), 8, endpoint, size + 4};
    case MapKind::kNumbered:
      return {"numbered", NFT_SET_MAP, types({kPriority, kPriority}), 8, kPriority, 4};
    case MapKind::kById:
      return {"by-id", NFT_SET_MAP, kPriority, 4, endpoint, size + 4};
    case MapKind::kSessions:
      return {"sessions",
              NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL,
              types({address, kProtocol, kPort, address}),
              2 * size + 8,
              kPriority,
              4};
    case MapKind::kRanges:
      return {"ranges", NFT_SET_INTERVAL | NFT_SET_CONCAT, types({kPriority, address}), 4 + size, 0, 0};
    case MapKind::kHairpins:
      return {"hairpins", 0, types({address, address}), 2 * size, 0, 0};
  }
  std::unreachable();
}

// All that is put into the table under construction, with its name.
class Writer {
 public:
  Writer(Batch* batch, std::string_view table) : batch_(batch), table_(table) {}

  Rule rule(std::string_view chain) { return {batch_, table_, chain}; }

  void chain(std::string_view name) {
    batch_->begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add chain " + std::string(name));
    batch_->put_string(NFTA_CHAIN_TABLE, table_);
    batch_->put_string(NFTA_CHAIN_NAME, name);
  }
  void nat_chain(std::string_view name, std::uint32_t hook, int priority) {
    chain(name);
    batch_->nest(NFTA_CHAIN_HOOK, [&] {
      batch_->put_u32(NFTA_HOOK_HOOKNUM, hook);
      batch_->put_u32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(priority));
    });
    batch_->put_u32(NFTA_CHAIN_POLICY, NF_ACCEPT);
    batch_->put_string(NFTA_CHAIN_TYPE, "nat");
  }
  void remove_chain(std::string_view name) {
    batch_->begin(NFT_MSG_DELCHAIN, 0, "remove chain " + std::string(name));
    batch_->put_string(NFTA_CHAIN_TABLE, table_);
    batch_->put_string(NFTA_CHAIN_NAME, name);
  }
  // `verdicts`: a map whose values are verdicts.
  void set(const std::string& name, const Shape& shape, bool verdicts = false) {
    batch_->begin(NFT_MSG_NEWSET, NLM_F_CREATE, absl::StrCat("add set ", name));
    batch_->put_string(NFTA_SET_TABLE, table_);
    batch_->put_string(NFTA_SET_NAME, name);
    batch_->put_u32(NFTA_SET_FLAGS, shape.flags);
    batch_->put_u32(NFTA_SET_KEY_TYPE, shape.key_type);
    batch_->put_u32(NFTA_SET_KEY_LEN, shape.key);
    batch_->put_u32(NFTA_SET_ID, ++sets_);
    if (verdicts || shape.value > 0) {
      batch_->put_u32(NFTA_SET_DATA_TYPE, verdicts ? NFT_DATA_VERDICT : shape.value_type);
      batch_->put_u32(NFTA_SET_DATA_LEN, verdicts ? 0 : shape.value);
    }
    if (shape.flags & NFT_SET_EVAL) {
      batch_->nest(NFTA_SET_DESC, [&] { batch_->put_u32(NFTA_SET_DESC_SIZE, kMaxSessions); });
    } else if (shape.flags & NFT_SET_CONCAT) {  // a service, and an address
      batch_->nest(NFTA_SET_DESC, [&] {
        batch_->nest(NFTA_SET_DESC_CONCAT, [&] {
          for (std::uint32_t size : {std::uint32_t{4}, shape.key - 4}) {
            batch_->nest(NFTA_LIST_ELEM, [&] { batch_->put_u32(NFTA_SET_FIELD_LEN, size); });
          }
        });
      });
    }
  }
  void verdict_element(std::uint16_t message, const char* map, const Bytes& key, std::string_view chain) {
    batch_->begin(message, message == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, absl::StrCat("change map ", map));
    batch_->put_string(NFTA_SET_ELEM_LIST_TABLE, table_);
    batch_->put_string(NFTA_SET_ELEM_LIST_SET, map);
    batch_->nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
      batch_->nest(NFTA_LIST_ELEM, [&] {
        batch_->nest(NFTA_SET_ELEM_KEY, [&] {
          batch_->put(NFTA_DATA_VALUE, {reinterpret_cast<const std::uint8_t*>(key.data()), key.size()});
        });
        if (message == NFT_MSG_NEWSETELEM) put_verdict(batch_, NFTA_SET_ELEM_DATA, NFT_GOTO, chain);
      });
    });
  }

 private:
  Batch* batch_;
  std::string_view table_;
  std::uint32_t sets_ = 0;
};

// The frontend is in the registers from 0 on.
Rule& load_frontend(Rule& rule, Family family) {
  std::uint32_t n = words(family);
  return rule.family(family).destination(family, {0}).protocol({n}).destination_port({n + 1});
}

// The packet's priority becomes what `kind` says of its frontend; ends where it says nothing.
void write_lookup(Writer& writer, std::string_view chain, MapKind kind) {
  for (Family family : kFamilies) {
    Rule rule = writer.rule(chain);
    load_frontend(rule, family).look_up(map_name(kind, family), {0}, {0}).set_priority({0}).done();
  }
}

void write_services(Writer& writer) {
  // Who has no frontend here leaves with the priority that he came with.
  for (Family family : kFamilies) {
    Rule rule = writer.rule("services");
    load_frontend(rule, family)
        .look_up(map_name(MapKind::kGates, family), {0}, {0})
        .set_priority({0})
        .jump("gate")
        .done();
  }
  // Who has come as far as here is dropped when a change takes away the next answer while he asks: he would go on
  // untranslated, and so would all of his flow.
  writer.rule("gate").priority({0}).go_by(kGateChains, {0}).done();
  writer.rule("gate").drop().done();

  write_lookup(writer, "restricted", MapKind::kServices);
  for (Family family : kFamilies) {
    writer.rule("restricted")
        .family(family)
        .priority({0})
        .source(family, {1})
        .is_in(map_name(MapKind::kRanges, family), {0})
        .go("admitted")
        .done();
  }
  writer.rule("restricted").source_is_local({0}).go("admitted").done();
  writer.rule("restricted").drop().done();
  write_lookup(writer, "admitted", MapKind::kActions);
  writer.rule("admitted").priority({0}).go_by(kActionMap, {0}).done();
  writer.rule("admitted").drop().done();
}

// Who is in the cluster, and who is not.
void write_actions(Writer& writer, std::span<const netns::Cidr> pods) {
  for (const char* chain : {"cluster", "external-local", "external-nowhere"}) {
    for (const netns::Cidr& range : pods) writer.rule(chain).source_in(range, {0}).go(kInside.chain).done();
  }
  // The node's address was chosen for the service's; what leads to the endpoint may be another link, with one of its
  // own.
  writer.rule("cluster").source_is_local({0}).set_mark(kMasqueradeMark, {0}).done();
  for (Family family : kFamilies) {
    const bool is_known = std::ranges::any_of(pods, [&](const auto& range) { return range.family() == family; });
    if (is_known) writer.rule("cluster").family(family).set_mark(kMasqueradeMark, {0}).done();
  }
  writer.rule("cluster").go(kInside.chain).done();
  writer.rule("external").set_mark(kMasqueradeMark, {0}).go(kInside.chain).done();
  for (const char* chain : {"external-local", "external-nowhere"}) {
    writer.rule(chain).source_is_local({0}).set_mark(kMasqueradeMark, {0}).go(kInside.chain).done();
  }
  writer.rule("external-local").go(kOutside.chain).done();
  writer.rule("external-nowhere").drop().done();
  // A client on this machine has its socket locked while it sends, and learns from ICMP only when it tries again.
  writer.rule("reject").is_tcp({0}).reset().done();
  writer.rule("reject").reject().done();
  writer.rule("drop").drop().done();
}

void write_balance(Writer& writer, const Balance& balance) {
  write_lookup(writer, balance.chain, balance.pickers);
  writer.rule(balance.chain).priority({0}).go_by(balance.chains, {0}).done();
  writer.rule(balance.chain).drop().done();
}

void write_postrouting(Writer& writer) {
  // Answers come back to this host whatever the source is, and the loopback may have no address to take its place.
  writer.rule("postrouting").stays_here({0}).take_mark(kMasqueradeMark, {0}).leave().done();
  writer.rule("postrouting").stays_here({0}).leave().done();
  writer.rule("postrouting").take_mark(kMasqueradeMark, {0}).masquerade().done();
  for (Family family : kFamilies) {
    writer.rule("postrouting")
        .family(family)
        .source(family, {0})
        .destination(family, {words(family)})
        .is_in(map_name(MapKind::kHairpins, family), {0})
        .masquerade()
        .done();
  }
}

// The way of all that is remembered: the frontend and the client from register 0 on, the endpoint's id in 10.
constexpr Register kSession{0}, kId{10}, kFound{11};
Rule& load_session(Rule& rule, Family family) {
  return load_frontend(rule, family).source(family, {words(family) + 2}).priority(kId);
}

// The endpoint whose id the packet's priority is; `remembered`: he has been here before.
void write_to_id(Writer& writer, const std::string& chain, Family family, bool remembered, std::uint32_t seconds) {
  std::string sessions = map_name(MapKind::kSessions, family);
  Rule rule = writer.rule(chain);
  load_session(rule, family).look_up(map_name(MapKind::kById, family), kId, kFound);
  // What is there and did not lead here is stale, and remember() would keep its value.
  if (!remembered) rule.forget(sessions, kSession, kId);
  rule.remember(sessions, kSession, kId, seconds)
      .clear_priority({0})
      .destination_nat(family, kFound, kFound + words(family))
      .done();
}

void write_remembering(Writer& writer, const std::string& chain, const Balance& balance, const Picker& picker) {
  for (Family family : kFamilies) {
    Rule known = writer.rule(chain);
    load_session(known, family)
        .look_up(map_name(MapKind::kSessions, family), kSession, {0})
        .set_priority({0})
        .done();
    write_to_id(writer, chain, family, true, picker.seconds);
  }
  write_lookup(writer, chain, balance.pools);
  for (Family family : kFamilies) {
    writer.rule(chain)
        .family(family)
        .priority({0})
        .random_below(picker.endpoints, {1})
        .look_up(map_name(MapKind::kNumbered, family), {0}, {0})
        .set_priority({0})
        .done();
    write_to_id(writer, chain, family, false, picker.seconds);
    // No more sessions have room.
    writer.rule(chain)
        .family(family)
        .priority(kId)
        .look_up(map_name(MapKind::kById, family), kId, kFound)
        .clear_priority({0})
        .destination_nat(family, kFound, kFound + words(family))
        .done();
  }
  writer.rule(chain).drop().done();
}

void write_picker(Writer& writer, const std::string& chain, const Balance& balance, const Picker& picker) {
  if (picker.seconds > 0) return write_remembering(writer, chain, balance, picker);
  write_lookup(writer, chain, balance.pools);
  for (Family family : kFamilies) {
    writer.rule(chain)
        .family(family)
        .priority({0})
        .random_below(picker.endpoints, {1})
        .look_up(map_name(MapKind::kEndpoints, family), {0}, {2})
        .clear_priority({0})
        .destination_nat(family, {2}, {2 + words(family)})
        .done();
  }
  writer.rule(chain).drop().done();
}

std::string picker_chain(const Balance& balance, const Picker& picker) {
  return absl::StrCat(balance.chain, "-", picker.endpoints, "-", picker.seconds);
}

Bytes number_key(std::uint32_t number) {
  Bytes key;
  append(&key, number);
  return key;
}

struct NamedAction {
  Action action;
  const char* chain;
};
constexpr NamedAction kActionChains[] = {{Action::kCluster, "cluster"},
                                         {Action::kExternal, "external"},
                                         {Action::kExternalLocal, "external-local"},
                                         {Action::kExternalNowhere, "external-nowhere"},
                                         {Action::kReject, "reject"},
                                         {Action::kDrop, "drop"},
                                         {Action::kRestricted, "restricted"}};

void put_table(Batch* batch, std::uint16_t message, const std::string& table, std::string_view comment) {
  batch->begin(message, message == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0, absl::StrCat("change table inet ", table));
  batch->put_string(NFTA_TABLE_NAME, table);
  if (comment.empty()) return;
  // As nft(8) writes a comment: type, length, value.
  std::vector<std::uint8_t> data{0, static_cast<std::uint8_t>(comment.size() + 1)};
  data.insert(data.end(), comment.begin(), comment.end());
  data.push_back(0);
  batch->put(NFTA_TABLE_USERDATA, data);
}

}  // namespace

std::string map_name(MapKind kind, Family family) {
  return absl::StrCat(shape_of(kind, family).name, family == Family::kV4 ? "-4" : "-6");
}

void append(Bytes* bytes, std::uint32_t number) {
  bytes->append(reinterpret_cast<const char*>(&number), sizeof(number));
}
void append(Bytes* bytes, const netns::IpAddress& address) {
  bytes->append(reinterpret_cast<const char*>(address.bytes().data()), address.bytes().size());
}
void append_port(Bytes* bytes, std::uint16_t port) {
  const char raw[4] = {static_cast<char>(port >> 8), static_cast<char>(port & 0xff), 0, 0};
  bytes->append(raw, sizeof(raw));
}
void append_protocol(Bytes* bytes, std::uint8_t protocol) {
  const char raw[4] = {static_cast<char>(protocol), 0, 0, 0};
  bytes->append(raw, sizeof(raw));
}

void RuleSet::replace(Batch* batch, std::string_view comment, std::span<const netns::Cidr> pods) const {
  // Made first, if it is not there: one that is not there is an error to remove.
  put_table(batch, NFT_MSG_NEWTABLE, table_, comment);
  put_table(batch, NFT_MSG_DELTABLE, table_, {});
  put_table(batch, NFT_MSG_NEWTABLE, table_, comment);
  Writer writer(batch, table_);
  for (Family family : kFamilies) {
    for (MapKind kind : kMapKinds) writer.set(map_name(kind, family), shape_of(kind, family));
  }
  for (const char* map : {kGateChains, kActionMap, kInside.chains, kOutside.chains}) {
    writer.set(map, {map, NFT_SET_MAP, kPriority, 4, 0, 0}, true);
  }
  for (const NamedAction& named : kActionChains) writer.chain(named.chain);
  for (const char* chain : {"services", "gate", "admitted", kInside.chain, kOutside.chain}) writer.chain(chain);
  write_services(writer);
  write_actions(writer, pods);
  write_balance(writer, kInside);
  write_balance(writer, kOutside);
  for (const NamedAction& named : kActionChains) {
    Bytes key = number_key(static_cast<std::uint32_t>(named.action));
    writer.verdict_element(NFT_MSG_NEWSETELEM, kGateChains, key, named.chain);
    if (named.action == Action::kRestricted) continue;
    writer.verdict_element(NFT_MSG_NEWSETELEM, kActionMap, key, named.chain);
  }
  writer.nat_chain("prerouting", NF_INET_PRE_ROUTING, kDestinationPriority);
  writer.nat_chain("output", NF_INET_LOCAL_OUT, kDestinationPriority);
  writer.nat_chain("postrouting", NF_INET_POST_ROUTING, kSourcePriority);
  writer.rule("prerouting").jump("services").done();
  writer.rule("output").jump("services").done();
  write_postrouting(writer);
}

void RuleSet::remove(Batch* batch) const { put_table(batch, NFT_MSG_DELTABLE, table_, {}); }

void RuleSet::add_picker(Batch* batch, const NumberedPicker& numbered) const {
  Writer writer(batch, table_);
  for (const Balance& balance : {kInside, kOutside}) {
    std::string chain = picker_chain(balance, numbered.picker);
    writer.chain(chain);
    write_picker(writer, chain, balance, numbered.picker);
    writer.verdict_element(NFT_MSG_NEWSETELEM, balance.chains, number_key(numbered.number), chain);
  }
}

void RuleSet::remove_picker(Batch* batch, const NumberedPicker& numbered) const {
  Writer writer(batch, table_);
  for (const Balance& balance : {kInside, kOutside}) {
    std::string chain = picker_chain(balance, numbered.picker);
    writer.verdict_element(NFT_MSG_DELSETELEM, balance.chains, number_key(numbered.number), chain);
    writer.remove_chain(chain);
  }
}

void RuleSet::put_elements(Batch* batch, std::uint16_t message, MapKind kind, Family family,
                           std::span<const Element> elements) const {
  std::string map = map_name(kind, family);
  auto data = [batch](const Bytes& bytes) {
    batch->put(NFTA_DATA_VALUE, {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  };
  while (!elements.empty()) {
    batch->begin(message, message == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, absl::StrCat("change elements of ", map));
    batch->put_string(NFTA_SET_ELEM_LIST_TABLE, table_);
    batch->put_string(NFTA_SET_ELEM_LIST_SET, map);
    batch->nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
      while (!elements.empty() && batch->message_size() < kMessageSize) {
        const Element& element = elements.front();
        batch->nest(NFTA_LIST_ELEM, [&] {
          batch->nest(NFTA_SET_ELEM_KEY, [&] { data(element.key); });
          if (!element.key_end.empty()) batch->nest(NFTA_SET_ELEM_KEY_END, [&] { data(element.key_end); });
          if (!element.value.empty() && message == NFT_MSG_NEWSETELEM) {
            batch->nest(NFTA_SET_ELEM_DATA, [&] { data(element.value); });
          }
        });
        elements = elements.subspan(1);
      }
    });
  }
}

void RuleSet::add_elements(Batch* batch, MapKind kind, Family family, std::span<const Element> elements) const {
  put_elements(batch, NFT_MSG_NEWSETELEM, kind, family, elements);
}

void RuleSet::remove_elements(Batch* batch, MapKind kind, Family family, std::span<const Element> elements) const {
  put_elements(batch, NFT_MSG_DELSETELEM, kind, family, elements);
}

}  // namespace gantry::proxy::nftables
