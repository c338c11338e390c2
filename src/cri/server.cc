// SPDX-License-Identifier: Apache-2.0
#include "cri/server.h"

#include <fcntl.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_posix.h>
#include <unistd.h>

#include <functional>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "cri/grpc_status.h"
#include "cri/runtime/v1/api.pb.h"
#include "sys/socket.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

// One call, from the moment in which the server is ready for it. gRPC holds it as the tag of its operations; at any moment exactly
// one operation is under way, but while the service works, when none is.
struct Call {
  enum class Step { kAwaited, kReading, kServed, kFinishing };
  grpc::GenericServerContext context;
  grpc::GenericServerAsyncReaderWriter stream{&context};
  grpc::ByteBuffer request;
  Step step = Step::kAwaited;
  bool answered = false;
};

using Handler = std::function<Task<>(Call*)>;

}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(Loop& l, SocketFd socket) : loop(l), listener(std::move(socket)), listener_watch(l, listener) {}

  // ---- gRPC's thread: nothing but handing over
  void serve_queue() {
    void* tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) {
      auto* call = static_cast<Call*>(tag);
      switch (call->step) {
        case Call::Step::kAwaited:
          if (!ok) {  // the server stops
            delete call;
            break;
          }
          await_call();
          call->step = Call::Step::kReading;
          call->stream.Read(&call->request, call);
          break;
        case Call::Step::kReading:
          call->step = Call::Step::kServed;
          // Not ok: the client went, or sent no message; the handler finds an empty request, and the answer goes nowhere.
          loop.post([self = shared_from_this(), call] { self->dispatch(call); });
          break;
        case Call::Step::kServed: break;
        case Call::Step::kFinishing:
          loop.post([self = shared_from_this(), call] {
            self->calls.erase(call);
            delete call;
          });
          break;
      }
    }
  }
  void await_call() {
    auto* call = new Call;
    service.RequestCall(&call->context, &call->stream, queue.get(), queue.get(), call);
  }

  // ---- loop thread
  void dispatch(Call* call) {
    if (stopped) {
      delete call;
      return;
    }
    calls.insert(call);
    auto found = handlers.find(call->context.method());
    if (found == handlers.end()) {
      answer(call, nullptr, to_grpc(Error(Code::kUnimplemented, call->context.method() + ": not supported by this version")));
      return;
    }
    loop.spawn(found->second(call));
  }
  // Only the first answer of a call goes out: stop() may have been quicker.
  void answer(Call* call, const grpc::ByteBuffer* response, const grpc::Status& status) {
    if (call->answered) return;
    call->answered = true;
    call->step = Call::Step::kFinishing;
    if (response != nullptr) {
      call->stream.WriteAndFinish(*response, grpc::WriteOptions(), status, call);
    } else {
      call->stream.Finish(status, call);
    }
  }

  template <typename Service, typename Request, typename Response>
  static Task<> handle(std::shared_ptr<Impl> self, Call* call, Service* service,
                       Task<Result<Response>> (Service::*method)(Request)) {
    Request request;
    auto parsed = grpc::SerializationTraits<Request>::Deserialize(&call->request, &request);
    if (!parsed.ok()) {
      self->answer(call, nullptr, grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the request is not a message of this method"));
      co_return;
    }
    // `call` is not touched after stop() has answered it: it may be gone.
    auto result = co_await (service->*method)(std::move(request));
    if (!self->calls.contains(call)) co_return;
    if (!result) {
      self->answer(call, nullptr, to_grpc(result.error()));
      co_return;
    }
    grpc::ByteBuffer buffer;
    bool own = false;
    auto status = grpc::SerializationTraits<Response>::Serialize(*result, &buffer, &own);
    if (status.ok() && buffer.Length() > static_cast<std::size_t>(kMaxMessageBytes)) {
      status = to_grpc(Error(Code::kResourceExhausted, cat("the answer has ", buffer.Length(), " bytes; at most ",
                                                                    kMaxMessageBytes, ": ask with a filter")));
    }
    self->answer(call, status.ok() ? &buffer : nullptr, status);
  }

  template <typename Service, typename Request, typename Response>
  void add(Service& to, std::string_view name, Task<Result<Response>> (Service::*method)(Request)) {
    constexpr bool kImages = std::is_same_v<Service, ImageService>;
    std::string path = cat("/runtime.v1.", kImages ? "ImageService" : "RuntimeService", "/", name);
    handlers.emplace(std::move(path), [this, service = &to, method](Call* call) {
      return handle<Service, Request, Response>(shared_from_this(), call, service, method);
    });
  }
  void add_methods(RuntimeService& runtime, ImageService& images);

  static Task<> accept(std::shared_ptr<Impl> self) {
    while (!self->stopped) {
      auto ready = co_await self->listener_watch.readable();
      if (!ready || self->stopped) co_return;
      auto socket = sys::accept(self->listener);
      if (!socket) {
        if (socket.error().is_would_block()) continue;
        log::warning("accepting a CRI connection, going on in a second", {{"error", socket.error()}});
        // Out of descriptors, most likely: nothing tells when there are some again.
        co_await self->loop.sleep_for(std::chrono::seconds(1));
        continue;
      }
      self->adopt(std::move(*socket));
    }
  }
  void adopt(SocketFd socket) {
    auto peer = sys::peer_credentials(socket);
    if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) {
      log::warning("a CRI connection from another user was refused", {{"uid", peer ? peer->uid : 0}});
      return;
    }
    grpc::AddInsecureChannelFromFd(server.get(), socket.release());
  }

  Loop& loop;
  SocketFd listener;
  Watch listener_watch;
  grpc::AsyncGenericService service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  std::unique_ptr<grpc::Server> server;
  std::thread thread;
  std::unordered_map<std::string, Handler> handlers;
  std::set<Call*> calls;  // dispatched and not yet over
  bool stopped = false;
};

void Server::Impl::add_methods(RuntimeService& runtime, ImageService& images) {
  add(runtime, "Version", &RuntimeService::version);
  add(runtime, "Status", &RuntimeService::status);
  add(runtime, "RuntimeConfig", &RuntimeService::runtime_config);
  add(runtime, "RunPodSandbox", &RuntimeService::run_pod_sandbox);
  add(runtime, "StopPodSandbox", &RuntimeService::stop_pod_sandbox);
  add(runtime, "RemovePodSandbox", &RuntimeService::remove_pod_sandbox);
  add(runtime, "PodSandboxStatus", &RuntimeService::pod_sandbox_status);
  add(runtime, "ListPodSandbox", &RuntimeService::list_pod_sandbox);
  add(runtime, "CreateContainer", &RuntimeService::create_container);
  add(runtime, "StartContainer", &RuntimeService::start_container);
  add(runtime, "StopContainer", &RuntimeService::stop_container);
  add(runtime, "RemoveContainer", &RuntimeService::remove_container);
  add(runtime, "ListContainers", &RuntimeService::list_containers);
  add(runtime, "ContainerStatus", &RuntimeService::container_status);
  add(runtime, "ContainerStats", &RuntimeService::container_stats);
  add(runtime, "ListContainerStats", &RuntimeService::list_container_stats);
  add(runtime, "ReopenContainerLog", &RuntimeService::reopen_container_log);
  add(runtime, "ExecSync", &RuntimeService::exec_sync);
  add(runtime, "Exec", &RuntimeService::exec);
  add(images, "ListImages", &ImageService::list_images);
  add(images, "ImageStatus", &ImageService::image_status);
  add(images, "RemoveImage", &ImageService::remove_image);
  add(images, "ImageFsInfo", &ImageService::image_fs_info);
}

Result<std::unique_ptr<Server>> Server::start(Loop& loop, SocketFd listener, RuntimeService& runtime,
                                              ImageService& images) {
  auto impl = std::make_shared<Impl>(loop, std::move(listener));
  impl->add_methods(runtime, images);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.RegisterAsyncGenericService(&impl->service);
  impl->queue = builder.AddCompletionQueue();
  impl->server = builder.BuildAndStart();
  if (!impl->server) return fail(Code::kInternal, "gRPC: the server did not start");
  impl->await_call();
  impl->thread = std::thread([raw = impl.get()] { raw->serve_queue(); });
  loop.spawn(Impl::accept(impl));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(); }

void Server::stop() {
  if (impl_->stopped) return;
  impl_->stopped = true;
  impl_->listener_watch.cancel();
  for (Call* call : std::set<Call*>(impl_->calls)) {
    impl_->answer(call, nullptr, to_grpc(Error(Code::kUnavailable, "gantryd is stopping; ask again")));
  }
  impl_->calls.clear();
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  impl_->queue->Shutdown();
  impl_->thread.join();
}

}  // namespace gantry::cri
