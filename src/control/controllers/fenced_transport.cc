// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/fenced_transport.h"

namespace gantry::control {

namespace {
std::unexpected<Error> refused() { return fail(Code::kCancelled, "the lease is not held any more"); }
}  // namespace

Task<Result<http::Response>> FencedTransport::call(Loop& here, http::Request request) {
  if (closed_) co_return refused();
  ++in_flight_;
  Result<http::Response> response = co_await inner_.call(here, std::move(request));
  --in_flight_;
  co_return response;
}

Task<Result<http::Response>> FencedTransport::follow(Loop& here, http::Request request, api::TakeLine take) {
  if (closed_) co_return refused();
  co_return co_await inner_.follow(here, std::move(request), [this, &take](std::string_view line) -> Status {
    if (closed_) return refused();
    return take(line);
  });
}

}  // namespace gantry::control
