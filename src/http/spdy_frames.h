// SPDX-License-Identifier: Apache-2.0
// SPDY/3.1 frames as bytes (Chromium's "SPDY Protocol - Draft 3.1"), both directions, without sockets: FrameReader
// takes bytes as they come and yields frames, FrameWriter appends frames to a string. Nothing here knows the state of a
// stream; that is spdy_session.h.
//
// Hostile bytes: a control frame, its inflated headers, their number and their names are bounded before anything is
// allocated for them; DATA is passed on in pieces and never gathered. After an error a reader stays in error: the
// compression state of a SPDY connection can't be picked up again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace gantry::http::spdy {

using StreamId = std::uint32_t;
// Names in lower case, as SPDY has them. Several values of one name are separated by NUL bytes.
using Headers = std::vector<std::pair<std::string, std::string>>;

std::string_view find_header(const Headers& headers, std::string_view name);

enum class RstStatus : std::uint32_t {
  kProtocolError = 1,
  kInvalidStream = 2,
  kRefusedStream = 3,
  kUnsupportedVersion = 4,
  kCancel = 5,
  kInternalError = 6,
  kFlowControlError = 7,
  kStreamInUse = 8,
  kStreamAlreadyClosed = 9,
};
enum class GoawayStatus : std::uint32_t { kOk = 0, kProtocolError = 1, kInternalError = 2 };

struct SynStream {
  StreamId id = 0;
  std::uint8_t priority = 0;
  bool fin = false;
  bool unidirectional = false;
  Headers headers;
};
struct SynReply {
  StreamId id = 0;
  bool fin = false;
  Headers headers;
};
struct HeadersFrame {
  StreamId id = 0;
  bool fin = false;
  Headers headers;
};
struct RstStream {
  StreamId id = 0;
  std::uint32_t status = 0;
};
struct Settings {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> values;  // id, value
};
struct Ping {
  std::uint32_t id = 0;
};
struct Goaway {
  StreamId last_good = 0;
  std::uint32_t status = 0;
};
struct WindowUpdate {
  StreamId id = 0;  // 0: the session
  std::uint32_t delta = 0;
};
// A piece of a DATA frame: `bytes` lie in what feed() was given. `fin` is set on the last piece of a frame that has it.
// A frame without bytes is one empty piece.
struct Data {
  StreamId id = 0;
  std::string_view bytes;
  bool fin = false;
};
using Frame = std::variant<SynStream, SynReply, HeadersFrame, RstStream, Settings, Ping, Goaway, WindowUpdate, Data>;

inline constexpr std::uint32_t kSettingInitialWindow = 7;

struct FrameLimits {
  std::size_t max_control_frame = 16 << 10;  // its payload, as sent
  std::size_t max_headers_bytes = 32 << 10;  // inflated
  std::size_t max_headers = 64;
};

class FrameReader {
 public:
  explicit FrameReader(FrameLimits limits = {});
  ~FrameReader();
  FrameReader(FrameReader&&) noexcept;

  // Gives bytes. They must stay until next() returned nothing, and all must be taken before the next feed().
  void feed(std::string_view bytes);
  // The next frame, or nothing when the bytes are used up. kInvalidArgument is a session error; every later call
  // repeats it. Control frames of unknown types are passed over, as the draft says.
  Result<std::optional<Frame>> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class FrameWriter {
 public:
  FrameWriter();
  ~FrameWriter();
  FrameWriter(FrameWriter&&) noexcept;

  void syn_stream(std::string& out, const SynStream& frame);
  void syn_reply(std::string& out, const SynReply& frame);
  void headers(std::string& out, const HeadersFrame& frame);
  static void rst_stream(std::string& out, StreamId id, RstStatus status);
  static void settings(std::string& out, const Settings& frame);
  static void ping(std::string& out, std::uint32_t id);
  static void goaway(std::string& out, StreamId last_good, GoawayStatus status);
  static void window_update(std::string& out, StreamId id, std::uint32_t delta);
  // At most kMaxData bytes.
  static void data(std::string& out, StreamId id, std::string_view bytes, bool fin);

  static constexpr std::size_t kMaxData = (1 << 24) - 1;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::http::spdy
