// SPDX-License-Identifier: Apache-2.0
// FencedTransport: a transport that lets nothing pass after close(), and no request while `may_pass` says no: what
// controllers ask through while they hold their lease. A process that stood still asks nothing anew when it goes on,
// whatever its loop does first. One loop's thread.
#pragma once

#include <functional>

#include "api/client/transport.h"

namespace gantry::control {

class FencedTransport final : public api::Transport {
 public:
  // `inner` must outlive it. Without `may_pass` everything may.
  FencedTransport(Loop& here, api::Transport& inner, std::function<bool()> may_pass = {})
      : inner_(inner), may_pass_(std::move(may_pass)), idle_(here) {}

  void close() { closed_ = true; }
  // Returns when no request is under way; false when `limit` passed first. Watches, which end with their next line, do
  // not count. Precondition: closed.
  Task<bool> wait_idle(Duration limit);

  Task<Result<http::Response>> call(Loop& here, http::Request request) override;
  Task<Result<http::Response>> follow(Loop& here, http::Request request, api::TakeLine take) override;

 private:
  api::Transport& inner_;
  const std::function<bool()> may_pass_;
  bool closed_ = false;
  std::size_t in_flight_ = 0;
  Event idle_;
};

}  // namespace gantry::control
