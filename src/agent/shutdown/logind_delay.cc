// SPDX-License-Identifier: Apache-2.0
#include "agent/shutdown/logind_delay.h"

#include <fcntl.h>

#include <chrono>

#include "base/text.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/private_file.h"

namespace gantry::agent {
namespace {

constexpr char kFile[] = "99-kubelet.conf";
constexpr std::size_t kMostBytes = 64 << 10;

Status write(const std::string& folder, const std::string& text) {
  if (auto made = sys::make_folders(folder, 0755); !made) return made;
  auto opened = sys::open_dir(sys::kCwd, folder.c_str());
  if (!opened) return std::unexpected(std::move(opened.error()));
  if (auto there = sys::read_file(*opened, kFile, kMostBytes); !there || *there != text) {
    if (auto written = sys::write_private_file(*opened, kFile, text); !written) return written;
  }
  // There is nothing private in it.
  auto file = sys::openat(*opened, kFile, O_RDONLY | O_NOFOLLOW);
  return file ? sys::fchmod(*file, 0644) : std::unexpected(std::move(file.error()));
}

}  // namespace

Status write_logind_delay(const std::string& folder, Duration delay) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(delay).count();
  auto written = write(
      folder, cat("# The node's agent: what its pods may take to end.\n[Login]\nInhibitDelayMaxSec=", seconds, "\n"));
  return written ? written : fail_with(std::move(written.error()), cat(folder, "/", kFile));
}

}  // namespace gantry::agent
