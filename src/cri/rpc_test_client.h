// SPDX-License-Identifier: Apache-2.0
// For tests and benchmarks: a gRPC client of a few lines, on nghttp2, with any number of calls side by side on one
// connection. Loop thread. It must not be destroyed before close() has returned.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "http/byte_stream.h"
#include "http/grpc.h"

namespace gantry::cri {

class RpcTestClient {
 public:
  struct Answer {
    explicit Answer(Loop& loop) : closed(loop) {}
    std::map<std::string, std::string> headers;
    std::string body;
    Event closed;
    std::string left;  // of the request, to be sent
  };

  RpcTestClient(Loop& loop, SocketFd socket)
      : loop_(loop), stream_(http::make_socket_stream(loop, std::move(socket))), wake_(loop), written_all_(loop) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
          if (Answer* answer = find(user, frame->hd.stream_id))
            answer->headers[std::string(reinterpret_cast<const char*>(name), name_size)] =
                std::string(reinterpret_cast<const char*>(value), value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* user) {
          if (Answer* answer = find(user, id)) answer->body.append(reinterpret_cast<const char*>(bytes), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
          if (Answer* answer = find(user, id)) answer->closed.set();
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
    loop.spawn(read_all());
    loop.spawn(write_all());
  }
  ~RpcTestClient() { nghttp2_session_del(session_); }
  RpcTestClient(const RpcTestClient&) = delete;
  RpcTestClient& operator=(const RpcTestClient&) = delete;

  // Sends a body; its answer is in `answers` under the number that is returned.
  std::int32_t send(const std::string& path, const std::string& body, const std::string& type = "application/grpc",
                    const std::string& timeout = "") {
    std::vector<std::pair<std::string, std::string>> headers = {{":method", "POST"}, {":scheme", "http"},
                                                                {":path", path},     {":authority", "localhost"},
                                                                {"te", "trailers"},  {"content-type", type}};
    if (!timeout.empty()) headers.emplace_back("grpc-timeout", timeout);
    std::vector<nghttp2_nv> pairs;
    for (auto& [name, value] : headers) {
      pairs.push_back({reinterpret_cast<std::uint8_t*>(name.data()), reinterpret_cast<std::uint8_t*>(value.data()),
                       name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    nghttp2_data_provider provider{.source = {}, .read_callback = read_body};
    auto id = nghttp2_submit_request(session_, nullptr, pairs.data(), pairs.size(), &provider, nullptr);
    answers.try_emplace(id, loop_).first->second.left = body;
    wake_.set();
    return id;
  }
  // Returns when the answer is whole, or the connection has ended.
  Task<> wait_for(std::int32_t id) { co_await answers.at(id).closed.wait(); }
  void cancel(std::int32_t id) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    wake_.set();
  }
  Task<> close() {
    stream_->close();
    co_await written_all_.wait();
  }

  std::map<std::int32_t, Answer> answers;  // until their owner takes them out
  bool ended = false;

 private:
  static Answer* find(void* user, std::int32_t id) {
    auto& all = static_cast<RpcTestClient*>(user)->answers;
    auto found = all.find(id);
    return found == all.end() ? nullptr : &found->second;
  }
  static ssize_t read_body(nghttp2_session*, std::int32_t id, std::uint8_t* buffer, std::size_t size,
                           std::uint32_t* flags, nghttp2_data_source*, void* user) {
    Answer* answer = find(user, id);
    if (answer == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    std::string& left = answer->left;
    std::size_t count = std::min(size, left.size());
    std::copy_n(left.data(), count, reinterpret_cast<char*>(buffer));
    left.erase(0, count);
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }
  // One writer at a time: the reader wakes it for what it owes the server (acknowledgements, windows).
  Task<> write_all() {
    while (!ended) {
      wake_.reset();
      const std::uint8_t* bytes = nullptr;
      auto size = nghttp2_session_mem_send(session_, &bytes);
      if (size > 0) {
        (void)co_await stream_->write(
            std::string(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)));
      } else {
        co_await wake_.wait();
      }
    }
    written_all_.set();
  }
  Task<> read_all() {
    std::array<char, 65536> buffer;
    for (;;) {
      auto count = co_await stream_->read(buffer);
      if (!count || *count == 0) break;
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(buffer.data()), *count);
      wake_.set();
    }
    ended = true;
    for (auto& [_, answer] : answers) answer.closed.set();
    wake_.set();
  }

  Loop& loop_;
  std::unique_ptr<http::ByteStream> stream_;
  nghttp2_session* session_ = nullptr;
  Event wake_, written_all_;
};

}  // namespace gantry::cri
