// SPDX-License-Identifier: Apache-2.0
// FencedTransport: a transport that lets nothing pass after close(): what controllers ask through while they hold their
// lease. One loop's thread.
#pragma once

#include "api/client/transport.h"

namespace gantry::control {

class FencedTransport final : public api::Transport {
 public:
  // `inner` must outlive it.
  explicit FencedTransport(api::Transport& inner) : inner_(inner) {}

  void close() { closed_ = true; }
  // Requests that have not ended, without watches, which end with their next line.
  std::size_t in_flight() const { return in_flight_; }

  Task<Result<http::Response>> call(Loop& here, http::Request request) override;
  Task<Result<http::Response>> follow(Loop& here, http::Request request, api::TakeLine take) override;

 private:
  api::Transport& inner_;
  bool closed_ = false;
  std::size_t in_flight_ = 0;
};

}  // namespace gantry::control
