// SPDX-License-Identifier: Apache-2.0
// What the connections of one Server share, and the two ways to serve one. Part of server.h, included by nobody else.
// Loop thread.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "http/server.h"

namespace gantry::http {

class TrackedStream;

struct ServerCore {
  ServerCore(Loop& l, Handler h, Limits lim) : loop(l), handler(std::move(h)), limits(lim), stopped(l), emptied(l) {}

  Loop& loop;
  Handler handler;
  Limits limits;
  Event stopped;
  // No new requests: those that are under way come to their end. Who waits for one is asked to leave.
  bool draining = false;
  std::list<std::function<void()>> drain_wishes;
  Event emptied;  // while draining: no connection is left
  // Of every live connection, upgraded ones too (TrackedStream).
  std::list<TrackedStream*> live;
  std::size_t upgraded = 0;  // of them
  // Of them, by the peer's address.
  struct FromOne {
    std::size_t all = 0, staying = 0;
  };
  std::map<std::string, FromOne> peers;

  void look_whether_empty() {
    if (draining && live.size() == upgraded) emptied.set();
  }
  std::size_t unfinished_bytes = 0;
  // Of HTTP/1.1's answers that come over time; set when the server stops or is drained.
  std::list<std::shared_ptr<Event>> answers;
};

// A connection's stream under way through the server, and its place in the server's list, for as long as anyone holds
// it.
class TrackedStream final : public ByteStream {
 public:
  // `address` is the peer's, as in Peer.
  TrackedStream(std::shared_ptr<ServerCore> core, std::unique_ptr<ByteStream> inner, std::string address = {})
      : core_(std::move(core)),
        inner_(std::move(inner)),
        peer_(core_->peers.try_emplace(std::move(address)).first),
        place_(core_->live.insert(core_->live.end(), this)) {
    ++peer_->second.all;
    ++peer_->second.staying;
  }
  ~TrackedStream() override {
    if (!is_leaving_) --peer_->second.staying;
    if (--peer_->second.all == 0) core_->peers.erase(peer_);
    core_->live.erase(place_);
    if (is_upgraded_) --core_->upgraded;
    core_->look_whether_empty();
  }
  // Nobody waits for its end any more.
  void set_upgraded() {
    is_upgraded_ = true;
    ++core_->upgraded;
    core_->look_whether_empty();
  }

  // While requests of it are answered.
  void set_busy(bool busy) { is_busy_ = busy; }
  // Whether nothing would be lost with it but what a client has not yet asked, or asks again.
  bool may_go() const { return !is_busy_ && !is_upgraded_ && !is_leaving_; }
  void leave() {
    is_leaving_ = true;
    --peer_->second.staying;
    close();
  }
  // Of the same address, those that are not on their way out.
  std::size_t held() const { return peer_->second.staying; }

  Task<Result<std::size_t>> read(std::span<char> buffer) override { return inner_->read(buffer); }
  Task<Status> write(std::string_view bytes) override { return inner_->write(bytes); }
  void finish_writing() override { inner_->finish_writing(); }
  void unread(std::string bytes) override { inner_->unread(std::move(bytes)); }
  void set_idle_limit(Duration limit) override { inner_->set_idle_limit(limit); }
  void close() override { inner_->close(); }

 private:
  std::shared_ptr<ServerCore> core_;
  std::unique_ptr<ByteStream> inner_;
  std::map<std::string, ServerCore::FromOne>::iterator peer_;
  std::list<TrackedStream*>::iterator place_;
  bool is_upgraded_ = false;
  bool is_busy_ = false;
  bool is_leaving_ = false;
};

// Called once, when the server is drained while this lives, or at once when it is already.
class DrainWish {
 public:
  DrainWish(std::shared_ptr<ServerCore> core, std::function<void()> call) : core_(std::move(core)) {
    if (core_->draining) call();
    place_ = core_->drain_wishes.insert(core_->drain_wishes.end(), std::move(call));
  }
  ~DrainWish() { core_->drain_wishes.erase(place_); }
  DrainWish(const DrainWish&) = delete;
  DrainWish& operator=(const DrainWish&) = delete;

 private:
  std::shared_ptr<ServerCore> core_;
  std::list<std::function<void()>>::iterator place_;
};

// Bytes of requests that are not whole yet, counted in ServerCore::unfinished_bytes.
class UnfinishedBytes {
 public:
  explicit UnfinishedBytes(std::shared_ptr<ServerCore> core) : core_(std::move(core)) {}
  ~UnfinishedBytes() { release(); }
  UnfinishedBytes(const UnfinishedBytes&) = delete;
  UnfinishedBytes& operator=(const UnfinishedBytes&) = delete;

  // False when that is too much for the server.
  bool add(std::size_t count) {
    count_ += count;
    core_->unfinished_bytes += count;
    return core_->unfinished_bytes <= core_->limits.max_unfinished_bytes;
  }
  // The request is whole, or was given up.
  void release() { core_->unfinished_bytes -= std::exchange(count_, 0); }

 private:
  std::shared_ptr<ServerCore> core_;
  std::size_t count_ = 0;
};

// "Sun, 06 Nov 1994 08:49:37 GMT", now.
std::string http_date();

// A header whose name or value could end its line is left out: what a handler echoes can't forge another one.
bool is_one_line(std::string_view text);

// RFC 9110, 6.4.1: some answers end with their headers.
inline bool has_body(int status) { return status >= 200 && status != 204 && status != 304; }

// The answer to a connection that is one too many, whole.
std::string http1_refusal(const Response& response);

// Serve one connection until it ends or is somebody else's.
Task<> serve_http1(std::shared_ptr<ServerCore> core, std::unique_ptr<TrackedStream> stream, Peer peer);
Task<> serve_http2(std::shared_ptr<ServerCore> core, std::unique_ptr<TrackedStream> stream, Peer peer);

}  // namespace gantry::http
