// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming_exec.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "http/timer.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

constexpr std::size_t kPiece = 16 << 10;
// How long the master of a terminal may take to report that its process's side is closed.
constexpr auto kHangupTime = std::chrono::seconds(1);
// How long a client may take to close the connection after it was told the end.
constexpr auto kCloseTime = std::chrono::seconds(10);

// One of our ends of the process's streams.
struct End {
  End(Loop& loop, OwnFd f) : fd(std::move(f)), watch(loop, fd.ref()) {
    // The loop must not wait in a read or write, whatever the runtime handed over.
    int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags >= 0) ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK);
  }

  OwnFd fd;
  Watch watch;
  bool stopped = false;
  // After the process ended: how many bytes are still read. What was in the pipe then, and nothing that a child which
  // it left behind writes later.
  std::optional<std::size_t> left;

  // Closes it; who waits is woken.
  void stop() {
    stopped = true;
    watch.cancel();
    fd.close();
  }
  void drain() {
    if (stopped || left) return;
    int size = 0;
    left = ::ioctl(fd.get(), FIONREAD, &size) == 0 && size > 0 ? static_cast<std::size_t>(size) : 0;
    watch.cancel();
  }
};

struct Run {
  Run(Loop& l, std::shared_ptr<Channels> c, std::shared_ptr<ExecSession> s)
      : loop(l), channels(std::move(c)), session(std::move(s)), changed(l) {}

  Loop& loop;
  std::shared_ptr<Channels> channels;
  std::shared_ptr<ExecSession> session;
  std::shared_ptr<End> in, out, err;  // with a terminal `in` and `out` are the same
  Event changed;                      // any of the following
  bool client_gone = false;
  std::optional<Result<sys::ExitStatus>> exit;
  int output_pumps = 0;

  void stop_all() {
    for (const auto& end : {in, out, err}) {
      if (end) end->stop();
    }
  }
};

// The process's output to the client, or to nobody when the client did not ask for it.
Task<> pump_out(std::shared_ptr<Run> run, std::shared_ptr<End> end, std::optional<Channel> channel) {
  std::array<char, kPiece> buffer;
  while (!end->stopped) {
    std::size_t want = std::min(buffer.size(), end->left.value_or(buffer.size()));
    if (want == 0) break;
    auto size = sys::read(end->fd, buffer.data(), want);
    if (!size && size.error().is_would_block() && !end->left) {
      auto ready = co_await end->watch.readable();
      // Cancelled: to stop, or to drain.
      if (!ready && !end->stopped && !end->left) break;
      continue;
    }
    // An error is EIO, which is how the master of a terminal reads its end.
    if (!size || *size == 0) break;
    if (end->left) *end->left -= *size;
    if (!channel) continue;
    if (!co_await run->channels->write(*channel, std::string_view(buffer.data(), *size))) {
      // The client does not take this stream any more; there is no exec without it.
      run->client_gone = true;
      break;
    }
  }
  --run->output_pumps;
  run->changed.set();
}

Task<bool> write_to(std::shared_ptr<End> end, std::string_view bytes) {
  while (!bytes.empty()) {
    if (end->stopped || end->left) co_return false;
    auto size = sys::write(end->fd, bytes.data(), bytes.size());
    if (size) {
      bytes.remove_prefix(*size);
    } else if (!size.error().is_would_block() || !co_await end->watch.writable()) {
      co_return false;
    }
  }
  co_return true;
}

// The client's input to the process. When the process closed its end, what the client still sends is dropped: its
// terminal sizes come on the same connection.
Task<> pump_in(std::shared_ptr<Run> run, std::shared_ptr<End> end, bool terminal) {
  std::array<char, kPiece> buffer;
  bool taken = true;
  for (;;) {
    auto size = co_await run->channels->read(Channel::kIn, buffer);
    if (!size || *size == 0) break;
    if (taken) taken = co_await write_to(end, std::string_view(buffer.data(), *size));
    if (!taken && !terminal) end->stop();
  }
  // The end of input is the end of a pipe; a terminal has no half to close.
  if (!terminal) end->stop();
  run->session->input_ended();
}

Task<> pump_sizes(std::shared_ptr<Run> run) {
  std::array<char, 512> buffer;
  TerminalSizeReader reader;
  bool valid = true;
  for (;;) {
    auto size = co_await run->channels->read(Channel::kResize, buffer);
    if (!size || *size == 0) co_return;
    if (!valid) continue;
    auto fed = reader.feed(std::string_view(buffer.data(), *size), [&run](TerminalSize terminal) {
      if (!run->exit && !run->client_gone) run->session->resize(terminal.rows, terminal.columns);
    });
    valid = fed.has_value();
  }
}

Task<> watch_client(std::shared_ptr<Run> run) {
  co_await run->channels->ended();
  run->client_gone = true;
  run->changed.set();
}

Task<> watch_process(std::shared_ptr<Run> run) {
  run->exit = co_await run->session->wait();
  run->changed.set();
}

Task<> next_change(Run& run) {
  run.changed.reset();
  co_await run.changed.wait();
}

void start_pumps(const std::shared_ptr<Run>& run, ExecStreams&& streams, ExecStreamSet wanted) {
  auto end_of = [&run](OwnFd& fd) { return fd.is_open() ? std::make_shared<End>(run->loop, std::move(fd)) : nullptr; };
  bool terminal = streams.terminal.is_open();
  if (terminal) {
    run->in = run->out = end_of(streams.terminal);
  } else {
    run->in = end_of(streams.in);
    run->out = end_of(streams.out);
    run->err = end_of(streams.err);
  }
  auto channel_if = [](bool is_wanted, Channel channel) { return is_wanted ? std::optional(channel) : std::nullopt; };
  run->output_pumps = (run->out ? 1 : 0) + (run->err ? 1 : 0);
  if (run->out) run->loop.spawn(pump_out(run, run->out, channel_if(wanted.out, Channel::kOut)));
  if (run->err) run->loop.spawn(pump_out(run, run->err, channel_if(wanted.err, Channel::kErr)));
  if (run->in && wanted.in) run->loop.spawn(pump_in(run, run->in, terminal));
  if (run->in && !wanted.in && !terminal) run->in->stop();
  if (wanted.tty) run->loop.spawn(pump_sizes(run));
  run->loop.spawn(watch_client(run));
  run->loop.spawn(watch_process(run));
}

// The process has ended: what it wrote is delivered.
Task<> drain(std::shared_ptr<Run> run, bool terminal, bool are_ended) {
  http::Timer hangup(run->loop);
  if (are_ended) {
    if (run->in) run->in->stop();
  } else if (terminal) {
    // The slave's side reaches the master by a kernel worker: only the hangup says that all is there.
    hangup.start(kHangupTime, [out = run->out] { out->drain(); });
  } else {
    if (run->in) run->in->stop();
    if (run->out) run->out->drain();
    if (run->err) run->err->drain();
  }
  while (run->output_pumps > 0 && !run->client_gone) co_await next_change(*run);
}

Task<> tell_end(std::shared_ptr<Channels> channels, Result<sys::ExitStatus> end, StatusForm form) {
  channels->finish(Channel::kOut);
  channels->finish(Channel::kErr);
  std::string message = exec_status_message(end, form);
  // A client that is gone by now is not told.
  (void)co_await channels->write(Channel::kError, message);
  for (Channel channel : {Channel::kError, Channel::kIn, Channel::kResize}) channels->finish(channel);
}

}  // namespace

Task<> run_exec(Loop& loop, std::shared_ptr<Channels> channels, StatusForm form, ExecStreamSet wanted,
                std::shared_ptr<ExecSession> session) {
  auto streams = co_await session->start(wanted);
  if (!streams) {
    co_await tell_end(channels, std::unexpected(std::move(streams.error())), form);
    co_return co_await channels->shut_down(kCloseTime);
  }
  auto run = std::make_shared<Run>(loop, channels, session);
  bool terminal = streams->terminal.is_open(), are_ended = streams->are_ended;
  start_pumps(run, std::move(*streams), wanted);
  while (!run->exit && !run->client_gone) co_await next_change(*run);
  if (run->exit) co_await drain(run, terminal, are_ended);
  if (!run->exit) session->cancel();
  run->stop_all();
  if (run->exit && !run->client_gone) co_await tell_end(channels, *run->exit, form);
  // Also what makes the other tasks of this run end.
  co_await channels->shut_down(kCloseTime);
}

}  // namespace gantry::cri
