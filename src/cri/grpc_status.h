// SPDX-License-Identifier: Apache-2.0
// The one place where an Error becomes gRPC's status. Codes have the same numbers; a message is cut to what an HTTP/2 trailer
// should carry.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace gantry::cri {

inline constexpr std::size_t kMaxStatusMessage = 4096;

inline grpc::Status to_grpc(const Error& error) {
  std::string message = error.message().substr(0, kMaxStatusMessage);
  // Cut between characters: gRPC's clients refuse text that is no UTF-8.
  if (message.size() < error.message().size()) {
    while (!message.empty() && (static_cast<unsigned char>(message.back()) & 0xC0) == 0x80) message.pop_back();
    if (!message.empty() && static_cast<unsigned char>(message.back()) >= 0xC0) message.pop_back();
    message += "...";
  }
  return {static_cast<grpc::StatusCode>(error.code()), std::move(message)};
}

}  // namespace gantry::cri
