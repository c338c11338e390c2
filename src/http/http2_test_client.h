// SPDX-License-Identifier: Apache-2.0
// For tests: an HTTP/2 client of a few lines, on nghttp2. Loop thread. It must not be destroyed before close() has
// returned.
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

namespace gantry::http {

class Http2TestClient {
 public:
  struct Answer {
    explicit Answer(Loop& loop) : closed(loop), changed(loop) {}
    std::map<std::string, std::string> headers;
    std::string body;
    std::uint32_t error = 0;
    Event closed, changed;
    std::string left;  // of the request, to be sent
  };

  Http2TestClient(Loop& loop, std::unique_ptr<ByteStream> stream, std::uint32_t window = 65535)
      : goaway(loop), loop_(loop), stream_(std::move(stream)), wake_(loop), ended_(loop), written_all_(loop) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
          if (auto answer = find(user, frame->hd.stream_id)) {
            answer->headers[text(name, name_size)] = text(value, value_size);
            answer->changed.set();
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* user) {
          if (auto answer = find(user, id)) {
            answer->body += text(bytes, size);
            answer->changed.set();
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
          if (auto answer = find(user, id)) {
            answer->error = error;
            answer->closed.set();
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                         [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
                                                           if (frame->hd.type == NGHTTP2_GOAWAY)
                                                             static_cast<Http2TestClient*>(user)->goaway.set();
                                                           return 0;
                                                         });
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, window == 65535 ? 0 : 1);
    nghttp2_session_client_new2(&session_, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 1);
    loop.spawn(read_all());
    loop.spawn(write_all());
  }
  ~Http2TestClient() { nghttp2_session_del(session_); }
  Http2TestClient(const Http2TestClient&) = delete;
  Http2TestClient& operator=(const Http2TestClient&) = delete;

  std::shared_ptr<Answer> send(const std::string& method, const std::string& path, std::string body = "",
                               std::vector<std::pair<std::string, std::string>> more = {}) {
    std::vector<std::pair<std::string, std::string>> headers = {
        {":method", method}, {":scheme", "https"}, {":path", path}, {":authority", "localhost"}};
    headers.insert(headers.end(), more.begin(), more.end());
    std::vector<nghttp2_nv> pairs;
    for (auto& [name, value] : headers) {
      pairs.push_back({reinterpret_cast<std::uint8_t*>(name.data()), reinterpret_cast<std::uint8_t*>(value.data()),
                       name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    auto answer = std::make_shared<Answer>(loop_);
    answer->left = std::move(body);
    nghttp2_data_provider provider{.source = {.ptr = answer.get()}, .read_callback = give_body};
    auto id = nghttp2_submit_request(session_, nullptr, pairs.data(), pairs.size(),
                                     answer->left.empty() ? nullptr : &provider, nullptr);
    answers_[id] = answer;
    last_id = id;
    wake_.set();
    return answer;
  }
  void reset(std::int32_t id) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    wake_.set();
  }
  Task<> close() {
    stream_->close();
    wake_.set();
    co_await ended_.wait();
    co_await written_all_.wait();
  }
  // What was asked for up to now is on its way.
  Task<> flushed() {
    while (!ended_.is_set() && wake_.is_set()) co_await loop_.sleep_for({});
  }
  Task<> wait_for_end() { co_await ended_.wait(); }

  Event goaway;
  std::int32_t last_id = 0;

 private:
  static std::string text(const std::uint8_t* bytes, std::size_t size) {
    return std::string(reinterpret_cast<const char*>(bytes), size);
  }
  static std::shared_ptr<Answer> find(void* user, std::int32_t id) {
    auto& answers = static_cast<Http2TestClient*>(user)->answers_;
    auto found = answers.find(id);
    return found == answers.end() ? nullptr : found->second;
  }
  static ssize_t give_body(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size, std::uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    std::string& left = static_cast<Answer*>(source->ptr)->left;
    std::size_t count = std::min(size, left.size());
    std::copy_n(left.data(), count, reinterpret_cast<char*>(buffer));
    left.erase(0, count);
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }
  Task<> read_all() {
    std::array<char, 16384> buffer;
    for (;;) {
      auto count = co_await stream_->read(buffer);
      if (!count || *count == 0) break;
      if (nghttp2_session_mem_recv(session_, reinterpret_cast<std::uint8_t*>(buffer.data()), *count) < 0) break;
      wake_.set();
    }
    for (auto& [id, answer] : answers_) answer->closed.set();
    ended_.set();
    wake_.set();
  }
  Task<> write_all() {
    while (!ended_.is_set()) {
      wake_.reset();
      std::string out;
      const std::uint8_t* bytes = nullptr;
      for (ssize_t size; (size = nghttp2_session_mem_send(session_, &bytes)) > 0;) {
        out += text(bytes, static_cast<std::size_t>(size));
      }
      if (out.empty()) {
        co_await wake_.wait();
      } else if (!co_await stream_->write(out)) {
        break;
      }
    }
    written_all_.set();
  }

  Loop& loop_;
  std::unique_ptr<ByteStream> stream_;
  Event wake_, ended_, written_all_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, std::shared_ptr<Answer>> answers_;
};

}  // namespace gantry::http
