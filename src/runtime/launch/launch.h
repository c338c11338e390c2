// SPDX-License-Identifier: Apache-2.0
// Plan in, process out. launch() runs in the child right after clone3, in a static, single-threaded program; it carries
// the plan out step by step and ends in execve. It decides nothing, parses no text, and allocates only to say why it
// failed.
//
// The report socket (SOCK_SEQPACKET, close-on-exec) tells the parent how it went: a Report when the process waits at
// its hold (Plan::hold); one with a terminal's master as soon as there is one; one with the number of a seccomp
// filter's listener, which the parent copies (pidfd_getfd) and answers with one byte; one with the reason when a step
// fails; its end without one when the program has been executed, or the process was killed on the way: LaunchNotes tell
// which.
//
// An exec, and a container in a PID namespace that others are in, take two processes. The first stays in the parent's
// PID namespace, where nobody in the container sees it, and gives up all that the container does not have; then it
// makes the second, the parent's child too, in the container's PID namespace, and ends. So a process with
// CAP_SYS_PTRACE in there never meets one with more privileges or descriptors than its own (CVE-2016-9962; to be
// non-dumpable does not help against that capability).
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/plan/plan.h"
#include "sys/process.h"

namespace gantry::runtime {

// Where a container's root is put together, in the launcher's own mount namespace, in which it sees nothing but these
// (shim/world.h makes them).
inline constexpr const char* kStagingRoot = "/r";       // the root is mounted here, then pivoted into
inline constexpr const char* kStagingStore = "/s";      // the image store, for overlay
inline constexpr const char* kStagingUpper = "/upper";  // a container's folder in it, where its ids differ
inline constexpr const char* kStagingShm = "/shm";      // the pod's /dev/shm
inline constexpr const char* kStagingEmpty = "/empty";  // a read-only folder: masks folders
inline constexpr const char* kStagingNull = "/null";    // the null device: masks files
inline constexpr const char* kStagingProc = "/proc";    // a procfs of the PID namespace that the pod shares, if it does
inline constexpr const char* kStagingImage = "/image";  // an image that is mounted in part
// Of a container without a pod and an image store:
inline constexpr const char* kStagingHost = kStagingStore;  // for LaunchHooks
inline constexpr const char* kStagingFolder = kStagingShm;  // a folder and a file, for what only has to be mounted
inline constexpr const char* kStagingFile = "/file";
// For a user namespace, in which the kernel mounts these only where they are seen whole already: the host's.
inline constexpr const char* kStagingHostProc = "/host-proc";
inline constexpr const char* kStagingHostSys = "/host-sys";

// What a launch spends its time on, in this order.
enum class LaunchStep : std::uint8_t { kSpawn, kNamespaces, kMounts, kProcess, kSeccomp };
inline constexpr const char* kLaunchStepNames[] = {"spawn", "namespaces", "mounts", "process", "seccomp"};
inline constexpr std::size_t kLaunchSteps = std::size(kLaunchStepNames);

// Memory that the launching process shares with its parent, and with nobody that lives in a container.
struct LaunchNotes {
  // All steps of ours are done but the last filter and execve: an end of the report socket from here on is the
  // program's beginning.
  volatile std::uint32_t ready = 0;
  // The second process, as the parent's PID namespace has it. 0: there is none.
  volatile std::int32_t pid = 0;
  // Whom a midwife (CloneNeeds) has made, as the parent's PID namespace has it.
  volatile std::int32_t born = 0;
  // When the step that is on its way began, by the monotonic clock, and by the one that is the same in all time
  // namespaces. 0: nobody asks for times, and no clock is looked at
  // (behind a filter that might kill for it).
  volatile std::uint64_t begun = 0, begun_outside = 0;
  // Nanoseconds that each step took so far, what was waited for left out. The second process tells none.
  volatile std::uint64_t took[kLaunchSteps] = {};

  void begin();
  // In another time namespace than begin() was called in: the step goes on.
  void go_on();
};

// What gantry-oci has; of a pod's container only hooks with before_root. Hooks in the container's namespaces are called
// in the launching process, which is a copy of who has made this; where they fail, so does the launch.
struct LaunchHooks {
  // The container is a pod's, as those without any of this are.
  bool is_pods = false;
  // Who has made this maps the ids of the plan's new user namespace, and says so by a byte on the report socket. Nobody
  // else's plan may make one: its process would wait for ever.
  bool map_ids = false;
  // First of all: empties the new process's mount namespace (shim/world.h), when the launcher's is the host's.
  std::function<Status()> enter_world;
  // Of a container without a mount namespace of its own: the one that its process goes to once the root is made. That
  // root is mounted in none, and ends with the last process that has it; set-user-id files gain nothing in it.
  FdRef mount_namespace;
  // Of an exec in such a container: its root.
  FdRef joined_root;
  // Of an exec: the kinds of namespaces that its process shares with the launcher already. To join one's own may take
  // privileges that only its owner has.
  sys::CloneFlag shared = sys::CloneFlag::kNone;
  // The root with its mounts and devices is made. "/" is a private copy of all that the host has mounted, in which that
  // root lies where it lies on the host. Into a PID namespace that others are in they are not born: these would reach
  // the host by them.
  std::function<Status()> before_root;
  FdRef host;        // that copy, detached, when there is a before_root
  std::string root;  // the place in it
  // After the gate, right before execve, and before the filter if it comes last: all is the container's already.
  std::function<Status()> before_program;
  // Asks for the times in the notes.
  bool tells_times = false;
  // Who has made this is not root of the host, and may take a filter's listener only of a process that does not hide
  // (PR_SET_DUMPABLE). By then it has nothing more to hide than its program will have.
  bool shows_listener = false;
};

struct LaunchRequest {
  // The plan's flat form in a private, writable mapping.
  std::span<char> plan;
  // What the plan's descriptor indices name.
  std::span<const OwnFd> fds;
  // Standard input, output and error; not used with a terminal.
  FdRef in, out, err;
  FdRef report;
  // Of a container: a process (a pidfd) whose PID namespace it joins, the pod's or another container's.
  FdRef join_pid;
  bool join_pod = false;
  // None for most.
  const LaunchHooks* hooks = nullptr;
  // What a midwife has put together for a pod's container: its root, and its images in the plan's order.
  MountFd root;
  std::vector<MountFd> images;
  // A page of its own, mapped shared.
  LaunchNotes* notes = nullptr;
};

// Which namespaces the clone3 of this plan's process makes; kInvalidArgument for bytes that are no plan of a known
// version. Also finds the process whose PID namespace the container joins.
struct CloneNeeds {
  sys::CloneFlag flags = sys::CloneFlag::kNone;
  FdIndex join_pid = kNoFd;
  // By another process, which is made for this alone: it enters what the plan's process is to be born in, with
  // privileges that the latter does not have any more, or because one can only be born there (a new time namespace).
  bool midwife = false;
};
Result<CloneNeeds> clone_needs(std::span<const char> plan);

// In that other process, right after its clone. For a pod's container it also does all that takes privileges on the
// host: to put the root and images together, to own the standard streams, to take on OOM score and profiles.
Status attend_birth(LaunchRequest& request);

// In the child. Does not return.
[[noreturn]] void launch(LaunchRequest request);
// Reports why, and ends the process.
[[noreturn]] void end_launch(FdRef report, const Error& error);

// What comes over the report socket, as the parent reads it.
struct Report {
  enum class Kind : std::uint8_t { kTerminal = 1, kFailed = 2, kHeld = 3, kListener = 4 };
  Kind kind = Kind::kFailed;
  std::int32_t code = 0;  // gantry::Code; of kListener a descriptor in the process that reports
  std::string message;    // UTF-8
};
// Bytes of the longest report.
inline constexpr std::size_t kMaxReport = 1024;
Result<Report> decode_report(std::string_view packet);

}  // namespace gantry::runtime
