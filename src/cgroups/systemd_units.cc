// SPDX-License-Identifier: Apache-2.0
#include "cgroups/systemd_units.h"

#include <systemd/sd-bus.h>

#include <memory>

namespace gantry::cgroups {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kSystemd[] = "org.freedesktop.systemd1";
constexpr char kSystemdPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kUnitExists[] = "org.freedesktop.systemd1.UnitExists";
constexpr char kNoSuchUnit[] = "org.freedesktop.systemd1.NoSuchUnit";
constexpr char kProperties[] = "(sv)";
// Shims end with their last container and not by SIGTERM; a machine that shuts down does not wait long for the rest.
constexpr std::uint64_t kStopLimitMicroseconds = 10'000'000;

struct BusCloser {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
using Bus = std::unique_ptr<sd_bus, BusCloser>;

struct MessageUnref {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, MessageUnref>;

struct SlotUnref {
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Slot = std::unique_ptr<sd_bus_slot, SlotUnref>;

struct BusError {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  ~BusError() { sd_bus_error_free(&error); }
  // sd-bus answers with a negative errno; the peer's own sentence is better where there is one.
  std::unexpected<Error> failed(int result, const std::string& attempt) const {
    Error told = Error::from_errno(-result, attempt);
    return std::unexpected(error.message ? Error(told.code(), attempt + ": " + error.message) : told);
  }
};

// Fills a message; the first failure is kept.
class Writer {
 public:
  explicit Writer(sd_bus_message* message) : message_(message) {}
  template <typename... T>
  void add(const char* types, T... values) {
    if (result_ >= 0) result_ = sd_bus_message_append(message_, types, values...);
  }
  void open(char type, const char* contents) {
    if (result_ >= 0) result_ = sd_bus_message_open_container(message_, type, contents);
  }
  void close() {
    if (result_ >= 0) result_ = sd_bus_message_close_container(message_);
  }
  int result() const { return result_; }

 private:
  sd_bus_message* message_;
  int result_ = 0;
};

void add_properties(Writer& out, const SliceUnit& slice) {
  out.open('a', kProperties);
  out.add(kProperties, "Description", "s", slice.description.c_str());
  out.add(kProperties, "StopWhenUnneeded", "b", 1);
  if (slice.cpu_weight) out.add(kProperties, "CPUWeight", "t", *slice.cpu_weight);
  out.close();
}

void add_properties(Writer& out, const ScopeUnit& scope) {
  out.open('a', kProperties);
  out.add(kProperties, "Description", "s", scope.description.c_str());
  out.add(kProperties, "Slice", "s", scope.slice.c_str());
  out.add(kProperties, "Delegate", "b", 1);
  out.add(kProperties, "TasksMax", "t", UINT64_MAX);
  out.add(kProperties, "TimeoutStopUSec", "t", kStopLimitMicroseconds);
  out.add(kProperties, "CollectMode", "s", "inactive-or-failed");
  out.add(kProperties, "PIDs", "au", 1, static_cast<std::uint32_t>(scope.first));
  out.close();
}

// What systemd says of the job that makes the unit.
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

Status wait_for(sd_bus* bus, const Job& job, Clock::time_point deadline) {
  while (job.result.empty()) {
    int r = sd_bus_process(bus, nullptr);
    if (r > 0) continue;
    auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now()).count();
    if (left <= 0) return fail(Code::kDeadlineExceeded, "systemd has not done it in time");
    if (r >= 0) r = sd_bus_wait(bus, static_cast<std::uint64_t>(left));
    if (r < 0) return std::unexpected(Error::from_errno(-r, "wait for systemd"));
  }
  if (job.result == "done") return {};
  return fail(Code::kFailedPrecondition, "systemd's job ended as \"" + job.result + "\"");
}

Result<Bus> connect() {
  sd_bus* raw = nullptr;
  int r = sd_bus_open_system(&raw);
  Bus bus(raw);
  // Of two calls, each; the rest of the limit is for systemd to do it.
  if (r >= 0) r = sd_bus_set_method_call_timeout(bus.get(), std::chrono::microseconds(kUnitLimit).count() / 3);
  if (r < 0) return fail(Code::kUnavailable, Error::from_errno(-r, "no systemd on the system bus").message());
  return bus;
}

template <typename Unit>
Result<Message> start_call(sd_bus* bus, const Unit& unit, const std::vector<SliceUnit>& with) {
  sd_bus_message* raw = nullptr;
  int r = sd_bus_message_new_method_call(bus, &raw, kSystemd, kSystemdPath, kManager, "StartTransientUnit");
  Message call(raw);
  if (r < 0) return std::unexpected(Error::from_errno(-r, "write StartTransientUnit"));
  Writer out(raw);
  // In place of a job that ends a slice above it, now that it is needed again.
  out.add("ss", unit.name.c_str(), "replace");
  add_properties(out, unit);
  out.open('a', "(sa(sv))");
  for (const SliceUnit& slice : with) {
    out.open('r', "sa(sv)");
    out.add("s", slice.name.c_str());
    add_properties(out, slice);
    out.close();
  }
  out.close();
  if (out.result() < 0) return std::unexpected(Error::from_errno(-out.result(), "write StartTransientUnit"));
  return call;
}

template <typename Unit>
Result<bool> start(const Unit& unit, const std::vector<SliceUnit>& with) {
  auto deadline = Clock::now() + kUnitLimit;
  auto bus = connect();
  if (!bus) return std::unexpected(std::move(bus.error()));
  // Listened to before the call, so that the signal can't be missed; it is looked at in sd_bus_process().
  Job job;
  sd_bus_slot* raw_slot = nullptr;
  int r =
      sd_bus_match_signal(bus->get(), &raw_slot, kSystemd, kSystemdPath, kManager, "JobRemoved", on_job_removed, &job);
  Slot slot(raw_slot);
  if (r < 0) return std::unexpected(Error::from_errno(-r, "listen to systemd's jobs"));
  auto call = start_call(bus->get(), unit, with);
  if (!call) return std::unexpected(std::move(call.error()));
  BusError error;
  sd_bus_message* raw_answer = nullptr;
  r = sd_bus_call(bus->get(), call->get(), 0, &error.error, &raw_answer);
  Message answer(raw_answer);
  if (sd_bus_error_has_name(&error.error, kUnitExists) || sd_bus_error_has_name(&error.error, kNoSuchUnit))
    return false;
  if (r < 0) return error.failed(r, "StartTransientUnit");
  const char* path = nullptr;
  if (r = sd_bus_message_read(raw_answer, "o", &path); r < 0) {
    return std::unexpected(Error::from_errno(-r, "read the answer of StartTransientUnit"));
  }
  job.path = path;
  auto made = wait_for(bus->get(), job, deadline);
  if (!made) return std::unexpected(std::move(made.error()));
  return true;
}

}  // namespace

Result<bool> start_scope(const ScopeUnit& scope) {
  auto started = start(scope, scope.slices);
  return started ? started : fail_with(std::move(started.error()), "have systemd make " + scope.name);
}

Result<bool> start_slice(const SliceUnit& slice) {
  auto started = start(slice, {});
  return started ? started : fail_with(std::move(started.error()), "have systemd make " + slice.name);
}

}  // namespace gantry::cgroups
