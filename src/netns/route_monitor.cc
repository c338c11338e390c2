// SPDX-License-Identifier: Apache-2.0
#include "netns/route_monitor.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gantry::netns {
namespace {

template <typename Header>
Header header_of(const std::string& message) {
  Header header{};
  if (message.size() >= NLMSG_LENGTH(sizeof(header))) {
    std::memcpy(&header, message.data() + NLMSG_HDRLEN, sizeof(header));
  }
  return header;
}

}  // namespace

Result<RouteMonitor> RouteMonitor::open(const std::string& instance) {
  OwnFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "open a netlink socket for changes"));
  // Of IPv6 that between nodes: its routes on links come and go with its addresses.
  sockaddr_nl groups{.nl_family = AF_NETLINK,
                     .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR};
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&groups), sizeof(groups)) < 0) {
    return std::unexpected(Error::from_errno(errno, "bind a netlink socket for changes"));
  }
  return RouteMonitor(std::move(fd), instance);
}

bool RouteMonitor::is_of_interest(const std::string& message) const {
  const auto* header = reinterpret_cast<const nlmsghdr*>(message.data());
  switch (header->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      auto link = parse_link(message);
      if (!link || link->group == marks_.group() || link->group == marks_.ending_group()) return false;
      // Each look at it says the same of it again.
      const bool is_well = header->nlmsg_type == RTM_NEWLINK && link->up;
      return link->group != marks_.overlay_group() || !is_well;
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      // A label is the link's name, and ours begin so.
      return !Attributes::of(message, sizeof(ifaddrmsg), IFA_MAX).string(IFA_LABEL).starts_with("gt");
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      auto route = header_of<rtmsg>(message);
      if (route.rtm_protocol == kRouteProtocol) return header->nlmsg_type == RTM_DELROUTE;
      return route.rtm_dst_len < 32;  // those to pods
    }
    default:
      return false;
  }
}

bool RouteMonitor::take() {
  bool found = false;
  std::array<char, 32768> buffer;
  for (;;) {
    sockaddr_nl sender{};
    iovec part{buffer.data(), buffer.size()};
    msghdr message{.msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &part, .msg_iovlen = 1};
    ssize_t size = ::recvmsg(socket_.get(), &message, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {  // some were lost
      found = true;
      continue;
    }
    if (size <= 0) return found;
    if (sender.nl_pid != 0 || (message.msg_flags & MSG_TRUNC) != 0) continue;
    auto left = static_cast<std::size_t>(size);
    for (const char* at = buffer.data(); left >= sizeof(nlmsghdr);) {
      nlmsghdr header;
      std::memcpy(&header, at, sizeof(header));
      if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > left) break;
      found = found || is_of_interest(std::string(at, header.nlmsg_len));
      const std::size_t step = std::min<std::size_t>(left, NLMSG_ALIGN(header.nlmsg_len));
      at += step;
      left -= step;
    }
  }
}

}  // namespace gantry::netns
