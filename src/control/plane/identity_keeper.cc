// SPDX-License-Identifier: Apache-2.0
#include "control/plane/identity_keeper.h"

#include <fcntl.h>

#include "base/log.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/inotify.h"

namespace gantry::control {

namespace {

constexpr Duration kCheck = std::chrono::hours(12);
constexpr Duration kRetry = std::chrono::minutes(1);
// Files that belong together are written one after the other.
constexpr Duration kTogether = std::chrono::milliseconds(100);
// After this the next CA is asked for.
constexpr auto kWarnBefore = std::chrono::hours(24 * 180);

Result<OwnFd> watch_folder(const std::string& path) {
  Result<OwnFd> folder = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder) return fail_with(std::move(folder.error()), path);
  Result<OwnFd> inotify = sys::inotify_init();
  if (!inotify) return inotify;
  Result<int> watched = sys::inotify_add_watch(*inotify, *folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE);
  if (!watched) return fail_with(std::move(watched.error()), cat("watch ", path));
  return inotify;
}

// Sets `changed` whenever something in the folder has.
Task<> follow(Loop& home, OwnFd inotify, Event& changed) {
  Watch watch(home, inotify.ref());
  while (co_await watch.readable()) {
    co_await home.sleep_for(kTogether);
    if (Result<std::vector<sys::InotifyEvent>> events = sys::inotify_read(inotify.ref()); !events) {
      log::error("the folder of the keys is followed no more", {{"error", events.error()}});
      co_return;
    }
    changed.set();
  }
}

}  // namespace

Task<> keep_identity(Loop& home, Pool& disk, IdentityOptions options, ClusterIdentity used,
                     std::function<Status(const ClusterIdentity&)> use,
                     std::function<Status(const ClusterIdentity&)> write) {
  options.make_missing = false;
  Event changed(home);
  Result<OwnFd> inotify = watch_folder(options.folder);
  if (inotify) {
    home.spawn(follow(home, std::move(*inotify), changed));
  } else {
    log::error("the folder of the keys cannot be followed", {{"error", inotify.error()}});
  }
  // What has changed since it was read, too.
  while (true) {
    changed.reset();
    // Who changes keys has their lock meanwhile, and may be slow.
    Result<ClusterIdentity> identity = co_await disk.run([options] { return load_identity(options); });
    Status done;
    if (!identity) done = std::unexpected(std::move(identity.error()));
    if (identity && !(*identity == used)) {
      done = use(*identity);
      if (done) done = co_await disk.run([write, taken = *identity] { return write(taken); });
      if (done) {
        log::info("keys and certificates have changed", {{"ca", identity->authority.certificate().key.pin()},
                                                         {"token-key", identity->token_key.public_key().id()}});
        used = std::move(*identity);
      }
    }
    if (!done)
      log::error("keys and certificates are not as they should be, the last ones stay", {{"error", done.error()}});
    if (used.authority.certificate().not_after < std::chrono::system_clock::now() + kWarnBefore) {
      log::warning("the CA is about to end: gantry-control keys rotate ca");
    }
    (void)co_await changed.wait_for(done ? kCheck : kRetry);
  }
}

}  // namespace gantry::control
