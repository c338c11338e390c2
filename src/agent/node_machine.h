// SPDX-License-Identifier: Apache-2.0
// The machine as a node tells of it: what it has, which does not change while it runs, and how much of it is left.
// Blocking; files of /proc, /sys and /etc.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"

namespace gantry::agent {

struct NodeMachine {
  std::int64_t cpus = 0;
  std::uint64_t memory = 0, swap = 0;              // bytes
  std::int64_t max_pids = 0;                       // 0: not known
  std::map<std::string, std::uint64_t> hugepages;  // "hugepages-2Mi": bytes that are set aside
  std::string machine_id, system_uuid, boot_id, kernel_version, os_image;
  std::string architecture;  // in Go's words: "amd64"
};
Result<NodeMachine> read_node_machine();
std::map<std::string, std::uint64_t> read_hugepages();  // as in NodeMachine

struct FileSystemSpace {
  std::uint64_t capacity = 0, available = 0;  // bytes
  std::uint64_t inodes = 0, inodes_free = 0;  // 0 inodes: it does not count them
};
Result<FileSystemSpace> read_space(const std::string& path);

struct NodeReadings {
  std::uint64_t memory = 0, memory_available = 0;
  std::uint64_t pids = 0, max_pids = 0;
  FileSystemSpace node, images;
  bool images_apart = false;  // on a file system of their own
};
// `image_folder` is on the images' file system.
Result<NodeReadings> read_node(const std::string& root_dir, const std::string& image_folder);

// Of a file's text:
std::uint64_t meminfo_bytes(std::string_view text, std::string_view key);   // "MemTotal"
std::string os_release_value(std::string_view text, std::string_view key);  // "PRETTY_NAME"
std::string go_architecture(std::string_view machine);                      // "x86_64"
std::string hugepages_name(std::uint64_t kib);                              // 2048: "hugepages-2Mi"

}  // namespace gantry::agent
