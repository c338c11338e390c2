// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/folder_watch.h"

#include <algorithm>

#include "base/log.h"
#include "sys/inotify.h"

namespace gantry::agent {

struct FolderWatch::Impl {
  OwnFd inotify;
  std::unique_ptr<Watch> readable;
  std::map<int, std::vector<Event*>> waiting;

  void wake(const sys::InotifyEvent& event) {
    for (auto& [watch, events] : waiting) {
      // Too much has happened to be told: it may concern everybody.
      if (event.watch != watch && (event.mask & IN_Q_OVERFLOW) == 0) continue;
      for (Event* changed : events) changed->set();
    }
  }
  void remove(int watch, Event* changed) {
    auto found = waiting.find(watch);
    if (found == waiting.end()) return;
    std::erase(found->second, changed);
    if (!found->second.empty()) return;
    waiting.erase(found);
    if (inotify.is_open()) sys::inotify_rm_watch(inotify, watch);
  }
};

namespace {

constexpr std::uint32_t kChanges = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR;

template <typename Impl>
class Entry final : public FolderWatch::Watching {
 public:
  Entry(std::shared_ptr<Impl> impl, int watch, Event* changed)
      : impl_(std::move(impl)), watch_(watch), changed_(changed) {
    impl_->waiting[watch_].push_back(changed_);
  }
  ~Entry() override { impl_->remove(watch_, changed_); }

 private:
  std::shared_ptr<Impl> impl_;
  int watch_;
  Event* changed_;
};

template <typename Impl>
Task<> read_events(std::shared_ptr<Impl> impl) {
  while (impl->readable) {
    auto ready = co_await impl->readable->readable();
    if (!ready || !impl->inotify.is_open()) co_return;
    auto events = sys::inotify_read(impl->inotify);
    if (!events) {
      log::error("changes of folders are not seen any more", {{"error", events.error()}});
      co_return;
    }
    for (const auto& event : *events) impl->wake(event);
  }
}

}  // namespace

FolderWatch::FolderWatch(Loop& loop) : loop_(loop), impl_(std::make_shared<Impl>()) {}

FolderWatch::~FolderWatch() {
  if (impl_->readable) impl_->readable->cancel();
  impl_->readable.reset();
  impl_->inotify.close();
}

Result<std::unique_ptr<FolderWatch::Watching>> FolderWatch::watch(FdRef folder, Event& changed) {
  if (!impl_->inotify.is_open()) {
    auto inotify = sys::inotify_init();
    if (!inotify) return std::unexpected(std::move(inotify.error()));
    impl_->inotify = std::move(*inotify);
    impl_->readable = std::make_unique<Watch>(loop_, impl_->inotify.ref());
    loop_.spawn(read_events(impl_));
  }
  auto watch = sys::inotify_add_watch(impl_->inotify, folder, kChanges);
  if (!watch) return std::unexpected(std::move(watch.error()));
  return std::make_unique<Entry<Impl>>(impl_, *watch, &changed);
}

}  // namespace gantry::agent
