// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <algorithm>
#include <list>

#include "base/text.h"
#include "http/client_connection.h"
#include "http/timer.h"

namespace gantry::http {

using Connection = std::shared_ptr<ClientConnection>;

namespace {

constexpr std::size_t kMaxRefusalBytes = 64U << 10;

// Those that can be asked again (RFC 9110, 9.2.1).
bool only_reads(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

struct Asked {
  Connection connection;
  std::uint64_t generation = 0;
  Response response;
};

}  // namespace

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  Impl(Loop& l, ClientOptions o) : loop(l), options(std::move(o)) {}

  Loop& loop;
  const ClientOptions options;
  std::list<Connection> kept;    // the newest first
  std::uint64_t generation = 0;  // of what is kept; a connection has the one that it was begun in
  bool is_closed = false;

  Connection take_kept();
  void keep(const Connection& connection, std::uint64_t of);
  void close_kept();
  static Task<Result<Asked>> ask(std::shared_ptr<Impl> self, ClientRequest request);
  static Task<Result<Response>> send(std::shared_ptr<Impl> self, ClientRequest request);
  static Task<Result<StreamedResponse>> open(std::shared_ptr<Impl> self, ClientRequest request);
  static Task<Result<UpgradedResponse>> upgrade(std::shared_ptr<Impl> self, ClientRequest request);
};

namespace {

// All that is left of an answer.
Task<Result<std::string>> read_whole(const Connection& connection, std::size_t most) {
  std::string body;
  for (;;) {
    auto piece = co_await connection->read_body();
    if (!piece) co_return piece;
    if (piece->empty()) co_return body;
    if (body.size() + piece->size() > most) {
      connection->close();
      co_return fail(Code::kResourceExhausted, cat("the answer has more than ", most, " bytes"));
    }
    body += *piece;
  }
}

// The same within the time that an answer may take.
Task<Result<std::string>> read_in_time(Client::Impl& client, const Connection& connection, std::size_t most) {
  bool late = false;
  Timer limit(client.loop);
  limit.start(client.options.response_time, [&late, connection] {
    late = true;
    connection->close();
  });
  auto body = co_await read_whole(connection, most);
  limit.cancel();
  if (late) co_return fail(Code::kDeadlineExceeded, "the answer took too long");
  co_return body;
}

class Reader final : public BodyReader {
 public:
  Reader(std::weak_ptr<Client::Impl> client, Asked asked)
      : shared_(std::make_shared<Shared>(std::move(client), std::move(asked.connection), asked.generation)) {}
  ~Reader() override { close(); }

  Task<Result<std::string>> read() override { return read_some(shared_); }
  void close() override {
    if (auto connection = std::exchange(shared_->connection, nullptr)) connection->close();
  }

 private:
  struct Shared {
    std::weak_ptr<Client::Impl> client;
    Connection connection;  // null after the end
    std::uint64_t generation;
  };
  static Task<Result<std::string>> read_some(std::shared_ptr<Shared> self) {
    auto connection = self->connection;
    if (!connection) co_return std::string();
    auto piece = co_await connection->read_body();
    if (piece && !piece->empty()) co_return piece;
    auto owner = self->client.lock();
    const bool is_mine = std::exchange(self->connection, nullptr) != nullptr;
    if (piece && owner && is_mine) {
      owner->keep(connection, self->generation);
    } else {
      connection->close();
    }
    co_return piece;
  }

  std::shared_ptr<Shared> shared_;
};

}  // namespace

Connection Client::Impl::take_kept() {
  if (kept.empty()) return nullptr;
  Connection connection = std::move(kept.front());
  kept.pop_front();
  connection->wake();
  return connection;
}

void Client::Impl::keep(const Connection& connection, std::uint64_t of) {
  const bool is_wanted = !is_closed && of == generation && options.max_kept > 0;
  if (!is_wanted || !connection->is_reusable()) return connection->close();
  if (kept.size() >= options.max_kept) {
    kept.back()->close();
    kept.pop_back();
  }
  kept.push_front(connection);
  connection->rest(options.keep_time, [weak = weak_from_this(), raw = connection.get()] {
    auto self = weak.lock();
    if (!self) return;
    auto found = std::ranges::find(self->kept, raw, &Connection::get);
    if (found == self->kept.end()) return;
    (*found)->close();
    self->kept.erase(found);
  });
}

void Client::Impl::close_kept() {
  for (const auto& connection : kept) connection->close();
  kept.clear();
}

Task<Result<Asked>> Client::Impl::ask(std::shared_ptr<Impl> self, ClientRequest request) {
  for (;;) {
    Connection connection = self->take_kept();
    const bool was_kept = connection != nullptr;
    const std::uint64_t begun_in = self->generation;
    if (!was_kept) {
      auto opened = co_await ClientConnection::open(self->loop, self->options);
      if (!opened) co_return std::unexpected(std::move(opened.error()));
      connection = std::move(*opened);
    }
    auto response = co_await connection->ask(request);
    if (response) co_return Asked{std::move(connection), begun_in, std::move(*response)};
    const bool again = was_kept && connection->is_unanswered() && only_reads(request.method);
    if (!again) co_return std::unexpected(std::move(response.error()));
  }
}

Task<Result<Response>> Client::Impl::send(std::shared_ptr<Impl> self, ClientRequest request) {
  auto asked = co_await ask(self, std::move(request));
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  auto body = co_await read_in_time(*self, asked->connection, self->options.max_body_bytes);
  if (!body) co_return std::unexpected(std::move(body.error()));
  self->keep(asked->connection, asked->generation);
  asked->response.body = std::move(*body);
  co_return std::move(asked->response);
}

Task<Result<StreamedResponse>> Client::Impl::open(std::shared_ptr<Impl> self, ClientRequest request) {
  auto asked = co_await ask(self, std::move(request));
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  StreamedResponse streamed;
  streamed.status = asked->response.status;
  streamed.headers = std::move(asked->response.headers);
  streamed.body = std::make_unique<Reader>(self, std::move(*asked));
  co_return streamed;
}

Task<Result<UpgradedResponse>> Client::Impl::upgrade(std::shared_ptr<Impl> self, ClientRequest request) {
  auto asked = co_await ask(self, std::move(request));
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  UpgradedResponse upgraded;
  upgraded.response = std::move(asked->response);
  if (upgraded.response.status == 101) {
    upgraded.stream = asked->connection->take_stream();
    co_return upgraded;
  }
  auto body = co_await read_in_time(*self, asked->connection, kMaxRefusalBytes);
  if (!body) co_return std::unexpected(std::move(body.error()));
  self->keep(asked->connection, asked->generation);
  upgraded.response.body = std::move(*body);
  co_return upgraded;
}

Client::Client(Loop& loop, ClientOptions options) : impl_(std::make_shared<Impl>(loop, std::move(options))) {}

Client::~Client() {
  impl_->is_closed = true;
  impl_->close_kept();
}

void Client::forget_kept() {
  ++impl_->generation;
  impl_->close_kept();
}

Task<Result<Response>> Client::send(ClientRequest request) { return Impl::send(impl_, std::move(request)); }
Task<Result<StreamedResponse>> Client::open(ClientRequest request) { return Impl::open(impl_, std::move(request)); }
Task<Result<UpgradedResponse>> Client::upgrade(ClientRequest request) {
  return Impl::upgrade(impl_, std::move(request));
}

}  // namespace gantry::http
