// SPDX-License-Identifier: Apache-2.0
#include "shim/process.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <string_view>

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

void Process::on_report() {
  auto progress = read_progress(launching.report);
  if (progress && !*progress) return;
  if (progress && (*progress)->terminal.is_open()) {
    terminal = std::move((*progress)->terminal);
    return;
  }
  pod.poller().remove(launching.report);
  launching.report.close();
  if (progress && (*progress)->executed) {
    state = State::kRunning;
    exit.started_at = now();
    // Level-triggered: a process that is already gone is seen at once.
    (void)pod.poller().add(launching.pidfd, EPOLLIN, end_);
    pod.launched(*this);
    return;
  }
  launch_error_ = progress ? std::move((*progress)->failed) : std::optional(std::move(progress.error()));
  // Its end is certain; the answer waits for it, so that nothing of it is left when the caller hears.
  (void)sys::pidfd_send_signal(launching.pidfd, SIGKILL);
  (void)pod.poller().add(launching.pidfd, EPOLLIN, end_);
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
  auto events = sys::openat(cgroup, "cgroup.events", O_RDONLY);
  if (!events) return pod.exited(*this);
  empty_.fd = std::move(*events);
  // Armed before the first read: a change between the two is not missed.
  (void)pod.poller().add(empty_.fd, EPOLLPRI, empty_);
  if (is_populated()) {
    (void)sys::write_file(cgroup, "cgroup.kill", "1");
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
