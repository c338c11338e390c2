// SPDX-License-Identifier: Apache-2.0
#include "shim/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/text.h"
#include "shim/pod.h"
#include "sys/file.h"

namespace gantry::shim {

std::int64_t now() {
  timespec time;
  ::clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

Process::Process(Pod& p, Launching l, std::string id, std::uint32_t exec, Connection* o, std::uint32_t number)
    : pod(p), launching(std::move(l)), container_id(std::move(id)), exec_id(exec), owner(o), request(number) {
  exit.container_id = container_id;
}

Process::~Process() {
  if (launching.report.is_open()) pod.poller().remove(launching.report);
  if (launching.pidfd.is_open()) pod.poller().remove(launching.pidfd);
  if (empty_.fd.is_open()) pod.poller().remove(empty_.fd);
}

Status Process::watch_launch() { return pod.poller().add(launching.report, EPOLLIN, report_); }

Status Process::kill() {
  // A tracer in the container may have the report's other end, and keep it.
  if (launching.report.is_open() && !kill_) (void)pod.poller().add(launching.pidfd, EPOLLIN, end_);
  kill_ = true;
  auto sent = sys::pidfd_send_signal(launching.pidfd, SIGKILL);
  if (!sent && sent.error().is_gone()) return {};
  return sent;
}

Status Process::take_terminal(OwnFd master) {
  if (!is_exec()) {
    terminal_peer = OwnFd(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!terminal_peer.is_open()) return std::unexpected(Error::from_errno(errno, "ioctl TIOCGPTPEER"));
  }
  terminal = std::move(master);
  return {};
}

// The reason why there is no program, if there is none.
std::optional<Error> Process::conclude_launch(const Result<std::optional<LaunchProgress>>& progress) {
  bool ready = launching.notes.get()->ready != 0;
  auto concluded = conclude(launching);
  launching.notes = Notes();
  if (!progress) return progress.error();
  if ((*progress)->failed) return (*progress)->failed;
  if (!concluded) return concluded.error();
  if (ready) return {};
  killed_on_the_way_ = true;
  return Error(Code::kAborted, "the launch was ended");
}

void Process::on_report() {
  auto progress = read_progress(launching.report);
  if (progress && !*progress) return;
  follow(std::move(progress));
}

// Of a launch that was killed: the process that goes on, if there is one, is known by now. Whoever may tell anything by
// the report may go on to do so, too.
void Process::on_launcher_end() {
  auto progress = read_progress(launching.report);
  if (progress && (!*progress || (*progress)->terminal.is_open())) {
    progress = fail(Code::kAborted, "the launch was ended");
  }
  follow(std::move(progress));
}

void Process::follow(Result<std::optional<LaunchProgress>> progress) {
  if (progress && (*progress)->terminal.is_open()) {
    auto taken = take_terminal(std::move((*progress)->terminal));
    if (taken) return;
    (*progress)->failed = std::move(taken.error());
  }
  pod.poller().remove(launching.report);
  launching.report.close();
  if (kill_) pod.poller().remove(launching.pidfd);
  launch_error_ = conclude_launch(progress);
  if (kill_) (void)kill();
  // Level-triggered: a process that is already gone is seen at once.
  auto watched = pod.poller().add(launching.pidfd, EPOLLIN, end_);
  if (!watched && !launch_error_) launch_error_ = watched.error();
  if (runtime_cgroup.is_open()) end_runtime();
  if (!launch_error_) {
    state = State::kRunning;
    exit.started_at = now();
    pod.launched(*this);
    return;
  }
  // Its end is certain; the answer waits for it, so that nothing of it is left when the caller hears.
  (void)sys::pidfd_send_signal(launching.pidfd, SIGKILL);
  if (!watched) on_end();
}

// Of a launch that failed nothing goes on. What the runtime said is in the container's standard error, which nobody has
// read yet.
void Process::end_runtime() {
  if (launch_error_) {
    (void)sys::write_file(runtime_cgroup, "cgroup.kill", "1");
    char words[512];
    int there = 0;
    if (err.is_open() && ::ioctl(err.get(), FIONREAD, &there) == 0 && there > 0) {
      auto size = sys::read(err, words, sizeof(words));
      std::string_view said = size ? std::string_view(words, *size) : "";
      launch_error_ = Error(launch_error_->code(), cat(launch_error_->message(), ": ", as_utf8(trimmed(said))));
    }
  }
  runtime_cgroup.close();
}

void Process::reap() {
  if (auto status = sys::wait_child_end(launching.pidfd)) {
    exit.code = status->code;
    exit.signal = status->signal;
  }
  exit.finished_at = now();
  pod.poller().remove(launching.pidfd);
  launching.pidfd.close();
}

void Process::on_end() {
  reap();
  if (killed_on_the_way_ && !kill_ && exit.signal != 0) {
    launch_error_ = Error(Code::kAborted, "the launch was ended by signal " + std::to_string(exit.signal) +
                                              (exit.signal == SIGKILL  ? ", as it is when the memory limit is too low"
                                               : exit.signal == SIGSYS ? ", which the seccomp profile sends"
                                                                       : ""));
  }
  if (launch_error_) return pod.failed(*this, *launch_error_);
  if (is_exec()) {
    state = State::kExited;
    return pod.exited(*this);
  }
  state = State::kEnding;
  begin_ending();
}

void Process::begin_ending() {
  if (!cgroup.is_open()) return pod.exited(*this);
  // First, and whether anything is left or not: with a last free descriptor it is this that must not fail.
  (void)sys::write_file(cgroup, "cgroup.kill", "1");
  auto events = sys::openat(cgroup, "cgroup.events", O_RDONLY);
  if (!events) return pod.exited(*this);
  empty_.fd = std::move(*events);
  // Armed before the first read: a change between the two is not missed.
  if (!pod.poller().add(empty_.fd, EPOLLPRI, empty_)) {
    empty_.fd.close();
    return pod.exited(*this);
  }
  on_cgroup_event();
}

bool Process::is_populated() const {
  char text[128];
  ssize_t size = ::pread(empty_.fd.get(), text, sizeof(text), 0);
  // An unreadable file means that the cgroup is gone, and all in it.
  return size > 0 &&
         std::string_view(text, static_cast<std::size_t>(size)).find("populated 1") != std::string_view::npos;
}

void Process::on_cgroup_event() {
  if (is_populated()) return;
  pod.poller().remove(empty_.fd);
  empty_.fd.close();
  pod.exited(*this);
}

}  // namespace gantry::shim
