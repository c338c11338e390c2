// SPDX-License-Identifier: Apache-2.0
// What gantryd and a shim say to each other, over a SOCK_SEQPACKET unix socket: one message a packet, a fixed header,
// then a body in the encoding of base/bytes.h, then descriptors (SCM_RIGHTS) in the order that the message names.
//
// The protocol only grows. No field changes its meaning; new ones go to the end of a body, where a reader ignores what
// it does not know, and takes as zero what is not there. An unknown kind is answered with kFailed (UNIMPLEMENTED) that
// names it. So every gantryd speaks to every shim.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/launch/run_hooks.h"
#include "runtime/oci/id_mappings.h"

namespace gantry::shim {

inline constexpr std::uint32_t kMagic = 0x79'72'74'67;  // "gtry"
inline constexpr std::uint16_t kVersion = 1;
// Bytes of a packet, header and all. Plans are larger and travel as memfds.
inline constexpr std::size_t kMaxPacket = 32768;

enum class Kind : std::uint16_t {
  // ---- to the template (the first shim, which clones the others) ----
  kSpawn =
      1,  // SpawnRequest; fds: shim's cgroup, its listening socket, its first connection, its record folder (a mount),
          // and, for a pod with a user namespace, that
  kUserNamespace = 2,  // UserNamespaceRequest; answered with kDone; fds: one that is made

  // ---- requests to a shim; each is answered with kDone, kStarted or kFailed under the same request number ----
  kConfigure = 10,  // ConfigureRequest; fds: with pod_pid: gantry-init (memfd), its cgroup
  kStart = 11,      // StartRequest; fds: plan (memfd), cgroup, log file, then the plan's own
  kExec =
      12,  // ExecRequest; fds: plan (memfd), cgroup, then stdin, stdout, stderr unless terminal, then the plan's own
  kSignal = 13,       // SignalRequest
  kKillExec = 14,     // ExecReference: SIGKILL to the exec's first process
  kReopenLog = 15,    // ContainerReference; fds: the new log file
  kForget = 16,       // ContainerReference: an exited container's memory and exit record go
  kResize = 17,       // ResizeRequest: of a container's terminal
  kState = 18,        // empty; answered with kStateIs
  kShutdown = 19,     // empty: kills what runs, then the shim ends without an answer
  kAttach = 20,       // AttachRequest; fds: write ends of pipes for what it wants of stdout, stderr. Answered with
                      // kDone; fds: with `in` what to write its input to. A terminal has stdout alone
  kCloseInput = 21,   // ContainerReference: the container's standard input, unless it is a terminal
  kSockets = 22,      // empty; answered with kDone; fds: a TCP socket over IPv4 and one over IPv6, in the pod's network
  kStartHooked = 23,  // StartRequest; fds: ContainerHooks (memfd), a detached copy of all that the host has mounted,
                      // then as of kStart
  // By another OCI runtime of the host; fds: RuntimeCall (memfd), then as of kStart and kExec; the first of the plan's
  // own are the host's mount namespace, a cgroup for the runtime, and, with a terminal, a socket that listens for it.
  kStartByRuntime = 28,  // StartRequest
  kExecByRuntime = 29,   // ExecRequest

  // ---- answers ----
  kDone = 30,     // empty
  kStarted = 31,  // StartedAnswer; of kSpawn: fds: pidfd. Of kExec with terminal: fds: pty master
  kFailed = 32,   // FailedAnswer
  kStateIs = 33,  // StateAnswer

  // ---- events, request number 0 ----
  kHello = 50,       // HelloEvent, first on every connection; on the first of a shim with its own network: fds: a
                     // NETLINK_ROUTE socket
  kExited = 51,      // ExitedEvent: a container ended, its log is complete, its exit record is written
  kExecExited = 52,  // ExecExitedEvent
  kLaunched = 53,    // LaunchedEvent: a container runs, and the connection that asked for it has gone
  kDetached = 54,    // AttachReference: its reader was too slow, and gets no more
};

struct Header {
  std::uint32_t magic = kMagic;
  std::uint16_t version = kVersion;
  Kind kind{};
  std::uint32_t request = 0;
};
inline constexpr std::size_t kHeaderSize = 12;

// Which of its own namespaces a shim makes. Without one it stays in gantryd's (host network and so on).
struct SpawnRequest {
  std::string sandbox_id;
  bool new_net = true, new_ipc = true, new_uts = true;
  // Size limit of the pod's /dev/shm in bytes.
  std::uint64_t shm_bytes = 64U << 20;
  // With a user namespace, whose the new ones then are: what its root is outside.
  std::uint32_t root_uid = 0, root_gid = 0;
};

// A user namespace with these ids, as /proc/PID/uid_map has them.
struct UserNamespaceRequest {
  runtime::oci::IdMappings ids;
};

struct ConfigureRequest {
  std::string hostname;                                      // empty: left as it is
  std::vector<std::pair<std::string, std::string>> sysctls;  // path beneath /proc/sys with slashes, value
  bool pod_pid = false;  // start gantry-init as pid 1 of a PID namespace that containers may join
};

struct StartRequest {
  std::string container_id;
  bool terminal = false;
  bool open_stdin = false;       // keep a pipe open as standard input; otherwise it is /dev/null
  bool join_pod_pid = false;     // into the PID namespace of gantry-init
  std::string target_container;  // into the PID namespace of that running container; empty: no
};

// What is run in the container's namespaces once its root is made, as OCI's createContainer. Travels as a memfd.
struct ContainerHooks {
  std::string root;                        // where the root lies meanwhile, in the host's tree
  std::string state_before, state_behind;  // OCI's state, around the process's number
  std::vector<runtime::Hook> create_container;
};
inline constexpr std::size_t kMaxHookBytes = 2U << 20;

// A mount that an OCI runtime finds beneath its folder, for the time that it makes the container in.
struct RuntimeMount {
  std::string place;         // beneath the folder
  bool is_file = false;      // what is made there to mount it on
  std::int32_t source = -1;  // a detached mount: of the descriptors behind those of every call
  // In place of one: layers of the image store's, read-only, and a path in them that is mounted alone, or "".
  std::string overlay, sub_path;
};
// What is executed, in the host's mount namespace, to make a process of a container. Travels as a memfd.
struct RuntimeCall {
  std::string program;
  std::vector<std::string> env;
  std::vector<std::string> make;   // arguments: makes the process, and ends
  std::vector<std::string> start;  // lets it go on; empty: it does so by itself
  std::string folder;              // where it is executed; absolute
  std::string pid_file;            // beneath it; what says which process that is
  // Of a container: what lies in the folder meanwhile, in a copy of the host's mounts that ends with `make`.
  std::string mount_point;  // of the mount that the folder is on, which passes nothing on to the host in that copy
  std::int32_t store = -1;  // the image store, as a mount's source
  std::string overlay;      // the container's root, mounted on "rootfs"
  std::string shm_place;    // where the pod's /dev/shm goes, or ""
  std::vector<RuntimeMount> mounts;
  // For who is root of a user namespace alone: a folder above the bundle that strangers may not search, in whose place
  // they see one with nothing in it but the pod's folder. "": there is none.
  std::string cover;
};
inline constexpr std::size_t kMaxRuntimeCallBytes = 2U << 20;

struct ExecRequest {
  std::uint32_t exec_id = 0;  // chosen by the caller, unique on its connection
  std::string container_id;
  bool terminal = false;
};

struct SignalRequest {
  std::string container_id;
  std::int32_t signal = 0;
  bool all = false;  // SIGKILL to all of the container's cgroup
};

struct ContainerReference {
  std::string container_id;
};
struct ExecReference {
  std::uint32_t exec_id = 0;
};
struct ResizeRequest {
  std::string container_id;
  std::uint16_t rows = 0, columns = 0;
};

struct AttachRequest {
  std::uint32_t attach_id = 0;  // chosen by the caller, unique on its connection
  std::string container_id;
  bool in = false, out = false, err = false;
  bool close_input = false;  // the container's input ends with this connection at the latest
};
struct AttachReference {
  std::uint32_t attach_id = 0;
};

struct StartedAnswer {
  std::int32_t pid = 0;         // as the shim's PID namespace has it
  std::int64_t started_at = 0;  // nanoseconds since 1970
};

struct FailedAnswer {
  std::int32_t code = 0;  // gantry::Code
  std::string message;
};

struct HelloEvent {
  std::string sandbox_id;
  std::int32_t pid = 0;
};

// Also what an exit record holds.
struct ExitedEvent {
  std::string container_id;
  std::int32_t code = 0;
  std::int32_t signal = 0;
  std::int64_t started_at = 0;
  std::int64_t finished_at = 0;  // nanoseconds since 1970
};

struct ExecExitedEvent {
  std::uint32_t exec_id = 0;
  std::int32_t code = 0;
  std::int32_t signal = 0;
};

struct LaunchedEvent {
  std::string container_id;
  std::int32_t pid = 0;
  std::int64_t started_at = 0;
};

struct ContainerState {
  std::string container_id;
  std::int32_t pid = 0;  // 0 when it ended
  bool exited = false;
  ExitedEvent exit;  // started_at always; the rest when exited
};
struct StateAnswer {
  std::string sandbox_id;
  bool pod_pid = false;
  std::vector<ContainerState> containers;
};

// Bodies to bytes and back. decode_* fails with kInvalidArgument on a body that is too short.
std::string encode(const SpawnRequest& value);
std::string encode(const UserNamespaceRequest& value);
std::string encode(const ConfigureRequest& value);
std::string encode(const StartRequest& value);
std::string encode(const ContainerHooks& value);
std::string encode(const RuntimeCall& value);
std::string encode(const ExecRequest& value);
std::string encode(const SignalRequest& value);
std::string encode(const ContainerReference& value);
std::string encode(const ExecReference& value);
std::string encode(const ResizeRequest& value);
std::string encode(const AttachRequest& value);
std::string encode(const AttachReference& value);
std::string encode(const StartedAnswer& value);
std::string encode(const FailedAnswer& value);
std::string encode(const HelloEvent& value);
std::string encode(const ExitedEvent& value);
std::string encode(const ExecExitedEvent& value);
std::string encode(const LaunchedEvent& value);
std::string encode(const StateAnswer& value);

template <typename T>
Result<T> decode(std::string_view body);

// A whole packet of one message.
std::string encode_packet(Kind kind, std::uint32_t request, std::string_view body);

struct Message {
  Header header;
  std::string_view body;  // into the packet
};
Result<Message> decode_packet(std::string_view packet);

// Exit records: one file a container beneath the shim's record folder, "exit-" + container id: a packet of kExited.
std::string exit_record_name(std::string_view container_id);

}  // namespace gantry::shim
