// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/fenced_transport.h"

namespace gantry::control {

namespace {
std::unexpected<Error> refused() { return fail(Code::kCancelled, "the lease is not held any more"); }
}  // namespace

Task<Result<http::Response>> FencedTransport::call(Loop& here, http::Request request) {
  if (closed_ || (may_pass_ && !may_pass_())) co_return refused();
  ++in_flight_;
  Result<http::Response> response = co_await inner_.call(here, std::move(request));
  if (--in_flight_ == 0) idle_.set();
  co_return response;
}

Task<bool> FencedTransport::wait_idle(Duration limit) {
  if (in_flight_ == 0) co_return true;
  idle_.reset();
  co_return co_await idle_.wait_for(limit);
}

Task<Result<http::Response>> FencedTransport::follow(Loop& here, http::Request request, api::TakeLine take) {
  if (closed_ || (may_pass_ && !may_pass_())) co_return refused();
  co_return co_await inner_.follow(here, std::move(request), [this, &take](std::string_view line) -> Status {
    if (closed_) return refused();
    return take(line);
  });
}

}  // namespace gantry::control
