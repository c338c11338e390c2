// SPDX-License-Identifier: Apache-2.0
// What runs commands in a virtual machine of the tests. It serves one virtio-serial port, so that it needs no network
// and no port number, and answers when the machine's network is cut.
//
// Frames, both ways: run (u32, chosen by the host), kind (a letter), length (u32), then that many bytes; integers are
// little-endian. From the host: R starts argv (NUL-terminated strings), I is its standard input, C closes that, K sends
// a signal (one byte). To the host: O and E are its output, X its end (the i32 of waitpid(2)), F why it did not start.
// A command ends with its first process: what it left in the background holds nobody up.
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "sys/file.h"
#include "sys/process.h"

namespace gantry {
namespace {

constexpr std::size_t kMaxFrame = 1 << 20;  // of the host's
constexpr std::size_t kMaxInput = 4 << 20;  // of all runs: the host waits above it
constexpr std::size_t kChunk = 64 << 10;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "gantry-vm-agent: %s\n", why.c_str());
  std::_Exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result) die(result.error().message());
  return std::move(*result);
}

struct Run {
  pid_t pid = -1;
  OwnFd input, output, error;
  std::string to_write;
  bool input_ends = false;
};

struct Frame {
  std::uint32_t run;
  char kind;
  std::string bytes;
};

// The port whose name in sysfs is `name`.
OwnFd open_port(const std::string& name) {
  DirFd ports = must(sys::open_dir(sys::kCwd, "/sys/class/virtio-ports"));
  for (const auto& port : must(sys::list_dir(ports))) {
    auto called = sys::read_file(ports, (port + "/name").c_str(), 256);
    if (called && *called == name + "\n") return must(sys::openat(sys::kCwd, ("/dev/" + port).c_str(), O_RDWR));
  }
  die("no virtio port is called " + name);
}

class Agent {
 public:
  explicit Agent(OwnFd port) : port_(std::move(port)) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGIO);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_ = OwnFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    // A host that connects is told by SIGIO: poll(2) of a port without a host returns at once, with POLLHUP.
    ::fcntl(port_.get(), F_SETOWN, ::getpid());
    ::fcntl(port_.get(), F_SETFL, O_ASYNC | O_NONBLOCK);
  }

  [[noreturn]] void serve() {
    for (;;) {
      std::vector<pollfd> polled{{.fd = signals_.get(), .events = POLLIN}};
      if (has_host_) polled.push_back({.fd = port_.get(), .events = short(queued() < kMaxInput ? POLLIN : 0)});
      for (auto& [id, run] : runs_) {
        polled.push_back({.fd = run.output.get(), .events = POLLIN});
        polled.push_back({.fd = run.error.get(), .events = POLLIN});
        polled.push_back({.fd = run.to_write.empty() ? -1 : run.input.get(), .events = POLLOUT});
      }
      ::poll(polled.data(), polled.size(), -1);
      take_signals();
      if (has_host_) read_port();
      for (auto run = runs_.begin(); run != runs_.end();) {
        feed(run->second);
        pass_on(run->first, 'O', run->second.output);
        pass_on(run->first, 'E', run->second.error);
        int status = 0;
        if (::waitpid(run->second.pid, &status, WNOHANG) == run->second.pid) {
          pass_on(run->first, 'O', run->second.output);
          pass_on(run->first, 'E', run->second.error);
          ByteWriter bytes;
          bytes.integer(std::int32_t{status});
          send(run->first, 'X', bytes.bytes());
          run = runs_.erase(run);
        } else {
          ++run;
        }
      }
    }
  }

 private:
  std::size_t queued() const {
    std::size_t size = 0;
    for (const auto& [id, run] : runs_) size += run.to_write.size();
    return size;
  }

  void take_signals() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGIO) has_host_ = true;
    }
  }

  void read_port() {
    char buffer[kChunk];
    for (;;) {
      if (queued() >= kMaxInput) return;
      ssize_t size = ::read(port_.get(), buffer, sizeof(buffer));
      if (size == 0) has_host_ = false;
      if (size <= 0) break;
      received_.append(buffer, static_cast<std::size_t>(size));
      Frame frame;
      while (take_frame(frame)) handle(frame);
    }
    // What a host began and did not end is not the next one's.
    if (!has_host_) received_.clear();
  }

  bool take_frame(Frame& frame) {
    ByteReader reader(received_);
    frame.run = reader.integer<std::uint32_t>();
    frame.kind = reader.integer<char>();
    auto bytes = reader.string();
    if (!reader.ok()) {
      if (received_.size() > kMaxFrame + 16) die("the host sent a frame over 1 MiB");
      return false;
    }
    frame.bytes = std::string(bytes);
    received_.erase(0, received_.size() - reader.rest().size());
    return true;
  }

  void handle(const Frame& frame) {
    if (frame.kind == 'R') return start(frame);
    auto run = runs_.find(frame.run);
    if (run == runs_.end()) return;  // it has ended meanwhile
    if (frame.kind == 'I') run->second.to_write += frame.bytes;
    if (frame.kind == 'C') run->second.input_ends = true;
    if (frame.kind == 'K' && !frame.bytes.empty()) ::kill(-run->second.pid, frame.bytes[0]);
  }

  void start(const Frame& frame) {
    std::vector<char*> argv;
    std::string words = frame.bytes;
    for (std::size_t at = 0; at < words.size(); at += std::strlen(words.data() + at) + 1) argv.push_back(&words[at]);
    argv.push_back(nullptr);
    int in[2], out[2], err[2], failed[2];
    if (argv.size() < 2 || ::pipe2(in, O_CLOEXEC) < 0 || ::pipe2(out, O_CLOEXEC) < 0 || ::pipe2(err, O_CLOEXEC) < 0 ||
        ::pipe2(failed, O_CLOEXEC) < 0) {
      return send(frame.run, 'F', "no command, or no descriptors left");
    }
    pid_t pid = ::fork();
    if (pid == 0) run_child(argv.data(), in[0], out[1], err[1], failed[1]);
    for (int fd : {in[0], out[1], err[1], failed[1]}) ::close(fd);
    OwnFd why(failed[0]);
    Run run{.pid = pid, .input = OwnFd(in[1]), .output = OwnFd(out[0]), .error = OwnFd(err[0])};
    int error = 0;
    if (pid < 0 || ::read(why.get(), &error, sizeof(error)) == sizeof(error)) {
      if (pid > 0) ::waitpid(pid, nullptr, 0);
      return send(frame.run, 'F', std::string(argv[0]) + ": " + std::strerror(pid < 0 ? errno : error));
    }
    for (int fd : {in[1], out[0], err[0]}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
    runs_[frame.run] = std::move(run);
  }

  [[noreturn]] static void run_child(char** argv, int in, int out, int err, int failed) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::setsid();
    ::dup2(in, 0), ::dup2(out, 1), ::dup2(err, 2);
    ::execvp(argv[0], argv);
    int error = errno;
    (void)!::write(failed, &error, sizeof(error));
    ::_exit(127);
  }

  void feed(Run& run) {
    while (run.input.is_open() && !run.to_write.empty()) {
      ssize_t size = ::write(run.input.get(), run.to_write.data(), std::min(run.to_write.size(), kChunk));
      if (size > 0) {
        run.to_write.erase(0, static_cast<std::size_t>(size));
      } else if (errno == EAGAIN) {
        return;
      } else {
        run.to_write.clear();  // nobody reads it
      }
    }
    if (run.to_write.empty() && run.input_ends) run.input.close();
  }

  void pass_on(std::uint32_t id, char kind, OwnFd& from) {
    char buffer[kChunk];
    // A pipe's worth, so that nobody is forgotten over a command that never stops talking.
    while (from.is_open()) {
      ssize_t size = ::read(from.get(), buffer, sizeof(buffer));
      if (size < 0) return;
      if (size == 0) return from.close();
      send(id, kind, {buffer, static_cast<std::size_t>(size)});
      if (size < static_cast<ssize_t>(sizeof(buffer))) return;
    }
  }

  // Waits for the host to take it: there is nothing else to do meanwhile that would not make more.
  void send(std::uint32_t id, char kind, std::string_view bytes) {
    ByteWriter writer;
    writer.integer(id);
    writer.integer(kind);
    writer.string(bytes);
    std::string_view rest = writer.bytes();
    while (!rest.empty() && has_host_) {
      ssize_t size = ::write(port_.get(), rest.data(), rest.size());
      if (size > 0) {
        rest.remove_prefix(static_cast<std::size_t>(size));
        continue;
      }
      pollfd polled{.fd = port_.get(), .events = POLLOUT};
      ::poll(&polled, 1, -1);
      if (polled.revents & POLLHUP) has_host_ = false;
    }
  }

  OwnFd port_, signals_;
  bool has_host_ = true;  // until a read says otherwise
  std::string received_;
  std::map<std::uint32_t, Run> runs_;
};

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) {
  if (argc != 2) gantry::die("usage: gantry-vm-agent PORT-NAME");
  gantry::Agent(gantry::open_port(argv[1])).serve();
}
