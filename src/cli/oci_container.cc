// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_container.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/text.h"
#include "cgroups/hierarchy.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

namespace json = boost::json;

constexpr const char* kRecord = "state.json";
constexpr std::size_t kMaxRecord = 16U << 20;
constexpr std::size_t kMaxId = 255;  // of a folder's name

Status check_id(const std::string& id) {
  auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '+' ||
           c == '-' || c == '.';
  };
  bool is_name = !id.empty() && id.size() <= kMaxId && id != "." && id != ".." && std::ranges::all_of(id, is_good);
  if (is_name) return {};
  return invalid_argument(
      cat("container id ", quoted(id), " is wrong: 1 to 255 of letters, digits, _ + - . were expected"));
}

std::unexpected<Error> unknown(const std::string& id) { return not_found(cat("container ", id, " does not exist")); }

json::object annotations_json(const ContainerRecord& record) {
  json::object out;
  for (const auto& [name, value] : record.annotations) out[name] = value;
  return out;
}

std::string temporary_name(const std::string& name) { return cat(".", name, ".", ::getpid()); }

// Whether the process has ended, by its pidfd.
bool has_ended(FdRef pidfd) {
  pollfd entry{pidfd.get(), POLLIN, 0};
  return ::poll(&entry, 1, 0) != 0;
}

// Whether there is a byte in the fifo: one more is written than its process takes.
bool is_gate_open(FdRef start) {
  int size = 0;
  return ::ioctl(start.get(), FIONREAD, &size) == 0 && size > 0;
}

// The record's process, if it lives.
Result<PidFd> find_process(const ContainerRecord& record) {
  if (record.pid <= 0) return PidFd();
  auto pidfd = sys::pidfd_open(record.pid);
  if (!pidfd) {
    if (pidfd.error().is_gone() || pidfd.error().is_not_found()) return PidFd();
    return std::unexpected(std::move(pidfd.error()));
  }
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  if (!proc) return std::unexpected(std::move(proc.error()));
  // Read while the pidfd holds: a number that came to another process has another start time.
  auto started = sys::start_time_of(*proc, record.pid);
  if (!started || *started != record.start_time || has_ended(*pidfd)) return PidFd();
  return pidfd;
}

}  // namespace

Result<ContainerRecord> parse_record(std::string_view text) {
  json::error_code error;
  auto document = json::parse(json::string_view(text.data(), text.size()), error);
  auto broken = [] { return fail(Code::kDataLoss, "state.json is unreadable"); };
  if (error || !document.is_object()) return broken();
  const json::object& object = document.get_object();
  ContainerRecord record;
  auto text_of = [&](const char* name, std::string& out) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_string()) return false;
    out.assign(value->get_string().data(), value->get_string().size());
    return true;
  };
  auto number_of = [&](const char* name, auto& out) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_number()) return false;
    json::error_code wrong;
    out = value->to_number<std::decay_t<decltype(out)>>(wrong);
    return !wrong;
  };
  auto flag_of = [&](const char* name, bool& out) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_bool()) return false;
    out = value->get_bool();
    return true;
  };
  bool is_whole = text_of("id", record.id) && text_of("ociVersion", record.oci_version) &&
                  text_of("bundle", record.bundle) && text_of("rootfs", record.rootfs) &&
                  text_of("cgroup", record.cgroup) && flag_of("madeCgroup", record.made_cgroup) &&
                  flag_of("creating", record.is_creating) && number_of("pid", record.pid) &&
                  number_of("startTime", record.start_time) && text_of("created", record.created) &&
                  number_of("owner", record.owner);
  if (!is_whole) return broken();
  // Not there in records of before.
  (void)flag_of("inScope", record.in_scope);
  (void)flag_of("plain", record.is_plain);
  (void)flag_of("goesOn", record.goes_on);
  (void)text_of("claim", record.claim);
  if (const json::value* streams = object.if_contains("streams"); streams != nullptr && streams->is_array()) {
    for (const json::value& each : streams->get_array())
      record.streams.emplace_back(each.is_string() ? std::string_view(each.get_string()) : std::string_view());
  }
  const json::value* annotations = object.if_contains("annotations");
  if (annotations == nullptr || !annotations->is_object()) return broken();
  for (const auto& entry : annotations->get_object()) {
    if (!entry.value().is_string()) return broken();
    record.annotations[std::string(entry.key().data(), entry.key().size())] = std::string(entry.value().get_string());
  }
  return record;
}

std::string record_text(const ContainerRecord& record) {
  json::object out;
  out["id"] = record.id;
  out["ociVersion"] = record.oci_version;
  out["bundle"] = record.bundle;
  out["rootfs"] = record.rootfs;
  out["cgroup"] = record.cgroup;
  out["madeCgroup"] = record.made_cgroup;
  out["claim"] = record.claim;
  out["inScope"] = record.in_scope;
  out["plain"] = record.is_plain;
  out["creating"] = record.is_creating;
  out["goesOn"] = record.goes_on;
  out["pid"] = record.pid;
  out["startTime"] = record.start_time;
  out["created"] = record.created;
  out["owner"] = record.owner;
  out["annotations"] = annotations_json(record);
  json::array streams;
  for (const std::string& each : record.streams) streams.emplace_back(each);
  out["streams"] = std::move(streams);
  return json::serialize(out);
}

const char* to_string(ContainerState state) {
  constexpr const char* kNames[] = {"creating", "created", "running", "paused", "stopped"};
  return kNames[static_cast<std::size_t>(state)];
}

Status prepare_file(FdRef dir, const std::string& name, std::string_view bytes, mode_t mode) {
  std::string temporary = temporary_name(name);
  auto file = sys::openat(dir, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  if (!file && file.error().is_already_exists()) {
    // A process of this number was killed on the way, and is not there any more.
    if (auto s = sys::unlinkat(dir, temporary.c_str(), 0); !s) return s;
    file = sys::openat(dir, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  }
  if (!file) return std::unexpected(std::move(file.error()));
  auto s = sys::write_all(*file, bytes);
  if (!s) (void)sys::unlinkat(dir, temporary.c_str(), 0);
  return s;
}

Status put_in_place(FdRef dir, const std::string& name) {
  std::string temporary = temporary_name(name);
  auto s = sys::renameat2(dir, temporary.c_str(), dir, name.c_str(), 0);
  if (!s) (void)sys::unlinkat(dir, temporary.c_str(), 0);
  return s;
}

Status replace_file(FdRef dir, const std::string& name, std::string_view bytes, mode_t mode) {
  auto s = prepare_file(dir, name, bytes, mode);
  return s ? put_in_place(dir, name) : s;
}

std::string absolute(const std::string& path) {
  char here[PATH_MAX];
  bool is_relative = !path.starts_with('/') && ::getcwd(here, sizeof(here)) != nullptr;
  return is_relative ? cat(here, "/", path) : path;
}

Result<Place> open_place(const std::string& path) {
  std::size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return std::unexpected(std::move(dir.error()));
  return Place{std::move(*dir), path.substr(slash + 1)};  // npos + 1 is 0
}

Status replace_file(const std::string& path, std::string_view bytes, mode_t mode) {
  auto place = open_place(path);
  if (!place) return std::unexpected(std::move(place.error()));
  return replace_file(place->folder, place->name, bytes, mode);
}

Result<ContainerFolder> ContainerFolder::make(const std::string& root, const std::string& id) {
  if (auto s = check_id(id); !s) return std::unexpected(std::move(s.error()));
  if (auto s = sys::make_folders(root, 0700); !s) return std::unexpected(std::move(s.error()));
  auto above = sys::open_dir(sys::kCwd, root.c_str());
  if (!above) return std::unexpected(std::move(above.error()));
  if (auto s = sys::mkdirat(*above, id.c_str(), 0700); !s) {
    if (s.error().is_already_exists())
      return fail(Code::kAlreadyExists, cat("container with id ", id, " exists already"));
    return std::unexpected(std::move(s.error()));
  }
  auto folder = open_in(std::move(*above), id);
  if (!folder) return folder;
  // A delete may have come between; then this name is not ours any more.
  if (auto s = folder->lock(); !s) return std::unexpected(std::move(s.error()));
  return folder;
}

Result<ContainerFolder> ContainerFolder::open_in(DirFd root, const std::string& id) {
  auto dir = sys::openat2(root, id.c_str(), O_RDONLY | O_DIRECTORY, sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
  if (dir) {
    auto lock = sys::openat(*dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (lock) return ContainerFolder(std::move(root), std::move(*dir), std::move(*lock), id);
    dir = std::unexpected(std::move(lock.error()));
  }
  if (dir.error().is_not_found()) return unknown(id);
  return std::unexpected(std::move(dir.error()));
}

Result<ContainerFolder> ContainerFolder::open(const std::string& root, const std::string& id) {
  if (auto s = check_id(id); !s) return std::unexpected(std::move(s.error()));
  auto above = sys::open_dir(sys::kCwd, root.c_str());
  if (!above) {
    if (above.error().is_not_found()) return unknown(id);
    return std::unexpected(std::move(above.error()));
  }
  return open_in(std::move(*above), id);
}

Status ContainerFolder::lock() {
  if (auto s = sys::lock_for_process(lock_); !s) return s;
  auto info = sys::fstat(dir_);
  if (!info) return std::unexpected(std::move(info.error()));
  if (info->st_nlink == 0) return unknown(id_);
  return {};
}

Status ContainerFolder::unlock() { return sys::unlock_for_process(lock_); }

Result<bool> ContainerFolder::is_busy() const { return sys::is_locked_by_another(lock_); }

Status ContainerFolder::prepare(const ContainerRecord& record) {
  return prepare_file(dir_, kRecord, record_text(record), 0600);
}

Status ContainerFolder::put_in_place() { return cli::put_in_place(dir_, kRecord); }

Status ContainerFolder::write(const ContainerRecord& record) {
  auto s = prepare(record);
  return s ? put_in_place() : s;
}

Result<ContainerRecord> ContainerFolder::read() const {
  auto text = sys::read_file(dir_, kRecord, kMaxRecord);
  if (!text) return std::unexpected(std::move(text.error()));
  return parse_record(*text);
}

Status ContainerFolder::write_config(std::string_view text) { return replace_file(dir_, "config.json", text, 0600); }

Result<runtime::oci::Config> ContainerFolder::read_config() const {
  auto text = sys::read_file(dir_, "config.json", runtime::oci::kMaxConfigBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  return runtime::oci::parse_config(*text);
}

Status ContainerFolder::make_fifos(bool goes_on) {
  auto s = sys::mknodat(dir_, kStartFifo, S_IFIFO | 0600, 0);
  return !s || goes_on ? s : sys::mknodat(dir_, kReportFifo, S_IFIFO | 0600, 0);
}

Status ContainerFolder::remove() { return sys::remove_tree(root_, id_.c_str()); }

Result<LiveContainer> look_at(ContainerFolder& folder, bool holds_lock) {
  LiveContainer live;
  auto record = folder.read();
  bool is_unwritten = !record && record.error().is_not_found();
  if (!record && !is_unwritten) return fail_with(std::move(record.error()), cat("container ", folder.id()));
  if (record) live.record = std::move(*record);
  if (is_unwritten) live.record.id = folder.id();  // its creator has just begun, or was killed
  // Before its gate is looked at, which its creator opens before it lets go.
  Result<bool> busy = false;
  if (!holds_lock && (live.record.is_creating || live.record.goes_on)) busy = folder.is_busy();
  if (!busy) return std::unexpected(std::move(busy.error()));
  if (live.record.is_creating) {
    if (*busy) live.state = ContainerState::kCreating;
    return live;
  }
  auto pidfd = find_process(live.record);
  if (!pidfd) return std::unexpected(std::move(pidfd.error()));
  if (!pidfd->is_open()) return live;
  // Only a process that waits for its start reads from it, or one that has not come so far.
  auto waits = sys::openat(folder.dir(), kStartFifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
  bool is_unfinished = waits && live.record.goes_on;
  if (is_unfinished && !holds_lock) {
    if (*busy || is_gate_open(*waits)) live.state = ContainerState::kCreating;
    return live;
  }
  live.pidfd = std::move(*pidfd);  // by this delete ends it
  if (is_unfinished) return live;
  live.state = waits ? ContainerState::kCreated : ContainerState::kRunning;
  if (live.record.cgroup.empty()) return live;
  if (auto hierarchy = cgroups::Hierarchy::find()) {
    auto cgroup = hierarchy->open(live.record.cgroup);
    auto events = cgroup ? cgroup->events() : Result<cgroups::Cgroup::Events>();
    if (cgroup && events && events->frozen) live.state = ContainerState::kPaused;
  }
  return live;
}

Result<FoundContainer> find_container(const std::string& root, const std::string& id, bool locked) {
  auto folder = ContainerFolder::open(root, id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (locked) {
    if (auto s = folder->lock(); !s) return std::unexpected(std::move(s.error()));
  }
  auto live = look_at(*folder, locked);
  if (!live) return std::unexpected(std::move(live.error()));
  return FoundContainer{std::move(*folder), std::move(*live)};
}

Result<FoundContainer> find_running(const std::string& root, const std::string& id) {
  auto found = find_container(root, id, false);
  if (!found || found->live.pidfd.is_open()) return found;
  return fail(Code::kFailedPrecondition,
              cat("container ", id, " is not running: it is ", to_string(found->live.state)));
}

Result<std::vector<std::string>> container_ids(const std::string& root) {
  std::vector<std::string> ids;
  auto above = sys::open_dir(sys::kCwd, root.c_str());
  if (!above) {
    if (above.error().is_not_found()) return ids;
    return std::unexpected(std::move(above.error()));
  }
  auto names = sys::list_dir(*above);
  if (!names) return names;
  for (std::string& name : *names) {
    auto info = sys::fstatat(*above, name.c_str(), AT_SYMLINK_NOFOLLOW);
    if (info && S_ISDIR(info->st_mode) && check_id(name)) ids.push_back(std::move(name));
  }
  std::ranges::sort(ids);
  return ids;
}

std::string state_json(const ContainerRecord& record, ContainerState state, bool for_people) {
  json::object out;
  out["ociVersion"] = record.oci_version.empty() ? "1.2.0" : record.oci_version;
  out["id"] = record.id;
  out["pid"] = state == ContainerState::kStopped ? 0 : record.pid;
  out["status"] = to_string(state);
  out["bundle"] = record.bundle;
  if (!record.annotations.empty()) out["annotations"] = annotations_json(record);
  if (for_people) {
    out["rootfs"] = record.rootfs;
    out["created"] = record.created;
    out["owner"] = record.owner == 0 ? "root" : cat("#", record.owner);
  }
  return json::serialize(out);
}

}  // namespace gantry::cli
