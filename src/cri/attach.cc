// SPDX-License-Identifier: Apache-2.0
// Attach: a client reads what a running container says from now on, and writes its standard input, by way of the
// streaming server. The log goes on beside it.
#include "cri/collect.h"
#include "cri/runtime_impl.h"
#include "cri/streaming.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

class Session final : public ExecSession {
 public:
  Session(Runtime& runtime, std::string container_id) : runtime_(runtime), container_id_(std::move(container_id)) {}

  Task<Result<ExecStreams>> start(ExecStreamSet wanted) override {
    auto container = runtime_.running_container(container_id_);
    if (!container) co_return std::unexpected(std::move(container.error()));
    auto sandbox = runtime_.sandbox_of_running(*container);
    if (!sandbox) co_return std::unexpected(std::move(sandbox.error()));
    sandbox_ = *sandbox;
    ExecStreams ours;
    ours.are_ended = true;
    shim::Client::AttachOptions options;
    options.in = wanted.in;
    closes_input_ = wanted.in && (*container)->config.stdin_once();
    options.close_input = closes_input_;
    if (auto s = make_output(wanted.out, ours.out, options.out); !s) co_return std::unexpected(std::move(s.error()));
    if (auto s = make_output(wanted.err, ours.err, options.err); !s) co_return std::unexpected(std::move(s.error()));
    auto attachment = co_await sandbox_->shim->attach(container_id_, std::move(options));
    if (!attachment) co_return std::unexpected(runtime_.told_of(container_id_, std::move(attachment.error())));
    attachment_ = std::move(*attachment);
    ours.in = attachment_->take_input();
    co_return ours;
  }

  // The container's own exit status is told by ContainerStatus.
  Task<Result<sys::ExitStatus>> wait() override {
    auto ended = co_await attachment_->wait();
    if (!ended) co_return std::unexpected(runtime_.told_of(container_id_, std::move(ended.error())));
    co_return sys::ExitStatus{};
  }

  void resize(std::uint16_t rows, std::uint16_t columns) override {
    if (sandbox_->shim) runtime_.loop().spawn(tell_size(sandbox_, container_id_, rows, columns));
  }

  void input_ended() override {
    if (closes_input_ && sandbox_->shim) runtime_.loop().spawn(close_input(sandbox_, container_id_));
  }

  void cancel() override {
    if (attachment_) attachment_->detach();
  }

 private:
  static Status make_output(bool wanted, OwnFd& our_end, OwnFd& their_end) {
    if (!wanted) return {};
    auto pipe = make_pipe(OurEnd::kRead);
    if (!pipe) return std::unexpected(std::move(pipe.error()));
    our_end = std::move(pipe->read);
    their_end = std::move(pipe->write);
    return {};
  }
  // A container that has ended meanwhile has no size and no input.
  static Task<> tell_size(SandboxPtr sandbox, std::string id, std::uint16_t rows, std::uint16_t columns) {
    (void)co_await sandbox->shim->resize(std::move(id), rows, columns);
  }
  static Task<> close_input(SandboxPtr sandbox, std::string id) {
    (void)co_await sandbox->shim->close_input(std::move(id));
  }

  Runtime& runtime_;
  std::string container_id_;
  SandboxPtr sandbox_;
  std::unique_ptr<shim::Client::Attachment> attachment_;
  bool closes_input_ = false;
};

}  // namespace

Task<Result<v1::AttachResponse>> Runtime::attach(v1::AttachRequest request) {
  auto container = running_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  if (auto sandbox = sandbox_of_running(*container); !sandbox) co_return std::unexpected(std::move(sandbox.error()));
  const v1::ContainerConfig& config = (*container)->config;
  if (request.tty() && !config.tty()) {
    co_return fail(Code::kFailedPrecondition, cat("tty: container ", (*container)->id(), " has no terminal"));
  }
  if (request.stdin() && !config.stdin()) {
    co_return fail(Code::kFailedPrecondition,
                   cat("stdin: container ", (*container)->id(), " was created without standard input"));
  }
  auto url = node_.streaming.add_attach(
      {.tty = request.tty(), .in = request.stdin(), .out = request.stdout(), .err = request.stderr()},
      std::make_unique<Session>(*this, (*container)->id()));
  if (!url) co_return std::unexpected(std::move(url.error()));
  v1::AttachResponse response;
  response.set_url(*url);
  co_return response;
}

}  // namespace gantry::cri
