// SPDX-License-Identifier: Apache-2.0
#include "proxy/nftables/watcher.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "netns/nft_mark.h"

namespace gantry::proxy::nftables {
namespace {

// The first attribute of all messages about a table and what is in it is the table's name.
std::string_view table_of(const nlmsghdr& header) {
  constexpr std::size_t kBefore = NLMSG_LENGTH(sizeof(nfgenmsg));
  if (header.nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || (header.nlmsg_type & 0xff) == NFT_MSG_NEWGEN) return {};
  if (header.nlmsg_len < kBefore + NLA_HDRLEN) return {};
  const auto* raw = reinterpret_cast<const char*>(&header) + kBefore;
  nlattr attribute;
  std::memcpy(&attribute, raw, sizeof(attribute));
  if (attribute.nla_type != NFTA_TABLE_NAME || attribute.nla_len <= NLA_HDRLEN ||
      attribute.nla_len > header.nlmsg_len - kBefore) {
    return {};
  }
  std::size_t size = attribute.nla_len - NLA_HDRLEN;
  return {raw + NLA_HDRLEN, ::strnlen(raw + NLA_HDRLEN, size)};
}

}  // namespace

Result<OwnFd> Watcher::open() {
  OwnFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "open a socket for nf_tables' events"));
  // Without an address of its own the kernel takes it for itself, and tells it nothing.
  sockaddr_nl own{.nl_family = AF_NETLINK};
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)) != 0) {
    return std::unexpected(Error::from_errno(errno, "bind a socket for nf_tables' events"));
  }
  if (auto listening = listen(fd, true); !listening) return std::unexpected(std::move(listening.error()));
  return fd;
}

Status Watcher::listen(FdRef socket, bool on) {
  int group = NFNLGRP_NFTABLES;
  int change = on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP;
  if (::setsockopt(socket.get(), SOL_NETLINK, change, &group, sizeof(group)) != 0) {
    return std::unexpected(Error::from_errno(errno, "listen to nf_tables' events"));
  }
  return {};
}

Watcher::Watcher(Loop& loop, OwnFd socket, Target target, std::function<void()> on_disturbed)
    : socket_(std::move(socket)),
      watch_(loop, socket_),
      target_(std::move(target)),
      on_disturbed_(std::move(on_disturbed)) {}

Result<bool> Watcher::read_events() {
  bool disturbed = false;
  std::vector<char> buffer(64 * 1024);
  for (;;) {
    ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0) {
      int error = errno;
      if (error == EINTR) continue;
      if (error == EAGAIN) return disturbed;
      if (error != ENOBUFS) return std::unexpected(Error::from_errno(error, "read nf_tables' events"));
      auto there = netns::has_own_nft_table(target_.table, target_.mark);
      if (!there || !*there) disturbed = true;
      continue;
    }
    auto left = static_cast<std::uint32_t>(size);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_pid != target_.port_id && table_of(*header) == target_.table) disturbed = true;
    }
  }
}

Task<> Watcher::run() {
  for (;;) {
    if (auto ready = co_await watch_.readable(); !ready) co_return;
    auto disturbed = read_events();
    if (!disturbed) {
      log::error("nobody would notice who removes the rules of services", {{"error", disturbed.error()}});
      co_return;
    }
    if (*disturbed) on_disturbed_();
  }
}

}  // namespace gantry::proxy::nftables
