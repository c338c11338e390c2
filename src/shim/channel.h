// SPDX-License-Identifier: Apache-2.0
// gantryd's end of a shim protocol socket: requests by number, answers to whom they belong, events to one receiver.
// Loop thread.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "shim/protocol.h"

namespace gantry::shim {

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  struct Answer {
    Kind kind{};
    std::string body;
    std::vector<OwnFd> fds;
  };
  using EventReceiver = std::function<void(Kind, std::string_view body, std::vector<OwnFd> fds)>;

  // Reads until close() or the peer's end; then everything that waits fails with kUnavailable, and `ended` is called.
  static std::shared_ptr<Channel> open(Loop& loop, SocketFd socket, EventReceiver events,
                                       std::function<void()> ended = {});
  Channel(Loop& loop, SocketFd socket, EventReceiver events, std::function<void()> ended);

  // Sends and waits for the answer of kind `expected`; kFailed becomes its error. kUnavailable when the connection
  // ended first, kDeadlineExceeded when there was no answer within `limit`; it was perhaps taken all the same. What is
  // sent first is taken first.
  Task<Result<Answer>> request(Kind kind, std::string body, std::vector<OwnFd> fds, Kind expected, Duration limit);
  // Sends what nobody answers.
  Status send(Kind kind, std::string_view body);
  void close();
  // False as soon as nothing more can be sent: what the peer said before it ended may still come.
  bool is_open() const { return open_ && !deaf_; }

 private:
  struct Pending {
    explicit Pending(Loop& loop) : done(loop) {}
    Event done;
    Result<Answer> answer = fail(Code::kUnavailable, "the shim closed its connection");
  };
  // What the peer has no room for yet.
  struct Letter {
    std::uint32_t number = 0;
    std::string packet;
    std::vector<OwnFd> fds;
  };
  Status send(Letter letter);
  Status try_send(const Letter& letter);
  Task<> flush(std::shared_ptr<Channel> self);
  Task<> read(std::shared_ptr<Channel> self);
  bool receive_all();
  void receive(std::string_view packet, std::vector<OwnFd> fds, bool fds_lost);
  void end();

  Loop& loop_;
  SocketFd socket_;
  Watch watch_;
  EventReceiver events_;
  std::function<void()> ended_;
  std::map<std::uint32_t, std::shared_ptr<Pending>> pending_;
  std::list<Letter> outbox_;
  bool flushing_ = false;
  std::uint32_t next_ = 1;
  bool open_ = true;
  bool deaf_ = false;  // the peer takes nothing any more
};

}  // namespace gantry::shim
