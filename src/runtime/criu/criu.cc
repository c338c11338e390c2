// SPDX-License-Identifier: Apache-2.0
#include "runtime/criu/criu.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>

#include "base/text.h"
#include "runtime/plan/text.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::runtime {
namespace {

constexpr int kSocket = 3;
constexpr std::size_t kMaxReply = 64U << 10;
constexpr std::size_t kMaxWords = 512;
constexpr std::size_t kMaxLog = 64U << 20;
constexpr int kLogChecks = 1000;  // milliseconds

// Up, out of each other's way, and then down to their numbers.
bool place_fds(FdRef socket, std::span<const FdRef> fds) {
  int end = Criu::kFirstFd + static_cast<int>(fds.size());
  std::vector<int> up{::fcntl(socket.get(), F_DUPFD, end)};
  for (FdRef fd : fds) up.push_back(::fcntl(fd.get(), F_DUPFD, end));
  for (std::size_t i = 0; i < up.size(); ++i) {
    if (up[i] < 0 || ::dup2(up[i], kSocket + static_cast<int>(i)) < 0) return false;
  }
  return sys::close_range(static_cast<unsigned>(end), false).has_value();
}

// The first lines of its log that say "Error", not one alone: that may be harmless. What comes later follows from them.
std::string first_errors(const std::string& path) {
  constexpr std::size_t kMost = 3;
  std::vector<std::string_view> errors;
  auto text = sys::read_file(sys::kCwd, path.c_str(), kMaxLog);
  if (!text) return {};
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = runtime::take_until(rest, '\n');
    std::size_t begin = line.find("Error (");
    if (begin == line.npos || line.ends_with("FAILED.")) continue;
    errors.push_back(line.substr(begin));
    if (errors.size() == kMost) break;
  }
  std::string said;
  for (std::string_view error : errors) said += cat(said.empty() ? "" : "; ", as_utf8(error, kMaxWords));
  return said;
}

std::string where(const CriuLog& log) {
  return log.is_kept ? cat(" (all that it said is in ", log.path, ")") : std::string();
}

[[noreturn]] void execute(const std::string& program, FdRef socket, const CriuBirth& birth) {
  (void)sys::prctl(PR_SET_PDEATHSIG, SIGKILL);  // its children do not inherit it
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) {
    if (birth.ignores_end) ::signal(number, SIG_IGN);
  }
  // It looks for tar and others there. What else is in this environment may name configurations of CRIU's.
  std::string path = cat("PATH=", ::getenv("PATH"));
  char name[] = "criu", verb[] = "swrk", number[] = "3";
  char* args[] = {name, verb, number, nullptr};
  char* env[] = {path.data(), nullptr};
  bool is_apart = !birth.new_cgroup_namespace || sys::unshare(sys::CloneFlag::kNewCgroup);
  if (is_apart && place_fds(socket, birth.fds)) ::execve(program.c_str(), args, env);
  ::_exit(127);
}

}  // namespace

Result<std::string> find_criu() {
  const char* path = ::getenv("PATH");
  for (std::string_view rest = path == nullptr ? "" : path; !rest.empty();) {
    std::string program = cat(runtime::take_until(rest, ':'), "/criu");
    if (program.starts_with('/') && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return fail(Code::kUnimplemented,
              "criu is not installed: no program of that name is in $PATH (Debian's package is criu)");
}

Result<Criu> Criu::start(const std::string& program, const CriuBirth& birth) {
  auto pair = sys::seqpacket_pair(false);
  if (!pair) return std::unexpected(std::move(pair.error()));
  auto cloned = sys::clone3(sys::CloneFlag::kClearSighand, birth.cgroup);
  if (!cloned) return std::unexpected(std::move(cloned.error()));
  if (cloned->pid == 0) execute(program, pair->right, birth);
  return Criu(std::move(pair->left), std::move(cloned->pidfd));
}

Criu::~Criu() {
  if (!pidfd_.is_open()) return;
  (void)sys::pidfd_send_signal(pidfd_, SIGKILL);
  (void)sys::wait_child_end(pidfd_);
}

// Until when it is waited for.
class Criu::Patience {
 public:
  explicit Patience(const CriuCancel& cancel) : cancel_(cancel) {}
  FdRef watched() const { return until_ ? FdRef() : cancel_.when; }
  void cancel() {
    if (!until_) until_ = std::chrono::steady_clock::now() + cancel_.grace;
  }
  bool is_cancelled() const { return until_.has_value(); }
  bool is_over() const { return until_ && std::chrono::steady_clock::now() >= *until_; }

 private:
  const CriuCancel& cancel_;
  std::optional<std::chrono::steady_clock::time_point> until_;
};

// CRIU 4.1 reads what an image lacks over and over, and writes a line for each time. There is no event for that.
Status Criu::wait_for_word(const CriuLog& log, Patience& patience) {
  for (;;) {
    FdRef watched = patience.watched();
    pollfd entries[] = {{socket_.get(), POLLIN, 0}, {watched.is_open() ? watched.get() : -1, POLLIN, 0}};
    if (::poll(entries, std::size(entries), kLogChecks) > 0) {
      if (entries[1].revents != 0) patience.cancel();
      if (entries[0].revents != 0) return {};
    }
    if (patience.is_over()) return fail(Code::kCancelled, "was to stop, has not, and is killed");
    auto info = sys::fstatat(sys::kCwd, log.path.c_str(), 0);
    if (info && info->st_size > static_cast<off_t>(kMaxLog)) {
      return fail(Code::kAborted, cat("is stopped: it has more to say than the ", kMaxLog >> 20,
                                      " MB that are allowed, as it does of an image that is not whole", where(log)));
    }
  }
}

Result<CriuReply> Criu::converse(const CriuRequest& request, const CriuLog& log, const CriuListener& listener,
                                 Patience& patience) {
  if (auto s = sys::send_packet(socket_, encode(request), {}); !s) return std::unexpected(std::move(s.error()));
  Status heard;
  for (;;) {
    if (auto s = wait_for_word(log, patience); !s) return std::unexpected(std::move(s.error()));
    std::vector<char> buffer(kMaxReply);
    auto packet = sys::receive_packet(socket_, buffer);
    if (!packet || packet->size == 0) return fail(Code::kAborted, "it ended without an answer");
    auto reply = decode_reply(std::string_view(buffer.data(), packet->size));
    if (!reply) return reply;
    if (reply->call != CriuCall::kNotify) return heard ? reply : std::unexpected(std::move(heard.error()));
    if (heard && patience.is_cancelled()) heard = fail(Code::kCancelled, "it was to stop");
    if (heard && listener) heard = listener(*reply, packet->fds);
    if (auto s = sys::send_packet(socket_, encode_consent(heard.has_value()), {}); !s)
      return std::unexpected(std::move(heard ? s.error() : heard.error()));
  }
}

Result<CriuReply> Criu::ask(const CriuRequest& request, const CriuLog& log, const CriuListener& listener,
                            const CriuCancel& cancel) {
  Patience patience(cancel);
  auto reply = converse(request, log, listener, patience);
  socket_.close();
  if (!reply) return fail_with(std::move(reply.error()), "criu");
  (void)sys::wait_child_end(pidfd_);
  pidfd_.close();
  if (reply->success) return reply;
  std::string why = first_errors(log.path);
  if (why.empty()) why = as_utf8(trimmed(reply->message), kMaxWords);
  if (why.empty()) why = reply->error != 0 ? std::strerror(reply->error) : "it does not say why";
  return fail(Code::kAborted, cat("criu failed: ", why, where(log)));
}

}  // namespace gantry::runtime
