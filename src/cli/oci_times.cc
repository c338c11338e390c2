// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_times.h"

#include <cstdio>

namespace gantry::cli {
namespace {

std::string milliseconds(std::chrono::steady_clock::duration time) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", std::chrono::duration<double, std::milli>(time).count());
  return text;
}

}  // namespace

void Times::add(std::string_view what, Clock::duration time) {
  for (Part& part : parts_) {
    if (part.what != what) continue;
    part.time += time;
    return;
  }
  parts_.push_back({what, time});
}

void Times::lap(const char* what) {
  auto now = Clock::now();
  add(what, now - last_);
  last_ = now;
}

void Times::split(const char* of, const runtime::LaunchNotes& notes) {
  for (std::size_t i = 0; i < runtime::kLaunchSteps; ++i) {
    std::chrono::nanoseconds took(notes.took[i]);
    if (took == split_[i]) continue;
    add(runtime::kLaunchStepNames[i], took - split_[i]);
    add(of, split_[i] - took);
    split_[i] = took;
  }
}

void Times::split_rest(const char* of, const char* what, const runtime::LaunchNotes& notes) {
  if (notes.begun == 0) return;  // nobody has asked for times
  Clock::duration rest = last_.time_since_epoch() - std::chrono::nanoseconds(notes.begun);
  add(what, rest);
  add(of, -rest);
}

std::string Times::text() const {
  std::string text = milliseconds(last_ - begun_) + " ms:";
  const char* separator = " ";
  for (const Part& part : parts_) {
    text.append(separator).append(part.what).append(" ").append(milliseconds(part.time));
    separator = ", ";
  }
  return text;
}

}  // namespace gantry::cli
