// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_folders.h"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/log_file.h"
#include "agent/pod_spec_to_cri.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount_table.h"
#include "volumes/prepare.h"

namespace gantry::agent {
namespace {

constexpr char kHosts[] = "etc-hosts";
constexpr std::size_t kMaxHosts = 1U << 20;
constexpr std::size_t kLogEndBytes = 2048;
constexpr std::size_t kLogEndLines = 80;
constexpr std::size_t kLogReadBytes = 16 * 1024;  // with each line's time and stream

// The last `limit` bytes of a regular file. Empty when it is none: a message is no reason to fail.
std::string read_end(FdRef file, std::size_t limit) {
  auto info = sys::fstat(file);
  if (!info || !S_ISREG(info->st_mode)) return "";
  auto size = static_cast<std::size_t>(info->st_size);
  if (size > limit) ::lseek(file.get(), static_cast<off_t>(size - limit), SEEK_SET);
  std::string text(limit, '\0');
  std::size_t have = 0;
  while (have < limit) {
    auto more = sys::read(file, text.data() + have, limit - have);
    if (!more || *more == 0) break;
    have += *more;
  }
  text.resize(have);
  return text;
}

// "TIME STREAM TAG TEXT" -> TEXT; a line that the write's limit cut in two (tag P) goes on in the next one.
std::string_view text_of(std::string_view line, bool& is_whole) {
  std::string_view tag;
  for (int field = 0; field < 3; ++field) {
    auto space = line.find(' ');
    tag = line.substr(0, space);
    if (space == std::string_view::npos) return {};
    line.remove_prefix(space + 1);
  }
  is_whole = tag != "P";
  return line;
}

// One that leads into our logs and to nothing there.
bool is_dead_link(FdRef folder, const std::string& name, const std::string& logs) {
  auto target = sys::readlinkat(folder, name.c_str());
  if (!target || !target->starts_with(logs + "/")) return false;
  auto info = sys::fstatat(sys::kCwd, target->c_str(), AT_SYMLINK_NOFOLLOW);
  return !info && info.error().is_not_found();
}

// Removes what is at `path`, a folder of ours and a name in it.
Status remove_below(const std::string& folder, const std::string& name) {
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) {
    if (dir.error().is_not_found()) return {};
    return fail_with(std::move(dir.error()), folder);
  }
  if (auto removed = sys::remove_tree(*dir, name.c_str()); !removed) {
    return fail_with(std::move(removed.error()), absl::StrCat("remove ", folder, "/", name));
  }
  return {};
}

// What is mounted there is not ours: nothing is removed while it may be somebody's data that we see.
Status refuse_mounts(const std::string& folder) {
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return dir.error().is_not_found() ? Status() : fail_with(std::move(dir.error()), folder);
  return sys::refuse_mounts(*dir, folder);
}

}  // namespace

Status PodFolders::prepare() const {
  for (const auto& [path, mode] : {std::pair{root_ + "/pods", 0750}, std::pair{logs_, 0755}, std::pair{links_, 0755}}) {
    if (auto made = sys::make_folders(path, static_cast<mode_t>(mode)); !made) return made;
  }
  auto dir = sys::open_dir(sys::kCwd, links_.c_str());
  auto names = dir ? sys::list_dir(*dir) : std::unexpected(dir.error());
  if (!names) return fail_with(std::move(names.error()), links_);
  for (const auto& name : *names) {
    if (is_dead_link(*dir, name, logs_)) (void)sys::unlinkat(*dir, name.c_str(), 0);
  }
  return {};
}

Result<std::string> PodFolders::make_termination_log(std::string_view uid, std::string_view container,
                                                     std::uint32_t attempt) const {
  std::string folder = absl::StrCat(pod_folder(uid), "/containers/", std::string(container));
  if (auto made = sys::make_folders(folder, 0750); !made) return std::unexpected(std::move(made.error()));
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return fail_with(std::move(dir.error()), folder);
  std::string name = absl::StrCat(attempt);
  // One of a try that failed must not speak for this one.
  if (auto gone = sys::unlinkat(*dir, name.c_str(), 0); !gone && !gone.error().is_not_found()) {
    return fail_with(std::move(gone.error()), folder);
  }
  auto file = sys::openat(*dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
  if (!file) return fail_with(std::move(file.error()), folder);
  if (auto set = sys::fchmod(*file, 0666); !set) return std::unexpected(std::move(set.error()));  // whatever the umask
  return absl::StrCat(folder, "/", name);
}

Result<std::string> PodFolders::write_hosts(std::string_view uid, std::string_view text) const {
  std::string folder = pod_folder(uid);
  if (auto made = sys::make_folders(folder, 0750); !made) return std::unexpected(std::move(made.error()));
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return fail_with(std::move(dir.error()), folder);
  auto file = sys::openat(*dir, kHosts, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644);
  if (!file) return fail_with(std::move(file.error()), folder);
  if (auto set = sys::fchmod(*file, 0644); !set) return std::unexpected(std::move(set.error()));  // whatever the umask
  std::string path = absl::StrCat(folder, "/", kHosts);
  // Containers of the pod may be reading it.
  if (auto there = sys::read_all(*file, kMaxHosts); there && *there == text) return path;
  if (auto cut = sys::ftruncate(*file, 0); !cut) return fail_with(std::move(cut.error()), path);
  ::lseek(file->get(), 0, SEEK_SET);
  if (auto written = sys::write_all(*file, text); !written) return fail_with(std::move(written.error()), path);
  return path;
}

std::string PodFolders::read_termination_log(const std::string& path) const {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
  return file ? read_end(*file, kMaxTerminationMessage) : std::string();
}

std::string PodFolders::read_log_end(const std::string& log_path) const {
  auto log = open_log(logs_, log_path);
  if (!log) return "";
  std::string text = read_end(log->fd, kLogReadBytes);
  std::string_view rest = text;
  // The first line may have been cut.
  if (text.size() == kLogReadBytes) rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
  std::vector<std::string> lines(1);
  for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos; rest.remove_prefix(end + 1)) {
    bool is_whole = true;
    lines.back() += text_of(rest.substr(0, end), is_whole);
    if (!is_whole) continue;
    lines.back() += '\n';
    lines.emplace_back();
  }
  std::string out;
  std::size_t first = lines.size() > kLogEndLines + 1 ? lines.size() - kLogEndLines - 1 : 0;
  for (std::size_t i = first; i < lines.size(); ++i) out += lines[i];
  if (out.size() > kLogEndBytes) out.erase(0, out.size() - kLogEndBytes);
  return out;
}

Status PodFolders::link_log(const std::string& link, const std::string& target) const {
  auto dir = sys::open_dir(sys::kCwd, links_.c_str());
  if (!dir) return fail_with(std::move(dir.error()), links_);
  auto made = sys::symlinkat(target.c_str(), *dir, link.c_str());
  if (made || !made.error().is_already_exists()) return made;
  auto old = sys::readlinkat(*dir, link.c_str());
  if (old && *old == target) return {};
  if (auto gone = sys::unlinkat(*dir, link.c_str(), 0); !gone) return gone;
  return sys::symlinkat(target.c_str(), *dir, link.c_str());
}

Status PodFolders::remove_container_files(std::string_view uid, std::string_view container, std::uint32_t attempt,
                                          std::string_view pod_log_folder, const std::string& link) const {
  if (auto done = remove_below(links_, link); !done) return done;
  std::string name = absl::StrCat(attempt);
  auto done = remove_below(absl::StrCat(pod_folder(uid), "/containers/", std::string(container)), name);
  if (!done) return done;
  const std::string log = name + ".log";
  const std::string path = absl::StrCat(logs_, "/", std::string(pod_log_folder), "/", std::string(container), "/", log);
  auto found = find_log(logs_, path);
  if (!found && found.error().is_not_found()) return {};
  auto dir = found ? sys::openat(found->folder, ".", O_RDONLY | O_DIRECTORY) : std::unexpected(found.error());
  auto names = dir ? sys::list_dir(*dir) : std::unexpected(dir.error());
  if (!names) return fail_with(std::move(names.error()), path);
  for (const auto& file : *names) {
    if (file != log && !file.starts_with(log + ".")) continue;  // ATTEMPT.log.TIME, rotated
    auto gone = sys::unlinkat(*dir, file.c_str(), 0);
    if (!gone && !gone.error().is_not_found()) return fail_with(std::move(gone.error()), path);
  }
  return {};
}

// Out of the way in one step, so that a pod which comes again with the same uid never finds a part of its volumes.
Status PodFolders::remove_folder(std::string_view uid) const {
  std::string pods = root_ + "/pods";
  std::string going = absl::StrCat(".", std::string(uid), ".going");  // no uid begins with a dot
  auto remove_going = [&]() -> Status {
    if (auto done = volumes::unmount(pod_folder(going)); !done) return done;
    if (auto free = refuse_mounts(pod_folder(going)); !free) return free;
    return remove_below(pods, going);
  };
  if (auto done = remove_going(); !done) return done;  // of an earlier try
  auto dir = sys::open_dir(sys::kCwd, pods.c_str());
  if (!dir) return dir.error().is_not_found() ? Status() : fail_with(std::move(dir.error()), pods);
  auto renamed = sys::renameat2(*dir, std::string(uid).c_str(), *dir, going.c_str(), 0);
  if (!renamed) return renamed.error().is_not_found() ? Status() : renamed;
  return remove_going();
}

Status PodFolders::remove_pod(std::string_view uid, std::string_view pod_log_folder) const {
  if (auto done = remove_folder(uid); !done) return done;
  auto dir = sys::open_dir(sys::kCwd, links_.c_str());
  if (auto done = remove_below(logs_, std::string(pod_log_folder)); !done) return done;
  auto names = dir ? sys::list_dir(*dir) : Result<std::vector<std::string>>();
  if (!names) return {};
  std::string ours = absl::StrCat(logs_, "/", std::string(pod_log_folder), "/");
  for (const auto& name : *names) {
    auto target = sys::readlinkat(*dir, name.c_str());
    if (target && target->starts_with(ours)) (void)sys::unlinkat(*dir, name.c_str(), 0);
  }
  return {};
}

}  // namespace gantry::agent
