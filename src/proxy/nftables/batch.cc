// SPDX-License-Identifier: Apache-2.0
#include "proxy/nftables/batch.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"

namespace gantry::proxy::nftables {
namespace {

constexpr std::uint16_t kNested = NLA_F_NESTED;

// The kernel answers one error for each message that it refuses, and one answer at the end of those that it takes.
constexpr std::size_t kReceiveBuffer = 64 * 1024;

}  // namespace

Batch::Batch() { begin_any(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES); }

void Batch::begin_any(std::uint16_t type, std::uint16_t flags, std::uint8_t family, std::uint16_t resource) {
  end_message();
  message_ = buffer_.size();
  nlmsghdr header{.nlmsg_type = type,
                  .nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST),
                  .nlmsg_seq = sequence_++};
  nfgenmsg generic{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)};
  const auto* first = reinterpret_cast<const std::uint8_t*>(&header);
  buffer_.insert(buffer_.end(), first, first + sizeof(header));
  const auto* second = reinterpret_cast<const std::uint8_t*>(&generic);
  buffer_.insert(buffer_.end(), second, second + sizeof(generic));
}

void Batch::end_message() {
  if (buffer_.empty()) return;
  auto size = static_cast<std::uint32_t>(buffer_.size() - message_);
  std::memcpy(buffer_.data() + message_ + offsetof(nlmsghdr, nlmsg_len), &size, sizeof(size));
}

void Batch::begin(std::uint16_t message, std::uint16_t flags, std::string what) {
  begin_any(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message), flags, NFPROTO_INET, 0);
  whats_.push_back(std::move(what));
}

void Batch::put(std::uint16_t type, std::span<const std::uint8_t> value) {
  nlattr attribute{.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + value.size()), .nla_type = type};
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&attribute);
  buffer_.insert(buffer_.end(), raw, raw + sizeof(attribute));
  buffer_.insert(buffer_.end(), value.begin(), value.end());
  buffer_.resize(NLA_ALIGN(buffer_.size()));
}

void Batch::put_u32(std::uint16_t type, std::uint32_t value) {
  std::uint32_t ordered = htonl(value);
  put(type, {reinterpret_cast<const std::uint8_t*>(&ordered), sizeof(ordered)});
}

void Batch::put_u64(std::uint16_t type, std::uint64_t value) {
  std::uint64_t ordered = htobe64(value);
  put(type, {reinterpret_cast<const std::uint8_t*>(&ordered), sizeof(ordered)});
}

void Batch::put_string(std::uint16_t type, std::string_view value) {
  std::string text(value);
  put(type, {reinterpret_cast<const std::uint8_t*>(text.c_str()), text.size() + 1});
}

std::size_t Batch::open(std::uint16_t type) {
  std::size_t start = buffer_.size();
  put(static_cast<std::uint16_t>(type | kNested), {});
  return start;
}

void Batch::close(std::size_t start) {
  auto size = static_cast<std::uint16_t>(buffer_.size() - start);
  std::memcpy(buffer_.data() + start + offsetof(nlattr, nla_len), &size, sizeof(size));
}

Result<Connection> Connection::open() {
  OwnFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "open a socket to nf_tables"));
  int on = 1;
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  sockaddr_nl own{.nl_family = AF_NETLINK};
  socklen_t length = sizeof(own);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0) {
    return std::unexpected(Error::from_errno(errno, "bind a socket to nf_tables"));
  }
  return Connection(std::move(fd), own.nl_pid);
}

// A transaction is one datagram, however large.
Status Connection::make_room(std::size_t size) {
  int wanted = static_cast<int>(size / 2 + 64 * 1024);  // the kernel doubles it
  if (size > (std::size_t{1} << 30)) return fail(Code::kResourceExhausted, "the transaction has more than 1 GiB");
  if (::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) != 0) {
    return std::unexpected(Error::from_errno(errno, absl::StrCat("make room for a transaction of ", size, " bytes")));
  }
  return {};
}

Status Connection::commit(Batch batch) {
  if (batch.is_empty()) return {};
  // The last one is acknowledged: after the commit, so that it stands for all.
  auto* last = reinterpret_cast<nlmsghdr*>(batch.buffer_.data() + batch.message_);
  last->nlmsg_flags |= NLM_F_ACK;
  std::uint32_t last_sequence = batch.sequence_ - 1;
  batch.begin_any(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  batch.end_message();
  if (auto room = make_room(batch.buffer_.size()); !room) return room;
  sockaddr_nl kernel{.nl_family = AF_NETLINK};
  ssize_t sent = ::sendto(fd_.get(), batch.buffer_.data(), batch.buffer_.size(), MSG_NOSIGNAL,
                          reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  if (sent < 0) return std::unexpected(Error::from_errno(errno, "send a transaction to nf_tables"));
  // All answers are there when the call returns.
  bool acknowledged = false;
  std::optional<Error> failure;
  std::vector<char> buffer(kReceiveBuffer);
  for (;;) {
    ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      if (!failure) failure = Error::from_errno(errno, "read nf_tables' answers");
      if (errno == ENOBUFS) continue;
      break;
    }
    auto left = static_cast<std::uint32_t>(size);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) continue;
      const auto* answer = static_cast<const nlmsgerr*>(NLMSG_DATA(header));
      if (answer->error == 0) {
        acknowledged |= header->nlmsg_seq == last_sequence;
      } else if (!failure) {
        std::size_t index = header->nlmsg_seq - 1;
        failure = Error::from_errno(-answer->error,
                                    index < batch.whats_.size() ? batch.whats_[index] : "nf_tables' transaction");
      }
    }
  }
  if (failure) return std::unexpected(std::move(*failure));
  if (!acknowledged) return fail(Code::kInternal, "nf_tables did not answer a transaction");
  return {};
}

}  // namespace gantry::proxy::nftables
