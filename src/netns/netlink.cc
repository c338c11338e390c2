// SPDX-License-Identifier: Apache-2.0
#include "netns/netlink.h"

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"

namespace gantry::netns {
namespace {

constexpr std::size_t kReceiveBuffer = 32768;  // what the kernel fills at most in one message of a listing
constexpr int kMaxDumps = 8;

// The sequence number begins anywhere, so that what an earlier user of a borrowed socket left in it is not taken for
// ours.
std::uint32_t random_start() {
  std::uint32_t start = 0;
  (void)::getrandom(&start, sizeof(start), 0);
  return start;
}

// One datagram from the kernel; nothing when its sender is not the kernel.
Result<std::optional<std::span<char>>> receive(FdRef fd, std::span<char> buffer) {
  sockaddr_nl sender{};
  iovec part{buffer.data(), buffer.size()};
  msghdr message{.msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &part, .msg_iovlen = 1};
  ssize_t size = ::recvmsg(fd.get(), &message, MSG_DONTWAIT);
  if (size < 0) return std::unexpected(Error::from_errno(errno, "read the kernel's answer"));
  if (message.msg_flags & MSG_TRUNC) {
    return fail(Code::kInternal, absl::StrCat("an answer of the kernel is longer than ", buffer.size(), " bytes"));
  }
  if (sender.nl_family != AF_NETLINK || sender.nl_pid != 0) return std::nullopt;
  return buffer.first(static_cast<std::size_t>(size));
}

// The error that a NLMSG_ERROR carries, with the sentence that the kernel may add; nothing when it is an
// acknowledgement.
std::optional<Error> error_of(const nlmsghdr& header, const std::string& what) {
  if (header.nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return Error(Code::kInternal, what + ": a cut answer");
  const auto* body = static_cast<const nlmsgerr*>(NLMSG_DATA(&header));
  if (body->error == 0) return std::nullopt;
  std::size_t fixed = sizeof(nlmsgerr);
  if (!(header.nlmsg_flags & NLM_F_CAPPED)) fixed += body->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string sentence = what;
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) && header.nlmsg_len >= NLMSG_LENGTH(fixed)) {
    auto attributes =
        Attributes::of({reinterpret_cast<const char*>(&header), header.nlmsg_len}, fixed, NLMSGERR_ATTR_MAX);
    if (std::string words = attributes.string(NLMSGERR_ATTR_MSG); !words.empty())
      absl::StrAppend(&sentence, ": ", words);
  }
  return Error::from_errno(-body->error, sentence);
}

}  // namespace

void Request::Free::operator()(nl_msg* message) const { ::nlmsg_free(message); }

Request::Request(std::string what, std::uint16_t type, std::uint16_t flags)
    : what_(std::move(what)), message_(::nlmsg_alloc()) {
  if (message_ && !::nlmsg_put(message_.get(), 0, 0, type, 0, NLM_F_REQUEST | NLM_F_ACK | flags)) message_.reset();
}
Request::~Request() = default;

void Request::append(const void* value, std::size_t size) {
  if (!message_) return;
  if (::nlmsg_append(message_.get(), const_cast<void*>(value), size, NLMSG_ALIGNTO) < 0) overflow_ = true;
}

Request& Request::put(int type, const void* value, std::size_t size) {
  if (message_ && ::nla_put(message_.get(), type, static_cast<int>(size), value) < 0) overflow_ = true;
  return *this;
}

Request& Request::nest(int type, const std::function<void(Request&)>& body) {
  if (!message_) return *this;
  nlattr* start = ::nla_nest_start(message_.get(), type);
  if (start == nullptr) {
    overflow_ = true;
    return *this;
  }
  body(*this);
  if (::nla_nest_end(message_.get(), start) < 0) overflow_ = true;
  return *this;
}

Attributes Attributes::of(const std::string& message, std::size_t header_size, int max) {
  Attributes result;
  result.table_.resize(static_cast<std::size_t>(max) + 1);
  auto* header = reinterpret_cast<nlmsghdr*>(const_cast<char*>(message.data()));
  auto fixed = static_cast<int>(header_size);
  if (message.size() < NLMSG_LENGTH(header_size)) return result;
  ::nla_parse(result.table_.data(), max, ::nlmsg_attrdata(header, fixed), ::nlmsg_attrlen(header, fixed), nullptr);
  return result;
}

Attributes Attributes::within(const nlattr* attribute, int max) {
  Attributes result;
  result.table_.resize(static_cast<std::size_t>(max) + 1);
  if (attribute != nullptr) ::nla_parse_nested(result.table_.data(), max, const_cast<nlattr*>(attribute), nullptr);
  return result;
}

const nlattr* Attributes::find(int type) const {
  auto index = static_cast<std::size_t>(type);
  return index < table_.size() ? table_[index] : nullptr;
}

std::span<const std::uint8_t> Attributes::bytes(int type) const {
  const nlattr* attribute = find(type);
  if (attribute == nullptr) return {};
  return {static_cast<const std::uint8_t*>(::nla_data(attribute)), static_cast<std::size_t>(::nla_len(attribute))};
}

std::uint32_t Attributes::u32(int type) const {
  std::uint32_t value = 0;
  if (auto raw = bytes(type); raw.size() >= sizeof(value)) std::memcpy(&value, raw.data(), sizeof(value));
  return value;
}

std::string Attributes::string(int type) const {
  auto raw = bytes(type);
  const auto* text = reinterpret_cast<const char*>(raw.data());
  return raw.empty() ? std::string() : std::string(text, ::strnlen(text, raw.size()));
}

Result<NetlinkSocket> NetlinkSocket::open(int protocol) {
  OwnFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, absl::StrCat("open netlink socket ", protocol)));
  FdRef ref = fd.ref();
  NetlinkSocket socket(std::move(fd), ref);
  socket.sequence_ = random_start();
  return socket;
}

NetlinkSocket NetlinkSocket::borrow(FdRef fd) {
  NetlinkSocket socket(OwnFd(), fd);
  socket.sequence_ = random_start();
  return socket;
}

Status NetlinkSocket::transmit(std::span<Request> requests) {
  // Errors in words, and without the request repeated. A kernel that refuses either gives errors without words.
  int on = 1;
  (void)::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
  (void)::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  std::vector<iovec> parts;
  parts.reserve(requests.size());
  std::size_t size = 0;
  for (Request& request : requests) {
    if (!request.message_ || request.overflow_) {
      return fail(Code::kInternal, request.what_ + ": the request does not fit a netlink message");
    }
    nlmsghdr* header = ::nlmsg_hdr(request.message_.get());
    header->nlmsg_seq = ++sequence_;
    header->nlmsg_pid = 0;
    parts.push_back({header, NLMSG_ALIGN(header->nlmsg_len)});  // libnl pads with zeros
    size += NLMSG_ALIGN(header->nlmsg_len);
  }
  sockaddr_nl kernel{.nl_family = AF_NETLINK};
  msghdr message{
      .msg_name = &kernel, .msg_namelen = sizeof(kernel), .msg_iov = parts.data(), .msg_iovlen = parts.size()};
  ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  if (sent < 0) return std::unexpected(Error::from_errno(errno, requests.front().what_ + ": send to the kernel"));
  if (static_cast<std::size_t>(sent) != size) return fail(Code::kInternal, requests.front().what_ + ": sent in part");
  return {};
}

Result<NetlinkSocket::Replies> NetlinkSocket::exchange(std::span<Request> requests) {
  if (requests.empty()) return Replies{};
  std::uint32_t first = sequence_ + 1;
  if (auto sent = transmit(requests); !sent) return std::unexpected(std::move(sent.error()));
  Replies replies;
  std::optional<Error> failure;
  std::vector<char> buffer(kReceiveBuffer);
  for (std::size_t answered = 0; answered < requests.size();) {
    auto datagram = receive(fd_, buffer);
    if (!datagram) return fail_with(std::move(datagram.error()), requests[answered].what_);
    if (!*datagram) continue;
    auto left = static_cast<int>((*datagram)->size());
    for (auto* header = reinterpret_cast<nlmsghdr*>((*datagram)->data()); ::nlmsg_ok(header, left);
         header = ::nlmsg_next(header, &left)) {
      std::uint32_t index = header->nlmsg_seq - first;
      if (index >= requests.size()) continue;  // an answer to somebody before us
      if (header->nlmsg_type != NLMSG_ERROR) {
        replies.emplace_back(reinterpret_cast<const char*>(header), header->nlmsg_len);
        continue;
      }
      ++answered;
      auto error = error_of(*header, requests[index].what_);
      if (error && !failure) failure = std::move(error);
    }
  }
  if (failure) return std::unexpected(std::move(*failure));
  return replies;
}

Status NetlinkSocket::send(std::span<Request> requests) {
  auto replies = exchange(requests);
  if (!replies) return std::unexpected(std::move(replies.error()));
  return {};
}

Result<NetlinkSocket::Replies> NetlinkSocket::dump(Request request, const std::function<bool(const nlmsghdr&)>& keep) {
  if (request.message_) ::nlmsg_hdr(request.message_.get())->nlmsg_flags |= NLM_F_DUMP;
  std::vector<char> buffer(kReceiveBuffer);
  for (int attempt = 0; attempt < kMaxDumps; ++attempt) {
    if (auto sent = transmit(std::span(&request, 1)); !sent) return std::unexpected(std::move(sent.error()));
    Replies replies;
    bool changed = false;
    for (bool done = false; !done;) {
      auto datagram = receive(fd_, buffer);
      if (!datagram) return fail_with(std::move(datagram.error()), request.what_);
      if (!*datagram) continue;
      auto left = static_cast<int>((*datagram)->size());
      for (auto* header = reinterpret_cast<nlmsghdr*>((*datagram)->data()); ::nlmsg_ok(header, left);
           header = ::nlmsg_next(header, &left)) {
        if (header->nlmsg_seq != sequence_) continue;
        changed |= (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (header->nlmsg_type == NLMSG_ERROR) {
          if (auto error = error_of(*header, request.what_)) return std::unexpected(std::move(*error));
        } else if (header->nlmsg_type == NLMSG_DONE) {
          done = true;
        } else if (keep(*header)) {
          replies.emplace_back(reinterpret_cast<const char*>(header), header->nlmsg_len);
        }
      }
    }
    if (!changed) return replies;
  }
  return fail(Code::kAborted, absl::StrCat(request.what_, ": it changed during each of ", kMaxDumps, " listings"));
}

}  // namespace gantry::netns
