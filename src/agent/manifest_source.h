// SPDX-License-Identifier: Apache-2.0
// The pods that a folder of manifests asks for: *.yaml, *.yml and *.json (no hidden files), one pod a file, regular
// files of at most 1 MiB, also by a link that stays within the folder (what changes in a subfolder behind it is not
// seen). Watched by inotify, which is armed before the folder is listed, so that nothing falls in between; a file is
// read when its writer has closed it, and not while it is half written.
//
// A file with a mistake is a problem that can be asked for, and nothing else: other files are not touched by it, and a
// pod that the file stood for before stays as it was until the file is good again or gone. (kubelet keeps that pod only
// until it next lists the folder, then ends it. A slip of the editor should not end a service.) Two files with the same
// pod: the first by name counts, the other is a problem.
//
// Should the folder itself be removed or renamed, pods stay as they are and it is looked for until it is back.
//
// Owner: the agent. Loop thread; files are read on the pool.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/manifest.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::agent {

// More manifests than this are not read, and reported.
inline constexpr std::size_t kMaxManifests = 1024;

class ManifestSource {
 public:
  // `changed` is called after pods() or problems() changed, but not for the first listing, which start() waits for.
  // `disk` outlives it.
  ManifestSource(Loop& loop, Pool& disk, ManifestContext context, std::function<void()> changed);
  ~ManifestSource();
  ManifestSource(const ManifestSource&) = delete;
  ManifestSource& operator=(const ManifestSource&) = delete;

  // Makes the folder if it is not there, watches and lists it.
  Task<Status> start();
  void stop();

  // By file name; each namespace/name once.
  std::vector<StaticPod> pods() const;
  std::vector<ManifestProblem> problems() const;
  // The file is there and nobody knows which pod it asks for.
  bool is_unreadable(const std::string& file) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
