// SPDX-License-Identifier: Apache-2.0
// The expressions of nf_tables that the proxy's rules are made of, one function each, and a rule as a list of them. A
// register here is one of the kernel's sixteen of four bytes, by its number; a value that is longer takes the next ones
// as well. Inside this folder only.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "netns/address.h"
#include "proxy/nftables/batch.h"

namespace gantry::proxy::nftables {

struct Register {
  std::uint32_t number = 0;
  Register operator+(std::uint32_t offset) const { return {number + offset}; }
};

// A rule under construction: expressions in the order in which packets meet them. The first that does not match ends
// it.
class Rule {
 public:
  // Appends to `chain` of `table`.
  Rule(Batch* batch, std::string_view table, std::string_view chain);
  // Ends the message.
  void done();

  Rule& family(netns::Family family);                              // IPv4 or IPv6
  Rule& source(netns::Family family, Register to);                 // the packet's
  Rule& destination(netns::Family family, Register to);
  Rule& protocol(Register to);                                     // of layer 4
  Rule& destination_port(Register to);
  Rule& source_in(const netns::Cidr& range, Register scratch);     // matches
  Rule& source_is_local(Register scratch);                         // matches an address of this host
  Rule& is_in(const std::string& set, Register key);               // matches
  Rule& look_up(const std::string& map, Register key, Register to);  // matches when there is one
  Rule& go_by(const std::string& verdict_map, Register key);
  Rule& random_below(std::uint32_t end, Register to);
  Rule& remember(const std::string& map, Register key, Register value, std::uint32_t seconds);
  Rule& forget(const std::string& map, Register key, Register value);
  Rule& priority(Register to);
  Rule& set_priority(Register from);
  Rule& clear_priority(Register scratch);
  Rule& set_mark(std::uint32_t bit, Register scratch);
  Rule& take_mark(std::uint32_t bit, Register scratch);  // matches when it is set, and clears it
  Rule& destination_nat(netns::Family family, Register address, Register port);
  Rule& masquerade();
  Rule& stays_here(Register scratch);  // matches what leaves by the loopback
  Rule& is_tcp(Register scratch);  // matches
  Rule& reject();                 // by ICMP
  Rule& reset();                  // by TCP
  Rule& drop();
  Rule& leave();  // the chain
  Rule& jump(std::string_view chain);
  Rule& go(std::string_view chain);

 private:
  Rule& add(const char* name, const std::function<void()>& body);
  Rule& verdict(int code, std::string_view chain);
  Rule& payload(std::uint32_t base, std::uint32_t offset, std::uint32_t size, Register to);
  Rule& compare(Register with, std::span<const std::uint8_t> value, bool equal = true);
  Rule& bitwise(Register from, Register to, std::span<const std::uint8_t> mask, std::span<const std::uint8_t> flip);

  Batch* batch_;
  std::size_t expressions_;
};

// A verdict as an attribute of data.
void put_verdict(Batch* batch, std::uint16_t type, int code, std::string_view chain);

}  // namespace gantry::proxy::nftables
