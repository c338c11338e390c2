// SPDX-License-Identifier: Apache-2.0
#include "http/spdy_session.h"

#include <algorithm>
#include <limits>

#include "http/text.h"

namespace gantry::http::spdy {
namespace {

constexpr std::int64_t kMaxWindow = 0x7fffffff;
// The window we give, which the draft fixes until SETTINGS change it, and how much of it is used before we give it
// back.
constexpr std::uint32_t kReceiveWindow = 64 << 10;
constexpr std::uint32_t kAcknowledgeAt = kReceiveWindow / 2;

}  // namespace

ServerSession::ServerSession(SessionLimits limits) : limits_(limits), reader_(limits.frames) {}

Result<std::optional<Event>> ServerSession::next() {
  if (finished_next_) {
    StreamId id = *std::exchange(finished_next_, std::nullopt);
    if (auto event = peer_finished(id)) return event;
  }
  while (!broken_) {
    auto frame = reader_.next();
    if (frame && !*frame) return std::nullopt;
    Handled handled = frame ? handle(std::move(**frame)) : std::unexpected(std::move(frame.error()));
    if (handled && *handled) return handled;
    if (handled) continue;
    broken_ = std::move(handled.error());
    if (!sent_goaway_) goaway(GoawayStatus::kProtocolError);
  }
  return std::unexpected(*broken_);
}

ServerSession::Handled ServerSession::handle(Frame&& frame) {
  return std::visit([this](auto&& kind) { return on(std::move(kind)); }, std::move(frame));
}

ServerSession::Handled ServerSession::on(SynStream&& frame) {
  if (frame.id % 2 == 0 || frame.id <= last_id_) {
    return invalid_argument(cat("SYN_STREAM for stream ", frame.id, ": expected an odd number above ", last_id_));
  }
  last_id_ = frame.id;
  if (sent_goaway_) return std::nullopt;
  if (streams_.size() >= limits_.max_streams) {
    FrameWriter::rst_stream(output_, frame.id, RstStatus::kRefusedStream);
    return std::nullopt;
  }
  streams_[frame.id] = Stream{initial_window_, 0, frame.fin, frame.unidirectional};
  return StreamOpened{frame.id, frame.fin, std::move(frame.headers)};
}

// We open no streams, so there is none that a reply could be for.
ServerSession::Handled ServerSession::on(SynReply&& frame) {
  FrameWriter::rst_stream(output_, frame.id, RstStatus::kInvalidStream);
  return std::nullopt;
}

// More headers for a stream mean nothing to us; they were inflated for the sake of those that follow.
ServerSession::Handled ServerSession::on(HeadersFrame&& frame) {
  if (frame.fin) return peer_finished(frame.id);
  return std::nullopt;
}

ServerSession::Handled ServerSession::on(RstStream&& frame) {
  if (streams_.erase(frame.id) == 0) return std::nullopt;
  return StreamReset{frame.id, frame.status};
}

ServerSession::Handled ServerSession::on(Settings&& frame) {
  peer_controls_flow_ = true;
  for (auto [id, value] : frame.values) {
    if (id != kSettingInitialWindow) continue;
    if (value > kMaxWindow) return invalid_argument(cat("SETTINGS with an initial window of ", value));
    std::int64_t change = static_cast<std::int64_t>(value) - initial_window_;
    initial_window_ = value;
    for (auto& [stream_id, stream] : streams_) stream.send_window += change;
  }
  return std::nullopt;
}

ServerSession::Handled ServerSession::on(Ping&& frame) {
  // Even ones answer ours.
  if (frame.id % 2 == 1) FrameWriter::ping(output_, frame.id);
  return std::nullopt;
}

ServerSession::Handled ServerSession::on(Goaway&&) { return PeerGoingAway{}; }

ServerSession::Handled ServerSession::on(WindowUpdate&& frame) {
  peer_controls_flow_ = true;
  if (frame.id == 0) {
    session_window_ += frame.delta;
    if (session_window_ > kMaxWindow) return invalid_argument("WINDOW_UPDATE beyond 2^31 - 1 for the session");
    return std::nullopt;
  }
  auto found = streams_.find(frame.id);
  if (found == streams_.end()) return std::nullopt;  // it may have crossed our end of the stream
  found->second.send_window += frame.delta;
  if (found->second.send_window <= kMaxWindow) return std::nullopt;
  reset(frame.id, RstStatus::kFlowControlError);
  return StreamReset{frame.id, static_cast<std::uint32_t>(RstStatus::kFlowControlError)};
}

ServerSession::Handled ServerSession::on(Data&& frame) {
  auto found = streams_.find(frame.id);
  if (found == streams_.end() || found->second.peer_done) {
    acknowledge_session(frame.bytes.size());
    if (found != streams_.end()) {
      reset(frame.id, RstStatus::kStreamAlreadyClosed);
      return StreamReset{frame.id, static_cast<std::uint32_t>(RstStatus::kStreamAlreadyClosed)};
    }
    // On one that was open once, it may have crossed our reset.
    if (frame.id > last_id_) FrameWriter::rst_stream(output_, frame.id, RstStatus::kInvalidStream);
    return std::nullopt;
  }
  if (frame.bytes.empty()) return frame.fin ? peer_finished(frame.id) : std::nullopt;
  if (frame.fin) finished_next_ = frame.id;
  return DataReceived{frame.id, frame.bytes};
}

std::optional<Event> ServerSession::peer_finished(StreamId id) {
  auto found = streams_.find(id);
  if (found == streams_.end() || found->second.peer_done) return std::nullopt;
  found->second.peer_done = true;
  if (found->second.we_done) streams_.erase(found);
  return StreamFinished{id};
}

bool ServerSession::is_writable(StreamId id) const {
  auto found = streams_.find(id);
  return found != streams_.end() && !found->second.we_done;
}

void ServerSession::reply(StreamId id) {
  if (is_open(id)) writer_.syn_reply(output_, SynReply{id, false, {}});
}

std::size_t ServerSession::sendable(StreamId id) const {
  auto found = streams_.find(id);
  if (found == streams_.end() || found->second.we_done) return 0;
  if (!peer_controls_flow_) return std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(std::max<std::int64_t>(0, std::min(found->second.send_window, session_window_)));
}

void ServerSession::send(StreamId id, std::string_view bytes, bool fin) {
  auto found = streams_.find(id);
  if (found == streams_.end() || found->second.we_done) return;
  auto size = static_cast<std::int64_t>(bytes.size());
  found->second.send_window -= size;
  session_window_ -= size;
  FrameWriter::data(output_, id, bytes, fin);
  if (!fin) return;
  found->second.we_done = true;
  if (found->second.peer_done) streams_.erase(found);
}

void ServerSession::acknowledge_session(std::size_t size) {
  session_unacknowledged_ += static_cast<std::uint32_t>(size);
  if (session_unacknowledged_ < kAcknowledgeAt) return;
  FrameWriter::window_update(output_, 0, std::exchange(session_unacknowledged_, 0));
}

void ServerSession::consumed(StreamId id, std::size_t size) {
  acknowledge_session(size);
  auto found = streams_.find(id);
  if (found == streams_.end() || found->second.peer_done) return;
  found->second.unacknowledged += static_cast<std::uint32_t>(size);
  if (found->second.unacknowledged < kAcknowledgeAt) return;
  FrameWriter::window_update(output_, id, std::exchange(found->second.unacknowledged, 0));
}

void ServerSession::reset(StreamId id, RstStatus status) {
  if (streams_.erase(id) != 0) FrameWriter::rst_stream(output_, id, status);
}

void ServerSession::ping() {
  FrameWriter::ping(output_, next_ping_);
  next_ping_ = next_ping_ > 0x7ffffffc ? 2 : next_ping_ + 2;
}

void ServerSession::goaway(GoawayStatus status) {
  sent_goaway_ = true;
  FrameWriter::goaway(output_, last_id_, status);
}

}  // namespace gantry::http::spdy
