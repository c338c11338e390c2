// SPDX-License-Identifier: Apache-2.0
#include "images/unpack_worker.h"

#include <archive.h>
#include <archive_entry.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "images/text.h"
#include "images/unpacker.h"
#include "images/worker_protocol.h"
#include "sys/confine.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

constexpr FdRef kInput{STDIN_FILENO};
constexpr FdRef kOutput{STDOUT_FILENO};
constexpr std::size_t kReadBlock = 256 << 10;

constexpr int kCapabilities[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP};
constexpr int kCalls[] = {SYS_pwrite64,   SYS_openat,   SYS_openat2,   SYS_mkdirat,   SYS_mknodat,    SYS_symlinkat,
                          SYS_readlinkat, SYS_linkat,   SYS_unlinkat,  SYS_renameat2, SYS_getdents64, SYS_fchmod,
                          SYS_fchown,     SYS_fchownat, SYS_utimensat, SYS_fsetxattr, SYS_ftruncate};

constexpr char kWhat[] = "can't be inflated";

// gzip, zstd or plain, by the first bytes.
Result<WorkerAnswer> inflate() {
  std::unique_ptr<archive, int (*)(archive*)> reader(::archive_read_new(), ::archive_read_free);
  if (reader == nullptr) return fail(Code::kResourceExhausted, "out of memory");
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  ::archive_read_support_format_raw(reader.get());
  ::archive_read_support_format_empty(reader.get());
  if (::archive_read_open_fd(reader.get(), kInput.get(), kReadBlock) != ARCHIVE_OK)
    return archive_error(reader.get(), kWhat);
  archive_entry* entry = nullptr;
  int result = ::archive_read_next_header(reader.get(), &entry);
  if (result == ARCHIVE_EOF) return WorkerAnswer{};  // an empty stream
  if (result < ARCHIVE_WARN) return archive_error(reader.get(), kWhat);
  for (;;) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    result = ::archive_read_data_block(reader.get(), &data, &size, &offset);
    if (result == ARCHIVE_EOF) return WorkerAnswer{};
    if (result < ARCHIVE_WARN) return archive_error(reader.get(), kWhat);
    auto written = sys::write_all(kOutput, std::string_view(static_cast<const char*>(data), size));
    if (!written) return std::unexpected(std::move(written.error()));
  }
}

Result<WorkerAnswer> work(const WorkerArguments& arguments) {
  ::umask(0);
  bool inflates = arguments.mode == WorkerMode::kInflate;
  sys::Confinement confinement;
  if (!inflates) {
    confinement.folder = FdRef(kFolderFd);
    confinement.capabilities = kCapabilities;
  }
  confinement.calls = kCalls;
  confinement.last_fd = inflates ? kAnswerFd : kFolderFd;
  confinement.file_bytes = inflates ? 0 : arguments.file_bytes;
  confinement.memory_bytes = arguments.memory_bytes;
  confinement.cpu_seconds = arguments.cpu_seconds;
  if (auto confined = sys::confine(confinement); !confined)
    return fail_with(std::move(confined.error()), "confine the worker");
  if (inflates) return inflate();
  return Unpacker(FdRef(kFolderFd), arguments).run(kInput);
}

}  // namespace

int unpack_worker_main(int argc, char** argv) {
  auto arguments = WorkerArguments::parse(argc - 2, argv + 2);
  if (!arguments) {
    constexpr std::string_view kUsage = "unpack-worker is started by gantryd and by gantry image, not by people\n";
    (void)sys::write_all(FdRef(STDERR_FILENO), kUsage);
    return 2;
  }
  auto result = work(*arguments);
  WorkerAnswer answer;
  if (result) {
    answer = std::move(*result);
  } else {
    answer.error = result.error().message();
    answer.is_resource = result.error().is_resource();
  }
  bool told = sys::write_all(FdRef(kAnswerFd), answer.encode()).has_value();
  // No destructors or exit handlers: the filter allows nothing that they might want.
  ::_exit(told && answer.error.empty() ? 0 : 1);
}

}  // namespace gantry::images
