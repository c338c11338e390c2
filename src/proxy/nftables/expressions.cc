// SPDX-License-Identifier: Apache-2.0
#include "proxy/nftables/expressions.h"

#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <vector>


namespace gantry::proxy::nftables {
namespace {

// Where headers have what is wanted.
struct Field {
  std::uint32_t offset, size;
};
constexpr Field kSource4{12, 4}, kDestination4{16, 4}, kSource6{8, 16}, kDestination6{24, 16}, kPort{2, 2};

std::uint32_t kernel(Register which) { return NFT_REG32_00 + which.number; }

std::span<const std::uint8_t> bytes_of(const std::uint32_t& number) {
  return {reinterpret_cast<const std::uint8_t*>(&number), sizeof(number)};
}

}  // namespace

void put_verdict(Batch* batch, std::uint16_t type, int code, std::string_view chain) {
  batch->nest(type, [&] {
    batch->nest(NFTA_DATA_VERDICT, [&] {
      batch->put_u32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(code));
      if (!chain.empty()) batch->put_string(NFTA_VERDICT_CHAIN, chain);
    });
  });
}

Rule::Rule(Batch* batch, std::string_view table, std::string_view chain) : batch_(batch) {
  batch_->begin(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add a rule to chain " + std::string(chain));
  batch_->put_string(NFTA_RULE_TABLE, table);
  batch_->put_string(NFTA_RULE_CHAIN, chain);
  expressions_ = batch_->open(NFTA_RULE_EXPRESSIONS);
}

void Rule::done() { batch_->close(expressions_); }

Rule& Rule::add(const char* name, const std::function<void()>& body) {
  batch_->nest(NFTA_LIST_ELEM, [&] {
    batch_->put_string(NFTA_EXPR_NAME, name);
    batch_->nest(NFTA_EXPR_DATA, body);
  });
  return *this;
}

Rule& Rule::payload(std::uint32_t base, std::uint32_t offset, std::uint32_t size, Register to) {
  return add("payload", [&] {
    batch_->put_u32(NFTA_PAYLOAD_DREG, kernel(to));
    batch_->put_u32(NFTA_PAYLOAD_BASE, base);
    batch_->put_u32(NFTA_PAYLOAD_OFFSET, offset);
    batch_->put_u32(NFTA_PAYLOAD_LEN, size);
  });
}

Rule& Rule::compare(Register with, std::span<const std::uint8_t> value, bool equal) {
  return add("cmp", [&] {
    batch_->put_u32(NFTA_CMP_SREG, kernel(with));
    batch_->put_u32(NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    batch_->nest(NFTA_CMP_DATA, [&] { batch_->put(NFTA_DATA_VALUE, value); });
  });
}

Rule& Rule::bitwise(Register from, Register to, std::span<const std::uint8_t> mask,
                    std::span<const std::uint8_t> flip) {
  return add("bitwise", [&] {
    batch_->put_u32(NFTA_BITWISE_SREG, kernel(from));
    batch_->put_u32(NFTA_BITWISE_DREG, kernel(to));
    batch_->put_u32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()));
    batch_->nest(NFTA_BITWISE_MASK, [&] { batch_->put(NFTA_DATA_VALUE, mask); });
    batch_->nest(NFTA_BITWISE_XOR, [&] { batch_->put(NFTA_DATA_VALUE, flip); });
  });
}

Rule& Rule::family(netns::Family family) {
  add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_NFPROTO);
    batch_->put_u32(NFTA_META_DREG, kernel({0}));
  });
  std::uint8_t value = family == netns::Family::kV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  return compare({0}, {&value, 1});
}

Rule& Rule::source(netns::Family family, Register to) {
  Field field = family == netns::Family::kV4 ? kSource4 : kSource6;
  return payload(NFT_PAYLOAD_NETWORK_HEADER, field.offset, field.size, to);
}

Rule& Rule::destination(netns::Family family, Register to) {
  Field field = family == netns::Family::kV4 ? kDestination4 : kDestination6;
  return payload(NFT_PAYLOAD_NETWORK_HEADER, field.offset, field.size, to);
}

Rule& Rule::protocol(Register to) {
  return add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_L4PROTO);
    batch_->put_u32(NFTA_META_DREG, kernel(to));
  });
}

Rule& Rule::destination_port(Register to) {
  return payload(NFT_PAYLOAD_TRANSPORT_HEADER, kPort.offset, kPort.size, to);
}

Rule& Rule::source_in(const netns::Cidr& range, Register scratch) {
  family(range.family());
  source(range.family(), scratch);
  std::vector<std::uint8_t> mask(range.network().bytes().size()), zero(mask.size());
  for (unsigned bit = 0; bit < range.prefix(); ++bit) mask[bit / 8] |= static_cast<std::uint8_t>(0x80 >> bit % 8);
  bitwise(scratch, scratch, mask, zero);
  return compare(scratch, range.network().bytes());
}

Rule& Rule::source_is_local(Register scratch) {
  add("fib", [&] {
    batch_->put_u32(NFTA_FIB_DREG, kernel(scratch));
    batch_->put_u32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    batch_->put_u32(NFTA_FIB_FLAGS, NFTA_FIB_F_SADDR);
  });
  std::uint32_t local = RTN_LOCAL;
  return compare(scratch, bytes_of(local));
}

Rule& Rule::is_in(const std::string& set, Register key) {
  return add("lookup", [&] {
    batch_->put_string(NFTA_LOOKUP_SET, set);
    batch_->put_u32(NFTA_LOOKUP_SREG, kernel(key));
  });
}

Rule& Rule::look_up(const std::string& map, Register key, Register to) {
  return add("lookup", [&] {
    batch_->put_string(NFTA_LOOKUP_SET, map);
    batch_->put_u32(NFTA_LOOKUP_SREG, kernel(key));
    batch_->put_u32(NFTA_LOOKUP_DREG, kernel(to));
  });
}

Rule& Rule::go_by(const std::string& verdict_map, Register key) {
  return add("lookup", [&] {
    batch_->put_string(NFTA_LOOKUP_SET, verdict_map);
    batch_->put_u32(NFTA_LOOKUP_SREG, kernel(key));
    batch_->put_u32(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
  });
}

Rule& Rule::random_below(std::uint32_t end, Register to) {
  return add("numgen", [&] {
    batch_->put_u32(NFTA_NG_DREG, kernel(to));
    batch_->put_u32(NFTA_NG_MODULUS, end);
    batch_->put_u32(NFTA_NG_TYPE, NFT_NG_RANDOM);
    batch_->put_u32(NFTA_NG_OFFSET, 0);
  });
}

Rule& Rule::remember(const std::string& map, Register key, Register value, std::uint32_t seconds) {
  return add("dynset", [&] {
    batch_->put_string(NFTA_DYNSET_SET_NAME, map);
    batch_->put_u32(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    batch_->put_u32(NFTA_DYNSET_SREG_KEY, kernel(key));
    batch_->put_u32(NFTA_DYNSET_SREG_DATA, kernel(value));
    batch_->put_u64(NFTA_DYNSET_TIMEOUT, std::uint64_t{seconds} * 1000);
  });
}

// The kernel wants a value here as for every other operation on a map, and looks at the key alone.
Rule& Rule::forget(const std::string& map, Register key, Register value) {
  return add("dynset", [&] {
    batch_->put_string(NFTA_DYNSET_SET_NAME, map);
    batch_->put_u32(NFTA_DYNSET_OP, NFT_DYNSET_OP_DELETE);
    batch_->put_u32(NFTA_DYNSET_SREG_KEY, kernel(key));
    batch_->put_u32(NFTA_DYNSET_SREG_DATA, kernel(value));
  });
}

Rule& Rule::priority(Register to) {
  return add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_PRIORITY);
    batch_->put_u32(NFTA_META_DREG, kernel(to));
  });
}

Rule& Rule::set_priority(Register from) {
  return add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_PRIORITY);
    batch_->put_u32(NFTA_META_SREG, kernel(from));
  });
}

Rule& Rule::clear_priority(Register scratch) {
  std::uint32_t none = 0;
  add("immediate", [&] {
    batch_->put_u32(NFTA_IMMEDIATE_DREG, kernel(scratch));
    batch_->nest(NFTA_IMMEDIATE_DATA, [&] { batch_->put(NFTA_DATA_VALUE, bytes_of(none)); });
  });
  return set_priority(scratch);
}

Rule& Rule::set_mark(std::uint32_t bit, Register scratch) {
  add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_MARK);
    batch_->put_u32(NFTA_META_DREG, kernel(scratch));
  });
  std::uint32_t others = ~bit;
  bitwise(scratch, scratch, bytes_of(others), bytes_of(bit));
  return add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_MARK);
    batch_->put_u32(NFTA_META_SREG, kernel(scratch));
  });
}

Rule& Rule::stays_here(Register scratch) {
  add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_OIF);
    batch_->put_u32(NFTA_META_DREG, kernel(scratch));
  });
  std::uint32_t loopback = 1;  // in every network namespace
  return compare(scratch, bytes_of(loopback));
}

Rule& Rule::take_mark(std::uint32_t bit, Register scratch) {
  add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_MARK);
    batch_->put_u32(NFTA_META_DREG, kernel(scratch));
  });
  std::uint32_t none = 0, others = ~bit;
  bitwise(scratch, scratch + 1, bytes_of(bit), bytes_of(none));
  compare(scratch + 1, bytes_of(bit));
  bitwise(scratch, scratch, bytes_of(others), bytes_of(none));
  return add("meta", [&] {
    batch_->put_u32(NFTA_META_KEY, NFT_META_MARK);
    batch_->put_u32(NFTA_META_SREG, kernel(scratch));
  });
}

Rule& Rule::destination_nat(netns::Family family, Register address, Register port) {
  return add("nat", [&] {
    batch_->put_u32(NFTA_NAT_TYPE, NFT_NAT_DNAT);
    batch_->put_u32(NFTA_NAT_FAMILY, family == netns::Family::kV4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    batch_->put_u32(NFTA_NAT_REG_ADDR_MIN, kernel(address));
    batch_->put_u32(NFTA_NAT_REG_PROTO_MIN, kernel(port));
  });
}

Rule& Rule::masquerade() {
  return add("masq", [&] { batch_->put_u32(NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY); });
}

Rule& Rule::is_tcp(Register scratch) {
  std::uint8_t tcp = IPPROTO_TCP;
  return protocol(scratch).compare(scratch, {&tcp, 1});
}

Rule& Rule::reset() {
  return add("reject", [&] {
    batch_->put_u32(NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
    batch_->put_u8(NFTA_REJECT_ICMP_CODE, 0);
  });
}

Rule& Rule::reject() {
  return add("reject", [&] {
    batch_->put_u32(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
    batch_->put_u8(NFTA_REJECT_ICMP_CODE, NFT_REJECT_ICMPX_PORT_UNREACH);
  });
}

Rule& Rule::verdict(int code, std::string_view chain) {
  return add("immediate", [&] {
    batch_->put_u32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    put_verdict(batch_, NFTA_IMMEDIATE_DATA, code, chain);
  });
}

Rule& Rule::drop() { return verdict(NF_DROP, {}); }
Rule& Rule::leave() { return verdict(NFT_RETURN, {}); }
Rule& Rule::jump(std::string_view chain) { return verdict(NFT_JUMP, chain); }
Rule& Rule::go(std::string_view chain) { return verdict(NFT_GOTO, chain); }

}  // namespace gantry::proxy::nftables
