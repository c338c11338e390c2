// SPDX-License-Identifier: Apache-2.0
#include "agent/manifest_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/text.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/given_files.h"
#include "sys/inotify.h"

namespace gantry::agent {
namespace {

constexpr std::uint32_t kEntryEvents = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
constexpr std::uint32_t kFolderEvents = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr std::uint32_t kFolderGone = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;
constexpr Duration kFirstLook = std::chrono::seconds(1);
constexpr Duration kLongestLook = std::chrono::seconds(30);

bool is_manifest(std::string_view name) {
  if (name.starts_with('.')) return false;
  return std::ranges::any_of(std::initializer_list<std::string_view>{".yaml", ".yml", ".json"},
                             [&](std::string_view ending) { return name.ends_with(ending); });
}

// One file as it was found. Neither pod nor problem: it is not there.
struct Found {
  std::string file;
  std::optional<StaticPod> pod;
  std::string problem;
};

Result<std::string> read_manifest(FdRef folder, const std::string& file) {
  // Not blocking, for a FIFO that nobody writes to; a link may lead to another name in the folder and nowhere else.
  auto fd = sys::openat2(folder, file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                         sys::Resolve::kBeneath | sys::Resolve::kNoMagicLinks);
  if (!fd) {
    if (fd.error().sys() == EXDEV) return invalid_argument("is a link that leads out of the folder; put the file here");
    return std::unexpected(std::move(fd.error()));
  }
  return sys::read_regular(*fd, kMaxManifestBytes);
}

Found load(const ManifestContext& context, FdRef folder, const std::string& file) {
  Found found{.file = file};
  auto text = read_manifest(folder, file);
  if (!text) {
    // A link to nothing is a problem, a name that is gone is none.
    bool gone = text.error().is_not_found() && !sys::fstatat(folder, file.c_str(), AT_SYMLINK_NOFOLLOW);
    if (!gone) found.problem = text.error().message();
    return found;
  }
  auto pod = parse_manifest(context, file, *text);
  if (pod) {
    found.pod = std::move(*pod);
  } else {
    found.problem = pod.error().message();
  }
  return found;
}

struct Noted {
  std::set<std::string> written, whole;
};

// A link is whole at once. What open() made is being written, and its close will come.
Noted look_at(FdRef folder, const std::set<std::string>& created, const std::vector<std::string>& known) {
  Noted noted;
  for (const auto& name : created) {
    auto info = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
    bool is_open = info && S_ISREG(info->st_mode) && info->st_nlink == 1;
    (is_open ? noted.written : noted.whole).insert(name);
  }
  for (const auto& name : known) {
    auto info = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
    if (info && S_ISLNK(info->st_mode)) noted.whole.insert(name);
  }
  return noted;
}

struct Folder {
  DirFd dir;
  OwnFd inotify;
};

Result<Folder> open_folder(const std::string& path) {
  Folder folder;
  auto dir = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!dir) return fail_with(std::move(dir.error()), absl::StrCat("manifest folder ", path));
  auto inotify = sys::inotify_init();
  if (!inotify) return std::unexpected(std::move(inotify.error()));
  if (auto watched = sys::inotify_add_watch(*inotify, *dir, kEntryEvents | kFolderEvents); !watched) {
    return fail_with(std::move(watched.error()), absl::StrCat("watch manifest folder ", path));
  }
  folder.dir = DirFd(std::move(*dir));
  folder.inotify = std::move(*inotify);
  return folder;
}

}  // namespace

struct ManifestSource::Impl : std::enable_shared_from_this<Impl> {
  Impl(Loop& l, Pool& d, ManifestContext c, std::function<void()> call)
      : loop(l), disk(d), context(std::move(c)), changed(std::move(call)), stop_event(l) {}

  struct Entry {
    std::optional<StaticPod> pod;  // the last good one
    std::string problem;           // of the file as it is
  };

  // All but the first listing: the task that owns the watch.
  static Task<> run(std::shared_ptr<Impl> self);
  Task<Status> list();
  Task<bool> load_dirty();
  bool take(Found&& found);
  Task<bool> wait_for_events();
  void note(const sys::InotifyEvent& event);
  Task<> look_at_noted();
  Task<> look_for_folder();

  Loop& loop;
  Pool& disk;
  ManifestContext context;
  std::function<void()> changed;
  Event stop_event;
  bool stopped = false;

  std::shared_ptr<Folder> folder;  // shared with what reads on the pool
  std::optional<Watch> watch;
  bool folder_gone = false;
  bool list_again = false;
  std::string folder_problem;
  std::set<std::string> created;  // to be looked at: links, or files that are being written
  bool links_changed = false;     // what links lead to may be another
  std::set<std::string> dirty;    // to be read
  std::set<std::string> written;  // open for writing: their close comes
  std::map<std::string, Entry> entries;
};

Task<Status> ManifestSource::Impl::list() {
  auto names = co_await disk.run([held = folder] { return sys::list_dir(held->dir); });
  if (!names) co_return fail_with(std::move(names.error()), absl::StrCat("manifest folder ", context.folder));
  std::erase_if(*names, [](const std::string& name) { return !is_manifest(name); });
  std::ranges::sort(*names);
  folder_problem.clear();
  if (names->size() > kMaxManifests) {
    folder_problem = absl::StrCat("holds ", names->size(), " manifests, and the first ", kMaxManifests,
                                  " by name are read; take the rest away");
    names->resize(kMaxManifests);
  }
  written.clear();
  dirty.clear();
  dirty.insert(names->begin(), names->end());
  for (const auto& [name, entry] : entries) dirty.insert(name);
  list_again = false;
  co_return Status();
}

// True when something came out otherwise than before.
Task<bool> ManifestSource::Impl::load_dirty() {
  bool any = false;
  while (!dirty.empty() && !stopped) {
    std::string name = *dirty.begin();
    dirty.erase(dirty.begin());
    if (!entries.contains(name) && entries.size() >= kMaxManifests) {
      std::string sentence = absl::StrCat("holds more than ", kMaxManifests, " manifests; ", name, " is not read");
      any |= std::exchange(folder_problem, sentence) != sentence;
      continue;
    }
    auto found = co_await disk.run([held = folder, name, context = context] { return load(context, held->dir, name); });
    any |= take(std::move(found));
  }
  co_return any;
}

bool ManifestSource::Impl::take(Found&& found) {
  auto known = entries.find(found.file);
  if (!found.pod && found.problem.empty()) {
    if (known == entries.end()) return false;
    entries.erase(known);
    return true;
  }
  if (known == entries.end()) {
    entries[found.file] = {std::move(found.pod), std::move(found.problem)};
    return true;
  }
  Entry& entry = known->second;
  bool other_pod = found.pod && (!entry.pod || entry.pod->uid != found.pod->uid);
  bool other_problem = entry.problem != found.problem;
  // The same pod stays the same object, with the time when it was first seen.
  if (other_pod) entry.pod = std::move(found.pod);
  entry.problem = std::move(found.problem);
  return other_pod || other_problem;
}

void ManifestSource::Impl::note(const sys::InotifyEvent& event) {
  if (event.mask & IN_Q_OVERFLOW) {
    list_again = true;
    return;
  }
  if (event.mask & kFolderGone) {
    folder_gone = true;
    return;
  }
  const std::string& name = event.name;
  if (event.mask & IN_ISDIR || !is_manifest(name)) {
    // Not a manifest itself, but one may be a link to it, or to something beneath it ("..data" of mounted config maps).
    if (!(event.mask & IN_MODIFY)) links_changed = true;
    return;
  }
  if (event.mask & IN_MODIFY) written.insert(name);
  if (event.mask & IN_CREATE) created.insert(name);
  if (event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)) {
    created.erase(name);
    written.erase(name);
    dirty.insert(name);
  }
}

Task<> ManifestSource::Impl::look_at_noted() {
  if (created.empty() && !links_changed) co_return;
  std::set<std::string> fresh = std::exchange(created, {});
  std::vector<std::string> known;
  if (std::exchange(links_changed, false)) {
    for (const auto& [name, entry] : entries) known.push_back(name);
  }
  auto noted = co_await disk.run(
      [held = folder, fresh = std::move(fresh), known = std::move(known)] { return look_at(held->dir, fresh, known); });
  written.merge(noted.written);
  dirty.merge(noted.whole);
}

// False when it was stopped.
Task<bool> ManifestSource::Impl::wait_for_events() {
  for (;;) {
    auto events = sys::inotify_read(folder->inotify);
    if (!events) {
      folder_gone = true;  // opened anew, with a descriptor that works
      co_return true;
    }
    for (const auto& event : *events) note(event);
    co_await look_at_noted();
    if (stopped) co_return false;
    for (const auto& name : written) dirty.erase(name);
    if (folder_gone || list_again || !dirty.empty()) co_return true;
    auto ready = co_await watch->readable();
    if (stopped) co_return false;
    if (!ready) folder_gone = true;
  }
}

// There is no event for a path that is not there, so it is looked for, ever more rarely.
Task<> ManifestSource::Impl::look_for_folder() {
  Duration delay = kFirstLook;
  watch.reset();
  folder.reset();
  for (;;) {
    auto opened = co_await disk.run([path = context.folder] { return open_folder(path); });
    if (stopped) co_return;
    if (opened) {
      folder = std::make_shared<Folder>(std::move(*opened));
      watch.emplace(loop, folder->inotify);
      folder_gone = false;
      list_again = true;
      folder_problem.clear();
      co_return;
    }
    if (std::exchange(folder_problem, opened.error().message()) != opened.error().message()) changed();
    if (co_await stop_event.wait_for(delay)) co_return;
    delay = std::min(delay * 2, kLongestLook);
  }
}

Task<> ManifestSource::Impl::run(std::shared_ptr<Impl> self) {
  while (co_await self->wait_for_events()) {
    if (self->folder_gone) co_await self->look_for_folder();
    if (self->stopped) co_return;
    std::string problem_before = self->folder_problem;
    if (self->list_again) {
      if (auto listed = co_await self->list(); !listed) {
        self->folder_problem = listed.error().message();
        self->folder_gone = true;
      }
    }
    if (self->stopped) co_return;
    bool any = co_await self->load_dirty();
    if (self->stopped) co_return;
    if (any || self->folder_problem != problem_before) self->changed();
  }
}

ManifestSource::ManifestSource(Loop& loop, Pool& disk, ManifestContext context, std::function<void()> changed)
    : impl_(std::make_shared<Impl>(loop, disk, std::move(context), std::move(changed))) {}

ManifestSource::~ManifestSource() { stop(); }

Task<Status> ManifestSource::start() {
  auto impl = impl_;
  auto opened = co_await impl->disk.run([path = impl->context.folder]() -> Result<Folder> {
    if (auto made = sys::make_folders(path, 0755); !made) return fail_with(std::move(made.error()), "manifest folder");
    return open_folder(path);
  });
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  if (impl->stopped) co_return fail(Code::kCancelled, "stopped");
  impl->folder = std::make_shared<Folder>(std::move(*opened));
  impl->watch.emplace(impl->loop, impl->folder->inotify);
  if (auto listed = co_await impl->list(); !listed) co_return listed;
  (void)co_await impl->load_dirty();
  if (impl->stopped) co_return fail(Code::kCancelled, "stopped");
  impl->loop.spawn(Impl::run(impl));
  co_return Status();
}

void ManifestSource::stop() {
  if (impl_->stopped) return;
  impl_->stopped = true;
  impl_->stop_event.set();
  if (impl_->watch) impl_->watch->cancel();
}

std::vector<StaticPod> ManifestSource::pods() const {
  std::vector<StaticPod> pods;
  std::set<std::string> names;
  for (const auto& [file, entry] : impl_->entries) {
    if (entry.pod && names.insert(entry.pod->full_name()).second) pods.push_back(*entry.pod);
  }
  return pods;
}

std::vector<ManifestProblem> ManifestSource::problems() const {
  std::vector<ManifestProblem> problems;
  if (!impl_->folder_problem.empty()) problems.push_back({"", impl_->folder_problem});
  std::map<std::string, std::string> first;
  for (const auto& [file, entry] : impl_->entries) {
    if (!entry.problem.empty()) problems.push_back({file, entry.problem});
    if (!entry.pod) continue;
    auto [holder, is_first] = first.try_emplace(entry.pod->full_name(), file);
    if (is_first) continue;
    problems.push_back(
        {file, absl::StrCat("metadata.name: the pod ", api::quoted(entry.pod->full_name()), " is already that of ",
                            holder->second, ", which counts; give it another name")});
  }
  return problems;
}

bool ManifestSource::is_unreadable(const std::string& file) const {
  auto found = impl_->entries.find(file);
  return found != impl_->entries.end() && !found->second.pod;
}

}  // namespace gantry::agent
