// SPDX-License-Identifier: Apache-2.0
// A layer's or an archive's tar stream, as the worker unpacks it, into a folder in memory, beside which nothing may
// appear. The first byte says which of the two. Needs root, as the worker does: else only what needs none is made. It
// is unpacked by a thread whose root is that folder's, so that what may be found here does no harm to the machine.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "images/unpacker.h"
#include "sys/file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_folder.h"

namespace images = gantry::images;
namespace sys = gantry::sys;
using gantry::fuzz::expect;

namespace {

// With one inside it that is unpacked into.
gantry::FdRef cage() {
  static gantry::fuzz::MemoryFolder folder;
  return folder.fd();
}

gantry::Result<images::WorkerAnswer> unpack(gantry::FdRef layer, const images::WorkerArguments& limits,
                                            gantry::FdRef input) {
  gantry::Result<images::WorkerAnswer> answer;
  std::jthread([&] {
    if (::geteuid() == 0) {
      expect(::unshare(CLONE_FS) == 0 && ::fchdir(cage().get()) == 0 && ::chroot(".") == 0, "a root of its own");
    }
    answer = images::Unpacker(layer, limits).run(input);
  }).join();
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  gantry::FdRef around = cage();
  expect(sys::mkdirat(around, "layer", 0755).has_value(), "mkdir");
  auto layer = sys::openat(around, "layer", O_RDONLY | O_DIRECTORY);
  expect(layer.has_value(), "the layer is open");
  gantry::OwnFd input(::memfd_create("input", MFD_CLOEXEC));
  expect(sys::write_all(input, gantry::fuzz::text_of(bytes + 1, size - 1)).has_value(), "write");
  ::lseek(input.get(), 0, SEEK_SET);

  images::WorkerArguments limits;
  limits.mode = bytes[0] % 2 == 0 ? images::WorkerMode::kLayer : images::WorkerMode::kLayout;
  limits.file_bytes = 1 << 20;
  limits.total_bytes = 4 << 20;
  limits.entries = 64;
  auto answer = unpack(*layer, limits, input);
  if (!answer) {
    gantry::fuzz::expect_sentence(answer.error());
  } else {
    auto again = images::WorkerAnswer::decode(answer->encode());
    expect(again && again->encode() == answer->encode(), "the answer is what the parent reads");
    expect(answer->bytes <= limits.total_bytes + (1 << 20), "bytes are bounded");
  }
  expect(::lseek(input.get(), 0, SEEK_CUR) == static_cast<off_t>(size - 1) || !answer, "all of the input is read");
  auto names = sys::list_dir(around);
  expect(names && names->size() == 1, "nothing is made outside");
  expect(sys::remove_tree(around, "layer").has_value(), "and all that was made goes away");
  return 0;
}
