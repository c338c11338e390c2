// SPDX-License-Identifier: Apache-2.0
#include "http/spdy_frames.h"

#include <algorithm>

#include "http/spdy_bytes.h"
#include "http/spdy_headers.h"
#include "http/text.h"

namespace gantry::http::spdy {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kHeadSize = 8;
constexpr std::uint32_t kIdMask = 0x7fffffff;
constexpr std::uint8_t kFlagFin = 1;
constexpr std::uint8_t kFlagUnidirectional = 2;

enum Type : std::uint32_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

bool is_known(std::uint32_t type) {
  return (type >= kSynStream && type <= kSettings) || (type >= kPing && type <= kWindowUpdate);
}

const char* name_of(std::uint32_t type) {
  switch (type) {
    case kSynStream:
      return "SYN_STREAM";
    case kSynReply:
      return "SYN_REPLY";
    case kRstStream:
      return "RST_STREAM";
    case kSettings:
      return "SETTINGS";
    case kPing:
      return "PING";
    case kGoaway:
      return "GOAWAY";
    case kHeaders:
      return "HEADERS";
    case kWindowUpdate:
      return "WINDOW_UPDATE";
    default:
      return "control";
  }
}

// Appends a control frame's head; `length` counts what follows.
void control_head(std::string& out, Type type, std::uint8_t flags, std::size_t length) {
  store32(out, 0x80000000u | kVersion << 16 | type);
  store8(out, flags);
  store24(out, static_cast<std::uint32_t>(length));
}

}  // namespace

std::string_view find_header(const Headers& headers, std::string_view name) {
  auto found = std::ranges::find_if(headers, [name](const auto& header) { return header.first == name; });
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

// ---- FrameReader

struct FrameReader::Impl {
  explicit Impl(FrameLimits l) : limits(l) {}

  enum class State { kHead, kPayload, kSkip, kData };

  FrameLimits limits;
  HeaderInflater inflater;
  State state = State::kHead;
  std::string_view input;
  std::string head;
  std::string payload;
  std::uint32_t type = 0;
  std::uint8_t flags = 0;
  std::size_t left = 0;  // of the frame's payload
  StreamId data_id = 0;
  std::optional<Error> broken;

  using Parsed = Result<std::optional<Frame>>;

  // Moves up to `want` bytes of the input.
  std::string_view take(std::size_t want) {
    std::string_view piece = input.substr(0, want);
    input.remove_prefix(piece.size());
    return piece;
  }
  Parsed step(bool& waiting);
  Parsed start_frame();
  Parsed data_piece();
  Parsed parse_control();
  Parsed parse_with_headers();
  std::unexpected<Error> wrong_length(std::string_view expected) const {
    return invalid_argument(cat(name_of(type), " frame of ", payload.size(), " bytes: expected ", expected));
  }
};

// The eight bytes of a head are there.
FrameReader::Impl::Parsed FrameReader::Impl::start_frame() {
  bool control = (static_cast<unsigned char>(head[0]) & 0x80) != 0;
  flags = static_cast<std::uint8_t>(head[4]);
  left = load24(head, 5);
  if (!control) {
    data_id = load32(head, 0) & kIdMask;
    if (data_id == 0) return invalid_argument("DATA frame for stream 0");
    state = State::kData;
    if (left == 0) return data_piece();
    return std::nullopt;
  }
  std::uint32_t version = load16(head, 0) & 0x7fff;
  type = load16(head, 2);
  if (version != kVersion) return invalid_argument(cat("SPDY version ", version, ": only ", kVersion, " is spoken"));
  if (left > limits.max_control_frame) {
    return invalid_argument(
        cat(name_of(type), " frame of ", left, " bytes: at most ", limits.max_control_frame, " are taken"));
  }
  state = is_known(type) ? State::kPayload : State::kSkip;
  payload.clear();
  return std::nullopt;
}

FrameReader::Impl::Parsed FrameReader::Impl::data_piece() {
  std::string_view piece = take(left);
  left -= piece.size();
  if (left == 0) state = State::kHead;
  return Data{data_id, piece, left == 0 && (flags & kFlagFin) != 0};
}

FrameReader::Impl::Parsed FrameReader::Impl::parse_with_headers() {
  std::size_t fixed = type == kSynStream ? 10 : 4;
  if (payload.size() < fixed) return wrong_length(cat("at least ", fixed));
  StreamId id = load32(payload, 0) & kIdMask;
  if (id == 0) return invalid_argument(cat(name_of(type), " frame for stream 0"));
  auto headers = inflater.read(std::string_view(payload).substr(fixed), limits);
  if (!headers) return std::unexpected(std::move(headers.error()).with_context(name_of(type)));
  bool fin = (flags & kFlagFin) != 0;
  if (type == kSynReply) return SynReply{id, fin, std::move(*headers)};
  if (type == kHeaders) return HeadersFrame{id, fin, std::move(*headers)};
  auto priority = static_cast<std::uint8_t>(load(payload, 8, 1) >> 5);
  return SynStream{id, priority, fin, (flags & kFlagUnidirectional) != 0, std::move(*headers)};
}

// A control frame's payload is there.
FrameReader::Impl::Parsed FrameReader::Impl::parse_control() {
  state = State::kHead;
  switch (type) {
    case kRstStream: {
      if (payload.size() != 8) return wrong_length("8");
      RstStream frame{load32(payload, 0) & kIdMask, load32(payload, 4)};
      if (frame.id == 0) return invalid_argument("RST_STREAM frame for stream 0");
      if (frame.status == 0) return invalid_argument("RST_STREAM frame with status 0");
      return frame;
    }
    case kSettings: {
      if (payload.size() < 4 || payload.size() != 4 + 8 * static_cast<std::uint64_t>(load32(payload, 0))) {
        return wrong_length("4 and 8 for each setting that it counts");
      }
      Settings frame;
      for (std::size_t at = 4; at < payload.size(); at += 8) {
        frame.values.emplace_back(load24(payload, at + 1), load32(payload, at + 4));
      }
      return frame;
    }
    case kPing:
      if (payload.size() != 4) return wrong_length("4");
      return Ping{load32(payload, 0)};
    case kGoaway:
      if (payload.size() != 8) return wrong_length("8");
      return Goaway{load32(payload, 0) & kIdMask, load32(payload, 4)};
    case kWindowUpdate: {
      if (payload.size() != 8) return wrong_length("8");
      WindowUpdate frame{load32(payload, 0) & kIdMask, load32(payload, 4) & kIdMask};
      if (frame.delta == 0) return invalid_argument("WINDOW_UPDATE frame of 0 bytes");
      return frame;
    }
    default:
      return parse_with_headers();
  }
}

// One step of the machine: a frame, or nothing and `waiting` set when it needs more bytes.
FrameReader::Impl::Parsed FrameReader::Impl::step(bool& waiting) {
  switch (state) {
    case State::kHead:
      head += take(kHeadSize - head.size());
      if (head.size() < kHeadSize) break;
      {
        auto started = start_frame();
        head.clear();
        return started;
      }
    case State::kPayload: {
      std::string_view piece = take(left);
      payload += piece;
      left -= piece.size();
      if (left > 0) break;
      return parse_control();
    }
    case State::kSkip:
      left -= take(left).size();
      if (left > 0) break;
      state = State::kHead;
      return std::nullopt;
    case State::kData:
      if (input.empty()) break;
      return data_piece();
  }
  waiting = true;
  return std::nullopt;
}

FrameReader::FrameReader(FrameLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
FrameReader::~FrameReader() = default;
FrameReader::FrameReader(FrameReader&&) noexcept = default;

void FrameReader::feed(std::string_view bytes) { impl_->input = bytes; }

Result<std::optional<Frame>> FrameReader::next() {
  bool waiting = false;
  while (!impl_->broken && !waiting) {
    auto parsed = impl_->step(waiting);
    if (parsed && !*parsed) continue;
    if (parsed) return parsed;
    impl_->broken = std::move(parsed.error());
  }
  if (impl_->broken) return std::unexpected(*impl_->broken);
  return std::nullopt;
}

// ---- FrameWriter

struct FrameWriter::Impl {
  HeaderDeflater deflater;
};

FrameWriter::FrameWriter() : impl_(std::make_unique<Impl>()) {}
FrameWriter::~FrameWriter() = default;
FrameWriter::FrameWriter(FrameWriter&&) noexcept = default;

void FrameWriter::syn_stream(std::string& out, const SynStream& frame) {
  std::string block = impl_->deflater.write(frame.headers);
  std::uint8_t flags = (frame.fin ? kFlagFin : 0) | (frame.unidirectional ? kFlagUnidirectional : 0);
  control_head(out, kSynStream, flags, 10 + block.size());
  store32(out, frame.id);
  store32(out, 0);
  store8(out, static_cast<std::uint32_t>(frame.priority) << 5);
  store8(out, 0);
  out += block;
}

void FrameWriter::syn_reply(std::string& out, const SynReply& frame) {
  std::string block = impl_->deflater.write(frame.headers);
  control_head(out, kSynReply, frame.fin ? kFlagFin : 0, 4 + block.size());
  store32(out, frame.id);
  out += block;
}

void FrameWriter::headers(std::string& out, const HeadersFrame& frame) {
  std::string block = impl_->deflater.write(frame.headers);
  control_head(out, kHeaders, frame.fin ? kFlagFin : 0, 4 + block.size());
  store32(out, frame.id);
  out += block;
}

void FrameWriter::rst_stream(std::string& out, StreamId id, RstStatus status) {
  control_head(out, kRstStream, 0, 8);
  store32(out, id);
  store32(out, static_cast<std::uint32_t>(status));
}

void FrameWriter::settings(std::string& out, const Settings& frame) {
  control_head(out, kSettings, 0, 4 + 8 * frame.values.size());
  store32(out, static_cast<std::uint32_t>(frame.values.size()));
  for (auto [id, value] : frame.values) {
    store32(out, id & 0xffffff);
    store32(out, value);
  }
}

void FrameWriter::ping(std::string& out, std::uint32_t id) {
  control_head(out, kPing, 0, 4);
  store32(out, id);
}

void FrameWriter::goaway(std::string& out, StreamId last_good, GoawayStatus status) {
  control_head(out, kGoaway, 0, 8);
  store32(out, last_good);
  store32(out, static_cast<std::uint32_t>(status));
}

void FrameWriter::window_update(std::string& out, StreamId id, std::uint32_t delta) {
  control_head(out, kWindowUpdate, 0, 8);
  store32(out, id);
  store32(out, delta);
}

void FrameWriter::data(std::string& out, StreamId id, std::string_view bytes, bool fin) {
  store32(out, id & kIdMask);
  store8(out, fin ? kFlagFin : 0);
  store24(out, static_cast<std::uint32_t>(bytes.size()));
  out += bytes;
}

}  // namespace gantry::http::spdy
