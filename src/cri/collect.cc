// SPDX-License-Identifier: Apache-2.0
#include "cri/collect.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "sys/file.h"
#include "sys/pipe.h"

namespace gantry::cri {
namespace {

// More than a pipe holds by default; a process that was left behind and writes on and on is cut off here.
constexpr std::size_t kLastReads = 64;

}  // namespace

struct Collector::State {
  State(Loop& loop, OwnFd pipe, std::shared_ptr<CollectBudget> left)
      : fd(std::move(pipe)), watch(loop, fd), budget(std::move(left)) {}

  // False at the end, or when there is nothing now.
  bool read_once() {
    std::array<char, 32768> buffer;
    auto count = sys::read(fd, buffer.data(), buffer.size());
    if (!count) {
      ended = !count.error().is_would_block();
      return false;
    }
    if (*count == 0) {
      ended = true;
      return false;
    }
    std::size_t kept = std::min(*count, budget->left);
    bytes.append(buffer.data(), kept);
    budget->left -= kept;
    return true;
  }

  OwnFd fd;
  Watch watch;
  std::shared_ptr<CollectBudget> budget;
  std::string bytes;
  bool ended = false;
  bool finished = false;
};

Collector::Collector(Loop& loop, OwnFd pipe, std::shared_ptr<CollectBudget> budget)
    : state_(std::make_shared<State>(loop, std::move(pipe), std::move(budget))) {
  loop.spawn(collect(state_));
}

Collector::~Collector() { finish(); }

Task<> Collector::collect(std::shared_ptr<State> state) {
  while (!state->ended) {
    auto ready = co_await state->watch.readable();
    if (!ready || state->finished) co_return;
    state->read_once();
  }
}

std::string Collector::finish() {
  if (!state_->finished) {
    for (std::size_t i = 0; i < kLastReads && state_->read_once(); ++i) {
    }
    state_->finished = true;
    state_->watch.cancel();
  }
  return std::move(state_->bytes);
}

Result<Pipe> make_pipe(OurEnd ours) {
  auto made = sys::pipe();
  if (!made) return std::unexpected(std::move(made.error()));
  Pipe pipe{std::move(made->read_end), std::move(made->write_end)};
  const OwnFd& end = ours == OurEnd::kRead ? pipe.read : pipe.write;
  if (::fcntl(end.get(), F_SETFL, O_NONBLOCK) < 0) return std::unexpected(Error::from_errno(errno, "fcntl F_SETFL"));
  return pipe;
}

}  // namespace gantry::cri
