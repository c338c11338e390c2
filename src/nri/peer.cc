// SPDX-License-Identifier: Apache-2.0
#include "nri/peer.h"

#include <utility>
#include <vector>

#include "base/text.h"
#include "http/byte_stream.h"
#include "nri/ttrpc.pb.h"

namespace gantry::nri {
namespace {

constexpr std::size_t kReadBytes = 16384;
// Of what waits for a plugin that does not read: a few of the largest messages.
constexpr std::size_t kMaxWaiting = 4 * kMaxMessageBytes;
// Calls of a plugin's that are under way at a time.
constexpr unsigned kMaxServing = 16;
constexpr std::size_t kMaxErrorBytes = 4096;

Error error_of(const ::ttrpc::Status& status) {
  bool is_known = status.code() > 0 && status.code() <= static_cast<int>(Code::kUnauthenticated);
  return Error(is_known ? static_cast<Code>(status.code()) : Code::kUnknown, as_utf8(status.message(), kMaxErrorBytes));
}

}  // namespace

struct Peer::Call {
  explicit Call(Loop& loop) : answered(loop) {}
  Event answered;  // or the connection has ended
  std::optional<Result<Answer>> result;
};

std::shared_ptr<Peer> Peer::open(Loop& loop, SocketFd socket, Serve serve, Ended ended) {
  auto peer = std::shared_ptr<Peer>(new Peer(loop, std::move(socket), std::move(serve), std::move(ended)));
  // What is there already is served when the caller has the peer.
  loop.post([&loop, peer] {
    loop.spawn(read(peer));
    loop.spawn(write(peer));
  });
  return peer;
}

Peer::Peer(Loop& loop, SocketFd socket, Serve serve, Ended ended)
    : loop_(loop),
      stream_(http::make_socket_stream(loop, std::move(socket))),
      serve_(std::move(serve)),
      ended_(std::move(ended)),
      has_out_(loop) {}

Peer::~Peer() = default;

void Peer::close(Error reason) {
  if (reason_) return;
  reason_ = std::move(reason);
  stream_->close();
  has_out_.set();
  for (auto& [stream, call] : std::exchange(calls_, {})) {
    call->result = std::unexpected(Error(*reason_).with_code(Code::kUnavailable));
    call->answered.set();
  }
  loop_.post([self = shared_from_this()] { std::exchange(self->ended_, [] {})(); });
}

Task<Result<Peer::Answer>> Peer::call(std::string service, std::string method, std::string payload, Duration limit) {
  auto self = shared_from_this();
  if (is_closed()) co_return std::unexpected(Error(*reason_).with_code(Code::kUnavailable));
  ::ttrpc::Request request;
  request.set_service(std::move(service));
  request.set_method(std::move(method));
  request.set_payload(std::move(payload));
  request.set_timeout_nano(limit.count());
  std::string data = request.SerializeAsString();
  if (data.size() > kMaxMessageBytes) {
    co_return Answer(fail(Code::kResourceExhausted,
                          cat(request.method(), ": ", data.size(), " bytes are more than a message holds")));
  }
  std::uint32_t stream = std::exchange(next_stream_, next_stream_ + 2);
  auto call = std::make_shared<Call>(loop_);
  calls_.emplace(stream, call);
  send({.channel = Channel::kPlugin, .type = MessageType::kRequest, .stream = stream, .data = std::move(data)});
  if (!co_await call->answered.wait_for(limit) && !call->result) {
    self->calls_.erase(stream);
    co_return fail(Code::kDeadlineExceeded, "no answer in time");
  }
  co_return std::move(*call->result);
}

void Peer::send(Message message) {
  if (is_closed()) return;
  if (out_.size() > kMaxWaiting) return close(Error(Code::kResourceExhausted, "it does not read what it is sent"));
  out_ += encode(message);
  has_out_.set();
}

Task<> Peer::write(std::shared_ptr<Peer> self) {
  for (;;) {
    co_await self->has_out_.wait();
    self->has_out_.reset();
    if (self->is_closed()) co_return;
    std::string bytes = std::exchange(self->out_, "");
    auto written = co_await self->stream_->write(bytes);
    if (!written) co_return self->close(std::move(written.error()));
  }
}

Task<> Peer::read(std::shared_ptr<Peer> self) {
  std::vector<char> buffer(kReadBytes);
  while (!self->is_closed()) {
    auto size = co_await self->stream_->read(buffer);
    if (!size) co_return self->close(std::move(size.error()));
    if (*size == 0) co_return self->close(Error(Code::kUnavailable, "it closed the connection"));
    self->reader_.feed({buffer.data(), *size});
    while (!self->is_closed()) {
      auto message = self->reader_.next();
      if (!message) co_return self->close(std::move(message.error()));
      if (!*message) break;
      self->receive(std::move(**message));
    }
  }
}

void Peer::receive(Message message) {
  bool is_answer = message.channel == Channel::kPlugin;
  if (message.type != (is_answer ? MessageType::kResponse : MessageType::kRequest)) {
    return close(Error(Code::kInvalidArgument, is_answer ? "it sent something else than an answer where it serves"
                                                         : "it sent something else than a call where it is served"));
  }
  if (!is_answer) return serve(std::move(message));
  auto call = calls_.extract(message.stream);
  if (call.empty()) return;  // to a call whose time was up
  ::ttrpc::Response response;
  if (!response.ParseFromString(message.data)) {
    call.mapped()->result = fail(Code::kDataLoss, "its answer is no ttrpc Response");
  } else if (response.status().code() != 0) {
    call.mapped()->result = Answer(std::unexpected(error_of(response.status())));
  } else {
    call.mapped()->result = Answer(std::move(*response.mutable_payload()));
  }
  call.mapped()->answered.set();
}

void Peer::serve(Message message) {
  ::ttrpc::Request request;
  if (!request.ParseFromString(message.data))
    return close(Error(Code::kInvalidArgument, "its call is no ttrpc Request"));
  Task<Result<std::string>> result = [](Result<std::string> refused) -> Task<Result<std::string>> {
    co_return refused;
  }(fail(Code::kResourceExhausted, cat("more than ", kMaxServing, " calls at a time")));
  if (serving_ < kMaxServing) {
    result = serve_(std::move(*request.mutable_service()), std::move(*request.mutable_method()),
                    std::move(*request.mutable_payload()));
  }
  ++serving_;
  loop_.spawn(answer(shared_from_this(), message.stream, std::move(result)));
}

Task<> Peer::answer(std::shared_ptr<Peer> self, std::uint32_t stream, Task<Result<std::string>> result) {
  auto answer = co_await std::move(result);
  --self->serving_;
  ::ttrpc::Response response;
  auto* status = response.mutable_status();
  if (answer) {
    response.set_payload(std::move(*answer));
  } else {
    status->set_code(static_cast<int>(answer.error().code()));
    status->set_message(answer.error().message());
  }
  self->send({.channel = Channel::kRuntime,
              .type = MessageType::kResponse,
              .stream = stream,
              .data = response.SerializeAsString()});
}

}  // namespace gantry::nri
