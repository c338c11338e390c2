// SPDX-License-Identifier: Apache-2.0
#include "netns/nft_mark.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cstdint>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "netns/links.h"
#include "netns/netlink.h"

namespace gantry::netns {
namespace {

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

std::string nft_mark(const std::string& instance) {
  constexpr std::size_t kLongest = 240;  // the kernel's user data has 256
  return absl::StrCat("gantry:", instance.substr(0, kLongest));
}

std::string nft_table_name(std::string_view prefix, const std::string& instance) {
  return absl::StrFormat("%s-%08x", prefix, LinkMarks(instance).group());
}

Result<bool> has_own_nft_table(const std::string& name, const std::string& mark) {
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return std::unexpected(std::move(socket.error()));
  Request request(absl::StrCat("look up nftables table inet ", name), NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0);
  request.header(nfgenmsg{.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0}).put_string(NFTA_TABLE_NAME, name);
  auto replies = socket->exchange(std::move(request));
  if (!replies) {
    if (replies.error().is_not_found()) return false;
    return std::unexpected(std::move(replies.error()));
  }
  if (replies->empty()) return fail(Code::kInternal, absl::StrCat("no description of nftables table inet ", name));
  auto attributes = Attributes::of(replies->front(), sizeof(nfgenmsg), NFTA_TABLE_MAX);
  std::string comment = comment_of(attributes.bytes(NFTA_TABLE_USERDATA));
  if (comment != mark) {
    return fail(Code::kFailedPrecondition,
                absl::StrCat("nftables table inet ", name, " is not ours: its comment is \"", comment,
                             "\", expected \"", mark, "\""));
  }
  return true;
}

}  // namespace gantry::netns
