// SPDX-License-Identifier: Apache-2.0
// Clients that read a running container's output beside its log, and write its input; sockets in the pod's network.
#include <sys/socket.h>

#include <algorithm>

#include "shim/log_writer.h"
#include "shim/pod.h"
#include "sys/socket.h"

namespace gantry::shim {

Status Pod::attach(Connection& connection, const AttachRequest& request, std::vector<OwnFd> fds,
                   std::vector<OwnFd>& answer) {
  Process* container = find(request.container_id);
  if (container == nullptr || container->state != Process::State::kRunning) {
    return fail(Code::kFailedPrecondition, "container " + request.container_id + " is not running");
  }
  if (attachments_.size() >= kMaxAttachments) {
    return fail(Code::kResourceExhausted,
                "the pod's containers have " + std::to_string(kMaxAttachments) + " readers: wait for some to go");
  }
  if (auto s = need_log_writer(request.container_id); !s) return s;
  if (fds.size() != static_cast<std::size_t>(request.out) + request.err)
    return invalid_argument("attach: a pipe for each wanted stream was expected");
  if (request.in) {
    const OwnFd& input = container->has_terminal ? container->terminal : container->standard_in;
    if (!input.is_open()) {
      return fail(Code::kFailedPrecondition,
                  "container " + request.container_id + " has no standard input, or it was closed");
    }
    auto copy = input.duplicate();
    if (!copy) return std::unexpected(std::move(copy.error()));
    answer.push_back(std::move(*copy));
    if (request.close_input) container->input_owner = &connection;
  }
  if (!request.out && !request.err) return {};
  attachments_.push_back({next_attachment_++, &connection, request.attach_id});
  AttachRequest letter = request;
  letter.attach_id = attachments_.back().number;
  tell_log_writer(encode_packet(static_cast<Kind>(kLogAttach), 0, encode(letter)), std::move(fds));
  return {};
}

Status Pod::close_input(const ContainerReference& reference) {
  Process* container = find(reference.container_id);
  if (container != nullptr) container->standard_in.close();
  return {};
}

void Pod::detached(const AttachReference& reference, bool cut_off) {
  auto found = std::ranges::find(attachments_, reference.attach_id, &Attachment::number);
  if (found == attachments_.end()) return;
  if (cut_off) found->owner->send(Kind::kDetached, 0, encode(AttachReference{found->attach_id}));
  attachments_.erase(found);
}

// A socket belongs to the network in which it was made, whoever connects it.
Status Pod::make_sockets(std::vector<OwnFd>& answer) {
  for (int family : {AF_INET, AF_INET6}) {
    auto socket = sys::tcp_socket(family);
    if (!socket) return std::unexpected(std::move(socket.error()));
    answer.push_back(std::move(*socket));
  }
  return {};
}

}  // namespace gantry::shim
