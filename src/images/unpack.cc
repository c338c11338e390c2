// SPDX-License-Identifier: Apache-2.0
#include "images/unpack.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>

#include "base/subprocess.h"
#include "images/text.h"
#include "images/unpack_worker.h"
#include "images/worker_protocol.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/pipe.h"
#include "sys/process.h"
#include "sys/xattr.h"

namespace gantry::images {
namespace {

using sys::SteadyTime;

constexpr std::size_t kRelayBlock = 256 << 10;
constexpr std::chrono::milliseconds kInstant(1);
constexpr std::uint64_t kFreePlainBytes = 256ULL << 20;  // that the ratio does not count

// One running worker. However this ends, it is dead and reaped afterwards.
class Worker {
 public:
  static Result<Worker> start(WorkerMode mode, FdRef input, FdRef output, FdRef folder, const UnpackOptions& options) {
    auto answer = sys::pipe();
    if (!answer) return std::unexpected(std::move(answer.error()));
    const UnpackLimits& limits = options.limits;
    WorkerArguments arguments{mode,           limits.file_bytes,   limits.total_bytes,
                              limits.entries, limits.memory_bytes, limits.cpu_seconds};
    Command command;
    command.path = options.program;
    command.argv = {"gantry", kUnpackWorkerCommand};
    for (std::string& argument : arguments.to_argv()) command.argv.push_back(std::move(argument));
    command.input = input;
    command.output = output;
    command.fds = {answer->write_end};
    if (folder.is_open()) command.fds.push_back(folder);
    auto process = spawn(command);
    if (!process) return fail_with(std::move(process.error()), "start the unpack worker");
    return Worker(std::move(*process), std::move(answer->read_end));
  }
  Worker(Worker&&) = default;
  Worker& operator=(Worker&&) = delete;
  ~Worker() {
    if (!process_.pidfd().is_open()) return;
    (void)sys::pidfd_send_signal(process_.pidfd(), SIGKILL);
    (void)sys::wait_child_end(process_.pidfd());
  }

  // Waits for the worker's end. An error is the worker's own sentence, or what ended it.
  Result<WorkerAnswer> answer(SteadyTime deadline) {
    std::string bytes;
    std::string block(64 << 10, '\0');
    for (;;) {
      if (auto ready = sys::wait_readable(answer_, deadline); !ready) return fail_with(std::move(ready.error()), kWhat);
      auto count = sys::read(answer_, block.data(), block.size());
      if (!count) return std::unexpected(std::move(count.error()));
      if (*count == 0) break;
      bytes.append(block, 0, *count);
      if (bytes.size() > kMaxAnswerBytes) return fail(Code::kInternal, cat(kWhat, ": its answer has no end"));
    }
    if (auto ended = sys::wait_readable(process_.pidfd(), deadline); !ended) {
      return fail_with(std::move(ended.error()), kWhat);
    }
    auto answer = bytes.empty() ? std::nullopt : WorkerAnswer::decode(bytes);
    if (answer && answer->error.empty()) return std::move(*answer);
    if (answer)
      return fail(answer->is_resource ? Code::kResourceExhausted : Code::kInvalidArgument,
                  as_utf8(answer->error, 1000));
    return ended_badly();
  }

 private:
  static constexpr std::string_view kWhat = "the unpack worker";

  Worker(Process&& process, OwnFd&& answer) : process_(std::move(process)), answer_(std::move(answer)) {}

  std::unexpected<Error> ended_badly() {
    auto end = sys::wait_child_end(process_.pidfd());
    if (!end) return std::unexpected(std::move(end.error()));
    if (end->signal != 0) return fail(Code::kInternal, cat(kWhat, " was ended by signal ", end->signal));
    return fail(Code::kInternal, cat(kWhat, " ended without an answer, with code ", end->code));
  }

  Process process_;
  OwnFd answer_;
};

// Reads the stream, counts and hashes it, and hands it on.
class Relay {
 public:
  using Give = std::function<Status(std::string_view bytes, SteadyTime deadline)>;
  // `input` is what `source` is made of by the inflater; the same without one.
  Relay(FdRef input, FdRef source, Give give, const UnpackOptions& options, std::optional<std::uint64_t> packed_bytes)
      : input_(input), source_(source), give_(std::move(give)), options_(options), packed_bytes_(packed_bytes) {}

  Status run() {
    std::string block(kRelayBlock, '\0');
    for (;;) {
      if (auto ready = wait(); !ready) return fail_with(std::move(ready.error()), "unpack");
      auto count = sys::read(source_, block.data(), block.size());
      if (!count) return std::unexpected(std::move(count.error()));
      if (*count == 0) return {};
      std::string_view bytes(block.data(), *count);
      plain_bytes_ += bytes.size();
      if (auto fine = check(); !fine) return fine;
      hasher_.update(bytes);
      auto sent = give_(bytes, std::chrono::steady_clock::now() + options_.patience);
      if (!sent && sent.error().is_deadline()) return hangs("unpacked");
      if (!sent) return fail_with(std::move(sent.error()), "unpack");
    }
  }

  Digest digest() { return hasher_.finish(); }
  std::uint64_t bytes() const { return plain_bytes_; }

 private:
  std::unexpected<Error> hangs(std::string_view what) const {
    return fail(Code::kDeadlineExceeded,
                cat("the unpack worker has ", what, " nothing for ", options_.patience.count(), " ms"));
  }

  // For what the inflater gives. While he has nothing to read himself, it is not he who must be waited for.
  Status wait() const {
    const SteadyTime deadline = std::chrono::steady_clock::now() + options_.deadline;
    bool had_input = false;
    for (;;) {
      const SteadyTime now = std::chrono::steady_clock::now();
      auto ready = sys::wait_readable(source_, std::min(deadline, now + options_.patience / 2));
      if (ready || !ready.error().is_deadline() || now >= deadline) return ready;
      const bool has_input = sys::wait_readable(input_, std::chrono::steady_clock::now() + kInstant).has_value();
      if (has_input && had_input) return hangs("inflated");
      had_input = has_input;
    }
  }

  Status check() const {
    if (plain_bytes_ > options_.limits.total_bytes) {
      return fail(Code::kResourceExhausted,
                  cat("it unpacks to more than the ", options_.limits.total_bytes, " bytes that are allowed"));
    }
    if (packed_bytes_ && plain_bytes_ > kFreePlainBytes && plain_bytes_ / options_.limits.ratio > *packed_bytes_) {
      return fail(Code::kResourceExhausted,
                  cat(*packed_bytes_, " bytes inflate to more than ", options_.limits.ratio, " times that"));
    }
    return {};
  }

  FdRef input_, source_;
  Give give_;
  const UnpackOptions& options_;
  std::optional<std::uint64_t> packed_bytes_;
  std::uint64_t plain_bytes_ = 0;
  Hasher hasher_;
};

// A plain tar in a file needs no inflater. What can't be looked at first (a pipe) gets one.
bool is_plain_file(FdRef source) {
  unsigned char magic[4] = {};
  ssize_t count = ::pread(source.get(), magic, sizeof(magic), ::lseek(source.get(), 0, SEEK_CUR));
  if (count < 0) return false;
  bool gzip = magic[0] == 0x1f && magic[1] == 0x8b;
  bool zstd = (magic[0] == 0x28 || (magic[0] & 0xf0) == 0x50) && magic[1] == (magic[0] == 0x28 ? 0xb5 : 0x2a) &&
              magic[2] == (magic[0] == 0x28 ? 0x2f : 0x4d) && magic[3] == (magic[0] == 0x28 ? 0xfd : 0x18);
  return !gzip && !zstd;
}

// What the worker has no right to do: trusted.* wants CAP_SYS_ADMIN. Its words are a stranger's, so the folders are
// opened with the layer as root.
Status mark_opaque(FdRef folder, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    auto opened = sys::openat2(folder, path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY,
                               sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks | sys::Resolve::kNoXdev);
    if (!opened) {
      if (opened.error().is_not_found()) continue;  // replaced by a later entry: there is no folder left to mark
      return std::unexpected(std::move(opened.error()));
    }
    if (auto set = sys::fsetxattr(*opened, "trusted.overlay.opaque", "y"); !set) return set;
  }
  return {};
}

WorkerMode mode_of(UnpackKind kind) { return kind == UnpackKind::kLayer ? WorkerMode::kLayer : WorkerMode::kLayout; }

// The folder as a mount of its own, which the unpacker makes its root.
Result<MountFd> folder_mount(FdRef folder) {
  auto mount = sys::clone_mount(folder, "", sys::Recursive::kNo);
  if (!mount) return mount;
  using sys::MountAttr;
  auto set = sys::set_attributes(*mount, "", MountAttr::kNoSuid | MountAttr::kNoDev | MountAttr::kNoExec,
                                 MountAttr::kReadOnly, sys::Propagation::kPrivate, sys::Recursive::kNo);
  if (!set) return std::unexpected(std::move(set.error()));
  return mount;
}

// What `source` gives when it is plain: itself, or an inflater's output.
struct Plain {
  std::optional<Worker> inflater;
  OwnFd pipe;

  static Result<Plain> open(FdRef source, const UnpackOptions& options) {
    Plain out;
    if (is_plain_file(source)) return out;
    auto pipe = sys::pipe();
    if (!pipe) return std::unexpected(std::move(pipe.error()));
    auto started = Worker::start(WorkerMode::kInflate, source, pipe->write_end, FdRef(), options);
    if (!started) return std::unexpected(std::move(started.error()));
    out.inflater.emplace(std::move(*started));
    out.pipe = std::move(pipe->read_end);
    return out;
  }
  FdRef stream(FdRef source) const { return inflater ? pipe.ref() : source; }
  // When all was read.
  Status end(SteadyTime deadline) {
    if (!inflater) return {};
    auto inflated = inflater->answer(deadline);
    if (!inflated) return std::unexpected(std::move(inflated.error()));
    return {};
  }
};

}  // namespace

Result<Inflated> inflate(FdRef source, FdRef file, const UnpackOptions& options) {
  auto info = sys::fstat(source);
  if (!info) return std::unexpected(std::move(info.error()));
  auto plain = Plain::open(source, options);
  if (!plain) return std::unexpected(std::move(plain.error()));
  Relay relay(
      source, plain->stream(source), [&](std::string_view bytes, SteadyTime) { return sys::write_all(file, bytes); },
      options, static_cast<std::uint64_t>(info->st_size));
  if (auto relayed = relay.run(); !relayed) return std::unexpected(std::move(relayed.error()));
  if (auto ended = plain->end(std::chrono::steady_clock::now() + options.patience); !ended)
    return std::unexpected(std::move(ended.error()));
  return Inflated{relay.digest(), relay.bytes()};
}

Result<Unpacked> unpack(FdRef source, FdRef folder, UnpackKind kind, const UnpackOptions& options,
                        std::optional<std::uint64_t> packed_bytes) {
  auto info = sys::fstat(source);
  if (!info) return std::unexpected(std::move(info.error()));
  if (S_ISREG(info->st_mode)) packed_bytes = static_cast<std::uint64_t>(info->st_size);

  auto mount = folder_mount(folder);
  if (!mount) return std::unexpected(std::move(mount.error()));
  auto stream = sys::stream_pair();
  if (!stream) return std::unexpected(std::move(stream.error()));
  auto unpacker = Worker::start(mode_of(kind), stream->right, FdRef(), *mount, options);
  if (!unpacker) return std::unexpected(std::move(unpacker.error()));
  stream->right.close();

  auto plain = Plain::open(source, options);
  if (!plain) return std::unexpected(std::move(plain.error()));
  Relay relay(
      source, plain->stream(source),
      [&](std::string_view bytes, SteadyTime deadline) { return sys::send_all(stream->left, bytes, deadline); },
      options, packed_bytes);
  auto relayed = relay.run();
  // The unpacker closed early: it has said why. All else is ours to say.
  if (!relayed && !relayed.error().is_gone()) return std::unexpected(std::move(relayed.error()));
  stream->left.close();
  const SteadyTime deadline = std::chrono::steady_clock::now() + options.patience;
  if (relayed) {
    if (auto ended = plain->end(deadline); !ended) return std::unexpected(std::move(ended.error()));
  }
  auto answer = unpacker->answer(deadline);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (!relayed) return std::unexpected(std::move(relayed.error()));
  if (auto marked = mark_opaque(folder, answer->opaque_folders); !marked)
    return fail_with(std::move(marked.error()), "unpack");
  return Unpacked{relay.digest(), answer->bytes, answer->inodes, std::move(answer->implied_folders)};
}

}  // namespace gantry::images
