// SPDX-License-Identifier: Apache-2.0
#include "netns/nft_table.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "netns/links.h"

namespace gantry::netns {
namespace {

// The first rule drops what the way back to its source address does not leave by the link that it came in by: the
// reverse-path filter again, for both families, out of reach of net.ipv4.conf.all.rp_filter and of udev.
constexpr const char* kRules = R"(
add table inet NAME
delete table inet NAME
table inet NAME {
  comment "COMMENT"
  chain own-address-only {
    type filter hook prerouting priority raw; policy accept;
    iifgroup GROUP fib saddr . iif oif missing drop
  }
  chain to-outside {
    type nat hook postrouting priority srcnat; policy accept;
    FAMILY saddr PODS FAMILY daddr != CLUSTER masquerade fully-random
  }
}
)";

// libnftables ends each complaint with the line that it means; the first line says what is wrong.
std::string first_line(const char* text) {
  std::string line = text == nullptr ? "" : text;
  return line.substr(0, line.find('\n'));
}

// The comment is a type-length-value in the table's user data, as nft(8) writes it.
std::string comment_of(std::span<const std::uint8_t> user_data) {
  constexpr std::uint8_t kTableComment = 0;
  while (user_data.size() >= 2 && user_data.size() >= 2U + user_data[1]) {
    auto value = user_data.subspan(2, user_data[1]);
    if (user_data[0] == kTableComment) {
      std::string comment(value.begin(), value.end());
      return comment.substr(0, comment.find('\0'));
    }
    user_data = user_data.subspan(2U + user_data[1]);
  }
  return {};
}

}  // namespace

Result<NftTable> NftTable::open(const std::string& instance) {
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return std::unexpected(std::move(socket.error()));
  LinkMarks marks(instance);
  return NftTable(std::move(*socket), absl::StrFormat("gantry-%08x", marks.group()), absl::StrCat("gantry:", instance));
}

Result<bool> NftTable::exists() {
  Request request(absl::StrCat("look up nftables table inet ", name_), NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0);
  request.header(nfgenmsg{.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0}).put_string(NFTA_TABLE_NAME, name_);
  auto replies = socket_.exchange(std::move(request));
  if (!replies) {
    if (replies.error().is_not_found()) return false;
    return std::unexpected(std::move(replies.error()));
  }
  if (replies->empty()) return fail(Code::kInternal, absl::StrCat("no description of nftables table inet ", name_));
  auto attributes = Attributes::of(replies->front(), sizeof(nfgenmsg), NFTA_TABLE_MAX);
  std::string comment = comment_of(attributes.bytes(NFTA_TABLE_USERDATA));
  if (comment != comment_) {
    return fail(Code::kFailedPrecondition,
                absl::StrCat("nftables table inet ", name_, " is not ours: its comment is \"", comment,
                             "\", expected \"", comment_, "\""));
  }
  return true;
}

Status NftTable::run(const std::string& commands) {
  std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)> context(::nft_ctx_new(NFT_CTX_DEFAULT), &::nft_ctx_free);
  if (!context || ::nft_ctx_buffer_error(context.get()) != 0 || ::nft_ctx_buffer_output(context.get()) != 0) {
    return fail(Code::kResourceExhausted, absl::StrCat("nftables table inet ", name_, ": libnftables did not start"));
  }
  if (::nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0) {
    return fail(Code::kInternal, absl::StrCat("nftables table inet ", name_, ": ",
                                              first_line(::nft_ctx_get_error_buffer(context.get()))));
  }
  return {};
}

Status NftTable::ensure(const Cidr& pods, const Cidr& cluster, std::uint32_t group) {
  if (auto there = exists(); !there) return std::unexpected(std::move(there.error()));
  return run(absl::StrReplaceAll(kRules, {{"NAME", name_},
                                          {"COMMENT", comment_},
                                          {"GROUP", absl::StrCat(group)},
                                          {"FAMILY", pods.family() == Family::kV4 ? "ip" : "ip6"},
                                          {"PODS", pods.to_string()},
                                          {"CLUSTER", cluster.to_string()}}));
}

Status NftTable::remove() {
  auto there = exists();
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return {};
  return run(absl::StrCat("delete table inet ", name_, "\n"));
}

}  // namespace gantry::netns
