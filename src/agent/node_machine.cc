// SPDX-License-Identifier: Apache-2.0
#include "agent/node_machine.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::agent {

namespace {

constexpr std::size_t kMaxFile = 64 << 10;
constexpr char kHugepages[] = "/sys/kernel/mm/hugepages";

// "" when it can't be read: not every machine has every file.
std::string text_of(const std::string& path) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK);  // often a link, as /etc/os-release is
  if (!file) return {};
  auto text = sys::read_all(*file, kMaxFile);
  return text ? std::string(trimmed(*text)) : std::string();
}

std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// The fourth word is "running/all".
std::uint64_t threads_of(std::string_view loadavg) {
  const std::size_t slash = loadavg.find('/');
  return slash == loadavg.npos ? 0 : number_of(loadavg.substr(slash + 1));
}

}  // namespace

std::uint64_t meminfo_bytes(std::string_view text, std::string_view key) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ':') continue;
    return number_of(trimmed(line.substr(key.size() + 1))) * 1024;
  }
  return 0;
}

std::string os_release_value(std::string_view text, std::string_view key) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=') continue;
    std::string_view value = trimmed(line.substr(key.size() + 1));
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    return std::string(value);
  }
  return {};
}

std::string go_architecture(std::string_view machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine == "i686") return "386";
  return std::string(machine);
}

std::string hugepages_name(std::uint64_t kib) {
  if (kib % (1 << 20) == 0) return cat("hugepages-", kib >> 20, "Gi");
  if (kib % (1 << 10) == 0) return cat("hugepages-", kib >> 10, "Mi");
  return cat("hugepages-", kib, "Ki");
}

std::map<std::string, std::uint64_t> read_hugepages() {
  std::map<std::string, std::uint64_t> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(kHugepages, error)) {
    const std::string name = entry.path().filename().string();  // "hugepages-2048kB"
    if (!name.starts_with("hugepages-")) continue;
    const std::uint64_t kib = number_of(std::string_view(name).substr(10));
    if (kib > 0) found[hugepages_name(kib)] = kib * 1024 * number_of(text_of(entry.path() / "nr_hugepages"));
  }
  return found;
}

Result<NodeMachine> read_node_machine() {
  auto meminfo = sys::read_file(sys::kCwd, "/proc/meminfo", kMaxFile);
  if (!meminfo) return std::unexpected(std::move(meminfo.error()));
  utsname kernel{};
  if (::uname(&kernel) != 0) return std::unexpected(Error::from_errno(errno, "uname"));
  NodeMachine machine;
  machine.cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  machine.memory = meminfo_bytes(*meminfo, "MemTotal");
  machine.swap = meminfo_bytes(*meminfo, "SwapTotal");
  machine.max_pids = static_cast<std::int64_t>(
      std::min(number_of(text_of("/proc/sys/kernel/pid_max")), number_of(text_of("/proc/sys/kernel/threads-max"))));
  machine.hugepages = read_hugepages();
  machine.machine_id = text_of("/etc/machine-id");
  machine.system_uuid = text_of("/sys/class/dmi/id/product_uuid");
  if (machine.system_uuid.empty()) machine.system_uuid = machine.machine_id;
  machine.boot_id = text_of("/proc/sys/kernel/random/boot_id");
  machine.kernel_version = kernel.release;
  machine.os_image = os_release_value(text_of("/etc/os-release"), "PRETTY_NAME");
  machine.architecture = go_architecture(kernel.machine);
  return machine;
}

Result<FileSystemSpace> read_space(const std::string& path) {
  auto folder = sys::openat(sys::kCwd, path.c_str(), O_PATH | O_DIRECTORY);
  if (!folder) return fail_with(std::move(folder.error()), path);
  auto info = sys::fstatfs(*folder);
  if (!info) return fail_with(std::move(info.error()), path);
  const auto block = static_cast<std::uint64_t>(info->f_bsize);
  return FileSystemSpace{info->f_blocks * block, info->f_bavail * block, info->f_files, info->f_ffree};
}

Result<NodeReadings> read_node(const std::string& root_dir, const std::string& image_folder) {
  NodeReadings readings;
  auto meminfo = sys::read_file(sys::kCwd, "/proc/meminfo", kMaxFile);
  if (!meminfo) return std::unexpected(std::move(meminfo.error()));
  readings.memory = meminfo_bytes(*meminfo, "MemTotal");
  readings.memory_available = meminfo_bytes(*meminfo, "MemAvailable");
  readings.pids = threads_of(text_of("/proc/loadavg"));
  readings.max_pids = number_of(text_of("/proc/sys/kernel/pid_max"));
  auto node = read_space(root_dir);
  if (!node) return std::unexpected(std::move(node.error()));
  readings.node = *node;
  auto images = image_folder.empty() ? node : read_space(image_folder);
  if (!images) return std::unexpected(std::move(images.error()));
  readings.images = *images;
  const auto node_info = sys::fstatat(sys::kCwd, root_dir.c_str(), 0);
  const auto image_info = sys::fstatat(sys::kCwd, image_folder.empty() ? root_dir.c_str() : image_folder.c_str(), 0);
  readings.images_apart = node_info && image_info && node_info->st_dev != image_info->st_dev;
  return readings;
}

}  // namespace gantry::agent
