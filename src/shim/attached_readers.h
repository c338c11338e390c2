// SPDX-License-Identifier: Apache-2.0
// Who reads a container's output beside its log, in the log writer's process: the write ends of their pipes. A reader
// gets what is said from now on, and a slow one slows its container down, as a terminal does; but one that does not
// take a piece within kPatience is cut off, so that nobody who went away with his connection open holds up a container.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "shim/poller.h"

namespace gantry::shim {

class AttachedReaders {
 public:
  static constexpr std::chrono::seconds kPatience{5};
  // What waits for one reader at most; more than a read comes together only while a container's pipes are emptied at
  // its end.
  static constexpr std::size_t kMaxPending = 2U << 20;

  struct Observer {
    // A reader is no more: it went itself, or it was cut off.
    std::function<void(std::uint32_t number, bool cut_off)> gone;
    // What the readers of this container were given is taken: its output may be read again.
    std::function<void(const std::string& container_id)> taken;
  };
  AttachedReaders(Poller& poller, Observer observer) : poller_(poller), observer_(std::move(observer)) {}

  // The write ends of a reader's pipes; not open: it does not want that stream.
  void add(std::uint32_t number, std::string container_id, OwnFd out, OwnFd err);
  // Output of a container; after it holds() may be true.
  void give(const std::string& container_id, bool is_err, std::string_view bytes);
  // Its output should not be read now.
  bool holds(const std::string& container_id) const;
  // The container has said all: its readers read their end when they have taken it.
  void finish(const std::string& container_id);
  // Cuts off who is too slow. To be called every second while any_waiting() is true.
  void tick();
  bool any_waiting() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Reader;
  struct End final : Source {
    End(AttachedReaders& r, Reader& o) : readers(r), owner(o) {}
    void on_ready(std::uint32_t events) override { readers.on_ready(*this, events); }
    AttachedReaders& readers;
    Reader& owner;
    OwnFd fd;
    std::string pending;
    Clock::time_point since;
  };
  struct Reader {
    Reader(AttachedReaders& readers, std::uint32_t n, std::string id)
        : number(n), container_id(std::move(id)), ends{End(readers, *this), End(readers, *this)} {}
    std::uint32_t number;
    std::string container_id;
    bool finished = false;
    End ends[2];  // standard output, standard error

    bool is_waiting() const { return !ends[0].pending.empty() || !ends[1].pending.empty(); }
  };

  void on_ready(End& end, std::uint32_t events);
  // False: the reader has to go.
  bool write(End& end);
  void remove(std::uint32_t number, bool cut_off);

  Poller& poller_;
  Observer observer_;
  std::list<Reader> readers_;  // their ends are known to the poller by address
};

}  // namespace gantry::shim
