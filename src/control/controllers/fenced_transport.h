// SPDX-License-Identifier: Apache-2.0
// FencedTransport: a transport that lets nothing pass after close(): what controllers ask through while they hold their
// lease. One loop's thread.
#pragma once

#include "api/client/transport.h"

namespace gantry::control {

class FencedTransport final : public api::Transport {
 public:
  // `inner` must outlive it.
  FencedTransport(Loop& here, api::Transport& inner) : inner_(inner), idle_(here) {}

  void close() { closed_ = true; }
  // Returns when no request is under way; false when `limit` passed first. Watches, which end with their next line, do
  // not count. Precondition: closed.
  Task<bool> wait_idle(Duration limit);

  Task<Result<http::Response>> call(Loop& here, http::Request request) override;
  Task<Result<http::Response>> follow(Loop& here, http::Request request, api::TakeLine take) override;

 private:
  api::Transport& inner_;
  bool closed_ = false;
  std::size_t in_flight_ = 0;
  Event idle_;
};

}  // namespace gantry::control
