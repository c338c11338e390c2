// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/signals.h"

#include <signal.h>

#include <array>
#include <utility>

#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

constexpr int kLastSignal = 64;
// As programs see them: libc keeps the kernel's 32 and 33 for itself.
constexpr int kRtMin = 34;

constexpr auto kNames = std::to_array<std::pair<std::string_view, int>>({
    {"HUP", SIGHUP},        {"INT", SIGINT},       {"QUIT", SIGQUIT},     {"ILL", SIGILL},   {"TRAP", SIGTRAP},
    {"ABRT", SIGABRT},      {"IOT", SIGABRT},      {"BUS", SIGBUS},       {"FPE", SIGFPE},   {"KILL", SIGKILL},
    {"USR1", SIGUSR1},      {"SEGV", SIGSEGV},     {"USR2", SIGUSR2},     {"PIPE", SIGPIPE}, {"ALRM", SIGALRM},
    {"TERM", SIGTERM},      {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},     {"CLD", SIGCHLD},  {"CONT", SIGCONT},
    {"STOP", SIGSTOP},      {"TSTP", SIGTSTP},     {"TTIN", SIGTTIN},     {"TTOU", SIGTTOU}, {"URG", SIGURG},
    {"XCPU", SIGXCPU},      {"XFSZ", SIGXFSZ},     {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH},
    {"IO", SIGIO},          {"POLL", SIGPOLL},     {"PWR", SIGPWR},       {"SYS", SIGSYS},   {"RTMIN", kRtMin},
    {"RTMAX", kLastSignal},
});

}  // namespace

Result<int> parse_signal(std::string_view name) {
  auto unknown = [&] {
    return invalid_argument(cat("signal ", quoted(name), " is unknown: a name such as SIGTERM or a number from 1 to ",
                                kLastSignal, " was expected"));
  };
  if (!name.empty() && name[0] >= '0' && name[0] <= '9') {
    auto number = parse_number<int>(name);
    if (!number || *number < 1 || *number > kLastSignal) return unknown();
    return *number;
  }
  std::string_view bare = name;
  if (starts_ignoring_case(bare, "SIG")) bare.remove_prefix(3);
  int offset = 0;
  if (starts_ignoring_case(bare, "RTMIN+") || starts_ignoring_case(bare, "RTMAX-")) {
    std::string_view digits = bare.substr(6);
    auto distance = parse_number<int>(digits);
    if (!distance || *distance < 0 || *distance > kLastSignal - kRtMin) return unknown();
    offset = bare[5] == '-' ? -*distance : *distance;
    bare = bare.substr(0, 5);
  }
  for (auto [known, value] : kNames) {
    if (equals_ignoring_case(known, bare)) return value + offset;
  }
  return unknown();
}

std::string signal_name(int signal) {
  for (auto [known, value] : kNames) {
    if (value == signal) return cat("SIG", known);
  }
  if (signal > kRtMin && signal < kLastSignal) return cat("SIGRTMIN+", signal - kRtMin);
  return cat("signal ", signal);
}

}  // namespace gantry::runtime
