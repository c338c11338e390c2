// SPDX-License-Identifier: Apache-2.0
// Channels over SPDY/3.1: a stream for each, named by its "streamtype" header.
#include <array>
#include <chrono>
#include <optional>

#include "cri/streaming.h"
#include "cri/streaming_channels.h"
#include "http/spdy_connection.h"

namespace gantry::cri {
namespace {

namespace spdy = http::spdy;

std::optional<Channel> channel_of(std::string_view type) {
  if (type == "stdin") return Channel::kIn;
  if (type == "stdout") return Channel::kOut;
  if (type == "stderr") return Channel::kErr;
  if (type == "error") return Channel::kError;
  if (type == "resize") return Channel::kResize;
  return std::nullopt;
}

class SpdyChannels final : public Channels {
 public:
  SpdyChannels(Loop& loop, std::unique_ptr<http::ByteStream> stream) : connection_(loop, std::move(stream)) {}

  // Opens until `missing` have come. What the client opens beside them is answered and then reset: a client that waits
  // for the answer goes on, and its bytes don't fill our memory.
  Task<Status> open(std::array<bool, kChannels> missing, Duration limit) {
    auto until = std::chrono::steady_clock::now() + limit;
    while (missing != std::array<bool, kChannels>{}) {
      auto opened = co_await connection_.accept(until - std::chrono::steady_clock::now());
      if (!opened) co_return std::unexpected(std::move(opened.error()));
      auto channel = channel_of(spdy::find_header(opened->headers, "streamtype"));
      if (!channel || !missing[index(*channel)]) {
        connection_.reset(opened->id, spdy::RstStatus::kCancel);
        continue;
      }
      missing[index(*channel)] = false;
      ids_[index(*channel)] = opened->id;
    }
    co_return Status();
  }

  Task<Result<std::size_t>> read(Channel channel, std::span<char> buffer) override {
    return connection_.read(ids_[index(channel)], buffer);
  }
  Task<Status> write(Channel channel, std::string_view bytes) override {
    spdy::StreamId id = ids_[index(channel)];
    if (id != 0) co_return co_await connection_.write(id, bytes);
    co_return Status();
  }
  void finish(Channel channel) override { connection_.finish(ids_[index(channel)]); }
  Task<> ended() override { return connection_.ended(); }
  Task<> shut_down(Duration limit) override { return connection_.shut_down(limit); }

 private:
  static std::size_t index(Channel channel) { return static_cast<std::size_t>(channel); }

  spdy::Connection connection_;
  std::array<spdy::StreamId, kChannels> ids_{};  // 0: not opened; no stream has that number
};

}  // namespace

Task<Result<std::shared_ptr<Channels>>> accept_spdy_channels(Loop& loop, std::unique_ptr<http::ByteStream> stream,
                                                             ExecStreamSet wanted, bool resize, Duration limit) {
  auto channels = std::make_shared<SpdyChannels>(loop, std::move(stream));
  auto opened = co_await channels->open({wanted.in, wanted.out, wanted.err, true, resize}, limit);
  if (!opened) co_return fail_with(std::move(opened.error()), "wait for the client's streams");
  co_return std::shared_ptr<Channels>(std::move(channels));
}

}  // namespace gantry::cri
