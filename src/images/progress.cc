// SPDX-License-Identifier: Apache-2.0
#include "images/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

constexpr std::size_t kUsualWidth = 80;
constexpr std::size_t kWidestBar = 40;
constexpr std::size_t kNarrowestBar = 10;
constexpr std::string_view kToLineStart = "\r\033[K";  // and clears it

bool is_terminal(FdRef out) {
  const char* kind = ::getenv("TERM");
  return ::isatty(out.get()) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

std::size_t width_of(FdRef terminal) {
  winsize size{};
  if (::ioctl(terminal.get(), TIOCGWINSZ, &size) < 0 || size.ws_col == 0) return kUsualWidth;
  return size.ws_col;
}

}  // namespace

std::string bar_line(std::size_t done, std::size_t layers, const PullBytes& bytes, std::chrono::milliseconds time,
                     std::size_t width) {
  const std::uint64_t came = std::min(bytes.came, bytes.of);
  const double part = bytes.of == 0 ? 1.0 : static_cast<double>(came) / static_cast<double>(bytes.of);
  const auto rate = static_cast<double>(came) * 1000.0 / static_cast<double>(std::max<std::int64_t>(time.count(), 1));
  const std::string before = cat(done, " of ", layers, " layers ");
  char percent[16];
  std::snprintf(percent, sizeof(percent), " %3.0f%%  ", part * 100);
  const std::string after = cat(percent, human_size(came), " of ", human_size(bytes.of), "  ",
                                human_size(static_cast<std::uint64_t>(rate)), "/s");
  std::string bar;
  if (before.size() + after.size() + kNarrowestBar + 2 <= width) {
    const std::size_t room = std::min(kWidestBar, width - before.size() - after.size() - 2);
    bar.assign(static_cast<std::size_t>(part * static_cast<double>(room)), '=');
    if (bar.size() < room) bar += '>';
    bar.resize(room, ' ');
    bar = cat("[", bar, "]");
  }
  return cat(before, bar, after).substr(0, width);
}

PullDisplay::PullDisplay(FdRef out) : out_(out), is_terminal_(is_terminal(out)) {}

PullDisplay::~PullDisplay() {
  if (is_terminal_ && layers_ != 0) write(std::string(kToLineStart));
}

void PullDisplay::layer(const PullProgress& progress) {
  std::lock_guard guard(mutex_);
  done_ = progress.done;
  layers_ = progress.layers;
  if (is_terminal_) return draw();
  write(cat("layer ", progress.done, " of ", progress.layers, ": ", progress.layer.hex().substr(0, 12), "  ",
            human_size(progress.bytes), "  ", progress.was_here ? "is here already" : "pulled", "\n"));
}

void PullDisplay::moved(const PullBytes& bytes) {
  std::lock_guard guard(mutex_);
  bytes_ = bytes;
  layers_ = bytes.layers;
  if (is_terminal_) draw();
}

void PullDisplay::draw() {
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start_);
  // The last column is left: some terminals go to the next line behind it.
  write(cat(kToLineStart, bar_line(done_, layers_, bytes_, time, width_of(out_) - 1)));
}

// What nobody reads is no reason to end a pull.
void PullDisplay::write(const std::string& text) const { (void)sys::write_all(out_, text); }

}  // namespace gantry::images
