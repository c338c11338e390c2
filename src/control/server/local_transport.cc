// SPDX-License-Identifier: Apache-2.0
#include "control/server/local_transport.h"

#include "base/text.h"

namespace gantry::control {

namespace {

// The body of an answer that is read as it is written.
class LineWriter final : public http::BodyWriter {
 public:
  LineWriter(Loop& here, api::TakeLine take)
      : lines_([take = std::move(take)](std::string_view line) { return take(line); }),
        closed_(std::make_shared<Event>(here)) {}
  ~LineWriter() override { closed_->set(); }

  Task<Status> write(std::string_view bytes) override {
    const std::string_view pieces[] = {bytes};
    co_return co_await write(pieces);
  }
  Task<Status> write(std::span<const std::string_view> pieces) override {
    for (const std::string_view piece : pieces) {
      Status taken = lines_.add(piece);
      if (taken) continue;
      closed_->set();
      if (error_) error_ = std::move(taken);
      co_return fail(Code::kCancelled, "the reader has left");
    }
    co_return Status();
  }
  const std::shared_ptr<Event>& closed() const override { return closed_; }
  void cut_off() override {
    if (error_) error_ = fail(Code::kUnavailable, "the answer broke off");
  }

  Status take_error() { return std::exchange(error_, {}); }

 private:
  api::LineSplitter lines_;
  std::shared_ptr<Event> closed_;
  Status error_;
};

}  // namespace

Task<Result<http::Response>> LocalTransport::call(Loop& here, http::Request request) {
  http::Reply reply = co_await server_.handle_as(here, user_, std::move(request));
  co_return std::move(reply.response);
}

Task<Result<http::Response>> LocalTransport::follow(Loop& here, http::Request request, api::TakeLine take) {
  http::Reply reply = co_await server_.handle_as(here, user_, std::move(request));
  if (!reply.stream) co_return std::move(reply.response);
  LineWriter writer(here, std::move(take));
  co_await reply.stream(writer);
  if (Status status = writer.take_error(); !status) co_return std::unexpected(std::move(status.error()));
  co_return std::move(reply.response);
}

User controller_user(const std::string& account) {
  if (account.empty() || account.starts_with("system:")) {
    return {.name = account.empty() ? "system:kube-controller-manager" : account,
            .groups = {std::string(kAuthenticatedGroup)}};
  }
  return {.name = cat("system:serviceaccount:kube-system:", account),
          .groups = {"system:serviceaccounts", "system:serviceaccounts:kube-system", std::string(kAuthenticatedGroup)}};
}

}  // namespace gantry::control
