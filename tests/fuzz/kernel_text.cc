// SPDX-License-Identifier: Apache-2.0
// What the kernel writes into files of /proc and of cgroups, where names come from whoever made a mount, a cgroup or a
// process.
#include <fcntl.h>

#include "cgroups/hierarchy.h"
#include "cgroups/text.h"
#include "sys/file.h"
#include "sys/process.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_folder.h"

namespace cgroups = gantry::cgroups;
namespace sys = gantry::sys;
using gantry::fuzz::expect;

namespace {

// A folder with a file 1/stat.
struct Proc {
  gantry::fuzz::MemoryFolder folder;
  gantry::OwnFd stat;

  Proc() {
    expect(sys::mkdirat(folder.fd(), "1", 0755).has_value(), "mkdir");
    stat = gantry::OwnFd(::openat(folder.fd().get(), "1/stat", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    expect(stat.is_open(), "the file is open");
  }
};

auto start_time_in(std::string_view text) {
  static Proc proc;
  expect(::ftruncate(proc.stat.get(), 0) == 0 && ::lseek(proc.stat.get(), 0, SEEK_SET) == 0, "an empty file");
  expect(sys::write_all(proc.stat, text).has_value(), "write");
  return sys::start_time_of(proc.folder.fd(), 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  auto mounts = cgroups::cgroup_mounts(text);
  expect(mounts.size() <= cgroups::split_lines(text).size(), "a line is at most one mount");
  if (auto path = cgroups::cgroup_path_in(text)) {
    expect(path->find('\n') == std::string::npos, "a path is within its line");
  } else {
    gantry::fuzz::expect_sentence(path.error());
  }
  if (auto parts = cgroups::split_cgroup_path(text)) {
    std::string whole;
    for (const std::string& part : *parts) {
      expect(!part.empty() && part != "." && part != ".." && part.find('/') == part.npos, "a part is a name");
      whole += "/" + part;
    }
    auto again = cgroups::split_cgroup_path(whole);
    expect(again && *again == *parts, "a path of parts has these parts");
  } else {
    gantry::fuzz::expect_sentence(parts.error());
  }
  if (auto time = start_time_in(text); !time) gantry::fuzz::expect_sentence(time.error());
  // A process chooses its name: 15 bytes of any kind.
  std::string_view name = text.substr(0, std::min(text.find('\0'), std::size_t{15}));
  auto time = start_time_in(gantry::cat("1 (", name, ") S 0 1 1 0 -1 4194560 9 8 7 6 5 4 3 2 20 0 1 0 77 1000 5\n"));
  expect(time && *time == 77, "a name changes no field");
  cgroups::parse_keyed(text);
  cgroups::parse_device_lines(text);
  cgroups::parse_pressure(text);
  cgroups::parse_events(text);
  cgroups::parse_number(text);
  return 0;
}
