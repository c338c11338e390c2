// SPDX-License-Identifier: Apache-2.0
#include "volumes/prepare.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/text.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount_table.h"
#include "volumes/config_volume.h"
#include "volumes/empty_dir.h"
#include "volumes/host_path.h"
#include "volumes/mount_point.h"
#include "volumes/persistent.h"
#include "volumes/sub_path.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

Result<Prepared> prepare_one(const core::Pod& pod, const core::Volume& volume, const std::string& pod_folder,
                             const Claims& claims) {
  const auto& source = volume.volume_source();
  if (source.has_host_path()) {
    auto done = prepare_host_path(source.host_path());
    if (!done) return std::unexpected(std::move(done.error()));
    return Prepared{source.host_path().path()};
  }
  if (source.has_empty_dir()) {
    auto path = prepare_empty_dir(pod, volume, pod_folder);
    if (!path) return std::unexpected(std::move(path.error()));
    return Prepared{std::move(*path)};
  }
  if (source.has_image()) return Prepared{.is_read_only = true, .image = source.image().reference()};
  if (auto claimed = claims.find(volume.name()); claimed != claims.end()) {
    return prepare_persistent(pod, claimed->second, pod_folder);
  }
  return fail(Code::kUnimplemented, "is of a kind that is not supported yet");
}

}  // namespace

std::string volume_folder(std::string_view pod_folder, std::string_view kind, std::string_view name) {
  return std::string(pod_folder) + "/volumes/kubernetes.io~" + std::string(kind) + "/" + std::string(name);
}

Result<PreparedVolumes> prepare(const core::Pod& pod, const std::string& pod_folder, const Claims& claims,
                                std::atomic<int>* passed) {
  PreparedVolumes all;
  for (int i = 0; i < pod.spec().volumes_size(); ++i) {
    const auto& volume = pod.spec().volumes(i);
    if (passed != nullptr) *passed = i;
    if (is_config_volume(volume)) continue;
    auto prepared = prepare_one(pod, volume, pod_folder, claims);
    if (!prepared) {
      return fail(prepared.error().code(), absl::StrCat("MountVolume.SetUp failed for volume ",
                                                        api::quoted(volume.name()), " : ", prepared.error().message()));
    }
    all[volume.name()] = std::move(*prepared);
  }
  return all;
}

std::set<std::string> shared_places(const Claims& claims) {
  std::set<std::string> places;
  for (const auto& [name, claimed] : claims) {
    const auto& source = claimed.volume->spec().persistent_volume_source();
    if (source.has_local()) places.insert(source.local().path());
  }
  return places;
}

Status unmount(const std::string& pod_folder) {
  const std::string volumes = absl::StrCat(pod_folder, "/volumes");
  if (auto done = unbind_sub_paths(pod_folder); !done) return done;
  auto kinds = names_in(volumes);
  if (!kinds) return std::unexpected(std::move(kinds.error()));
  // All names are ours, and so is what is mounted on them.
  for (const auto& kind : *kinds) {
    if (auto done = unmount_in(absl::StrCat(volumes, "/", kind), 0); !done) return done;
  }
  return {};
}

Status remove(const std::string& pod_folder) {
  if (auto done = unmount(pod_folder); !done) return done;
  auto dir = sys::open_dir(sys::kCwd, pod_folder.c_str());
  if (!dir) return dir.error().is_not_found() ? Status() : fail_with(std::move(dir.error()), pod_folder);
  for (const char* name : {"volume-subpaths", "volumes"}) {
    const std::string path = absl::StrCat(pod_folder, "/", name);
    auto folder = sys::open_dir(*dir, name);
    if (!folder && folder.error().is_not_found()) continue;
    if (!folder) return fail_with(std::move(folder.error()), path);
    if (auto free = sys::refuse_mounts(*folder, path); !free) return free;
    if (auto gone = sys::remove_tree(*dir, name); !gone) return fail_with(std::move(gone.error()), path);
  }
  return {};
}

}  // namespace gantry::volumes
