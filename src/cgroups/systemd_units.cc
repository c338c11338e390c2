// SPDX-License-Identifier: Apache-2.0
// By libdbus, because the static programs need this, too, and Debian has no other library of the bus to link into one.
#include "cgroups/systemd_units.h"

#include <dbus/dbus.h>

#include <memory>

namespace gantry::cgroups {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kSystemd[] = "org.freedesktop.systemd1";
constexpr char kSystemdPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kUnitExists[] = "org.freedesktop.systemd1.UnitExists";
constexpr char kNoSuchUnit[] = "org.freedesktop.systemd1.NoSuchUnit";
constexpr char kJobRemoved[] = "JobRemoved";
constexpr char kOurJobs[] =
    "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',"
    "interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
// Shims end with their last container and not by SIGTERM; a machine that shuts down does not wait long for the rest.
constexpr std::uint64_t kStopLimitMicroseconds = 10'000'000;

struct BusCloser {
  void operator()(DBusConnection* bus) const {
    dbus_connection_close(bus);
    dbus_connection_unref(bus);
  }
};
using Bus = std::unique_ptr<DBusConnection, BusCloser>;

struct MessageUnref {
  void operator()(DBusMessage* message) const { dbus_message_unref(message); }
};
using Message = std::unique_ptr<DBusMessage, MessageUnref>;

struct BusError {
  DBusError error = DBUS_ERROR_INIT;
  ~BusError() { dbus_error_free(&error); }
  bool is(const char* name) const { return dbus_error_has_name(&error, name) != 0; }
  std::string text() const { return error.message != nullptr ? error.message : "no answer"; }
};

// One level of a message under construction. The library's only failure here is a lack of memory, which ends this
// program anyway.
class Writer {
 public:
  explicit Writer(DBusMessage* message) { dbus_message_iter_init_append(message, &at_); }
  Writer(Writer& above, int type, const char* contents) : above_(&above) {
    dbus_message_iter_open_container(&above.at_, type, contents, &at_);
  }
  ~Writer() {
    if (above_ != nullptr) dbus_message_iter_close_container(&above_->at_, &at_);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void text(const std::string& value) {
    const char* pointer = value.c_str();
    dbus_message_iter_append_basic(&at_, DBUS_TYPE_STRING, &pointer);
  }
  void truth(bool value) {
    dbus_bool_t number = value ? 1 : 0;
    dbus_message_iter_append_basic(&at_, DBUS_TYPE_BOOLEAN, &number);
  }
  void number(std::uint64_t value) { dbus_message_iter_append_basic(&at_, DBUS_TYPE_UINT64, &value); }
  void number(std::uint32_t value) { dbus_message_iter_append_basic(&at_, DBUS_TYPE_UINT32, &value); }

 private:
  DBusMessageIter at_;
  Writer* above_ = nullptr;
};

// "(sv)"
template <typename Put>
void add_property(Writer& list, const char* name, const char* type, Put put) {
  Writer pair(list, DBUS_TYPE_STRUCT, nullptr);
  pair.text(name);
  Writer value(pair, DBUS_TYPE_VARIANT, type);
  put(value);
}
void add_text(Writer& list, const char* name, const std::string& value) {
  add_property(list, name, "s", [&](Writer& out) { out.text(value); });
}
void add_number(Writer& list, const char* name, std::uint64_t value) {
  add_property(list, name, "t", [&](Writer& out) { out.number(value); });
}
void add_true(Writer& list, const char* name) {
  add_property(list, name, "b", [](Writer& out) { out.truth(true); });
}

void add_properties(Writer& out, const SliceUnit& slice) {
  Writer list(out, DBUS_TYPE_ARRAY, "(sv)");
  add_text(list, "Description", slice.description);
  add_true(list, "StopWhenUnneeded");
  if (slice.cpu_weight) add_number(list, "CPUWeight", *slice.cpu_weight);
}

void add_limits(Writer& list, const SliceLimits& slice) {
  if (slice.cpu_weight) add_number(list, "CPUWeight", *slice.cpu_weight);
  if (slice.memory_max) add_number(list, "MemoryMax", *slice.memory_max);
  if (slice.tasks_max) add_number(list, "TasksMax", *slice.tasks_max);
}

void add_properties(Writer& out, const SliceLimits& slice) {
  Writer list(out, DBUS_TYPE_ARRAY, "(sv)");
  add_text(list, "Description", slice.description);
  add_limits(list, slice);
}

void add_properties(Writer& out, const ScopeUnit& scope) {
  Writer list(out, DBUS_TYPE_ARRAY, "(sv)");
  add_text(list, "Description", scope.description);
  add_text(list, "Slice", scope.slice);
  add_true(list, "Delegate");
  add_number(list, "TasksMax", UINT64_MAX);
  add_number(list, "TimeoutStopUSec", kStopLimitMicroseconds);
  add_text(list, "CollectMode", "inactive-or-failed");
  add_property(list, "PIDs", "au", [&](Writer& value) {
    Writer pids(value, DBUS_TYPE_ARRAY, "u");
    pids.number(static_cast<std::uint32_t>(scope.first));
  });
}

int milliseconds_until(Clock::time_point deadline) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

// What systemd says at the end of the job that makes the unit.
Status wait_for(DBusConnection* bus, const std::string& job, Clock::time_point deadline) {
  for (;;) {
    while (Message message{dbus_connection_pop_message(bus)}) {
      if (dbus_message_is_signal(message.get(), kManager, kJobRemoved) == 0) continue;
      std::uint32_t id = 0;
      const char *path = nullptr, *unit = nullptr, *result = nullptr;
      BusError error;
      if (dbus_message_get_args(message.get(), &error.error, DBUS_TYPE_UINT32, &id, DBUS_TYPE_OBJECT_PATH, &path,
                                DBUS_TYPE_STRING, &unit, DBUS_TYPE_STRING, &result, DBUS_TYPE_INVALID) == 0 ||
          path != job)
        continue;
      if (result == std::string_view("done")) return {};
      return fail(Code::kFailedPrecondition, std::string("systemd's job ended as \"") + result + "\"");
    }
    int left = milliseconds_until(deadline);
    if (left == 0) return fail(Code::kDeadlineExceeded, "systemd has not done it in time");
    if (dbus_connection_read_write(bus, left) == 0) return fail(Code::kUnavailable, "the system bus has gone");
  }
}

Result<Bus> connect() {
  BusError error;
  // Else the library has SIGPIPE ignored, which it has no need of, and what we execute would start so.
  dbus_connection_set_change_sigpipe(0);
  Bus bus(dbus_bus_get_private(DBUS_BUS_SYSTEM, &error.error));
  if (!bus) return fail(Code::kUnavailable, "no systemd on the system bus: " + error.text());
  dbus_connection_set_exit_on_disconnect(bus.get(), 0);
  // Before the call, so that the signal can't be missed.
  dbus_bus_add_match(bus.get(), kOurJobs, &error.error);
  if (dbus_error_is_set(&error.error) != 0)
    return fail(Code::kUnavailable, "listen to systemd's jobs: " + error.text());
  return bus;
}

template <typename Unit>
Message start_call(const Unit& unit, const std::vector<SliceUnit>& with) {
  Message call(dbus_message_new_method_call(kSystemd, kSystemdPath, kManager, "StartTransientUnit"));
  Writer out(call.get());
  out.text(unit.name);
  // In place of a job that ends a slice above it, now that it is needed again.
  out.text("replace");
  add_properties(out, unit);
  Writer others(out, DBUS_TYPE_ARRAY, "(sa(sv))");
  for (const SliceUnit& slice : with) {
    Writer other(others, DBUS_TYPE_STRUCT, nullptr);
    other.text(slice.name);
    add_properties(other, slice);
  }
  return call;
}

template <typename Unit>
Result<bool> start(const Unit& unit, const std::vector<SliceUnit>& with) {
  auto deadline = Clock::now() + kUnitLimit;
  auto bus = connect();
  if (!bus) return std::unexpected(std::move(bus.error()));
  BusError error;
  Message answer(dbus_connection_send_with_reply_and_block(bus->get(), start_call(unit, with).get(),
                                                           milliseconds_until(deadline), &error.error));
  if (error.is(kUnitExists) || error.is(kNoSuchUnit)) return false;
  if (!answer) return fail(Code::kUnavailable, "StartTransientUnit: " + error.text());
  const char* job = nullptr;
  if (dbus_message_get_args(answer.get(), &error.error, DBUS_TYPE_OBJECT_PATH, &job, DBUS_TYPE_INVALID) == 0)
    return fail(Code::kUnavailable, "read the answer of StartTransientUnit: " + error.text());
  auto made = wait_for(bus->get(), job, deadline);
  if (!made) return std::unexpected(std::move(made.error()));
  return true;
}

Status set_limits(const SliceLimits& slice) {
  auto bus = connect();
  if (!bus) return std::unexpected(std::move(bus.error()));
  Message call(dbus_message_new_method_call(kSystemd, kSystemdPath, kManager, "SetUnitProperties"));
  {
    Writer out(call.get());
    out.text(slice.name);
    out.truth(true);  // at runtime
    Writer list(out, DBUS_TYPE_ARRAY, "(sv)");
    add_limits(list, slice);
  }
  BusError error;
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(kUnitLimit).count();
  Message answer(
      dbus_connection_send_with_reply_and_block(bus->get(), call.get(), static_cast<int>(limit), &error.error));
  return answer ? Status() : fail(Code::kUnavailable, "SetUnitProperties: " + error.text());
}

}  // namespace

Status limit_slice(const SliceLimits& slice) {
  auto started = start(slice, {});
  Status done = started ? Status() : std::unexpected(std::move(started.error()));
  // Systemd has one of its name.
  if (started && !*started) done = set_limits(slice);
  return done ? done : fail_with(std::move(done.error()), "have systemd limit " + slice.name);
}

Result<bool> start_scope(const ScopeUnit& scope) {
  auto started = start(scope, scope.slices);
  return started ? started : fail_with(std::move(started.error()), "have systemd make " + scope.name);
}

Result<bool> start_slice(const SliceUnit& slice) {
  auto started = start(slice, {});
  return started ? started : fail_with(std::move(started.error()), "have systemd make " + slice.name);
}

}  // namespace gantry::cgroups
