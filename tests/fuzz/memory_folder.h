// SPDX-License-Identifier: Apache-2.0
// A folder in memory for what a fuzzer has to have on a file system, removed when the program ends by itself.
#pragma once

#include <fcntl.h>
#include <stdlib.h>

#include <string>

#include "sys/file.h"
#include "tests/fuzz/fuzz.h"

namespace gantry::fuzz {

class MemoryFolder {
 public:
  MemoryFolder() {
    expect(::mkdtemp(path_) != nullptr, "a folder");
    fd_ = OwnFd(::open(path_, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    expect(fd_.is_open(), "the folder is open");
  }
  ~MemoryFolder() {
    // Across a mount nothing is removed.
    if (auto shm = sys::open_dir(sys::kCwd, "/dev/shm")) (void)sys::remove_tree(*shm, path_ + sizeof("/dev/shm/") - 1);
  }
  MemoryFolder(const MemoryFolder&) = delete;
  MemoryFolder& operator=(const MemoryFolder&) = delete;
  FdRef fd() const { return fd_; }

 private:
  char path_[sizeof("/dev/shm/gantry-fuzz-XXXXXX")] = "/dev/shm/gantry-fuzz-XXXXXX";
  OwnFd fd_;
};

}  // namespace gantry::fuzz
