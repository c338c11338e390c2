// SPDX-License-Identifier: Apache-2.0
#include "cgroups/systemd_scope.h"

#include <systemd/sd-bus.h>

#include <chrono>
#include <cstdint>
#include <memory>

#include "cgroups/cgroup.h"
#include "sys/file.h"

namespace gantry::cgroups {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kSystemd[] = "org.freedesktop.systemd1";
constexpr char kSystemdPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kUnitExists[] = "org.freedesktop.systemd1.UnitExists";
constexpr char kKeeper[] = "keeper";
constexpr auto kLimit = std::chrono::seconds(30);
constexpr std::uint64_t kStopLimitMicroseconds = 10'000'000;

struct BusCloser {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
using Bus = std::unique_ptr<sd_bus, BusCloser>;

struct MessageUnref {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, MessageUnref>;

struct BusError {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  ~BusError() { sd_bus_error_free(&error); }
  // sd-bus answers with a negative errno; the peer's own sentence is better where there is one.
  std::unexpected<Error> failed(int result, const std::string& attempt) const {
    Error told = Error::from_errno(-result, attempt);
    return std::unexpected(error.message ? Error(told.code(), attempt + ": " + error.message) : told);
  }
};

// What systemd says of the job that makes the scope.
struct Job {
  std::string path;
  std::string result;
};

int on_job_removed(sd_bus_message* message, void* data, sd_bus_error*) {
  auto& job = *static_cast<Job*>(data);
  std::uint32_t id = 0;
  const char *path = nullptr, *unit = nullptr, *result = nullptr;
  if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) < 0) return 0;
  if (job.path == path) job.result = result;
  return 0;
}

Result<Message> start_call(sd_bus* bus, const std::string& name, pid_t keeper) {
  sd_bus_message* raw = nullptr;
  int r = sd_bus_message_new_method_call(bus, &raw, kSystemd, kSystemdPath, kManager, "StartTransientUnit");
  Message call(raw);
  if (r >= 0) r = sd_bus_message_append(raw, "ss", name.c_str(), "fail");
  if (r >= 0) r = sd_bus_message_open_container(raw, 'a', "(sv)");
  if (r >= 0) r = sd_bus_message_append(raw, "(sv)", "Description", "s", "Pods and shims of Gantry");
  if (r >= 0) r = sd_bus_message_append(raw, "(sv)", "Slice", "s", "-.slice");
  if (r >= 0) r = sd_bus_message_append(raw, "(sv)", "Delegate", "b", 1);
  if (r >= 0) r = sd_bus_message_append(raw, "(sv)", "TasksMax", "t", UINT64_MAX);
  // Shims end with their last container and not by SIGTERM; a machine that shuts down does not wait long for the rest.
  if (r >= 0) r = sd_bus_message_append(raw, "(sv)", "TimeoutStopUSec", "t", kStopLimitMicroseconds);
  if (r >= 0) r = sd_bus_message_append(raw, "(sv)", "CollectMode", "s", "inactive-or-failed");
  if (r >= 0) r = sd_bus_message_append(raw, "(sv)", "PIDs", "au", 1, static_cast<std::uint32_t>(keeper));
  if (r >= 0) r = sd_bus_message_close_container(raw);
  if (r >= 0) r = sd_bus_message_append(raw, "a(sa(sv))", 0);
  if (r < 0) return std::unexpected(Error::from_errno(-r, "write StartTransientUnit"));
  return call;
}

// False when there is a unit of that name already.
Result<bool> start_scope(sd_bus* bus, const std::string& name, pid_t keeper) {
  // Listened to before the call, so that the signal can't be missed; it is looked at in sd_bus_process() below.
  Job job;
  sd_bus_slot* slot = nullptr;
  int r = sd_bus_match_signal(bus, &slot, kSystemd, kSystemdPath, kManager, "JobRemoved", on_job_removed, &job);
  std::unique_ptr<sd_bus_slot, sd_bus_slot* (*)(sd_bus_slot*)> match(slot, sd_bus_slot_unref);
  if (r < 0) return std::unexpected(Error::from_errno(-r, "listen to systemd's jobs"));
  auto call = start_call(bus, name, keeper);
  if (!call) return std::unexpected(std::move(call.error()));
  BusError error;
  sd_bus_message* raw = nullptr;
  r = sd_bus_call(bus, call->get(), 0, &error.error, &raw);
  Message answer(raw);
  if (r < 0 && sd_bus_error_has_name(&error.error, kUnitExists)) return false;
  if (r < 0) return error.failed(r, "start the scope " + name);
  const char* path = nullptr;
  if (r = sd_bus_message_read(answer.get(), "o", &path); r < 0) {
    return std::unexpected(Error::from_errno(-r, "read the answer of StartTransientUnit"));
  }
  job.path = path;
  for (auto deadline = Clock::now() + kLimit; job.result.empty();) {
    if (r = sd_bus_process(bus, nullptr); r > 0) continue;
    auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      return std::unexpected(Error(Code::kDeadlineExceeded, "systemd did not make the scope " + name + " in time"));
    }
    if (r >= 0) r = sd_bus_wait(bus, static_cast<std::uint64_t>(left));
    if (r < 0) return std::unexpected(Error::from_errno(-r, "wait for systemd"));
  }
  if (job.result == "done") return true;
  return std::unexpected(
      Error(Code::kFailedPrecondition, "systemd did not make the scope " + name + ": " + job.result));
}

Status keep(const Hierarchy& hierarchy, const std::string& path, pid_t keeper) {
  auto scope = hierarchy.open(path);
  if (!scope) return std::unexpected(std::move(scope.error()));
  auto child = scope->make_child(kKeeper);
  if (!child && child.error().code() == Code::kAlreadyExists) child = scope->open_child(kKeeper);
  if (!child) return std::unexpected(std::move(child.error()));
  return sys::write_file(child->dir(), "cgroup.procs", std::to_string(keeper));
}

}  // namespace

Result<std::string> enter_systemd_scope(const Hierarchy& hierarchy, const std::string& name, pid_t keeper) {
  sd_bus* raw = nullptr;
  if (int r = sd_bus_open_system(&raw); r < 0) {
    return std::unexpected(Error(Code::kUnavailable, "no systemd on the system bus to ask for " + name + ": " +
                                                         Error::from_errno(-r, "connect").message()));
  }
  Bus bus(raw);
  // A scope in the root slice has its own name for a path.
  std::string path = "/" + name;
  for (int attempt = 0;; ++attempt) {
    auto made = start_scope(bus.get(), name, keeper);
    if (!made) return std::unexpected(std::move(made.error()));
    auto kept = keep(hierarchy, path, keeper);
    if (kept) return path;
    // One that was there had nobody left in it, and went: the next is ours.
    if (*made || attempt == 5) return fail_with(std::move(kept.error()), "enter the scope " + name);
  }
}

}  // namespace gantry::cgroups
