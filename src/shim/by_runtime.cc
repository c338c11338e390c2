// SPDX-License-Identifier: Apache-2.0
#include "shim/by_runtime.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>
#include <utility>

#include "base/text.h"
#include "runtime/launch/launch.h"
#include "runtime/launch/run_program.h"
#include "shim/protocol.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

constexpr const char* kStorePlace = "store";
constexpr std::size_t kMaxStatus = 4096;
constexpr const char* kCoverOptions = "mode=0711,size=64k,nr_inodes=64";

// The process that executes the runtime; the shim's child.
class Caller {
 public:
  Caller(RuntimeCall call, LaunchFds fds, OwnFd mounts, OwnFd console, FdRef report, runtime::LaunchNotes& notes)
      : call_(std::move(call)),
        fds_(std::move(fds)),
        mounts_(std::move(mounts)),
        console_(std::move(console)),
        report_(report),
        notes_(notes) {}

  Status run();

 private:
  Status enter_host();
  Status cover() const;
  Status lay_out();
  Status put(FdRef mount, const std::string& place, bool is_file);
  Status put_image(const RuntimeMount& mount);
  Status execute(const std::vector<std::string>& args, bool makes) const;
  Result<pid_t> made() const;
  Status pass_terminal() const;
  FdRef source(std::int32_t index) const {
    return index >= 0 && static_cast<std::size_t>(index) < fds_.others.size()
               ? FdRef(fds_.others[static_cast<std::size_t>(index)])
               : FdRef();
  }
  std::string beneath(const std::string& place) const { return cat(call_.folder, "/", place); }

  RuntimeCall call_;
  LaunchFds fds_;
  OwnFd mounts_, console_;
  FdRef report_;
  runtime::LaunchNotes& notes_;
};

Status Caller::put(FdRef mount, const std::string& place, bool is_file) {
  std::string path = beneath(place);
  auto made =
      is_file ? sys::mknodat(sys::kCwd, path.c_str(), S_IFREG | 0600, 0) : sys::mkdirat(sys::kCwd, path.c_str(), 0700);
  if (!made && !made.error().is_already_exists()) return made;
  if (!mount.is_open()) return {};
  auto target = sys::openat(sys::kCwd, path.c_str(), O_PATH);
  if (!target) return std::unexpected(std::move(target.error()));
  return sys::attach(mount, *target);
}

// Where its links lead is for the kernel to find, beneath the image's own root.
Status Caller::put_image(const RuntimeMount& mount) {
  std::string whole = mount.sub_path.empty() ? mount.place : mount.place + ".image";
  if (auto s = put({}, whole, false); !s) return s;
  auto s =
      sys::mount("overlay", beneath(whole).c_str(), "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, mount.overlay.c_str());
  if (!s || mount.sub_path.empty()) return s;
  auto image = sys::open_dir(sys::kCwd, beneath(whole).c_str());
  if (!image) return std::unexpected(std::move(image.error()));
  auto part = sys::openat2(*image, mount.sub_path.c_str(), O_PATH,
                           sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks | sys::Resolve::kNoXdev);
  if (!part) return fail_with(std::move(part.error()), cat("the image's ", mount.sub_path));
  auto clone = sys::clone_mount(*part, "", sys::Recursive::kNo);
  return clone ? put(*clone, mount.place, mount.is_file) : std::unexpected(std::move(clone.error()));
}

Status Caller::enter_host() {
  MountFd shm;
  if (!call_.shm_place.empty()) {
    auto clone = sys::clone_mount(sys::kCwd, runtime::kStagingShm, sys::Recursive::kNo);
    if (!clone) return fail_with(std::move(clone.error()), "the pod's /dev/shm");
    shm = std::move(*clone);
  }
  if (auto s = sys::setns(mounts_, sys::CloneFlag::kNewMount); !s) return s;
  if (call_.overlay.empty()) return {};
  if (auto s = sys::unshare(sys::CloneFlag::kNewMount); !s) return s;
  // All others stay in their peer groups, so that a volume's mounts go to the host and come from there.
  if (auto s = sys::mount(nullptr, call_.mount_point.c_str(), nullptr, MS_SLAVE, nullptr); !s)
    return fail_with(std::move(s.error()), call_.mount_point);
  if (!call_.cover.empty()) {
    if (auto s = cover(); !s) return fail_with(std::move(s.error()), cat("mount on ", call_.cover));
  }
  if (shm.is_open()) {
    if (auto s = put(shm, call_.shm_place, false); !s) return s;
  }
  return lay_out();
}

// The runtime goes on as root of the user namespace, who is nobody to the host's folders and has to come to the bundle.
Status Caller::cover() const {
  const std::string pod = call_.folder.substr(0, call_.folder.rfind('/'));
  if (!pod.starts_with(call_.cover + "/")) return invalid_argument("is not above the pod's folder");
  auto clone = sys::clone_mount(sys::kCwd, pod.c_str(), sys::Recursive::kNo);
  if (!clone) return std::unexpected(std::move(clone.error()));
  auto s = sys::set_attributes(*clone, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kPrivate,
                               sys::Recursive::kNo);
  if (!s) return s;
  s = sys::mount("tmpfs", call_.cover.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, kCoverOptions);
  if (!s) return s;
  for (std::size_t end = call_.cover.size(); end < pod.size();) {
    end = std::min(pod.find('/', end + 1), pod.size());
    if (auto made = sys::mkdirat(sys::kCwd, pod.substr(0, end).c_str(), 0711); !made) return made;
  }
  auto place = sys::openat(sys::kCwd, pod.c_str(), O_PATH | O_DIRECTORY);
  return place ? sys::attach(*clone, *place) : std::unexpected(std::move(place.error()));
}

Status Caller::lay_out() {
  if (auto s = put(source(call_.store), kStorePlace, false); !s) return fail_with(std::move(s.error()), "image store");
  // What the container writes may be one of them.
  for (const RuntimeMount& mount : call_.mounts) {
    if (!mount.overlay.empty()) continue;
    if (auto s = put(source(mount.source), mount.place, mount.is_file); !s)
      return fail_with(std::move(s.error()), cat("mount ", mount.place));
  }
  // Layer names are relative to the store and short: overlay's options must fit into a page.
  if (::chdir(beneath(kStorePlace).c_str()) < 0)
    return std::unexpected(Error::from_errno(errno, "chdir to the image store"));
  if (auto s = put({}, "rootfs", false); !s) return s;
  if (auto s = sys::mount("overlay", beneath("rootfs").c_str(), "overlay", 0, call_.overlay.c_str()); !s)
    return fail_with(std::move(s.error()), "overlay");
  for (const RuntimeMount& mount : call_.mounts) {
    if (mount.overlay.empty()) continue;
    if (auto s = put_image(mount); !s) return fail_with(std::move(s.error()), cat("mount ", mount.place));
  }
  return {};
}

// The container's streams are those of the command that makes it.
Status Caller::execute(const std::vector<std::string>& args, bool makes) const {
  runtime::Program program{.path = call_.program, .args = args, .env = call_.env, .folder = call_.folder};
  if (makes) {
    program.in = fds_.in;
    program.out = fds_.out;
    program.err = fds_.err;
  }
  auto s = runtime::run_program(program);
  return s ? s : fail_with(std::move(s.error()), call_.program);
}

Result<pid_t> Caller::made() const {
  auto text = sys::read_file(sys::kCwd, beneath(call_.pid_file).c_str(), 64);
  if (!text) return fail_with(std::move(text.error()), "its --pid-file");
  std::string_view digits = trimmed(*text);
  pid_t pid = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (error != std::errc() || end != digits.data() + digits.size() || pid <= 1)
    return fail(Code::kInternal, cat("its --pid-file says ", quoted(*text)));
  // Its end is seen by its parent alone.
  auto status = sys::read_file(sys::kCwd, cat("/proc/", pid, "/status").c_str(), kMaxStatus);
  if (!status) return fail_with(std::move(status.error()), cat("the process ", pid, " that it made"));
  if (status->find(cat("\nPPid:\t", ::getppid(), "\n")) == std::string::npos) {
    return fail(Code::kFailedPrecondition,
                cat("the process ", pid, " that its --pid-file names is no child of the pod's shim"));
  }
  return pid;
}

Status Caller::pass_terminal() const {
  auto peer = sys::accept(console_);
  if (!peer) return fail_with(std::move(peer.error()), "it gave no terminal");
  char text[256];
  auto received = sys::receive_packet(*peer, text);
  if (!received) return fail_with(std::move(received.error()), "its terminal");
  if (received->fds.size() != 1) return fail(Code::kInternal, "it gave no terminal");
  char packet[5] = {static_cast<char>(runtime::Report::Kind::kTerminal)};
  FdRef fds[] = {received->fds[0]};
  return sys::send_packet(report_, std::string_view(packet, sizeof(packet)), fds);
}

Status Caller::run() {
  // Without a shim nothing is to be started.
  if (auto s = sys::prctl(PR_SET_PDEATHSIG, SIGKILL); !s) return s;
  if (auto s = enter_host(); !s) return s;
  if (auto s = execute(call_.make, true); !s) return s;
  auto pid = made();
  if (!pid) return std::unexpected(std::move(pid.error()));
  notes_.pid = *pid;
  if (console_.is_open()) {
    if (auto s = pass_terminal(); !s) return s;
  }
  return call_.start.empty() ? Status() : execute(call_.start, false);
}

Result<OwnFd> take_first(LaunchFds& fds, const char* what) {
  if (fds.others.empty()) return invalid_argument(cat("shim request: descriptor of ", what, " was expected"));
  OwnFd fd = std::move(fds.others.front());
  fds.others.erase(fds.others.begin());
  return fd;
}

}  // namespace

Result<RuntimeLaunching> begin_by_runtime(LaunchFds fds, bool terminal) {
  auto bytes = sys::read_all(fds.plan, kMaxRuntimeCallBytes);
  if (!bytes) return fail_with(std::move(bytes.error()), "the runtime's call");
  auto call = decode<RuntimeCall>(*bytes);
  if (!call) return std::unexpected(std::move(call.error()));
  auto mounts = take_first(fds, "the host's mounts");
  if (!mounts) return std::unexpected(std::move(mounts.error()));
  auto cgroup = take_first(fds, "the runtime's cgroup");
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  OwnFd console;
  if (terminal) {
    auto socket = take_first(fds, "the terminal's socket");
    if (!socket) return std::unexpected(std::move(socket.error()));
    console = std::move(*socket);
  }
  if (auto s = sys::prctl(PR_SET_CHILD_SUBREAPER, 1); !s) return std::unexpected(std::move(s.error()));
  auto report = sys::seqpacket_pair(true);
  if (!report) return std::unexpected(std::move(report.error()));
  auto notes = Notes::make();
  if (!notes) return std::unexpected(std::move(notes.error()));
  auto cloned = sys::clone3(sys::CloneFlag::kClearSighand, *cgroup);
  if (!cloned) return std::unexpected(std::move(cloned.error()));
  if (cloned->pid == 0) {
    report->left.close();
    Caller caller(std::move(*call), std::move(fds), std::move(*mounts), std::move(console), report->right,
                  *notes->get());
    if (auto done = caller.run(); !done) runtime::end_launch(report->right, done.error());
    notes->get()->ready = 1;
    ::_exit(0);
  }
  return RuntimeLaunching{{cloned->pid, std::move(cloned->pidfd), std::move(report->left), std::move(*notes), false},
                          std::move(*cgroup)};
}

}  // namespace gantry::shim
