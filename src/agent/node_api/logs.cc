// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/logs.h"

#include <chrono>
#include <set>

#include "agent/log_file.h"
#include "agent/node_api/folder_watch.h"
#include "agent/node_api/log_lines.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "sys/file.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

constexpr std::size_t kPiece = 64 << 10;
constexpr std::size_t kThreads = 2;
// Other runtimes lose events: whoever follows a log asks now and then whether its container still runs.
constexpr auto kAskAgain = std::chrono::seconds(10);

// One answer.
struct Reader {
  Reader(Loop& loop, LogOptions o) : options(std::move(o)), lines(options), changed(loop) {}
  LogOptions options;
  LogLines lines;
  std::string container;  // its id
  std::shared_ptr<const LogFile> file;
  std::uint64_t at = 0;  // in the file
  Event changed;         // the folder, or any of the following
  bool ended = false;    // the container
  bool gone = false;     // the client

  void wake() { changed.set(); }
};

struct Step {
  std::string bytes;
  bool rotated = false;    // the name is another file's
  bool truncated = false;  // it is shorter than what was read of it
};

// Whether it was rotated is asked first: what was written before that is then read.
Result<Step> read_step(const LogFile& file, std::uint64_t at) {
  Step step;
  auto named = sys::fstatat(file.folder, file.name.c_str(), AT_SYMLINK_NOFOLLOW);
  step.rotated = named && named->st_ino != file.inode;
  step.bytes.resize(kPiece);
  auto size = sys::pread(file.fd, step.bytes.data(), kPiece, at);
  if (!size) return std::unexpected(std::move(size.error()));
  step.bytes.resize(*size);
  if (*size > 0) return step;
  auto info = sys::fstat(file.fd);
  step.truncated = info && static_cast<std::uint64_t>(info->st_size) < at;
  return step;
}

http::Reply refuse(int status, std::string_view text) { return {http::text_response(status, text), {}, {}}; }

// The client's end must end an answer that waits for the container.
Task<> watch_client(std::shared_ptr<Event> closed, std::shared_ptr<Reader> reader) {
  co_await closed->wait();
  reader->gone = true;
  reader->wake();
}

}  // namespace

struct ContainerLogs::Impl : std::enable_shared_from_this<Impl> {
  Impl(Loop& l, cri::RuntimeService& r, std::string folder)
      : loop(l), runtime(r), root(std::move(folder)), disk(l, kThreads), folders(l) {}

  Task<Result<std::shared_ptr<Reader>>> open(std::string id, LogOptions options);
  Task<bool> is_running(std::string id);
  Task<> copy(std::shared_ptr<Reader> reader, http::BodyWriter& writer);
  Task<bool> next(std::shared_ptr<Reader> reader, http::BodyWriter& writer);
  Task<> wait_for_more(std::shared_ptr<Reader> reader);
  void hear(const v1::ContainerEventResponse& event);

  Loop& loop;
  cri::RuntimeService& runtime;
  std::string root;
  Pool disk;
  FolderWatch folders;
  std::set<Reader*> readers;
};

Task<bool> ContainerLogs::Impl::is_running(std::string id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(std::move(id));
  auto status = co_await runtime.container_status(std::move(request));
  if (!status) co_return !status.error().is_not_found();
  co_return status->status().state() == v1::CONTAINER_RUNNING;
}

void ContainerLogs::Impl::hear(const v1::ContainerEventResponse& event) {
  auto type = event.container_event_type();
  if (type != v1::CONTAINER_STOPPED_EVENT && type != v1::CONTAINER_DELETED_EVENT) return;
  for (Reader* reader : readers) {
    if (reader->container != event.container_id()) continue;
    reader->ended = true;
    reader->wake();
  }
}

Task<Result<std::shared_ptr<Reader>>> ContainerLogs::Impl::open(std::string id, LogOptions options) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  auto status = co_await runtime.container_status(std::move(request));
  if (!status) co_return std::unexpected(std::move(status.error()));
  auto reader = std::make_shared<Reader>(loop, std::move(options));
  reader->container = std::move(id);
  struct Opened {
    std::shared_ptr<const LogFile> file;
    std::uint64_t at = 0;
  };
  auto opened = co_await disk.run(
      [root = root, path = status->status().log_path(), lines = reader->options.tail_lines]() -> Result<Opened> {
        auto file = open_log(root, path);
        if (!file) return std::unexpected(std::move(file.error()));
        std::uint64_t at = 0;
        if (lines) {
          auto found = find_tail(file->fd, *lines);
          if (!found) return std::unexpected(std::move(found.error()));
          at = *found;
        }
        return Opened{std::make_shared<const LogFile>(std::move(*file)), at};
      });
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  reader->file = std::move(opened->file);
  reader->at = opened->at;
  co_return reader;
}

Task<> ContainerLogs::Impl::wait_for_more(std::shared_ptr<Reader> reader) {
  if (co_await reader->changed.wait_for(kAskAgain)) co_return;
  if (!co_await is_running(reader->container)) reader->ended = true;
}

// One piece. False: that was all.
Task<bool> ContainerLogs::Impl::next(std::shared_ptr<Reader> reader, http::BodyWriter& writer) {
  reader->changed.reset();
  // What it wrote is all in the file when its end is told.
  bool ended = reader->ended;
  auto step = co_await disk.run([file = reader->file, at = reader->at] { return read_step(*file, at); });
  if (!step) {
    log::warning("a log can't be read on", {{"container", reader->container}, {"error", step.error()}});
    writer.cut_off();
    co_return false;
  }
  if (!step->bytes.empty()) {
    std::string out;
    reader->lines.feed(step->bytes, out);
    reader->at += step->bytes.size();
    if (!out.empty() && !co_await writer.write(out)) co_return false;
    co_return !reader->lines.is_full();
  }
  if (!reader->options.follow || reader->gone) co_return false;
  if (step->truncated) {
    reader->at = 0;
    reader->lines.restart();
    co_return true;
  }
  if (step->rotated) {
    auto file = co_await disk.run([now = reader->file] { return open_log_again(*now); });
    if (file) {
      reader->file = std::make_shared<const LogFile>(std::move(*file));
      reader->at = 0;
      reader->lines.restart();
      co_return true;
    }
  }
  if (ended) co_return false;
  co_await wait_for_more(reader);
  co_return !reader->gone;
}

Task<> ContainerLogs::Impl::copy(std::shared_ptr<Reader> reader, http::BodyWriter& writer) {
  std::unique_ptr<FolderWatch::Watching> watching;
  if (reader->options.follow) {
    auto watched = folders.watch(reader->file->folder, reader->changed);
    if (!watched) {
      log::warning("a log can't be followed", {{"container", reader->container}, {"error", watched.error()}});
      co_return writer.cut_off();
    }
    watching = std::move(*watched);
    loop.spawn(watch_client(writer.closed(), reader));
    if (!co_await is_running(reader->container)) reader->ended = true;
  }
  while (co_await next(reader, writer)) {
  }
}

ContainerLogs::ContainerLogs(Loop& loop, cri::RuntimeService& runtime, std::string pod_logs_dir)
    : impl_(std::make_shared<Impl>(loop, runtime, std::move(pod_logs_dir))) {
  runtime.observe([weak = std::weak_ptr(impl_)](const v1::ContainerEventResponse& event) {
    if (auto impl = weak.lock()) impl->hear(event);
  });
}

ContainerLogs::~ContainerLogs() = default;

Task<http::Reply> ContainerLogs::serve(PodInfo pod, PodPath path, http::Query query) {
  auto impl = impl_;
  using std::chrono::system_clock;
  auto options = read_log_options(query, system_clock::to_time_t(system_clock::now()));
  if (!options) co_return refuse(422, options.error().message());
  auto id = choose_log(pod, path, options->previous);
  if (!id) co_return http::Reply{std::move(id.error()), {}, {}};
  if (impl->readers.size() >= kMaxReaders) co_return refuse(503, cat(kMaxReaders, " logs are being read already"));
  auto reader = co_await impl->open(std::move(*id), std::move(*options));
  if (!reader) {
    std::string who = cat("unable to retrieve the log of container ", quoted(path.container));
    co_return refuse(reader.error().is_not_found() ? 404 : 500, cat(who, ": ", reader.error().message()));
  }
  // From here on its end is heard of, and counted until the answer is over or was never begun.
  impl->readers.insert(reader->get());
  std::shared_ptr<void> counted(nullptr, [impl, held = *reader](void*) { impl->readers.erase(held.get()); });
  http::Reply reply;
  reply.response.headers = {{"Content-Type", "text/plain"}};
  reply.stream = [impl, reader = *reader, counted](http::BodyWriter& writer) { return impl->copy(reader, writer); };
  co_return reply;
}

}  // namespace gantry::agent
