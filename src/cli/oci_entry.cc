// SPDX-License-Identifier: Apache-2.0
// The program's first instructions. What oci_self.h has done for a command that makes a process is done here already,
// where it costs least: before libc has started, which this process would do for nothing if it goes on from elsewhere.
// Whatever is not as usual is left to run_unwritable(), which comes to the same end, and judges what is done here.
//
// Nothing of libc can be called: neither its memory nor its functions are in place. So these are system calls as the
// kernel has them, and loops.
#if defined(__x86_64__)

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

namespace {

struct Word {
  Word(int value) : value(value) {}
  Word(long value) : value(value) {}
  Word(const void* value) : value(reinterpret_cast<long>(value)) {}
  long value;
};

long call(long number, Word first, Word second = 0, Word third = 0, Word fourth = 0, Word fifth = 0) {
  register long r10 asm("r10") = fourth.value;
  register long r8 asm("r8") = fifth.value;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(first.value), "S"(second.value), "d"(third.value), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
}

void close(long fd) {
  if (fd >= 0) call(SYS_close, fd);
}

bool is_same(const char* a, const char* b) {
  for (; *a == *b; ++a, ++b) {
    if (*a == '\0') return true;
  }
  return false;
}

// A container of that name, say, makes no difference: the other commands may be executed anew as well.
bool makes_process(char** argv) {
  for (; *argv != nullptr; ++argv) {
    if (is_same(*argv, "run") || is_same(*argv, "create") || is_same(*argv, "exec")) return true;
  }
  return false;
}

// "/proc/self/fd/NUMBER:/sys/fs"; oci_self.cc says why.
void write_layers(char* out, unsigned number) {
  for (const char* c = "/proc/self/fd/"; *c != '\0'; ++c) *out++ = *c;
  unsigned unit = 1;
  while (number / unit >= 10) unit *= 10;
  for (; unit != 0; unit /= 10) *out++ = static_cast<char>('0' + number / unit % 10);
  for (const char* c = ":/sys/fs"; *c != '\0'; ++c) *out++ = *c;
  *out = '\0';
}

struct Opened {
  long self = -1, folder = -1, context = -1, mount = -1, program = -1;
};

bool open_in_overlay(Opened& fds) {
  fds.self = call(SYS_openat, AT_FDCWD, "/proc/self/exe", O_PATH | O_CLOEXEC);
  struct statfs filesystem;
  if (fds.self < 0 || call(SYS_fstatfs, fds.self, &filesystem) < 0) return false;
  // We come from there, or the host's programs are in one, which is another matter.
  if (filesystem.f_type == OVERLAYFS_SUPER_MAGIC) return false;
  char path[PATH_MAX];
  long size = call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, long{sizeof(path) - 1});
  if (size <= 0) return false;
  path[size] = '\0';
  char* name = path + size;
  while (name > path && name[-1] != '/') --name;
  if (name - path < 2) return false;  // in the root folder
  name[-1] = '\0';
  fds.folder = call(SYS_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  fds.context = call(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (fds.folder < 0 || fds.context < 0) return false;
  char layers[64];
  write_layers(layers, static_cast<unsigned>(fds.folder));
  if (call(SYS_fsconfig, fds.context, FSCONFIG_SET_STRING, "lowerdir", layers, 0) < 0) return false;
  if (call(SYS_fsconfig, fds.context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) return false;
  fds.mount = call(SYS_fsmount, fds.context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
  if (fds.mount < 0) return false;
  fds.program = call(SYS_openat, fds.mount, name, O_PATH | O_CLOEXEC);
  return fds.program >= 0;
}

}  // namespace

extern "C" {

void gantry_oci_begin(long* stack);
// `stack`: as the kernel hands it to a program.
void gantry_oci_begin(long* stack) {
  char** argv = reinterpret_cast<char**>(stack + 1);
  if (!makes_process(argv)) return;
  Opened fds;
  if (open_in_overlay(fds)) call(SYS_execveat, fds.program, "", argv, argv + stack[0] + 1, AT_EMPTY_PATH);
  close(fds.self);
  close(fds.folder);
  close(fds.context);
  close(fds.mount);
  close(fds.program);
}
}

asm(R"(
  .globl gantry_oci_entry
  .type gantry_oci_entry, @function
gantry_oci_entry:
  xorl %ebp, %ebp
  movq %rsp, %rdi
  pushq %rdx
  pushq %rdx
  call gantry_oci_begin
  popq %rdx
  popq %rdx
  jmp _start
)");

#endif
