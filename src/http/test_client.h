// SPDX-License-Identifier: Apache-2.0
// For tests: a blocking client on a thread of its own, plain HTTP and, after an upgrade, SPDY as Kubernetes' clients
// speak it. A read that takes longer than thirty seconds ends it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/owned_fd.h"
#include "http/spdy_frames.h"

namespace gantry::http {

class TestClient {
 public:
  explicit TestClient(OwnFd socket) : socket_(std::move(socket)) {
    timeval limit{30, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  // 127.0.0.1.
  explicit TestClient(std::uint16_t port, int receive_buffer = 0) : TestClient(connect_to(port, receive_buffer)) {}

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t size = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
  }
  void finish_writing() { ::shutdown(socket_.get(), SHUT_WR); }
  void close() { socket_.close(); }

  // One response: its head, and its body when it has a Content-Length. What comes after it is kept.
  std::string response(bool with_body = true) {
    std::size_t end;
    while ((end = ahead_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more()) return std::exchange(ahead_, {});
    }
    std::string text = take(end + 4);
    std::size_t at = text.find("Content-Length: ");
    std::size_t length = with_body && at != std::string::npos ? std::stoul(text.substr(at + 16)) : 0;
    while (ahead_.size() < length && read_more()) {
    }
    return text + take(length);
  }
  // So many bytes, or what came before the end.
  std::string exactly(std::size_t size) {
    while (ahead_.size() < size && read_more()) {
    }
    return take(size);
  }
  // All until the server closes.
  std::string rest() {
    while (read_more()) {
    }
    return std::exchange(ahead_, {});
  }

  // ---- SPDY ----

  // Asks for the upgrade and returns the response's head.
  std::string upgrade(std::string_view path, std::string_view protocols = "v4.channel.k8s.io") {
    send("POST " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: Upgrade\r\n" +
         "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: " + std::string(protocols) + "\r\n\r\n");
    return response();
  }
  // Opens a stream and waits for its reply; 0 when it was reset or the connection ended instead.
  spdy::StreamId open(std::string_view type) {
    spdy::StreamId id = std::exchange(next_id_, next_id_ + 2);
    std::string out;
    writer_.syn_stream(out, {id, 0, false, false, {{"streamtype", std::string(type)}}});
    send(out);
    read_until([&] { return replied.contains(id) || reset.contains(id); });
    return replied.contains(id) ? id : 0;
  }
  void write(spdy::StreamId id, std::string_view bytes, bool fin = false) {
    do {
      std::string out;
      std::string_view piece = bytes.substr(0, 32 << 10);
      bytes.remove_prefix(piece.size());
      spdy::FrameWriter::data(out, id, piece, fin && bytes.empty());
      send(out);
    } while (!bytes.empty());
  }
  // Reads frames until `done`; false when the connection ended before.
  bool read_until(const std::function<bool()>& done) {
    while (!done()) {
      if (ahead_.empty() && !read_more()) {
        ended = true;
        return false;
      }
      std::string bytes = std::exchange(ahead_, {});
      reader_.feed(bytes);
      for (auto frame = reader_.next(); frame && *frame; frame = reader_.next()) note(**frame);
    }
    return true;
  }
  bool read_to_fin(spdy::StreamId id) {
    return read_until([&] { return finished.contains(id) || reset.contains(id); });
  }

  std::map<spdy::StreamId, std::string> received;
  std::set<spdy::StreamId> replied, finished, reset;
  std::map<spdy::StreamId, std::uint32_t> window_updates;
  bool goaway = false;
  std::uint32_t goaway_status = 0;
  bool ended = false;

 private:
  static OwnFd connect_to(std::uint16_t port, int receive_buffer) {
    OwnFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (receive_buffer > 0) ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.close();
    return fd;
  }
  std::string take(std::size_t size) {
    std::string text = ahead_.substr(0, size);
    ahead_.erase(0, size);
    return text;
  }
  bool read_more() {
    std::array<char, 16384> buffer;
    ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) return false;
    ahead_.append(buffer.data(), static_cast<std::size_t>(size));
    return true;
  }
  void note(const spdy::Frame& frame) {
    if (auto* reply = std::get_if<spdy::SynReply>(&frame)) replied.insert(reply->id);
    if (auto* rst = std::get_if<spdy::RstStream>(&frame)) reset.insert(rst->id);
    if (auto* window = std::get_if<spdy::WindowUpdate>(&frame)) window_updates[window->id] += window->delta;
    if (auto* away = std::get_if<spdy::Goaway>(&frame)) {
      goaway = true;
      goaway_status = away->status;
    }
    if (auto* data = std::get_if<spdy::Data>(&frame)) {
      received[data->id] += data->bytes;
      if (data->fin) finished.insert(data->id);
    }
  }

  OwnFd socket_;
  std::string ahead_;
  spdy::StreamId next_id_ = 1;
  spdy::FrameReader reader_;
  spdy::FrameWriter writer_;
};

}  // namespace gantry::http
