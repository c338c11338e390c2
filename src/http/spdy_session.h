// SPDX-License-Identifier: Apache-2.0
// The server's side of a SPDY/3.1 connection as a machine without sockets: bytes in, events out, and bytes to send in
// output(). It knows the streams, both flow-control windows and the limits; spdy_connection.h puts it on a connection.
//
// The clients that matter are Kubernetes' (moby/spdystream), and it is written to what they do, which is less than the
// draft:
// - they send no SETTINGS and no WINDOW_UPDATE, ignore ours, and send without regard to our window. So a peer is held
// to have
//   no flow control until it sends one of these frames; until then only TCP slows us. What a peer sends beyond our
//   window is taken: the connection stops reading instead.
// - they answer PING, send no SYN_REPLY, close a half with an empty DATA frame with FIN, and end with RST_STREAM for
// every
//   stream, GOAWAY, and the end of the connection.
//
// A frame that the draft forbids is a session error: GOAWAY is put in output() and next() fails from then on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "http/spdy_frames.h"

namespace gantry::http::spdy {

struct SessionLimits {
  FrameLimits frames;
  // Open at once; one more is reset with REFUSED_STREAM.
  std::size_t max_streams = 16;
};

// The peer opened a stream; answer with reply() or reset(). With `fin` it will send nothing on it.
struct StreamOpened {
  StreamId id = 0;
  bool fin = false;
  Headers headers;
};
// `bytes` lie in what feed() was given; say consumed() when they are used up.
struct DataReceived {
  StreamId id = 0;
  std::string_view bytes;
};
// The peer will send nothing more on this stream.
struct StreamFinished {
  StreamId id = 0;
};
// The peer wants nothing more of this stream, in either direction.
struct StreamReset {
  StreamId id = 0;
  std::uint32_t status = 0;
};
// The peer will open no more streams.
struct PeerGoingAway {};

using Event = std::variant<StreamOpened, DataReceived, StreamFinished, StreamReset, PeerGoingAway>;

class ServerSession {
 public:
  explicit ServerSession(SessionLimits limits = {});

  // As FrameReader's: all events are taken before the next feed().
  void feed(std::string_view bytes) { reader_.feed(bytes); }
  Result<std::optional<Event>> next();

  // What is to be sent. The caller takes it away from the front.
  std::string& output() { return output_; }

  bool is_open(StreamId id) const { return streams_.contains(id); }
  // Our half can still be written.
  bool is_writable(StreamId id) const;
  void reply(StreamId id);
  // How many bytes the peer's windows let us send on this stream now.
  std::size_t sendable(StreamId id) const;
  // Not more than sendable(). With `fin` it was the last. Nothing happens on a stream that is not writable.
  void send(StreamId id, std::string_view bytes, bool fin);
  // That many bytes of DataReceived are used up: the peer may send as many again.
  void consumed(StreamId id, std::size_t size);
  void reset(StreamId id, RstStatus status);
  void ping();
  void goaway(GoawayStatus status);

 private:
  struct Stream {
    std::int64_t send_window = 0;
    std::uint32_t unacknowledged = 0;
    bool peer_done = false;
    bool we_done = false;
  };
  using Handled = Result<std::optional<Event>>;

  Handled handle(Frame&& frame);
  Handled on(SynStream&& frame);
  Handled on(SynReply&& frame);
  Handled on(HeadersFrame&& frame);
  Handled on(RstStream&& frame);
  Handled on(Settings&& frame);
  Handled on(Ping&& frame);
  Handled on(Goaway&& frame);
  Handled on(WindowUpdate&& frame);
  Handled on(Data&& frame);
  std::optional<Event> peer_finished(StreamId id);
  void acknowledge_session(std::size_t size);

  SessionLimits limits_;
  FrameReader reader_;
  FrameWriter writer_;
  std::string output_;
  std::map<StreamId, Stream> streams_;
  StreamId last_id_ = 0;
  // The end of a stream that came with its last bytes, to be told after them.
  std::optional<StreamId> finished_next_;
  bool peer_controls_flow_ = false;
  std::int64_t initial_window_ = 64 << 10;
  std::int64_t session_window_ = 64 << 10;
  std::uint32_t session_unacknowledged_ = 0;
  std::uint32_t next_ping_ = 2;
  bool sent_goaway_ = false;
  std::optional<Error> broken_;
};

}  // namespace gantry::http::spdy
