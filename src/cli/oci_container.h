// SPDX-License-Identifier: Apache-2.0
// What gantry-oci keeps of a container between its commands, beneath --root (/run/gantry-oci):
//
//   ROOT/ID/          0700; one container
//     lock            held (fcntl) while the container is created, started or deleted
//     state.json      the record below, replaced as a whole
//     config.json     the bundle's, as it was when the container was created: later changes of it mean nothing
//     start           fifo: the container's process reads one byte from it before it executes the program
//     report          fifo: why it could not; its end without a word says that the program runs. Not there when who
//                     made the container waits for that itself
//
// The record is written before anything is made (is_creating), and again when the container waits for its start. All
// else is asked of the kernel: whether the process lives (pidfd, and its start time, so that a number that was given
// away again is never taken for it), whether it waits (only then the fifo has a reader), whether it is frozen. So no
// state is wrong after a kill -9 of gantry-oci, and `delete` removes whatever is left.
//
// `run` does not wait for its container to wait: the record is complete before that has been made (goes_on), and while
// the fifo has a reader the container is one that is created still, or that nobody will complete any more: without the
// byte, when its maker is gone.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/oci/config.h"

namespace gantry::cli {

// Of `state` and `list`, in the specification's words; paused is runc's.
enum class ContainerState { kCreating, kCreated, kRunning, kPaused, kStopped };
const char* to_string(ContainerState state);

struct ContainerRecord {
  std::string id;
  std::string oci_version;
  std::string bundle;  // absolute
  std::string rootfs;  // absolute
  std::string cgroup;  // from the hierarchy's root; empty: it has none, as nobody let its maker have one
  bool made_cgroup = false;
  std::string claim;      // that the cgroup bears while it is this container's: oci_cgroup.h
  bool in_scope = false;  // one that systemd made: oci_scope.h
  // It has a program to run, and no hooks that run after it was created: nobody need read config.json to start or
  // delete it.
  bool is_plain = false;
  bool is_creating = true;
  bool goes_on = false;  // its process does not stop at the gate
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // sys::start_time_of
  std::string created;           // RFC 3339
  std::uint32_t owner = 0;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> streams;  // the standard ones, by CRIU's names: "pipe:[INODE]"
};

// As state.json has it, and back: kDataLoss when it is not whole.
std::string record_text(const ContainerRecord& record);
Result<ContainerRecord> parse_record(std::string_view text);

inline constexpr const char* kStartFifo = "start";
inline constexpr const char* kReportFifo = "report";

class ContainerFolder {
 public:
  // A new one, locked. kAlreadyExists when there is one.
  static Result<ContainerFolder> make(const std::string& root, const std::string& id);
  // Not locked. is_not_found() when there is none.
  static Result<ContainerFolder> open(const std::string& root, const std::string& id);

  // Waits until no other command works on the container. is_not_found() when it was removed meanwhile.
  Status lock();
  Status unlock();
  // Whether another command has it right now.
  Result<bool> is_busy() const;

  Status write(const ContainerRecord& record);
  // The same in two steps: until the second one the container's record is the one from before.
  Status prepare(const ContainerRecord& record);
  Status put_in_place();
  Result<ContainerRecord> read() const;
  Status write_config(std::string_view text);
  Result<runtime::oci::Config> read_config() const;
  // `goes_on`: as in the record.
  Status make_fifos(bool goes_on);
  // Removes it with all that is in it.
  Status remove();

  FdRef dir() const { return dir_; }
  const std::string& id() const { return id_; }

 private:
  ContainerFolder(DirFd root, OwnFd dir, OwnFd lock, std::string id)
      : root_(std::move(root)), dir_(std::move(dir)), lock_(std::move(lock)), id_(std::move(id)) {}
  static Result<ContainerFolder> open_in(DirFd root, const std::string& id);
  DirFd root_;
  OwnFd dir_, lock_;
  std::string id_;
};

// What is so right now. The pidfd is open when the process lives.
struct LiveContainer {
  ContainerRecord record;
  ContainerState state = ContainerState::kStopped;
  PidFd pidfd;
};
// `holds_lock`: then nobody else is creating it.
Result<LiveContainer> look_at(ContainerFolder& folder, bool holds_lock);

struct FoundContainer {
  ContainerFolder folder;
  LiveContainer live;
};
// The one of this id; with `locked`, once no other command works on it. is_not_found() when there is none.
Result<FoundContainer> find_container(const std::string& root, const std::string& id, bool locked);
// The same, where it must have a living process.
Result<FoundContainer> find_running(const std::string& root, const std::string& id);

// Ids of all containers, sorted.
Result<std::vector<std::string>> container_ids(const std::string& root);

// The state as hooks and `state` have it.
std::string state_json(const ContainerRecord& record, ContainerState state, bool for_people);

// A path of the caller's, as the folder in which its last part is, and that part.
struct Place {
  DirFd folder;
  std::string name;
};
Result<Place> open_place(const std::string& path);

// From here, if it is relative.
std::string absolute(const std::string& path);

// Replaces `name` in `dir` as a whole; or the two steps that this is made of, which one process takes.
Status prepare_file(FdRef dir, const std::string& name, std::string_view bytes, mode_t mode);
Status put_in_place(FdRef dir, const std::string& name);
Status replace_file(FdRef dir, const std::string& name, std::string_view bytes, mode_t mode);
// The same for a path; the pid file.
Status replace_file(const std::string& path, std::string_view bytes, mode_t mode);

}  // namespace gantry::cli
