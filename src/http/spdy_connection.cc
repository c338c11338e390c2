// SPDX-License-Identifier: Apache-2.0
#include "http/spdy_connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "http/text.h"
#include "http/timer.h"

namespace gantry::http::spdy {
namespace {

constexpr std::size_t kPiece = 16 << 10;
// Answers to a peer's frames (PING, RST_STREAM, WINDOW_UPDATE) may wait beside the streams' bytes; one that provokes
// more without reading them is not read from.
constexpr std::size_t kMaxAnswers = 2 * Connection::kMaxOutput;
// How often a peer is asked for a sign of life while nothing is read from it: a write to a client that is gone fails,
// and nothing else would tell.
constexpr auto kProbePeriod = std::chrono::seconds(5);
constexpr auto kGoawayTime = std::chrono::seconds(2);

struct Inbox {
  explicit Inbox(Loop& loop) : changed(loop) {}
  std::string bytes;
  bool finished = false;
  bool reset = false;
  gantry::Event changed;
};

// Waits for `event` to be set again; the caller checks its condition before and after.
Task<> next(gantry::Event& event) {
  event.reset();
  co_await event.wait();
}

}  // namespace

struct Connection::State {
  State(Loop& l, std::unique_ptr<ByteStream> s, SessionLimits limits)
      : loop(l), stream(std::move(s)), session(limits), opened_changed(l), room(l), output(l), space(l), end_event(l) {}

  Loop& loop;
  std::unique_ptr<ByteStream> stream;
  ServerSession session;
  std::map<StreamId, std::shared_ptr<Inbox>> inboxes;
  std::deque<StreamOpened> opened;
  gantry::Event opened_changed;
  gantry::Event room;    // the reader may go on
  gantry::Event output;  // the writer has work
  gantry::Event space;   // write() may go on
  gantry::Event end_event;
  std::size_t buffered = 0;   // in all inboxes
  std::size_t in_flight = 0;  // with the writer
  bool dropping = false;      // what comes is not wanted any more
  std::optional<Error> end_error;

  bool is_ended() const { return end_error.has_value(); }
  std::size_t pending() { return session.output().size() + in_flight; }
  void kick() {
    if (!session.output().empty()) output.set();
  }
  void end(Error why);
  void handle(Event&& event);
  void forget(StreamId id);
  void take_data(const DataReceived& data);

  static Task<> read_all(std::shared_ptr<State> self);
  static Task<> write_all(std::shared_ptr<State> self);
  static Task<> flush(std::shared_ptr<State> self);
  static Task<Result<StreamOpened>> accept(std::shared_ptr<State> self, Duration limit);
  static Task<Result<std::size_t>> read(std::shared_ptr<State> self, StreamId id, std::span<char> buffer);
  static Task<Status> write(std::shared_ptr<State> self, StreamId id, std::string_view bytes);
  static Task<> shut_down(std::shared_ptr<State> self, Duration limit);
};

void Connection::State::end(Error why) {
  if (is_ended()) return;
  end_error = std::move(why);
  stream->close();
  for (auto& [id, inbox] : inboxes) inbox->changed.set();
  opened_changed.set();
  room.set();
  output.set();
  space.set();
  end_event.set();
}

// The stream is closed in both directions, or nobody wants it any more.
void Connection::State::forget(StreamId id) {
  std::erase_if(opened, [id](const StreamOpened& stream) { return stream.id == id; });
  auto found = inboxes.find(id);
  if (found == inboxes.end()) return;
  auto inbox = found->second;
  inboxes.erase(found);
  buffered -= inbox->bytes.size();
  inbox->bytes.clear();
  inbox->reset = true;
  inbox->changed.set();
}

void Connection::State::take_data(const DataReceived& data) {
  auto found = inboxes.find(data.id);
  if (found == inboxes.end() || dropping) return session.consumed(data.id, data.bytes.size());
  found->second->bytes += data.bytes;
  buffered += data.bytes.size();
  found->second->changed.set();
}

void Connection::State::handle(Event&& event) {
  if (auto* stream_opened = std::get_if<StreamOpened>(&event)) {
    auto inbox = std::make_shared<Inbox>(loop);
    inbox->finished = stream_opened->fin;
    inboxes[stream_opened->id] = std::move(inbox);
    opened.push_back(std::move(*stream_opened));
    opened_changed.set();
  } else if (auto* data = std::get_if<DataReceived>(&event)) {
    take_data(*data);
  } else if (auto* finished = std::get_if<StreamFinished>(&event)) {
    auto found = inboxes.find(finished->id);
    if (found == inboxes.end()) return;
    found->second->finished = true;
    found->second->changed.set();
  } else if (auto* reset = std::get_if<StreamReset>(&event)) {
    forget(reset->id);
  }
}

Task<> Connection::State::read_all(std::shared_ptr<State> self) {
  std::array<char, kPiece> buffer;
  for (;;) {
    while (!self->is_ended() && !self->dropping && (self->buffered > kMaxInput || self->pending() > kMaxAnswers)) {
      self->room.reset();
      if (co_await self->room.wait_for(kProbePeriod) || self->is_ended() || self->pending() > 0) continue;
      self->session.ping();
      self->kick();
    }
    if (self->is_ended()) co_return;
    auto size = co_await self->stream->read(buffer);
    if (!size) co_return self->end(std::move(size.error()).with_code(Code::kCancelled));
    if (*size == 0) co_return self->end(Error(Code::kCancelled, "the client closed the connection"));
    self->session.feed(std::string_view(buffer.data(), *size));
    for (;;) {
      auto event = self->session.next();
      if (!event) {
        // The peer is told, if it listens, and then it is over.
        self->kick();
        Timer limit(self->loop);
        limit.start(kGoawayTime, [stream = self->stream.get()] { stream->close(); });
        co_await flush(self);
        co_return self->end(std::move(event.error()).with_context("SPDY"));
      }
      if (!*event) break;
      self->handle(std::move(**event));
    }
    self->kick();
    self->space.set();  // a window may have grown, a stream may be gone
  }
}

Task<> Connection::State::write_all(std::shared_ptr<State> self) {
  for (;;) {
    while (!self->is_ended() && self->session.output().empty()) co_await next(self->output);
    if (self->is_ended()) co_return;
    std::string batch = std::exchange(self->session.output(), {});
    self->in_flight = batch.size();
    auto written = co_await self->stream->write(batch);
    self->in_flight = 0;
    if (!written) self->end(std::move(written.error()).with_code(Code::kCancelled));
    self->space.set();
    self->room.set();
  }
}

Task<> Connection::State::flush(std::shared_ptr<State> self) {
  while (!self->is_ended() && self->pending() > 0) co_await next(self->space);
}

Task<Result<StreamOpened>> Connection::State::accept(std::shared_ptr<State> self, Duration limit) {
  auto until = std::chrono::steady_clock::now() + limit;
  while (!self->is_ended() && self->opened.empty()) {
    self->opened_changed.reset();
    Duration left = until - std::chrono::steady_clock::now();
    if (left <= Duration::zero() || !co_await self->opened_changed.wait_for(left)) {
      co_return fail(Code::kDeadlineExceeded, "the client opened no stream in time");
    }
  }
  if (self->is_ended()) co_return std::unexpected(*self->end_error);
  StreamOpened stream = std::move(self->opened.front());
  self->opened.pop_front();
  self->session.reply(stream.id);
  self->kick();
  co_return stream;
}

Task<Result<std::size_t>> Connection::State::read(std::shared_ptr<State> self, StreamId id, std::span<char> buffer) {
  auto found = self->inboxes.find(id);
  if (found == self->inboxes.end()) co_return fail(Code::kCancelled, cat("stream ", id, " is not open"));
  auto inbox = found->second;
  while (inbox->bytes.empty() && !inbox->finished && !inbox->reset && !self->is_ended()) co_await next(inbox->changed);
  if (inbox->reset) co_return fail(Code::kCancelled, cat("stream ", id, " was reset"));
  if (!inbox->bytes.empty()) {
    std::size_t size = std::min(buffer.size(), inbox->bytes.size());
    std::memcpy(buffer.data(), inbox->bytes.data(), size);
    inbox->bytes.erase(0, size);
    self->buffered -= size;
    self->session.consumed(id, size);
    self->kick();
    self->room.set();
    co_return size;
  }
  if (inbox->finished) co_return std::size_t{0};
  co_return std::unexpected(*self->end_error);
}

Task<Status> Connection::State::write(std::shared_ptr<State> self, StreamId id, std::string_view bytes) {
  while (!bytes.empty()) {
    while (!self->is_ended() && self->session.is_writable(id) &&
           (self->pending() >= kMaxOutput || self->session.sendable(id) == 0)) {
      co_await next(self->space);
    }
    if (self->is_ended()) co_return std::unexpected(*self->end_error);
    if (!self->session.is_writable(id)) co_return fail(Code::kCancelled, cat("stream ", id, " was reset"));
    std::size_t size = std::min({bytes.size(), self->session.sendable(id), kPiece});
    self->session.send(id, bytes.substr(0, size), false);
    self->kick();
    bytes.remove_prefix(size);
  }
  co_return Status();
}

Task<> Connection::State::shut_down(std::shared_ptr<State> self, Duration limit) {
  if (self->is_ended()) co_return;
  Timer late(self->loop);
  late.start(limit, [weak = std::weak_ptr(self)] {
    if (auto state = weak.lock())
      state->end(Error(Code::kCancelled, "the client did not close the connection in time"));
  });
  self->dropping = true;
  self->room.set();
  self->session.goaway(GoawayStatus::kOk);
  self->kick();
  co_await flush(self);
  if (!self->is_ended()) self->stream->finish_writing();
  co_await self->end_event.wait();
}

Connection::Connection(Loop& loop, std::unique_ptr<ByteStream> stream, SessionLimits limits)
    : state_(std::make_shared<State>(loop, std::move(stream), limits)) {
  loop.spawn(State::read_all(state_));
  loop.spawn(State::write_all(state_));
}

Connection::~Connection() { state_->end(Error(Code::kCancelled, "the connection was closed")); }

Task<Result<StreamOpened>> Connection::accept(Duration limit) { return State::accept(state_, limit); }
Task<Result<std::size_t>> Connection::read(StreamId id, std::span<char> buffer) {
  return State::read(state_, id, buffer);
}
Task<Status> Connection::write(StreamId id, std::string_view bytes) { return State::write(state_, id, bytes); }

void Connection::finish(StreamId id) {
  state_->session.send(id, {}, true);
  state_->kick();
}

void Connection::reset(StreamId id, RstStatus status) {
  state_->session.reset(id, status);
  state_->forget(id);
  state_->kick();
}

Task<> Connection::shut_down(Duration limit) { return State::shut_down(state_, limit); }

Task<> Connection::ended() {
  auto state = state_;
  co_await state->end_event.wait();
}

}  // namespace gantry::http::spdy
