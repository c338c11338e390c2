// SPDX-License-Identifier: Apache-2.0
// Requests to the kernel over netlink(7): several go out in one system call, and an answer says which of them failed,
// in the kernel's own words where it gives some. libnl builds the messages; sending and receiving is done here, because
// a socket may be borrowed from a process in another network namespace. Inside this folder only. Blocking is not
// possible: the kernel has put its answers into the socket's queue before the send returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

struct nl_msg;
struct nlmsghdr;
struct nlattr;

namespace gantry::netns {

class Request {
 public:
  // `what` says for people what is asked ("make link gt01"). NLM_F_REQUEST and NLM_F_ACK are added to `flags`.
  Request(std::string what, std::uint16_t type, std::uint16_t flags);
  Request(Request&&) noexcept = default;
  ~Request();

  // The fixed header of the message's type (ifinfomsg, rtmsg, ...), first; in a nested message, where it belongs.
  template <typename Header>
  Request& header(const Header& value) {
    append(&value, sizeof(value));
    return *this;
  }
  Request& put(int type, const void* value, std::size_t size);
  Request& put(int type, std::span<const std::uint8_t> value) { return put(type, value.data(), value.size()); }
  Request& put_u8(int type, std::uint8_t value) { return put(type, &value, sizeof(value)); }
  Request& put_u32(int type, std::uint32_t value) { return put(type, &value, sizeof(value)); }
  Request& put_string(int type, const std::string& value) { return put(type, value.c_str(), value.size() + 1); }
  // An attribute that holds what `body` puts.
  Request& nest(int type, const std::function<void(Request&)>& body);

 private:
  friend class NetlinkSocket;
  void append(const void* value, std::size_t size);

  struct Free {
    void operator()(nl_msg* message) const;
  };
  std::string what_;
  std::unique_ptr<nl_msg, Free> message_;
  bool overflow_ = false;
};

// The attributes of an answer, by type; what comes twice is there once, what is longer than `max` types is left out.
class Attributes {
 public:
  // Of a whole message, after a fixed header of `header_size` bytes.
  static Attributes of(const std::string& message, std::size_t header_size, int max);
  // Of what an attribute holds.
  static Attributes within(const nlattr* attribute, int max);

  const nlattr* find(int type) const;
  // Zero, empty or a null view when it is not there or too short.
  std::uint32_t u32(int type) const;
  std::string string(int type) const;
  std::span<const std::uint8_t> bytes(int type) const;

 private:
  std::vector<nlattr*> table_;
};

class NetlinkSocket {
 public:
  // A socket of our own in the calling thread's network namespace. `protocol`: NETLINK_ROUTE or NETLINK_NETFILTER.
  static Result<NetlinkSocket> open(int protocol);
  // One that somebody else opened and keeps; not closed here. Its owner must not read it at the same time.
  static NetlinkSocket borrow(FdRef fd);

  // What a request was answered with but the acknowledgement: whole messages, header and all.
  using Replies = std::vector<std::string>;

  // Sends all in one go. The kernel takes them in order and goes on after one that fails; the error is the first one's.
  Result<Replies> exchange(std::span<Request> requests);
  Result<Replies> exchange(Request request) { return exchange(std::span(&request, 1)); }
  Status send(std::span<Request> requests);
  Status send(Request request) { return send(std::span(&request, 1)); }

  // A listing (NLM_F_DUMP is added): the messages that `keep` wants. Asked again, a bounded number of times, when what
  // is listed changed meanwhile.
  Result<Replies> dump(Request request, const std::function<bool(const nlmsghdr&)>& keep);

 private:
  NetlinkSocket(OwnFd own, FdRef fd) : own_(std::move(own)), fd_(fd) {}
  Status transmit(std::span<Request> requests);

  OwnFd own_;
  FdRef fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace gantry::netns
