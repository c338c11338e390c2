// SPDX-License-Identifier: Apache-2.0
// For tests: systemd-logind, the part of systemd that signals it, and the bus between them and us, behind one socket.
// It speaks the bus's own protocol (sd-bus has both sides of it). On the test's loop.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/task.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/socket.h"

namespace gantry::agent {

class FakeLogind {
 public:
  // Serves at FOLDER/bus. It stays to the end of the loop.
  FakeLogind(Loop& loop, std::string folder) : loop_(loop), folder_(std::move(folder)) { listen(); }
  FakeLogind(const FakeLogind&) = delete;
  FakeLogind& operator=(const FakeLogind&) = delete;

  std::string address() const { return "unix:path=" + folder_ + "/bus"; }

  std::uint64_t delay = 5'000'000;  // microseconds
  bool is_there = true;             // on the bus
  bool answers = true;
  bool reads_again = true;  // its configuration
  bool is_preparing = false;
  int taken = 0, held = 0;  // locks: ever, and now
  int reloads = 0, denied = 0;
  // It was told to read its configuration.
  std::function<void()> reloaded = [] {};
  // After each change of the above.
  std::function<void()> changed = [] {};

  // Says that a shutdown begins, or is cancelled.
  void prepare(bool is_on) {
    is_preparing = is_on;
    emit("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForShutdown",
         [is_on](sd_bus_message* message) { return sd_bus_message_append(message, "b", is_on ? 1 : 0); });
  }
  // Another logind takes the place of this one.
  void restart() {
    emit("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", [](sd_bus_message* message) {
      return sd_bus_message_append(message, "sss", "org.freedesktop.login1", ":1.1", ":1.2");
    });
  }
  // The bus is gone: its connections, and its socket until listen().
  void go() {
    listener_watch_.reset();
    listener_.close();
    (void)sys::unlinkat(sys::kCwd, (folder_ + "/bus").c_str(), 0);
    for (const auto& peer : peers_) peer->end();
    peers_.clear();
  }
  void listen() {
    listener_ = must(sys::listen_unix(must(sys::open_dir(sys::kCwd, folder_.c_str())), "bus", SOCK_STREAM, 16));
    listener_watch_ = std::make_shared<Watch>(loop_, listener_);
    loop_.spawn(accept_all(*this, listener_watch_));
  }

 private:
  struct Peer {
    ~Peer() {
      watch.reset();
      sd_bus_close_unref(bus);
    }
    void end() {
      if (!std::exchange(ended, true)) watch->cancel();
    }
    sd_bus* bus = nullptr;
    std::unique_ptr<Watch> watch;
    FakeLogind* owner = nullptr;
    bool ended = false;
  };

  template <typename T>
  static T must(Result<T> result) {
    if (!result) std::abort();
    return std::move(*result);
  }
  static void must(int done) {
    if (done < 0) std::abort();
  }

  static Task<> accept_all(FakeLogind& self, std::shared_ptr<Watch> watch) {
    while (co_await watch->readable()) {
      auto socket = sys::accept(self.listener_);
      if (socket) self.serve(socket->release());
    }
  }

  void serve(int socket) {
    auto peer = std::make_shared<Peer>();
    peer->owner = this;
    must(sd_bus_new(&peer->bus));
    must(sd_bus_set_fd(peer->bus, socket, socket));
    sd_id128_t id;
    must(sd_id128_randomize(&id));
    must(sd_bus_set_server(peer->bus, 1, id));
    must(sd_bus_negotiate_fds(peer->bus, 1));
    must(sd_bus_add_filter(peer->bus, nullptr, answer, peer.get()));
    must(sd_bus_start(peer->bus));
    peer->watch = std::make_unique<Watch>(loop_, FdRef(socket));
    peers_.push_back(peer);
    loop_.spawn(pump(peer));
  }

  static Task<> pump(std::shared_ptr<Peer> peer) {
    while (!peer->ended) {
      int done = 0;
      while (!peer->ended && (done = sd_bus_process(peer->bus, nullptr)) > 0) {
      }
      const int events = done < 0 ? done : sd_bus_get_events(peer->bus);
      if (peer->ended || events < 0) break;
      auto ready = (events & POLLOUT) != 0 ? co_await peer->watch->writable() : co_await peer->watch->readable();
      if (!ready) break;
    }
    if (!std::exchange(peer->ended, true)) peer->owner->peers_.remove(peer);
  }

  static bool is(sd_bus_message* message, const char* interface, const char* member) {
    return sd_bus_message_is_method_call(message, interface, member) > 0;
  }

  static int answer(sd_bus_message* message, void* data, sd_bus_error*) {
    auto& peer = *static_cast<Peer*>(data);
    FakeLogind& self = *peer.owner;
    if (is(message, "org.freedesktop.DBus", "Hello")) return sd_bus_reply_method_return(message, "s", ":1.9");
    if (is(message, "org.freedesktop.DBus", "AddMatch")) return sd_bus_reply_method_return(message, "");
    if (!self.answers) return 1;
    if (is(message, "org.freedesktop.systemd1.Manager", "KillUnit")) {
      if (!self.reads_again) {
        ++self.denied;
        self.changed();
        return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
      }
      ++self.reloads;
      self.reloaded();
      self.changed();
      return sd_bus_reply_method_return(message, "");
    }
    if (!self.is_there) {
      return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_SERVICE_UNKNOWN, "The name is not activatable");
    }
    if (is(message, "org.freedesktop.login1.Manager", "Inhibit")) return self.inhibit(message);
    if (is(message, "org.freedesktop.DBus.Properties", "Get")) return self.get(message);
    return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_UNKNOWN_METHOD, "unknown method");
  }

  int get(sd_bus_message* message) const {
    const char *interface = nullptr, *name = nullptr;
    must(sd_bus_message_read(message, "ss", &interface, &name));
    if (name == std::string_view("InhibitDelayMaxUSec")) return sd_bus_reply_method_return(message, "v", "t", delay);
    return sd_bus_reply_method_return(message, "v", "b", is_preparing ? 1 : 0);
  }

  int inhibit(sd_bus_message* message) {
    if (is_preparing) {
      return sd_bus_reply_method_errorf(message, "org.freedesktop.login1.OperationInProgress",
                                        "The operation inhibition has been requested for is already running");
    }
    const char *what = nullptr, *who = nullptr, *why = nullptr, *mode = nullptr;
    must(sd_bus_message_read(message, "ssss", &what, &who, &why, &mode));
    if (what != std::string_view("shutdown") || mode != std::string_view("delay")) std::abort();
    sys::Pipe pipe = must(sys::pipe());
    ++taken;
    ++held;
    loop_.spawn(wait_for_release(*this, std::move(pipe.read_end)));
    const int sent = sd_bus_reply_method_return(message, "h", pipe.write_end.get());
    changed();
    return sent;
  }

  static Task<> wait_for_release(FakeLogind& self, OwnFd lock) {
    Watch watch(self.loop_, lock);
    (void)co_await watch.readable();
    --self.held;
    self.changed();
  }

  void emit(const char* path, const char* interface, const char* member,
            const std::function<int(sd_bus_message*)>& fill) {
    for (const auto& peer : peers_) {
      sd_bus_message* message = nullptr;
      must(sd_bus_message_new_signal(peer->bus, &message, path, interface, member));
      // As the bus has it: a sender is a connection, whatever it is called.
      must(sd_bus_message_set_sender(message,
                                     interface == std::string_view("org.freedesktop.DBus") ? interface : ":1.1"));
      must(fill(message));
      must(sd_bus_send(peer->bus, message, nullptr));
      sd_bus_message_unref(message);
    }
  }

  Loop& loop_;
  const std::string folder_;
  SocketFd listener_;
  std::shared_ptr<Watch> listener_watch_;
  std::list<std::shared_ptr<Peer>> peers_;
};

}  // namespace gantry::agent
