// SPDX-License-Identifier: Apache-2.0
// PortForward: connections to ports of a pod's own loopback, by way of the streaming server.
#include <sys/socket.h>

#include "cri/runtime_impl.h"
#include "cri/streaming.h"
#include "cri/text.h"
#include "sys/socket.h"

namespace gantry::cri {
namespace {

// A port that drops what comes answers nothing.
constexpr std::chrono::seconds kConnectLimit{30};

Task<Status> connect_in_time(Loop& loop, FdRef socket, int family, std::uint16_t port) {
  if (auto begun = sys::connect_loopback(socket, family, port); !begun) co_return begun;
  auto watch = std::make_shared<Watch>(loop, socket);
  auto over = std::make_shared<Event>(loop);
  loop.spawn([](std::shared_ptr<Watch> waiting, std::shared_ptr<Event> done) -> Task<> {
    (void)co_await waiting->writable();
    done->set();
  }(watch, over));
  if (!co_await over->wait_for(kConnectLimit)) {
    watch->cancel();
    co_await over->wait();
    co_return fail(Code::kDeadlineExceeded, cat("no answer within ", kConnectLimit.count(), " s"));
  }
  co_return sys::socket_error(socket);
}

class Session final : public PortForwardSession {
 public:
  Session(Runtime& runtime, std::string sandbox_id) : runtime_(runtime), sandbox_id_(std::move(sandbox_id)) {}

  Task<Result<OwnFd>> connect(std::uint16_t port) override {
    auto sandbox = runtime_.ready_sandbox(sandbox_id_);
    if (!sandbox) co_return std::unexpected(std::move(sandbox.error()));
    auto sockets = co_await (*sandbox)->shim->make_sockets();
    if (!sockets) co_return std::unexpected(std::move(sockets.error()));
    auto connected = co_await connect_in_time(runtime_.loop(), sockets->v4, AF_INET, port);
    if (connected) co_return std::move(sockets->v4);
    // What "localhost" is to most programs: whichever of the two answers.
    if (co_await connect_in_time(runtime_.loop(), sockets->v6, AF_INET6, port)) co_return std::move(sockets->v6);
    co_return fail_with(std::move(connected.error()), cat("port ", port, " of pod ", sandbox_id_));
  }

 private:
  Runtime& runtime_;
  std::string sandbox_id_;
};

}  // namespace

Result<SandboxPtr> Runtime::ready_sandbox(std::string_view id) const {
  auto sandbox = need_sandbox(id);
  if (!sandbox) return sandbox;
  if ((*sandbox)->state != SandboxState::kReady || !(*sandbox)->shim || !(*sandbox)->shim->is_alive())
    return fail(Code::kFailedPrecondition, cat("pod sandbox ", (*sandbox)->id(), " is not ready"));
  return sandbox;
}

Task<Result<v1::PortForwardResponse>> Runtime::port_forward(v1::PortForwardRequest request) {
  auto sandbox = need_sandbox(request.pod_sandbox_id());
  if (!sandbox) co_return std::unexpected(std::move(sandbox.error()));
  if (auto reachable = need_reachable(**sandbox); !reachable) co_return std::unexpected(std::move(reachable.error()));
  if (auto ready = ready_sandbox(request.pod_sandbox_id()); !ready) co_return std::unexpected(std::move(ready.error()));
  // The ports that the client wants come with its streams; `port` is for a protocol that is not spoken here.
  auto url = node_.streaming.add_port_forward(std::make_unique<Session>(*this, (*sandbox)->id()));
  if (!url) co_return std::unexpected(std::move(url.error()));
  v1::PortForwardResponse response;
  response.set_url(*url);
  co_return response;
}

}  // namespace gantry::cri
