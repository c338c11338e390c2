// SPDX-License-Identifier: Apache-2.0
#include "base/layout.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <thread>

#include "base/random.h"
#include "base/records.h"

namespace gantry {
namespace {

constexpr const char* kLock = "gantryd.lock";
constexpr const char* kInstance = "instance";
constexpr std::size_t kInstanceDigits = 16;
// For what an earlier gantryd left behind.
constexpr std::chrono::seconds kPatience{5};

std::unexpected<Error> failed(const char* call, const std::string& what) {
  int error = errno;
  return std::unexpected(Error::from_errno(error, std::string(call) + " " + what));
}

// Makes the folder if it is not there, and opens it.
Result<DirFd> make_folder(FdRef parent, const char* name, const std::string& shown, mode_t mode) {
  if (::mkdirat(parent.get(), name, mode) < 0 && errno != EEXIST) return failed("mkdir", shown);
  DirFd dir(::openat(parent.get(), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir.is_open()) return failed("open folder", shown);
  return dir;
}

// A root with all that is above it; the folders above are as the system has them (0755).
Result<DirFd> make_root(const std::string& path) {
  if (!path.starts_with('/')) return invalid_argument("folder \"" + path + "\": expected an absolute path");
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    std::string above = path.substr(0, slash);
    if (::mkdir(above.c_str(), 0755) < 0 && errno != EEXIST && errno != EROFS) return failed("mkdir", above);
  }
  auto root = make_folder(FdRef(AT_FDCWD), path.c_str(), path, 0700);
  if (!root) return root;
  struct stat info;
  if (::fstat(root->get(), &info) < 0) return failed("fstat", path);
  if (info.st_uid != ::geteuid()) {
    return fail(Code::kFailedPrecondition, "folder " + path + " belongs to user " + std::to_string(info.st_uid) +
                                               ", not to " + std::to_string(::geteuid()));
  }
  if ((info.st_mode & 0022) != 0) {
    return fail(Code::kFailedPrecondition, "folder " + path + " is writable by others; make it mode 0700");
  }
  return root;
}

Result<DirFd> make_checked(FdRef parent, std::string_view id) {
  if (auto checked = check_name(id, "sandbox id"); !checked) return std::unexpected(std::move(checked.error()));
  std::string name(id);
  return make_folder(parent, name.c_str(), name, 0700);
}

Result<DirFd> open_checked(FdRef parent, std::string_view id) {
  if (auto checked = check_name(id, "sandbox id"); !checked) return std::unexpected(std::move(checked.error()));
  std::string name(id);
  DirFd dir(::openat(parent.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.is_open()) return failed("open folder", name);
  return dir;
}

// At most `size` bytes of a small file; nothing when it is not there.
Result<std::string> read_short(FdRef dir, const char* name, const std::string& shown, bool& found) {
  found = false;
  OwnFd fd(::openat(dir.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.is_open()) {
    if (errno == ENOENT) return std::string();
    return failed("open", shown);
  }
  found = true;
  char text[64];
  ssize_t size = ::read(fd.get(), text, sizeof(text));
  if (size < 0) return failed("read", shown);
  return std::string(text, static_cast<std::size_t>(size));
}

std::string holder_of(FdRef lock) {
  char text[32];
  ssize_t size = ::pread(lock.get(), text, sizeof(text), 0);
  std::string pid(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!pid.empty() && (pid.back() < '0' || pid.back() > '9')) pid.pop_back();
  return pid;
}

// Who was killed may have left a child that was about to execute a program: until it has, or has ended, it has the
// lock.
bool is_left_behind(const std::string& pid) {
  pid_t number = 0;
  auto [end, problem] = std::from_chars(pid.data(), pid.data() + pid.size(), number);
  return problem == std::errc() && end == pid.data() + pid.size() && number > 0 && ::kill(number, 0) < 0 &&
         errno == ESRCH;
}

bool try_lock(FdRef lock) { return ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0; }

Result<OwnFd> take_lock(FdRef dir, const std::string& root) {
  OwnFd fd(::openat(dir.get(), kLock, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.is_open()) return failed("open", root + "/" + kLock);
  auto until = std::chrono::steady_clock::now() + kPatience;
  while (!try_lock(fd)) {
    if (errno != EWOULDBLOCK) return failed("flock", root + "/" + kLock);
    std::string pid = holder_of(fd);
    // flock() that waits has no limit.
    if (is_left_behind(pid) && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      continue;
    }
    return fail(Code::kFailedPrecondition,
                "folder " + root + " is in use by another gantryd" + (pid.empty() ? "" : " (pid " + pid + ")"));
  }
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) < 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
    return failed("write", root + "/" + kLock);
  }
  return fd;
}

// Nothing (an empty id) when there is none.
Result<std::string> read_instance(FdRef dir, const std::string& root) {
  bool found = false;
  std::string shown = root + "/" + kInstance;
  auto text = read_short(dir, kInstance, shown, found);
  if (!text || !found) return text;
  bool good = text->size() == kInstanceDigits + 1 && text->ends_with('\n') &&
              text->find_first_not_of("0123456789abcdef") == kInstanceDigits;
  if (!good) {
    return fail(Code::kDataLoss, shown +
                                     ": not an instance id (16 hex digits and a line feed); "
                                     "put back what it was, or remove it to begin as a new node");
  }
  text->pop_back();
  return text;
}

Status write_instance(FdRef dir, const std::string& root, const std::string& id) {
  std::string shown = root + "/" + kInstance;
  std::string temporary = std::string(kInstance) + ".new";
  std::string line = id + "\n";
  OwnFd fd(::openat(dir.get(), temporary.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.is_open()) return failed("create", shown);
  if (::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) return failed("write", shown);
  if (::fsync(fd.get()) < 0) return failed("fsync", shown);
  if (::renameat(dir.get(), temporary.c_str(), dir.get(), kInstance) < 0) return failed("rename", shown);
  OwnFd folder(::openat(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) < 0) return failed("fsync", root);
  return {};
}

}  // namespace

Result<NodeFolders> NodeFolders::open(Layout layout) {
  NodeFolders folders(std::move(layout));
  const Layout& names = folders.layout_;
  auto run = make_root(names.run());
  if (!run) return std::unexpected(std::move(run.error()));
  folders.run_ = std::move(*run);
  auto lib = make_root(names.lib());
  if (!lib) return std::unexpected(std::move(lib.error()));
  folders.lib_ = std::move(*lib);

  struct {
    DirFd* dir;
    FdRef parent;
    const char* name;
    std::string shown;
  } const inner[] = {
      {&folders.run_sandboxes_, folders.run_, "sandboxes", names.run_sandboxes()},
      {&folders.lib_sandboxes_, folders.lib_, "sandboxes", names.lib_sandboxes()},
      {&folders.store_, folders.lib_, "store", names.store()},
  };
  for (const auto& each : inner) {
    auto dir = make_folder(each.parent, each.name, each.shown, 0700);
    if (!dir) return std::unexpected(std::move(dir.error()));
    *each.dir = std::move(*dir);
  }
  for (auto [dir, name] : {std::pair(&folders.layers_, "l"), std::pair(&folders.containers_, "c")}) {
    auto made = make_folder(folders.store_, name, names.store() + "/" + name, 0700);
    if (!made) return std::unexpected(std::move(made.error()));
    *dir = std::move(*made);
  }
  return folders;
}

Status NodeFolders::lock() {
  auto run = take_lock(run_, layout_.run());
  if (!run) return std::unexpected(std::move(run.error()));
  auto lib = take_lock(lib_, layout_.lib());
  if (!lib) return std::unexpected(std::move(lib.error()));
  run_lock_ = std::move(*run);
  lib_lock_ = std::move(*lib);
  return {};
}

Result<DirFd> NodeFolders::make_run_sandbox(std::string_view id) const { return make_checked(run_sandboxes_, id); }
Result<DirFd> NodeFolders::open_run_sandbox(std::string_view id) const { return open_checked(run_sandboxes_, id); }
Result<DirFd> NodeFolders::make_lib_sandbox(std::string_view id) const { return make_checked(lib_sandboxes_, id); }
Result<DirFd> NodeFolders::open_lib_sandbox(std::string_view id) const { return open_checked(lib_sandboxes_, id); }

Result<NodeFolders::Instance> NodeFolders::instance() const {
  auto on_disk = read_instance(lib_, layout_.lib());
  if (!on_disk) return std::unexpected(std::move(on_disk.error()));
  auto in_boot = read_instance(run_, layout_.run());
  if (!in_boot) return std::unexpected(std::move(in_boot.error()));

  Instance instance;
  instance.id = *on_disk;
  if (on_disk->empty()) {
    instance.new_store = true;
    auto id = in_boot->empty() ? random_hex(8) : in_boot;
    if (!id) return std::unexpected(std::move(id.error()));
    instance.id = *id;
    if (auto written = write_instance(lib_, layout_.lib(), instance.id); !written) {
      return std::unexpected(std::move(written.error()));
    }
  }
  if (in_boot->empty()) {
    if (auto written = write_instance(run_, layout_.run(), instance.id); !written) {
      return std::unexpected(std::move(written.error()));
    }
  } else if (*in_boot != instance.id) {
    instance.stranger = *in_boot;
  }
  return instance;
}

}  // namespace gantry
